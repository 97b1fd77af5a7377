package browser_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"

	"github.com/aichub/lanyard/profile"
)

// Who has typed into a form is asked before he leaves it by accident, and not
// when he saves or cancels.
func TestUnsavedChanges(t *testing.T) {
	b := newTab(t, setting{languages(t)[0], true, 1280, "light"})
	first := func() string { return b.labelOf("given_name") }
	leave := func(how string, go_ func(), want bool) {
		t.Helper()
		b.open("profile/edit")
		b.press("textbox", first())
		b.fill(first(), "Anabela")
		go_()
		if asked := slices.Equal(b.dialogs(), []string{"beforeunload"}); asked != want {
			t.Errorf("%s: asked = %t, want %t", how, asked, want)
		}
	}
	leave("another tab", func() { b.follow("link", b.say("tab.docs")) }, true)
	leave("cancel", func() { b.follow("link", b.say("form.cancel")) }, false)
	leave("save", func() { b.follow("button", b.say("form.save")) }, false)
	// A form that was refused still holds what was typed.
	b.expect("status of 412")
	leave("what was refused", func() {
		_, err := b.host.profiles.Update(t.Context(), ana, 0, profile.Update{FamilyName: profile.Set("Souza")})
		ok(t, err)
		b.follow("button", b.say("form.save"))
		b.press("textbox", first())
		b.follow("link", b.say("tab.docs"))
	}, true)
	b.open("profile/edit")
	b.press("textbox", first())
	b.follow("link", b.say("tab.docs"))
	if asked := b.dialogs(); len(asked) > 0 {
		t.Errorf("leaving a form that was not changed asked %q", asked)
	}
}

// A first visit is light: one style sheet, one script, nothing else.
func TestWeight(t *testing.T) {
	const most = 40 << 10
	for _, language := range languages(t) {
		weigh(t, language, most)
	}
}

func weigh(t *testing.T, language string, most int) {
	t.Helper()
	b := newTab(t, setting{language, true, 1280, "light"})
	for _, path := range []string{"", "api-keys", "provider-tokens", "activity", "docs"} {
		b.run(network.ClearBrowserCache())
		b.open(path)
		sizes := eval[map[string]int](b, `Object.fromEntries([...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
			.map(e => [e.name, e.decodedBodySize]))`)
		total, kinds := 0, map[string]int{}
		for name, size := range sizes {
			if strings.HasSuffix(name, "/favicon.ico") { // the browser's own idea
				delete(sizes, name)
				continue
			}
			total += size
			name, _, _ = strings.Cut(name, "?")
			kinds[name[strings.LastIndexAny(name, "./")+1:]]++
		}
		if total > most || total < 10<<10 {
			t.Errorf("%s: /%s weighs %d bytes, want at most %d: %v", language, path, total, most, sizes)
		}
		if len(sizes) != 3 || kinds["css"] != 1 || kinds["js"] != 1 {
			t.Errorf("/%s asks for %v, want the page, one style sheet and one script", path, sizes)
		}
		t.Logf("%s: /%s: %d bytes", language, path, total)
	}
}
