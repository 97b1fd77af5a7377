package httpadapter_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
)

// A login learns which page was asked for, and nothing else that stands in its
// address.
func TestLoginLearnsTheWayBack(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) { c.LoginURL = pageLogin + "?from=hub&return={return}#x" }})
	v := w.visit(t, "")
	for path, want := range map[string]string{
		"":                  "",
		"?done=key-deleted": "",
		"api-keys":          "api-keys",
		"api-keys/new":      "api-keys%2Fnew",
		"provider-tokens/new?provider=github&method=pat":                 "provider-tokens%2Fnew%3Fmethod%3Dpat%26provider%3Dgithub",
		"provider-tokens/new?provider=github&token=ghp_canary":           "provider-tokens%2Fnew%3Fprovider%3Dgithub",
		"provider-tokens/new?provider=" + strings.Repeat("x", 300):       "provider-tokens%2Fnew",
		"provider-tokens/new?provider=" + url.QueryEscape("//evil\\x?#"): "provider-tokens%2Fnew%3Fprovider%3D%252F%252Fevil%255Cx%253F%2523",
		"activity?page_token=abc":                                        "activity",
	} {
		if v.open(path); v.status != http.StatusSeeOther || v.header.Get("Location") != loginBackTo(want) {
			t.Errorf("GET %s = %d to %q, want 303 to the login with %q", path, v.status, v.header.Get("Location"), want)
		}
		back, err := url.QueryUnescape(want)
		pageOK(t, err)
		if got := httpadapter.ReturnPath("/account/", back); got != "/account/"+back {
			t.Errorf("ReturnPath of %q = %q, want that page", back, got)
		}
	}
	// After a form there is a link; a page that only takes forms is nowhere to
	// come back to.
	for path, want := range map[string]string{"profile/edit": "profile%2Fedit", "profile/directory": ""} {
		v.post(path, url.Values{"version": {"1"}})
		v.is(http.StatusUnauthorized, "Please sign in")
		if links := v.all("a"); attr(links[len(links)-1], "href") != loginBackTo(want) {
			t.Errorf("POST %s links to %q, want the login with %q", path, attr(links[len(links)-1], "href"), want)
		}
	}
	// The API's clients know themselves where they were.
	d := v.do(v.request(http.MethodGet, w.mount("api/v1/profile"), nil))
	var problem struct {
		LoginURL string `json:"login_url"`
	}
	pageOK(t, json.Unmarshal([]byte(d.body), &problem))
	if problem.LoginURL != loginBackTo("") {
		t.Errorf("login_url = %q, want it without a page", problem.LoginURL)
	}
}

func loginBackTo(page string) string {
	if page == "" {
		return pageLogin + "?from=hub#x"
	}
	return pageLogin + "?from=hub&return=" + page + "#x"
}

// The way back to the first page is no parameter, wherever it would stand; an
// address that goes on with it is whole without it.
func TestLoginForTheFirstPage(t *testing.T) {
	t.Parallel()
	for login, want := range map[string]string{
		"/login":                                 "/login",
		"/login?return={return}":                 "/login",
		"/login?return={return}&from=hub":        "/login?from=hub",
		"/login?a=1&return={return}&b=2#x":       "/login?a=1&b=2#x",
		"/hub#/login?return={return}":            "/hub#/login",
		"/hub#{return}":                          "/hub#",
		"https://sso.example/?to=/hub/{return}":  "https://sso.example/?to=/hub/",
		"https://sso.example/?to=/hub/{return}&": "https://sso.example/?to=/hub/&",
	} {
		w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) { c.LoginURL = login }})
		v := w.visit(t, "")
		if v.open(""); v.header.Get("Location") != want {
			t.Errorf("with LoginURL %q a visitor is sent to %q, want %q", login, v.header.Get("Location"), want)
		}
	}
}

// Who has to sign in again for a step comes back to it.
func TestStepUpLearnsTheWayBack(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{
		config:   func(c *httpadapter.Config) { c.LoginURL, c.MaxAuthAge = pageLogin+"?return={return}", time.Hour },
		identify: func(_ string, p *lanyard.Principal) { p.AuthTime = time.Time{} },
	})
	v := w.visit(t, "ana")
	v.open("api-keys/new")
	v.is(http.StatusForbidden, "Please sign in again")
	if links := v.all("a"); attr(links[len(links)-1], "href") != pageLogin+"?return=api-keys%2Fnew" {
		t.Errorf("the last link leads to %q, want the login and back", attr(links[len(links)-1], "href"))
	}
}

// A link to the login that somebody made up leads to the page all the same.
func TestReturnPathStaysBelowTheMount(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{
		"//evil.example", "/evil.example", `\evil.example`, `/\evil.example`, "https://evil.example", "https:evil.example", "javascript:alert(1)",
		`../\evil.example`, "..//evil.example", "../x", "./x", "a/../../x", "a//evil.example", "a/", ".", "..", "%2e%2e/x", "%2f%2fevil.example",
		"\t//evil.example", "../\t/evil.example", "a\nb", "a\r\nSet-Cookie: x=1", "a\x00", "a#//evil.example", "a?x=//evil.example", "a?b?c", "a?" + strings.Repeat("x", 1000), strings.Repeat("x", 1000),
		"@evil.example", ":80", "?", "caf\u00e9", "a\n",
	} {
		for mount, want := range map[string]string{"/account": "/account/", "/hub/account/": "/hub/account/", "": "/", "/": "/"} {
			if got := httpadapter.ReturnPath(mount, evil); got != want {
				t.Errorf("ReturnPath(%q, %q) = %q, want %q", mount, evil, got, want)
			}
		}
	}
	for page, want := range map[string]string{
		"": "/", "api-keys": "/api-keys", "provider-tokens/new?provider=github": "/provider-tokens/new?provider=github", "api-keys/0aZ/delete": "/api-keys/0aZ/delete",
	} {
		if got := httpadapter.ReturnPath("", page); got != want {
			t.Errorf("ReturnPath(\"\", %q) = %q, want %q", page, got, want)
		}
	}
}

// A negative MaxAuthAge asks for nothing, as everywhere a negative one means off.
func TestNegativeMaxAuthAgeIsOff(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) { c.MaxAuthAge = -time.Hour }})
	v := w.visit(t, "ana")
	v.open("api-keys/new")
	v.is(http.StatusOK, "Create an API key")
}
