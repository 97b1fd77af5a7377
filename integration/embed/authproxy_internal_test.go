package embed

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
)

// authLocations are those of docs/auth-proxy.md, which says its addresses.
func authLocations(t *testing.T, signIn, host string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/auth-proxy.md")
	ok(t, err)
	block := first(regexp.MustCompile("(?s)```nginx\n(.*?)```"), string(text))
	if !strings.Contains(block, "auth_request") {
		t.Fatal("docs/auth-proxy.md shows no nginx with auth_request")
	}
	return strings.NewReplacer("127.0.0.1:4180", signIn, "127.0.0.1:8080", host).Replace(block)
}

// The proxy of the document signs users in, and nobody gets past it by saying
// who he is.
func TestAuthProxy(t *testing.T) {
	t.Parallel()
	signIn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("_oauth2_proxy")
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Auth-Request-User", cookie.Value)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(signIn.Close)
	host := behindNginx(t, func(c *httpadapter.Config) {
		c.Identify, c.ClientIP, c.LoginURL = whoTheProxySays, clientIP, "/oauth2/sign_in"
	})
	address := startNginx(t, "", authLocations(t, strings.TrimPrefix(signIn.URL, "http://"), host))
	v := newVisitor(t, new(http.Client), "http://"+address+"/account/", "http://"+address+"/api/")

	ask := func(path string, header ...string) answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		ok(t, err)
		for i := 0; i < len(header); i += 2 {
			r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
		}
		return v.do(r)
	}
	const whoami, session = "/account/api/v1/whoami", "_oauth2_proxy=ana"
	once := []string{"X-Auth-Request-User", "root"}
	forged := []string{"X-Auth-Request-User", "root", "x-auth-request-user", "root", "X_Auth_Request_User", "root", "X-Auth-Request-Email", "root@example.com"}
	for name, tt := range map[string]struct {
		path   string
		header []string
		status int
		want   string
	}{
		"nobody":                           {"/account/api/v1/profile", nil, 401, ""},
		"nobody who says he is somebody":   {"/account/api/v1/profile", forged, 401, ""},
		"nobody who says it once":          {"/account/api/v1/profile", once, 401, ""},
		"where keys go, as somebody, once": {whoami, once, 401, ""},
		"ana who says it once":             {"/account/api/v1/profile", append([]string{"Cookie", session}, once...), 200, `"sub":"ana"`},
		"ana":                              {"/account/api/v1/profile", []string{"Cookie", session}, 200, `"sub":"ana"`},
		"ana who says she is somebody":     {"/account/api/v1/profile", append([]string{"Cookie", session}, forged...), 200, `"sub":"ana"`},
		"where keys go":                    {whoami, nil, 401, ""},
		"where keys go, as somebody":       {whoami, forged, 401, ""},
		"where keys go, with any header":   {whoami, append([]string{"Authorization", "Basic eDp5"}, forged...), 401, ""},
		"the host's API, as somebody":      {"/api/hello", forged, 401, ""},
		"a page with a header of no key":   {"/account/", append([]string{"Authorization", "Basic eDp5"}, forged...), 401, ""},
		"whoami with another's session":    {whoami, []string{"Cookie", session}, 401, ""},
		"a path that only looks like keys": {"/account/api/v1/whoami/../profile", forged, 401, ""},
	} {
		if a := ask(tt.path, tt.header...); a.status != tt.status || !strings.Contains(a.body, tt.want) || strings.Contains(a.body, "root") {
			t.Errorf("%s: GET %s = %d %s, want %d with %s", name, tt.path, a.status, a.body, tt.status, tt.want)
		}
	}

	at, err := url.Parse(v.page)
	ok(t, err)
	v.client.Jar.SetCookies(at, []*http.Cookie{{Name: "_oauth2_proxy", Value: "ana", Path: "/"}})
	form := v.get(v.page + "api-keys/new")
	made := v.post("api-keys/new", url.Values{"nonce": {first(aNonce, form.body)}, "name": {"ci"}, "expiry": {"never"}})
	key := first(aKey, made.body)
	if made.status != http.StatusCreated || key == "" {
		t.Fatalf("making a key = %d", made.status)
	}
	if activity := v.get(v.page + "api/v1/activity"); !strings.Contains(activity.body, `"ip":"127.0.0.1"`) {
		t.Errorf("the history says %s, want the browser's address", activity.body)
	}
	v.client.Jar = nil
	v.useKey(key)
	if a := ask(whoami, append([]string{"Authorization", "Bearer " + key}, forged...)...); a.status != http.StatusOK || !strings.Contains(a.body, `"sub":"ana"`) {
		t.Errorf("whoami with a key = %d %s, want ana", a.status, a.body)
	}
}

// Only our proxy is believed, and of it only what is plain.
func TestWhoTheProxySays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from    string
		users   []string
		forward []string
		want    string // "" = nobody
		ip      string
	}{
		"the proxy":           {"127.0.0.1:9", []string{"ana"}, []string{"198.51.100.7"}, "ana", "198.51.100.7"},
		"the proxy over IPv6": {"[::ffff:127.0.0.1]:9", []string{"ana"}, nil, "ana", "::ffff:127.0.0.1"},
		"somebody else":       {"198.51.100.7:9", []string{"ana"}, []string{"203.0.113.9"}, "", "198.51.100.7"},
		"two users":           {"127.0.0.1:9", []string{"ana", "ben"}, []string{"203.0.113.9, 198.51.100.7"}, "", "198.51.100.7"},
		"no user":             {"127.0.0.1:9", nil, []string{"203.0.113.9", "198.51.100.7"}, "", "198.51.100.7"},
		"an empty user":       {"127.0.0.1:9", []string{""}, nil, "", "127.0.0.1"},
		"no address":          {"@", []string{"ana"}, nil, "", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = tt.from
		r.Header["X-Auth-Request-User"], r.Header["X-Forwarded-For"] = tt.users, tt.forward
		p, err := whoTheProxySays(r)
		if p.Owner.Subject != tt.want || (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, lanyard.ErrUnauthenticated) {
			t.Errorf("%s: whoTheProxySays() = %q, %v, want %q", name, p.Owner.Subject, err, tt.want)
		}
		if ip := clientIP(r); ip != tt.ip {
			t.Errorf("%s: clientIP() = %s, want %s", name, fmt.Sprint(ip), tt.ip)
		}
	}
}
