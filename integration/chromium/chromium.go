// Package chromium starts the Chromium that tests look at a page with:
//
//	browser, end, err := chromium.Start([]string{"hub.test"})
//	defer end()
//	tab := chromium.Window(t, browser)
//	err = chromedp.Run(tab, chromedp.Navigate("http://hub.test:8080/"))
package chromium

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// Start starts the Chromium of this machine, which finds the hosts there, and says
// which it is. It takes them for places that are not trustworthy: they are no
// localhost. It runs until end.
func Start(hosts []string, more ...chromedp.ExecAllocatorOption) (browser context.Context, end func(), err error) {
	path, err := find()
	if err != nil {
		return nil, nil, err
	}
	rules := make([]string, len(hosts))
	for i, host := range hosts {
		rules[i] = "MAP " + host + " 127.0.0.1"
	}
	options := append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("host-resolver-rules", strings.Join(rules, ", ")),
	}, more...)
	allocator, free := chromedp.NewExecAllocator(context.Background(), options...)
	browser, quit := chromedp.NewContext(allocator)
	end = func() {
		quit()
		free()
	}
	if err := chromedp.Run(browser); err != nil {
		end()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	version, _ := exec.CommandContext(context.Background(), path, "--version").Output() //nolint:gosec // it was looked up by name
	fmt.Fprintf(os.Stderr, "chromium: using %s", version)
	return browser, end, nil
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no Chromium; on Debian: apt-get install chromium")
}

// Window opens an empty tab without cookies of others, in a window of its own:
// Chromium opens none in a new browser context without one. It ends with the test.
func Window(t testing.TB, browser context.Context) context.Context { //nolint:revive // the browser is no deadline of the call
	t.Helper()
	at := cdp.WithExecutor(browser, chromedp.FromContext(browser).Browser)
	own, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(at)
	if err != nil {
		t.Fatal(err)
	}
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(own).WithNewWindow(true).Do(at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithTargetID(id))
	if err := chromedp.Run(ctx); err != nil { // the tab lives as long as the context of the first call
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = target.DisposeBrowserContext(own).Do(at)
	})
	return ctx
}
