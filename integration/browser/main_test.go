// Package browser_test uses the page as users do: in a real Chromium, over
// plain HTTP, from an origin that is no localhost.
package browser_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/aichub/lanyard/integration/chromium"
)

// theBrowser is the one of a test run; each test has a context of its own
// in it, with its own cookies.
var theBrowser context.Context

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
	browser, end, err := chromium.Start([]string{site}, chromedp.Flag("hide-scrollbars", true))
	if err != nil {
		return 1, err
	}
	defer end()
	theBrowser = browser //nolint:fatcontext // chromedp names a browser by a context
	return m.Run(), nil
}
