package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	a := start(t)
	r := a.call(http.MethodGet, a.url+"/login?as=ana&tenant=acme", "")
	cookie, err := http.ParseSetCookie(r.header.Get("Set-Cookie"))
	if err != nil {
		t.Fatal(err)
	}
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode {
		t.Errorf("the cookie is %v, want HttpOnly and SameSite=Lax", cookie)
	}
	if home := r.header.Get("Location"); r.status != http.StatusSeeOther || a.url+home != a.page+"/" {
		t.Errorf("login = %d to %q, want 303 to the page", r.status, home)
	}
	r = a.call(http.MethodGet, a.page+"/api/v1/profile", "", "Cookie", cookie.Name+"="+cookie.Value)
	if r.member(t, "sub") != "ana" || r.member(t, "tenant") != "acme" || r.member(t, "email") != "ana@example.com" {
		t.Errorf("the profile is %s, want ana of acme", r.body)
	}

	// The same name elsewhere is somebody else.
	a.createKey("ana")
	r = a.call(http.MethodGet, a.page+"/api/v1/api-keys", "", "Cookie", cookie.Name+"="+cookie.Value)
	if !strings.Contains(r.body, `"items":[]`) {
		t.Errorf("ana of acme sees the keys of another ana: %s", r.body)
	}
}

// Who opens a page without a session is asked his name and led back to it, and
// never to another site.
func TestLoginLeadsBack(t *testing.T) {
	t.Parallel()
	a := start(t)
	asked := a.call(http.MethodGet, a.page+"/provider-tokens/new?provider=github", "", "Accept", "text/html")
	to := asked.header.Get("Location")
	form := a.call(http.MethodGet, a.url+to, "")
	if asked.status != http.StatusSeeOther || !strings.Contains(form.body, `name="return" value="provider-tokens/new?provider=github"`) {
		t.Fatalf("a page without a session = %d to %q, where the form is %s", asked.status, to, form.body)
	}
	for query, want := range map[string]string{
		strings.TrimPrefix(to, "/login?"): "/provider-tokens/new?provider=github",
		"return=//evil.example":           "/",
		`return=../\evil.example`:         "/",
		"":                                "/",
	} {
		if r := a.call(http.MethodGet, a.url+"/login?as=ana&"+query, ""); a.url+r.header.Get("Location") != a.page+want {
			t.Errorf("signing in with %q leads to %q, want %q", query, r.header.Get("Location"), want)
		}
	}
}

func TestLoginAsksForAName(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]int{
		"":                                 http.StatusOK,
		"?as=":                             http.StatusBadRequest,
		"?as=%20ana":                       http.StatusBadRequest,
		"?as=a%00b":                        http.StatusBadRequest,
		"?as=a%0ab":                        http.StatusBadRequest,
		"?as=%ff":                          http.StatusBadRequest,
		"?as=a%E2%80%AEb":                  http.StatusBadRequest, // right-to-left override
		"?as=" + strings.Repeat("a", 256):  http.StatusBadRequest,
		"?as=ana&tenant=a%0ab":             http.StatusBadRequest,
		"?as=%3Cscript%3Ealert(1)%3C/&x=y": http.StatusSeeOther, // odd, and harmless
	} {
		w := httptest.NewRecorder()
		login("/account")(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/login"+query, nil))
		if w.Code != want {
			t.Errorf("GET /login%.40s = %d, want %d", query, w.Code, want)
		}
		if signedIn := w.Header().Get("Set-Cookie") != ""; signedIn != (want == http.StatusSeeOther) {
			t.Errorf("GET /login%.40s sets a cookie: %v", query, signedIn)
		}
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	cookie := func(values url.Values) string { return loginCookie + "=" + values.Encode() }
	tests := []struct {
		name    string
		headers []string
		want    lanyard.Owner // zero: nobody
	}{
		{name: "nobody"},
		{"a header", []string{userHeader, "ana"}, lanyard.Owner{Subject: "ana"}},
		{"header and tenant", []string{userHeader, "ana", tenantHeader, "acme"}, lanyard.Owner{Tenant: "acme", Subject: "ana"}},
		{"a name with letters of its own", []string{userHeader, "João Ünal"}, lanyard.Owner{Subject: "João Ünal"}},
		{"a service", []string{userHeader, "svc:ci"}, lanyard.Owner{Subject: "svc:ci"}},
		{"a cookie", []string{"Cookie", cookie(url.Values{"as": {"ana"}})}, lanyard.Owner{Subject: "ana"}},
		{"a cookie with a tenant", []string{"Cookie", cookie(url.Values{"as": {"ana"}, "tenant": {"acme"}})}, lanyard.Owner{Tenant: "acme", Subject: "ana"}},
		{"a cookie with a name of its own", []string{"Cookie", cookie(url.Values{"as": {"João; \"x\""}})}, lanyard.Owner{Subject: `João; "x"`}},
		{"the header goes first", []string{userHeader, "bob", "Cookie", cookie(url.Values{"as": {"ana"}})}, lanyard.Owner{Subject: "bob"}},
		{name: "an empty header", headers: []string{userHeader, ""}},
		{name: "an empty header beside a cookie", headers: []string{userHeader, "", "Cookie", cookie(url.Values{"as": {"ana"}})}},
		{name: "two headers", headers: []string{userHeader, "ana", userHeader, "bob"}},
		{name: "two tenants", headers: []string{userHeader, "ana", tenantHeader, "a", tenantHeader, "b"}},
		{name: "a tenant alone", headers: []string{tenantHeader, "acme"}},
		{name: "a tenant beside a cookie", headers: []string{tenantHeader, "acme", "Cookie", cookie(url.Values{"as": {"ana"}})}},
		{name: "invisible", headers: []string{userHeader, "a\u200bb"}},
		{name: "too long", headers: []string{userHeader, strings.Repeat("a", 256)}},
		{name: "a broken cookie", headers: []string{"Cookie", loginCookie + "=as=%zz"}},
		{name: "a cookie without a name", headers: []string{"Cookie", loginCookie + "=tenant=acme"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			for i := 0; i < len(tt.headers); i += 2 {
				r.Header.Add(tt.headers[i], tt.headers[i+1])
			}
			p, err := identify(r)
			if tt.want == (lanyard.Owner{}) {
				if !errors.Is(err, lanyard.ErrUnauthenticated) {
					t.Errorf("identify = %v, %v, want ErrUnauthenticated", p.Owner, err)
				}
				return
			}
			if err != nil || p.Owner != tt.want {
				t.Errorf("identify = %v, %v, want %v", p.Owner, err, tt.want)
			}
		})
	}
}
