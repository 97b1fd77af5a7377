package httpadapter_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// checkDocument holds what is true of every page, whatever it shows.
func checkDocument(t *testing.T, w *pageWorld, d *document) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: "+format, append([]any{d.url}, args...)...)
	}
	checkHeaders(d, fail)
	if n := len(d.all("h1")); n != 1 {
		fail("%d h1", n)
	}
	if n := len(d.all("title")); n != 1 || d.title() == "" {
		fail("%d titles", n)
	}
	if n := len(d.all("main")); n != 1 {
		fail("%d main", n)
	}
	document := d.all("html")[0]
	if lang := attr(document, "lang"); lang == "" || lang != d.header.Get("Content-Language") {
		fail("the language is %q and Content-Language %q", lang, d.header.Get("Content-Language"))
	}
	if dir := attr(document, "dir"); dir != "ltr" && dir != "rtl" {
		fail("the direction is %q", dir)
	}
	if d.header.Get("Vary") != "Accept-Language" {
		fail("Vary is %q", d.header.Get("Vary"))
	}
	checkIDs(d, fail)
	for _, secret := range []string{pageSecret, pageNewSecret, pageBadSecret} {
		if strings.Contains(d.body, secret) {
			fail("a secret of a provider is on the page")
		}
	}
	for n := range d.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		checkInert(n, fail)
		checkAddress(w, d, n, fail)
		if n.Data == "input" || n.Data == "button" || n.Data == "a" {
			checkControl(d, n, fail)
		}
	}
	if strings.Contains(d.body, "<no value>") || strings.Contains(d.body, "ZgotmplZ") {
		fail("a template went wrong")
	}
}

type failer func(format string, args ...any)

const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'"

func checkHeaders(d *document, fail failer) {
	for name, want := range map[string]string{
		"Content-Type":            "text/html; charset=utf-8",
		"Content-Security-Policy": pagePolicy,
		"Cache-Control":           "no-store",
		"Referrer-Policy":         "same-origin",
		"X-Content-Type-Options":  "nosniff",
	} {
		if got := strings.Join(d.header.Values(name), "|"); got != want {
			fail("%s = %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(d.body, "<!doctype html>\n") {
		fail("no doctype")
	}
}

// checkIDs: each id once, and whatever names an id names one that is there.
func checkIDs(d *document, fail failer) {
	seen := map[string]bool{}
	for n := range d.root.Descendants() {
		id := attr(n, "id")
		if id != "" && seen[id] {
			fail("id %q twice", id)
		}
		seen[id] = true
	}
	for n := range d.root.Descendants() {
		for _, name := range []string{"for", "aria-describedby", "aria-labelledby", "data-ly-copy", "data-ly-test", "data-ly-filter", "data-ly-chooses"} {
			for _, id := range strings.Fields(attr(n, name)) {
				if !seen[id] {
					fail("%s names %q, which is not there", name, id)
				}
			}
		}
		if href := attr(n, "href"); strings.HasPrefix(href, "#") && !seen[href[1:]] {
			fail("a link leads to %q, which is not there", href)
		}
	}
}

// checkInert: what the policy forbids is not even tried.
func checkInert(n *html.Node, fail failer) {
	switch n.Data {
	case "style", "iframe", "object", "embed", "base":
		fail("<%s>", n.Data)
	case "script":
		if attr(n, "src") == "" || n.FirstChild != nil {
			fail("an inline script")
		}
	}
	for _, a := range n.Attr {
		if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(strings.TrimSpace(strings.ToLower(a.Val)), "javascript:") {
			fail("<%s %s=%q>", n.Data, a.Key, a.Val)
		}
	}
}

// checkAddress: links of ours are relative and stay below the mount, those of
// others take no referrer with them.
func checkAddress(w *pageWorld, d *document, n *html.Node, fail failer) {
	for _, name := range []string{"href", "src", "action", "data-ly-url", "data-ly-absolute"} {
		if !hasAttr(n, name) || strings.HasPrefix(attr(n, name), "#") {
			continue
		}
		raw := attr(n, name)
		u, err := url.Parse(raw)
		if err != nil {
			fail("%s=%q: %v", name, raw, err)
			continue
		}
		if u.IsAbs() {
			if n.Data != "a" || u.Scheme != "https" {
				fail("<%s %s=%q>", n.Data, name, raw)
			}
			continue
		}
		if strings.HasPrefix(raw, "/") && u.Path != pageLogin {
			fail("%s=%q is not relative", name, raw)
			continue
		}
		if to := d.url.ResolveReference(u); u.Path != pageLogin && !strings.HasPrefix(to.Path, w.mount("").Path) {
			fail("%s=%q leads to %s, outside of the mount", name, raw, to)
		}
	}
}

// pageLogin is where the host's login is, in the tests that have one.
const pageLogin = "/sign-in"

// checkControl: who only hears the page knows what an input is for, what is
// wrong with it, and which row a button belongs to.
func checkControl(d *document, n *html.Node, fail failer) {
	if n.Data != "input" {
		if textOf(n) == "" {
			fail("a <%s> without a name", n.Data)
		}
		return
	}
	if attr(n, "type") == "hidden" {
		if form := formAround(n); form == nil || attr(form, "autocomplete") != "off" {
			fail("the hidden input %q is restored by browsers", attr(n, "name"))
		}
		return
	}
	id := attr(n, "id")
	labels := 0
	for _, l := range d.all("label") {
		if attr(l, "for") == id && textOf(l) != "" {
			labels++
		}
	}
	if id == "" || labels == 0 {
		fail("input %q has no label", attr(n, "name"))
	}
	described := strings.Fields(attr(n, "aria-describedby"))
	for _, suffix := range []string{"-hint", "-error"} {
		if d.byID(id+suffix) != nil && !slices.Contains(described, id+suffix) {
			fail("input %q is not described by its %s", id, suffix)
		}
	}
	if hasAttr(n, "aria-invalid") && len(described) == 0 {
		fail("input %q is invalid and nothing says why", id)
	}
	if attr(n, "type") == "password" {
		if hasAttr(n, "value") {
			fail("a secret input has a value")
		}
		for _, a := range []string{"data-1p-ignore", "data-bwignore", "data-lpignore", "data-form-type"} {
			if !hasAttr(n, a) {
				fail("a secret input without %s", a)
			}
		}
		if attr(n, "autocomplete") != "off" {
			fail("a secret input that browsers fill")
		}
	}
}

// formAround is the form that n is in.
func formAround(n *html.Node) *html.Node {
	for ; n != nil; n = n.Parent {
		if n.Data == "form" {
			return n
		}
	}
	return nil
}
