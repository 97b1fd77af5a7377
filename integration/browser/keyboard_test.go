package browser_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focused is the name of what has the keyboard's focus, as a user reads it.
const focused = `(e => !e || e === document.body ? "" :
	(e.labels && e.labels.length ? e.labels[0].innerText : e.innerText || e.getAttribute("aria-label") || "").replace(/\s+/g, " ").trim())(document.activeElement)`

// ring reports whether the user can see where the focus is.
const ring = `(s => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2)(getComputedStyle(document.activeElement))`

// key presses one key.
func (b *tab) key(key string) { b.t.Helper(); b.run(chromedp.KeyEvent(key)) }

// tabTo presses Tab until something with that name has the focus.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	var met []string
	for range 90 {
		if at := eval[string](b, focused); at == name {
			if !eval[bool](b, ring) {
				b.t.Errorf("%v: nobody sees that %q has the focus", b.setting, name)
			}
			return
		} else if at != "" {
			met = append(met, at)
		}
		b.key(kb.Tab)
	}
	b.t.Fatalf("%v: Tab never comes to %q, only to %q", b.setting, name, met)
}

// enter goes to a link or button by Tab and opens it with Enter.
func (b *tab) enter(name string) int {
	b.t.Helper()
	b.tabTo(name)
	return b.load(chromedp.KeyEvent(kb.Enter))
}

// Everything can be done by keyboard alone, and what has the focus can be seen.
func TestKeyboard(t *testing.T) {
	for _, language := range languages(t) {
		for _, width := range []int64{320, 1280} {
			s := setting{language, true, width, "light"}
			t.Run(s.String(), func(t *testing.T) {
				b := newTab(t, s)
				b.open("")
				b.key(kb.Tab)
				if at := eval[string](b, focused); at != b.say("layout.skip") {
					t.Errorf("%v: the first stop is %q, want the way past the tabs", s, at)
				}
				b.enter(b.say("tab.keys"))
				keyByKeyboard(b)
				tokenByKeyboard(b)
			})
		}
	}
}

func keyByKeyboard(b *tab) {
	b.t.Helper()
	b.enter(b.say("keys.create"))
	b.tabTo(b.say("key_new.name"))
	b.run(chromedp.KeyEvent("ci"))
	b.key(kb.Tab) // the choice of an end
	b.key(kb.ArrowUp)
	if chosen := eval[string](b, `document.querySelector("[name=expiry]:checked").value`); chosen != "60" {
		b.t.Errorf("%v: one arrow up from 90 days chose %q, want 60", b.setting, chosen)
	}
	b.enter(b.say("key_new.submit"))
	key := b.value(b.say("reveal.label", "Name", "ci"))
	b.tabTo(b.say("reveal.copy"))
	b.key(" ") // a button takes Space, too
	b.says(b.say("reveal.copied"))
	b.enter(b.say("reveal.stored"))
	b.says("ci")
	if asked := b.dialogs(); len(asked) > 0 {
		b.t.Errorf("%v: leaving a key that is stored asked %q", b.setting, asked)
	}
	b.enter(b.say("keys.create"))
	b.pasted(b.say("key_new.name"), key)
	b.open("api-keys")
	b.enter(b.say("keys.delete") + " " + b.say("keys.key_named", "Name", "ci"))
	b.enter(b.say("key_delete.submit", "Name", "ci"))
	b.says(b.say("done.key-deleted"))
	// The browser gives the focus when it next draws the page.
	b.run(chromedp.Poll("document.activeElement.tagName === 'H1'", nil, chromedp.WithPollingTimeout(5*time.Second)))
}

func tokenByKeyboard(b *tab) {
	b.t.Helper()
	b.enter(b.say("tab.tokens"))
	b.enter(b.say("tokens.add") + " " + b.say("tokens.for", "Provider", jiraName))
	b.tabTo(b.labelOf("secrets/token"))
	b.run(chromedp.KeyEvent(anasToken))
	b.enter(b.say("form.save"))
	b.says(b.say("done.token-saved", "Provider", jiraName))
}
