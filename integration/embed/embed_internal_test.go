package embed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v4"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store/memory"
)

// mount puts page and API under one of the routers.
type mount func(*httpadapter.Handler, middleware, http.Handler) http.Handler

// mounts are the examples, by router.
var mounts = map[string]mount{
	"net/http": underNetHTTP,
	"chi": func(page *httpadapter.Handler, requireKey middleware, api http.Handler) http.Handler {
		return mountChi(page, session, requireKey, api)
	},
	"gin": func(page *httpadapter.Handler, requireKey middleware, api http.Handler) http.Handler {
		return mountGin(page, session, requireKey, gin.WrapH(api))
	},
	"echo": func(page *httpadapter.Handler, requireKey middleware, api http.Handler) http.Handler {
		return mountEcho(page, session, requireKey, echo.WrapHandler(api))
	},
}

func underNetHTTP(page *httpadapter.Handler, requireKey middleware, api http.Handler) http.Handler {
	return mountNetHTTP(page, session, requireKey, api)
}

// newHost is an application with the page under one of the routers, and a login.
func newHost(t *testing.T, mount mount, change func(*httpadapter.Config)) http.Handler {
	t.Helper()
	st := memory.New()
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "hub"})
	ok(t, err)
	t.Cleanup(func() { ok(t, keys.Close(context.Background())) })
	c := httpadapter.Config{
		Identify: whoIs, LoginURL: "/login", Product: "Hub", APIKeys: keys,
		Profiles: profile.NewService(st, &profile.Options{OwnerChanged: keys.Refresh}),
	}
	if change != nil {
		change(&c)
	}
	page, err := httpadapter.New(c)
	ok(t, err)
	host := mount(page, httpadapter.RequireKey(keys, nil), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := lanyard.PrincipalFrom(r.Context())
		_, _ = fmt.Fprintf(w, "hello %s at %s", p.Owner.Subject, r.URL.Path)
	}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", signIn)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if c.Layout != nil {
		host = withPolicy(host)
	}
	mux.Handle("/", host)
	return mux
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// visitor is a browser without script, on an origin without TLS: it says where a
// form comes from by Origin alone.
type visitor struct {
	t      *testing.T
	client *http.Client
	page   string // address of the page, with a slash at its end
	api    string // of the host's API
}

// answer is what came back at last.
type answer struct {
	status int
	url    *url.URL
	header http.Header
	body   string
}

func newVisitor(t *testing.T, client *http.Client, page, api string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	ok(t, err)
	client.Jar = jar
	return &visitor{t: t, client: client, page: page, api: api}
}

func (v *visitor) do(r *http.Request) answer {
	v.t.Helper()
	res, err := v.client.Do(r)
	ok(v.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	ok(v.t, err)
	return answer{status: res.StatusCode, url: res.Request.URL, header: res.Header, body: string(body)}
}

func (v *visitor) get(address string) answer {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, address, nil)
	ok(v.t, err)
	return v.do(r)
}

func (v *visitor) post(path string, form url.Values) answer {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.page+path, strings.NewReader(form.Encode()))
	ok(v.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	return v.do(r)
}

var (
	anAsset = regexp.MustCompile(`(?:href|src)="(\./assets/[^"]+)"`)
	aNonce  = regexp.MustCompile(`name="nonce" value="([^"]+)"`)
	aKey    = regexp.MustCompile(`value="(hub_[0-9A-Za-z]{46})"`)
	version = regexp.MustCompile(`name="version" value="([^"]+)"`)
)

// use is what a user does first: sign in, look at the page, edit a name, make a
// key and use it.
func (v *visitor) use() {
	v.t.Helper()
	if a := v.get(v.page + "api/v1/profile"); a.status != http.StatusUnauthorized {
		v.t.Errorf("GET %sapi/v1/profile before signing in = %d, want 401", v.page, a.status)
	}
	// Without a session the page leads to the login, and that back to the page.
	if a := v.get(v.page + "api-keys"); a.status != http.StatusOK || a.url.String() != v.page || !strings.Contains(a.body, "Ana Lima") {
		v.t.Fatalf("GET %sapi-keys without a session ends at %s with %d, want to be signed in at %s", v.page, a.url, a.status, v.page)
	}
	without, _ := strings.CutSuffix(v.page, "/")
	if a := v.get(without); a.status != http.StatusOK || a.url.String() != v.page {
		v.t.Errorf("GET %s leads to %s with %d, want %s", without, a.url, a.status, v.page)
	}
	home := v.get(v.page)
	assets := anAsset.FindAllStringSubmatch(home.body, -1)
	if len(assets) != 2 {
		v.t.Fatalf("the page at %s asks for %q, want a style sheet and a script", v.page, assets)
	}
	kept := "immutable"
	if strings.Contains(home.body, "ly-checks") {
		kept = "no-store" // while somebody develops
	}
	for _, asset := range assets {
		at, err := home.url.Parse(asset[1])
		ok(v.t, err)
		if a := v.get(at.String()); a.status != http.StatusOK || !strings.Contains(a.header.Get("Cache-Control"), kept) {
			v.t.Errorf("GET %s = %d %q", at, a.status, a.header.Get("Cache-Control"))
		}
	}
	edit := v.get(v.page + "profile/edit")
	saved := v.post("profile/edit", url.Values{"version": {first(version, edit.body)}, "given_name": {"Anabela"}, "family_name": {"Lima"}})
	if saved.status != http.StatusOK || saved.url.Path != mustPath(v.page) || !strings.Contains(saved.body, "Anabela Lima") {
		v.t.Errorf("saving a name ends at %s with %d", saved.url, saved.status)
	}
	form := v.get(v.page + "api-keys/new")
	made := v.post("api-keys/new", url.Values{"nonce": {first(aNonce, form.body)}, "name": {"ci"}, "expiry": {"never"}})
	key := first(aKey, made.body)
	if made.status != http.StatusCreated || key == "" {
		v.t.Fatalf("making a key = %d", made.status)
	}
	v.useKey(key)
	for path, want := range map[string]int{"nothing": 404, "api-keys/a%2Fb/delete": 404, "api/v1/profile": 200, "api/v1/nothing": 404} {
		if a := v.get(v.page + path); a.status != want || !strings.Contains(a.header.Get("Content-Security-Policy")+a.header.Get("Content-Type"), "json") && !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			v.t.Errorf("GET %s = %d, want %d from the page", path, a.status, want)
		}
	}
}

func (v *visitor) useKey(key string) {
	v.t.Helper()
	for credential, want := range map[string]string{"Bearer " + key: "200 hello ana at /api/hello", "Bearer " + key + "x": "401 ", "": "401 "} {
		r, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.api+"hello", nil)
		ok(v.t, err)
		if credential != "" {
			r.Header.Set("Authorization", credential)
		}
		if a := v.do(r); !strings.HasPrefix(fmt.Sprint(a.status, " ", a.body), want) || a.status != http.StatusOK && strings.Contains(a.body, "hello") {
			v.t.Errorf("GET %shello = %d %s, want %s", v.api, a.status, a.body, want)
		}
	}
}

func first(pattern *regexp.Regexp, text string) string {
	if m := pattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

func mustPath(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u.Path
}

func TestRouters(t *testing.T) {
	t.Parallel()
	for name, mount := range mounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(newHost(t, mount, nil))
			t.Cleanup(server.Close)
			newVisitor(t, server.Client(), server.URL+"/account/", server.URL+"/api/").use()
		})
	}
}
