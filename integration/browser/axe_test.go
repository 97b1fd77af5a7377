package browser_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

var (
	whole = flag.Bool("whole", false, "look at every state in every language, width and scheme")
	html  = flag.String("html", "", "write what the server sends for each state into this `folder`")
)

// looks are how each state of the page is looked at: all that there are with
// -whole, else once in each language, with each width and scheme among them.
func looks(t *testing.T) (all []setting) {
	t.Helper()
	for i, language := range languages(t) {
		for j, width := range []int64{320, 1280} {
			for k, scheme := range []string{"dark", "light"} {
				if *whole || j == i%2 && k == i%2 {
					all = append(all, setting{language, true, width, scheme})
				}
			}
		}
	}
	return all
}

// axeScript is axe-core, as scripts/axe finds it.
func axeScript(t *testing.T) string {
	t.Helper()
	path, err := exec.CommandContext(t.Context(), "../../scripts/axe").Output()
	if err != nil {
		t.Fatalf("scripts/axe: %v", err)
	}
	script, err := os.ReadFile(strings.TrimSpace(string(path)))
	ok(t, err)
	return string(script)
}

// violation is what axe-core finds wrong.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

const runAxe = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
	.then(result => ({violations: result.violations, passes: result.passes.length}))`

// keep writes the document as the server sent it.
func (b *tab) keep(state string) {
	b.t.Helper()
	b.mu.Lock()
	id := b.document
	b.mu.Unlock()
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		body, err := network.GetResponseBody(id).Do(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(*html, strings.ReplaceAll(b.language+" "+state, " ", "-")+".html"), body, 0o600)
	}))
}

// Every state of the page meets WCAG 2.2 AA and what is good practice beyond
// it, and fits into the width of the screen.
func TestAccessible(t *testing.T) {
	script := axeScript(t)
	var pages, rules atomic.Int64
	for _, s := range looks(t) {
		t.Run(s.String(), func(t *testing.T) {
			b := newTab(t, s)
			visitStates(b, func(state string) {
				pages.Add(1)
				b.run(chromedp.Evaluate(script+";0", nil))
				var found struct {
					Violations []violation `json:"violations"`
					Passes     int64       `json:"passes"`
				}
				b.run(chromedp.Evaluate(runAxe, &found, awaited))
				rules.Add(found.Passes)
				for _, v := range found.Violations {
					for _, n := range v.Nodes {
						t.Errorf("%v: %s: %s (%s): %s: %s", s, state, v.Help, v.ID, n.HTML, n.Summary)
					}
				}
				if found.Passes == 0 {
					t.Errorf("%v: %s: axe looked at nothing", s, state)
				}
				if *html != "" {
					b.keep(state)
				}
				if wide := eval[int64](b, "document.documentElement.scrollWidth"); wide > s.width {
					t.Errorf("%v: %s is %d px wide", s, state, wide)
				}
			})
		})
	}
	fmt.Fprintf(os.Stderr, "browser: axe found nothing wrong on %d pages unless said above; %d rules passed\n", pages.Load(), rules.Load())
}
