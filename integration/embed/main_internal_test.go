package embed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"
)

// site is the host name of what Chromium visits. It finds it on this machine,
// and takes it for a place that is not trustworthy: there is no Sec-Fetch-Site
// without TLS.
const site = "hub.test"

// elsewhere is another site on this machine.
const elsewhere = "idp.test"

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	code := m.Run()
	endChromium()
	os.Exit(code)
}

// chromium starts the one browser of a test run when it is first wanted.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("there is no Chromium; on Debian: apt-get install chromium: %w", err)
	}
	allocator, free := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("host-resolver-rules", "MAP "+site+" 127.0.0.1, MAP "+elsewhere+" 127.0.0.1"))
	browser, end := chromedp.NewContext(allocator)
	chromiumEnds = append(chromiumEnds, end, free)
	return browser, chromedp.Run(browser)
})

var chromiumEnds []context.CancelFunc

func endChromium() {
	for _, end := range chromiumEnds {
		end()
	}
}

// newWindow opens an empty tab without cookies of others.
func newWindow(t *testing.T) context.Context {
	t.Helper()
	browser, err := chromium()
	ok(t, err)
	at := cdp.WithExecutor(browser, chromedp.FromContext(browser).Browser)
	own, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(at)
	ok(t, err)
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(own).WithNewWindow(true).Do(at)
	ok(t, err)
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithTargetID(id))
	ok(t, chromedp.Run(ctx)) // the tab lives as long as the context of the first call
	t.Cleanup(func() {
		cancel()
		_ = target.DisposeBrowserContext(own).Do(at)
	})
	return ctx
}
