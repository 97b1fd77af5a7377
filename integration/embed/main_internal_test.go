package embed

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"

	"github.com/aichub/lanyard/integration/chromium"
	"github.com/aichub/lanyard/integration/servers"
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
	endBrowser()
	if err := servers.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		code = 1
	}
	os.Exit(code)
}

// theBrowser is the one Chromium of a test run, started when it is first wanted.
var theBrowser = sync.OnceValues(func() (context.Context, error) {
	browser, end, err := chromium.Start([]string{site, elsewhere}, chromedp.Flag("ignore-certificate-errors", true))
	if err == nil {
		endBrowser = end
	}
	return browser, err
})

var endBrowser = func() {}

// newWindow opens an empty tab without cookies of others.
func newWindow(t *testing.T) context.Context {
	t.Helper()
	browser, err := theBrowser()
	ok(t, err)
	return chromium.Window(t, browser)
}
