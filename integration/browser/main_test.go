// Package browser_test uses the page as users do: in a real Chromium, over
// plain HTTP, from an origin that is no localhost.
package browser_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/chromedp/chromedp"
)

// chromium is the one browser of a test run; each test has a context of its own
// in it, with its own cookies.
var chromium context.Context

// site is the host name of the tests' page. Chromium finds it on this machine,
// and takes it for a place that is not trustworthy: no clipboard, no localhost.
const site = "hub.test"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	path, err := findChromium()
	if err != nil {
		return 1, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP "+site+" 127.0.0.1"),
	}
	allocator, free := chromedp.NewExecAllocator(context.Background(), options...)
	defer free()
	browser, end := chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Run(browser); err != nil {
		return 1, fmt.Errorf("start %s: %w", path, err)
	}
	version, _ := exec.CommandContext(context.Background(), path, "--version").Output()
	fmt.Fprintf(os.Stderr, "browser: using %s", version)
	chromium = browser //nolint:fatcontext // chromedp names a browser by a context
	return m.Run(), nil
}

// findChromium returns the browser of the machine.
func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no Chromium; on Debian: apt-get install chromium")
}
