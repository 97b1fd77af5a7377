package httpadapter_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// use calls something with a key from an address.
func (w *pageWorld) use(t *testing.T, key, ip string) {
	t.Helper()
	_, err := w.keys.Verify(lanyard.WithRequest(t.Context(), lanyard.Request{IP: ip}), key)
	pageOK(t, err)
}

// keysOf are the user's, newest first.
func (w *pageWorld) keysOf(t *testing.T, user string) []apikey.Key {
	t.Helper()
	keys, err := w.keys.Keys(t.Context(), lanyard.Owner{Subject: user})
	pageOK(t, err)
	return keys
}

// row is the row of the key with that hint.
func (v *visitor) row(k apikey.Key) *html.Node {
	v.t.Helper()
	for _, tr := range v.all("tr") {
		if strings.Contains(textOf(tr.FirstChild.NextSibling), k.Hint) {
			return tr
		}
	}
	v.t.Fatalf("%s has no row for %s: %s", v.url, k.Hint, textOf(v.root))
	return nil
}

// A successor is shown once, in the answer to the POST that made it, and a
// refresh makes no second one: not beside the first, and not after it is gone.
func TestPageRotate(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	old := v.newKey("ci")
	id := w.keysOf(t, "ana")[0].ID
	v.open("api-keys")
	v.click("Rotate key ci")
	v.is(http.StatusOK, "Rotate key ci")
	v.says("never used", "1 hour until 23 Nov 2026, 13:00 UTC", "30 days until 23 Dec 2026, 12:00 UTC")
	if got := formValues(v.formOf("Rotate key")).Get("grace"); got != "86400" {
		t.Errorf("the grace chosen first is %q, want a day", got)
	}
	refresh := v.prepare("Rotate key", "grace", "604800")
	late := v.prepare("Rotate key", "grace", "604800")
	v.submit("Rotate key", "grace", "604800")
	v.is(http.StatusCreated, "Your new API key")
	v.says("The old key works until 30 Nov 2026, 12:00 UTC.", "Works until 21 Feb 2027.")
	key := attr(v.byID("ly-key"), "value")
	marked := 0
	for n := range v.root.Descendants() {
		if hasAttr(n, "data-ly-secret") {
			marked++
		}
	}
	if n := strings.Count(v.body, key); key == old || n != marked || n != 5 {
		t.Errorf("the successor is %d times on the page and %d of them are marked to be wiped, want 5", n, marked)
	}
	w.use(t, old, "")
	w.use(t, key, "")

	v.do(refresh)
	v.is(http.StatusOK, "This key was already rotated")
	v.says("Its successor is “ci”", "delete it and rotate the old key again")
	if keys := w.keysOf(t, "ana"); len(keys) != 2 || strings.Contains(v.body, key) {
		t.Fatalf("after a refresh there are %d keys, want 2", len(keys))
	}
	v.open("api-keys/" + id + "/rotate")
	v.is(http.StatusOK, "This key was already rotated")
	v.click("Delete the successor")
	v.submit("Delete key ci")
	v.is(http.StatusOK, "API Keys")
	v.says("Replaced on 23 Nov 2026 by a key that was deleted since.")

	v.do(late)
	v.is(http.StatusPreconditionFailed, "Rotate key ci")
	v.says("The key was changed in the meantime, so nothing was done.")
	if keys := w.keysOf(t, "ana"); len(keys) != 1 {
		t.Fatalf("after a late refresh there are %d keys, want the old one", len(keys))
	}
	v.submit("Rotate key", "grace", "0")
	v.is(http.StatusCreated, "Your new API key")
	v.says("The old key no longer works.")
	if _, err := w.keys.Verify(t.Context(), old); err == nil {
		t.Error("a key that was rotated without a grace still works")
	}
}

// The list says of a rotated key whether something still uses it.
func TestPageOfARotatedKey(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	token := v.newKey("ci")
	w.use(t, token, "192.0.2.7")
	v.open("api-keys")
	v.says("23 Nov 2026, 12:00 UTC from 192.0.2.0/24")
	old := w.keysOf(t, "ana")[0]
	w.pass(time.Hour)
	made, err := w.keys.Rotate(t.Context(), lanyard.Owner{Subject: "ana"}, old.ID, apikey.RotateRequest{Grace: 48 * time.Hour})
	pageOK(t, err)
	says := func(when string, want ...string) {
		t.Helper()
		v.open("api-keys")
		got := textOf(v.row(old))
		for _, text := range append(want, "Replaced by "+made.Key.Hint+"… on 23 Nov 2026.", "Rename key ci", "Delete key ci") {
			if !strings.Contains(got, text) {
				t.Errorf("%s: the row says %q, want %q in it", when, got, text)
			}
		}
		if strings.Contains(got, "Rotate") {
			t.Errorf("%s: a key with a successor is offered to be rotated", when)
		}
		if next := textOf(v.row(made.Key)); strings.Contains(next, "Replaced") || !strings.Contains(next, "Rotate key ci") {
			t.Errorf("%s: the successor's row says %q", when, next)
		}
	}
	says("at first", "Not used since: safe to delete once all your tools have run.")
	w.pass(time.Hour)
	w.use(t, token, "2001:db8:7:1::9")
	says("used", "23 Nov 2026, 14:00 UTC from 2001:db8:7::/48", "Something still uses it.")
	v.click("Delete key ci") // the first of that name is the successor
	v.open("api-keys/" + old.ID + "/delete")
	v.says("Replaced by "+made.Key.Hint, "Something still uses it.")
	w.pass(48 * time.Hour)
	says("ended", "expired", "It was still used after that. It no longer works.")
	v.open("activity")
	v.says("Replaced API key was used", "API key rotated")
}

func TestPageRotateChoices(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	owner := lanyard.Owner{Subject: "ana"}
	v := w.visit(t, "ana")
	for life, want := range map[time.Duration]string{
		0:                   "0 3600 86400! 604800 2592000",
		31 * 24 * time.Hour: "0 3600 86400! 604800 2592000",
		72 * time.Hour:      "0 3600 86400! 604800", // with the end of the key
		90 * time.Minute:    "0 3600 86400!",
		10 * time.Minute:    "0 3600!",
	} {
		r := apikey.CreateRequest{Name: "ci"}
		if life > 0 {
			r.ExpiresAt = w.now.Load().Add(life)
		}
		made, err := w.keys.Create(t.Context(), owner, r)
		pageOK(t, err)
		v.open("api-keys/" + made.Key.ID + "/rotate")
		var got []string
		for _, n := range v.all("input") {
			if attr(n, "name") == "grace" {
				value := attr(n, "value")
				if hasAttr(n, "checked") {
					value += "!"
				}
				got = append(got, value)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("the graces of a key with %v to live are %q, want %q", life, got, want)
		}
		if life == 72*time.Hour {
			v.says("7 days until 26 Nov 2026, 12:00 UTC")
		}
		pageOK(t, w.keys.Delete(t.Context(), owner, made.Key.ID, 0))
	}

	v.newKey("ci")
	id := w.keysOf(t, "ana")[0].ID
	for _, bad := range []string{"", "-1", "60", "2592001", "1e3"} {
		v.open("api-keys/" + id + "/rotate")
		v.post("api-keys/"+id+"/rotate", url.Values{"version": {"1"}, "grace": {bad}})
		v.is(http.StatusUnprocessableEntity, "Rotate key ci")
		v.says("The old key works on for: choose one of these.")
	}
	for range 4 {
		v.newKey("ci")
	}
	v.open("api-keys/" + id + "/rotate")
	v.submit("Rotate key", "grace", "3600")
	v.is(http.StatusConflict, "Rotate key ci")
	v.says("You have 5 keys, which is as many as are allowed.")
	if got := formValues(v.formOf("Rotate key")).Get("grace"); got != "3600" {
		t.Errorf("the chosen grace = %q, want it kept", got)
	}

	w.pass(100 * 24 * time.Hour)
	stale := url.Values{"version": {"1"}, "grace": {"0"}}
	for _, d := range []*document{v.open("api-keys/" + id + "/rotate"), v.post("api-keys/"+id+"/rotate", stale)} {
		if d.status != http.StatusConflict || d.h1() != "Rotate key ci" || len(d.all("button")) != 0 {
			t.Errorf("rotating an expired key = %d %q with %d buttons, want 409 and none", d.status, d.h1(), len(d.all("button")))
		}
		v.says("This key has expired, and an expired key cannot be rotated.", "Create API Key")
	}
}
