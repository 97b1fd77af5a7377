package browser_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aichub/lanyard/apikey"
)

// What the script adds around a new key: its lines of code can be copied, it
// can be tried, and it is gone from the page when the page is left.
func TestScriptAroundANewKey(t *testing.T) {
	b := newTab(t, setting{languages(t)[0], true, 320, "light"})
	b.open("api-keys/new")
	b.fill(b.say("key_new.name"), "ci")
	b.follow("button", b.say("key_new.submit"))
	key := b.value(b.say("reveal.label", "Name", "ci"))
	eval[int](b, `document.querySelectorAll("summary").forEach(s => s.parentNode.open = true), 0`)
	b.press("button", b.say("reveal.copy")+" .env")
	b.says(b.say("reveal.copied"))

	keys, err := b.host.keys.Keys(b.t.Context(), ana)
	ok(t, err)
	ok(t, b.host.keys.Delete(b.t.Context(), ana, keys[0].ID, keys[0].Version))
	b.expect("status of 401")
	b.press("button", b.say("reveal.test"))
	b.says(b.say("reveal.test_bad"))

	// As the browser does before it keeps the page for its back button.
	if n := eval[int](b, `document.querySelectorAll("[data-ly-secret]").length`); n != 5 {
		t.Errorf("%d places are to be wiped, want 5", n)
	}
	eval[bool](b, `dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }))`)
	b.saysNot(key)

	b.follow("link", b.say("reveal.stored"))
	b.open("api-keys/new")
	b.pasted(b.say("key_new.name"), "AIC_API_KEY="+key)
}

// What the script adds to lists and forms.
func TestScriptInListsAndForms(t *testing.T) {
	b := newTab(t, setting{languages(t)[0], true, 1280, "light"})
	b.open("")
	for i := range 4 {
		_, err := b.host.keys.Create(b.t.Context(), ana, apikey.CreateRequest{Name: fmt.Sprint("tool ", i)})
		ok(t, err)
	}
	b.open("api-keys")
	b.typeInto("#ly-filter", "TOOL 2")
	b.says("tool 2", strings.NewReplacer("{n}", "1", "{total}", "4").Replace(b.say("keys.filtered")))
	if text := b.text(); strings.Contains(text, "tool 1") {
		t.Errorf("a list filtered by tool 2 says %q", text)
	}

	// Platforms are filtered as keys are.
	platforms := len(b.host.tokens.Providers())
	b.open("provider-tokens")
	b.typeInto("#ly-filter", "gitl")
	b.says("GitLab", strings.NewReplacer("{n}", "1", "{total}", fmt.Sprint(platforms)).Replace(b.say("keys.filtered")))
	if text := b.text(); strings.Contains(text, "GitHub") {
		t.Errorf("platforms filtered by gitl say %q", text)
	}
	b.open("api-keys")

	// A time is relative, and exact for who stops at it.
	exact := eval[string](b, `(() => {
		const time = [...document.querySelectorAll("td time")].find(t => t.offsetParent);
		time.focus();
		return time.textContent + "|" + getComputedStyle(time, "::after").content;
	})()`)
	if relative, exact, _ := strings.Cut(exact, "|"); strings.Contains(relative, "20") || !strings.Contains(exact, " 20") {
		t.Errorf("a time says %q and shows %s on focus, want a relative one, and the year", relative, exact)
	}

	// The width that counts is that of the page's own column.
	rows := `getComputedStyle(document.querySelector("tbody tr:not([hidden])")).display`
	if got := eval[string](b, rows); got != "table-row" {
		t.Errorf("at 1280 px a row is a %s, want table-row", got)
	}
	eval[string](b, `document.querySelector("main").style.width = "500px"`)
	if got := eval[string](b, rows); got != "block" {
		t.Errorf("in a column of 500 px a row is a %s, want block", got)
	}

	b.open("api-keys/new")
	b.typeInto("#expires_on", "2099-01-02")
	if !eval[bool](b, `document.querySelector("#expiry-custom").checked`) {
		t.Error("a typed date does not choose the custom one")
	}
	if got := eval[string](b, `document.querySelector("#expiry-30").click(), document.querySelector("#expires_on").value`); got != "" {
		t.Errorf("after another choice the date is %q, want none", got)
	}
}

// What is hidden is not there to be seen, at any width: rows that do not pass the
// filter, and without script what only script can do.
func TestWhatIsHidden(t *testing.T) {
	const shown = `[...document.querySelectorAll("[hidden]")].filter(e => e.checkVisibility()).map(e => e.className || e.tagName)`
	for _, width := range []int64{320, 1280} {
		for _, script := range []bool{true, false} {
			b := newTab(t, setting{languages(t)[0], script, width, "light"})
			b.open("")
			for i := range 4 {
				_, err := b.host.keys.Create(b.t.Context(), ana, apikey.CreateRequest{Name: fmt.Sprint("tool ", i)})
				ok(t, err)
			}
			hidden := 0
			check := func(where string) {
				t.Helper()
				if dead := eval[[]string](b, shown); len(dead) > 0 {
					t.Errorf("%v: %s shows what is hidden: %q", b.setting, where, dead)
				}
				hidden += eval[int](b, `document.querySelectorAll("[hidden]").length`)
			}
			b.open("docs")
			check("docs")
			b.open("api-keys")
			if script {
				b.typeInto("#ly-filter", "tool 2")
			}
			check("the list of keys")
			b.open("api-keys/new")
			b.fill(b.say("key_new.name"), "ci")
			b.follow("button", b.say("key_new.submit"))
			check("the reveal")
			if hidden == 0 {
				t.Errorf("%v: nothing is hidden", b.setting)
			}
		}
	}
}

// Who clicks a button twice, as many do, sees the key that the first click made,
// and no form is sent again.
func TestClickedTwice(t *testing.T) {
	b := newTab(t, setting{languages(t)[0], true, 1280, "light"})
	b.open("api-keys/new")
	b.fill(b.say("key_new.name"), "ci")
	b.load(b.clicks(2, "button", b.say("key_new.submit")))
	b.says(b.say("reveal.once"))
	keys, err := b.host.keys.Keys(b.t.Context(), ana)
	ok(t, err)
	if len(keys) != 1 {
		t.Fatalf("there are %d keys, want one", len(keys))
	}
	for _, path := range []string{"profile/edit", "api-keys/new", "api-keys/" + keys[0].ID + "/rotate", "api-keys/" + keys[0].ID + "/delete", "provider-tokens/new?provider=jira"} {
		b.open(path)
		// Events of a script are heard, and send nothing.
		sent := eval[[]bool](b, `(form => [1, 2].map(() => form.dispatchEvent(new SubmitEvent("submit", { cancelable: true }))))(document.querySelector("form"))`)
		if !slices.Equal(sent, []bool{true, false}) {
			t.Errorf("the form of %s is sent: %v, want once", path, sent)
		}
	}
}

// typeInto sets the value of an input and tells the page, as typing does.
func (b *tab) typeInto(selector, text string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(i => (i.value = %q, i.dispatchEvent(new Event("input", { bubbles: true }))))(document.querySelector(%q))`, text, selector))
}
