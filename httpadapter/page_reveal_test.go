package httpadapter_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/aichub/lanyard"
)

// A key is shown once, in the answer to the POST that made it.
func TestPageReveal(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("api-keys/new")
	again := v.prepare("Create key", "name", "ci")
	refresh := v.prepare("Create key", "name", "ci")
	late := v.prepare("Create key", "name", "ci")
	other := v.prepare("Create key", "name", "another")
	v.do(again)
	v.is(http.StatusCreated, "Your new API key")
	field := v.byID("ly-key")
	key := attr(field, "value")
	if !strings.HasPrefix(key, "aic_") || !hasAttr(field, "readonly") {
		t.Fatalf("the key's field holds %q", key)
	}
	for _, snippet := range []string{"curl -H \"Authorization: Bearer " + key, "urllib.request", "http.NewRequest", "AIC_API_KEY=" + key} {
		if !strings.Contains(textOf(v.root), snippet) {
			t.Errorf("there is no snippet with %q", snippet)
		}
	}
	for _, name := range []string{"curl", "Python", "Go", ".env"} {
		code := textOf(v.byID("code-" + name))
		if !strings.Contains(code, key) || !slices.ContainsFunc(v.all("button"), func(n *html.Node) bool {
			return attr(n, "data-ly-copy") == "code-"+name && textOf(n) == "Copy "+name
		}) {
			t.Errorf("%s says %q, and wants the key in it and a button that copies it", name, code)
		}
	}
	marked := 0
	for n := range v.root.Descendants() {
		if hasAttr(n, "data-ly-secret") {
			marked++
		}
	}
	if n := strings.Count(v.body, key); n != marked || n != 5 {
		t.Errorf("the key is %d times on the page and %d of them are marked to be wiped, want 5", n, marked)
	}
	for _, n := range v.all("button") {
		if !hasAttr(n, "hidden") {
			t.Errorf("the button %q does nothing without script", textOf(n))
		}
	}

	v.do(refresh)
	v.is(http.StatusOK, "This key was already created")
	v.says("“ci”", "delete it and make a new one")
	v.do(other)
	v.is(http.StatusOK, "This key was already created")
	for _, path := range []string{"api-keys", "activity", "docs", ""} {
		if d := v.open(path); strings.Contains(d.body, key) {
			t.Errorf("GET %s shows the key", path)
		}
	}
	keys, err := w.keys.Keys(t.Context(), lanyard.Owner{Subject: "ana"})
	if err != nil || len(keys) != 1 {
		t.Fatalf("Keys = %d, %v, want the one", len(keys), err)
	}

	// Also after the key was deleted the form makes no second one.
	v.open("api-keys/" + keys[0].ID + "/delete")
	v.submit("Delete key ci")
	v.do(late)
	v.is(http.StatusOK, "This key was already created")
}

func TestPageKeyExpiry(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	for name, tt := range map[string]struct {
		expiry, date, want string
	}{
		"no such choice":          {"12", "", "Expires after: choose one of these."},
		"no date":                 {"custom", "", "Custom date: choose today or a later day."},
		"yesterday":               {"custom", "2026-11-22", "Custom date: choose today or a later day."},
		"no date of the calendar": {"custom", "2026-02-30", "Custom date: choose today or a later day."},
		"beyond the years":        {"custom", "9999-12-31", "Expires after: this is not a value we can use."},
		"two answers":             {"90", "2026-12-24", "Expires after: there is a date as well."},
	} {
		v.open("api-keys/new")
		v.submit("Create key", "name", "kept", "expiry", tt.expiry, "expires_on", tt.date)
		if v.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d, want 422", name, v.status)
		}
		v.says(tt.want)
		if got := attr(v.byID("name"), "value"); got != "kept" {
			t.Errorf("%s: the typed name = %q, want it kept", name, got)
		}
		if got := attr(v.byID("expires_on"), "value"); got != tt.date {
			t.Errorf("%s: the typed date = %q, want it kept", name, got)
		}
	}
	v.open("api-keys/new")
	v.submit("Create key", "name", "today", "expiry", "custom", "expires_on", "2026-11-23")
	v.is(http.StatusCreated, "Your new API key")
	if keys, err := w.keys.Keys(t.Context(), lanyard.Owner{Subject: "ana"}); err != nil || len(keys) != 1 {
		t.Errorf("Keys = %d, %v, want one", len(keys), err)
	}
}

func TestPageLimitOfKeys(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	for range 5 {
		v.newKey("ci")
	}
	v.open("api-keys/new")
	v.submit("Create key", "name", "one more")
	v.is(http.StatusConflict, "Create an API key")
	v.says("You have 5 keys, which is as many as are allowed.")
}
