package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/aichub/lanyard/integration/chromium"
)

// setting is how a user sees the page.
type setting struct {
	language string
	script   bool
	width    int64
	scheme   string // "light" or "dark"
}

func (s setting) String() string {
	script := "script"
	if !s.script {
		script = "no script"
	}
	return fmt.Sprintf("%s, %s, %d px, %s", s.language, script, s.width, s.scheme)
}

// patience is how long anything in the browser may take.
const patience = 30 * time.Second

// tab is one tab of a browser in which Ana is signed in. Whatever the browser
// complains of fails the test.
type tab struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // that is how chromedp names a tab
	host  *host
	texts texts
	setting

	mu       sync.Mutex
	asked    []string // dialogs about leaving
	requests []string // addresses
	status   int      // of the last document
	document network.RequestID
	loaded   chan struct{}
	expected []string // complaints that are part of a test
}

func newTab(t *testing.T, s setting) *tab {
	t.Helper()
	h := newHost(t, s.language)
	ctx := chromium.Window(t, theBrowser)
	b := &tab{t: t, ctx: ctx, host: h, texts: readTexts(t, s.language), setting: s, loaded: make(chan struct{}, 1)}
	b.expect("Autofocus processing was blocked") // a test may be faster than any user
	chromedp.ListenTarget(ctx, b.hear)
	b.run(
		chromedp.ActionFunc(func(ctx context.Context) error { return accessibility.Enable().Do(ctx) }),
		chromedp.ActionFunc(func(ctx context.Context) error { return log.Enable().Do(ctx) }),
		network.Enable(),
		network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": s.language}), // before Ana is known
		emulation.SetDeviceMetricsOverride(s.width, 900, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}}),
		emulation.SetFocusEmulationEnabled(true), // other tabs are open too
		emulation.SetScriptExecutionDisabled(!s.script),
	)
	return b
}

// hear is told of everything in the tab.
func (b *tab) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		var said []string
		for _, arg := range e.Args {
			said = append(said, string(arg.Value))
		}
		b.complain("console: " + strings.Join(said, " "))
	case *runtime.EventExceptionThrown:
		b.complain("exception: " + e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		b.complain(fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
	case *network.EventLoadingFailed:
		if !e.Canceled {
			b.complain("request failed: " + e.ErrorText)
		}
	case *network.EventRequestWillBeSent:
		b.mu.Lock()
		b.requests = append(b.requests, e.Request.URL)
		b.mu.Unlock()
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			b.mu.Lock()
			b.status, b.document = int(e.Response.Status), e.RequestID
			b.mu.Unlock()
		}
	case *page.EventLoadEventFired:
		b.arrived()
	case *page.EventFrameNavigated:
		if e.Type == page.NavigationTypeBackForwardCacheRestore {
			b.arrived()
		}
	case *page.EventJavascriptDialogOpening:
		b.mu.Lock()
		b.asked = append(b.asked, string(e.Type))
		b.mu.Unlock()
		go func() { _ = chromedp.Run(b.ctx, page.HandleJavaScriptDialog(true)) }()
	}
}

func (b *tab) arrived() {
	select {
	case b.loaded <- struct{}{}:
	default:
	}
}

func (b *tab) complain(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, part := range b.expected {
		if strings.Contains(what, part) {
			return
		}
	}
	b.t.Errorf("%v: the browser says: %s", b.setting, what)
}

// expect lets the browser complain of a refusal that the test provokes.
func (b *tab) expect(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, part)
}

func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("%v: %v", b.setting, err)
	}
}

// load does what loads a page, waits for it and returns its status.
func (b *tab) load(actions ...chromedp.Action) int {
	b.t.Helper()
	select {
	case <-b.loaded:
	default:
	}
	b.mu.Lock()
	b.status = 0
	b.mu.Unlock()
	b.run(actions...)
	select {
	case <-b.loaded:
	case <-time.After(patience):
		b.t.Fatalf("%v: nothing was loaded", b.setting)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// navigate goes to an address, without waiting.
func navigate(to string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, refused, _, err := page.Navigate(to).Do(ctx)
		if err == nil && refused != "" {
			err = errors.New(refused)
		}
		return err
	})
}

// open goes to an address below the mount.
func (b *tab) open(path string) int {
	b.t.Helper()
	return b.load(navigate(b.host.url + path))
}

// follow clicks a link or button by its role and its name, and waits for the
// page it leads to.
func (b *tab) follow(role, name string) int {
	b.t.Helper()
	return b.load(b.click(role, name))
}

// press clicks what leads nowhere.
func (b *tab) press(role, name string) {
	b.t.Helper()
	b.run(b.click(role, name))
}

func (b *tab) click(role, name string) chromedp.Action { return b.clicks(1, role, name) }

// clicks clicks several times, as fast as it can.
func (b *tab) clicks(times int, role, name string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		id, err := find(ctx, role, name)
		if err != nil {
			return err
		}
		if err := dom.ScrollIntoViewIfNeeded().WithBackendNodeID(id).Do(ctx); err != nil {
			return err
		}
		quads, err := dom.GetContentQuads().WithBackendNodeID(id).Do(ctx)
		if err != nil || len(quads) == 0 {
			return fmt.Errorf("%s %q has no place on the page: %w", role, name, err)
		}
		q := quads[0]
		x, y := (q[0]+q[4])/2, (q[1]+q[5])/2
		for range times {
			for _, kind := range []input.MouseType{input.MousePressed, input.MouseReleased} {
				if err := input.DispatchMouseEvent(kind, x, y).WithButton(input.Left).WithClickCount(1).Do(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// find looks for an element as an assistive technology does, by role and
// accessible name.
func find(ctx context.Context, role, name string) (cdp.BackendNodeID, error) {
	var root *cdp.Node
	var found []*accessibility.Node
	deadline := time.Now().Add(5 * time.Second)
	for {
		var err error
		if root, err = dom.GetDocument().WithDepth(0).Do(ctx); err != nil {
			return 0, err
		}
		if found, err = accessibility.QueryAXTree().WithBackendNodeID(root.BackendNodeID).WithRole(role).WithAccessibleName(name).Do(ctx); err != nil {
			return 0, err
		}
		seen := found[:0]
		for _, n := range found {
			if !n.Ignored {
				seen = append(seen, n)
			}
		}
		if len(seen) == 1 {
			return seen[0].BackendDOMNodeID, nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("there are %d of the role %s with the name %q, want one", len(seen), role, name)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// fill types text into the input with that label, in place of what is there.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		id, err := find(ctx, "textbox", label)
		if err != nil {
			return err
		}
		if err := dom.Focus().WithBackendNodeID(id).Do(ctx); err != nil {
			return err
		}
		return input.DispatchKeyEvent(input.KeyDown).WithCommands([]string{"selectAll"}).Do(ctx)
	}))
	if text == "" {
		b.run(input.DispatchKeyEvent(input.KeyDown).WithCommands([]string{"delete"}))
		return
	}
	b.run(input.InsertText(text))
}

// eval returns what an expression is worth on the page; it works where the
// page's own script is switched off.
func eval[T any](b *tab, expression string) (value T) {
	b.t.Helper()
	b.run(chromedp.Evaluate(expression, &value))
	return value
}

// text is what the user can read; nothing while the page changes.
func (b *tab) text() (text string) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_ = chromedp.Run(ctx, chromedp.Evaluate("document.body?.innerText ?? ''", &text))
	return text
}

// says checks that the user can read texts.
func (b *tab) says(what ...string) {
	b.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		text, missing := strings.Join(strings.Fields(b.text()), " "), ""
		for _, w := range what {
			if !strings.Contains(text, strings.Join(strings.Fields(w), " ")) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%v: %s does not say %q; it says %q", b.setting, b.path(), missing, text)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// saysNot checks that nothing on the page, visible or not, holds a text.
func (b *tab) saysNot(what string) {
	b.t.Helper()
	if strings.Contains(eval[string](b, "document.documentElement.outerHTML + [...document.querySelectorAll('input')].map(i => i.value)"), what) {
		b.t.Errorf("%v: %s still holds %q", b.setting, b.path(), what)
	}
}

// path is where the tab is, below the mount.
func (b *tab) path() string {
	u, err := url.Parse(eval[string](b, "location.href"))
	ok(b.t, err)
	return strings.TrimPrefix(u.RequestURI(), "/account/")
}

// say is a text of the page.
func (b *tab) say(id string, pairs ...string) string {
	b.t.Helper()
	return b.texts.say(b.t, id, pairs...)
}

// value is what an input holds.
func (b *tab) value(label string) (value string) {
	b.t.Helper()
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		id, err := find(ctx, "textbox", label)
		if err != nil {
			return err
		}
		object, err := dom.ResolveNode().WithBackendNodeID(id).Do(ctx)
		if err != nil {
			return err
		}
		result, _, err := runtime.CallFunctionOn("function() { return this.value }").WithObjectID(object.ObjectID).WithReturnByValue(true).Do(ctx)
		if err != nil {
			return err
		}
		value = strings.Trim(string(result.Value), `"`)
		return nil
	}))
	return value
}

// dialogs returns what the browser asked since the last call.
func (b *tab) dialogs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	return asked
}

// reload sends the last request again, a form too.
func (b *tab) reload() { b.t.Helper(); b.load(page.Reload()) }

// back is the browser's button.
func (b *tab) back() {
	b.t.Helper()
	b.load(chromedp.ActionFunc(func(ctx context.Context) error {
		at, entries, err := page.GetNavigationHistory().Do(ctx)
		if err != nil {
			return err
		}
		return page.NavigateToHistoryEntry(entries[at-1].ID).Do(ctx)
	}))
}

// copyByHand copies what an input holds as a user does, without the page's help.
func (b *tab) copyByHand(label string) {
	b.t.Helper()
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		id, err := find(ctx, "textbox", label)
		if err != nil {
			return err
		}
		if err := dom.Focus().WithBackendNodeID(id).Do(ctx); err != nil {
			return err
		}
		return input.DispatchKeyEvent(input.KeyDown).WithCommands([]string{"selectAll", "copy"}).Do(ctx)
	}))
}

// pasted checks what the clipboard holds, with an input of the page.
func (b *tab) pasted(label, want string) {
	b.t.Helper()
	b.fill(label, "")
	b.run(input.DispatchKeyEvent(input.KeyDown).WithCommands([]string{"paste"}))
	if got := b.value(label); got != want {
		b.t.Errorf("%v: %q was pasted, want what was copied", b.setting, got)
	}
	b.fill(label, "")
}

// awaited waits for a promise.
func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
