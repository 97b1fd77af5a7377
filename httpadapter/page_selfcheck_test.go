package httpadapter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aichub/lanyard/httpadapter"
)

// developer is a host that somebody develops, with what it logs.
func developer(t *testing.T, config func(*httpadapter.Config)) (*pageWorld, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	return newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.Development, c.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
		if config != nil {
			config(c)
		}
	}}), &log
}

// sheet asks for the style sheet as a browser on a page does.
func (v *visitor) sheet(page string, header ...string) *document {
	v.t.Helper()
	r := v.request(http.MethodGet, v.w.mount("assets/lanyard.css?v=0"), nil)
	r.Header.Set("Accept", "text/css,*/*;q=0.1")
	r.Header.Del("Sec-Fetch-Site") // as on plain HTTP
	if page != "" {
		r.Header.Set("Referer", page)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return v.do(r)
}

// The browser says in the request for the style sheet where it is. What a proxy
// made of that is said from then on, and no more once it is mended.
func TestSelfCheckOfTheAddress(t *testing.T) {
	t.Parallel()
	const right = "http://hub.example/account/api-keys"
	for name, tt := range map[string]struct {
		page   string
		header []string
		config func(*httpadapter.Config)
		want   []string
	}{
		"right": {page: right},
		"another host": {
			page: "http://hub.example.com/account/",
			want: []string{`at "http://hub.example.com"`, "Host: hub.example,", "another host", "proxy_set_header Host $http_host;", `Config.TrustedOrigins to "http://hub.example.com"`},
		},
		"another host, trusted": {
			page:   "http://hub.example.com/account/",
			config: func(c *httpadapter.Config) { c.TrustedOrigins = []string{"http://hub.example.com"} },
		},
		"the port is lost": {
			page: "http://hub.example:8443/account/",
			want: []string{`at "http://hub.example:8443"`, "leaves the port out", "$http_host"},
		},
		"TLS that nobody speaks of": {
			page: "https://hub.example/account/",
			want: []string{"uses https", "X-Forwarded-Proto does not arrive", "proxy_set_header X-Forwarded-Proto $scheme;"},
		},
		"TLS that is denied": {
			page: "https://hub.example/account/", header: []string{"X-Forwarded-Proto", "http"},
			want: []string{"uses https", `X-Forwarded-Proto says "http"`},
		},
		"TLS that is claimed": {
			page: right, header: []string{"X-Forwarded-Proto", "https"},
			want: []string{"uses http,", `X-Forwarded-Proto says "https"`},
		},
		"TLS": {page: "https://hub.example/account/", header: []string{"X-Forwarded-Proto", "https"}},
		"no referrer": {
			want: []string{"Origin: null", "Referrer-Policy: same-origin"},
		},
		"no referrer, but the browser says where it is": {header: []string{"Sec-Fetch-Site", "same-origin"}},
		"who is no page":   {header: []string{"Accept", "*/*"}},
		"a page of others": {page: "https://other.example/", header: []string{"Sec-Fetch-Site", "cross-site"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, log := developer(t, tt.config)
			v := w.visit(t, "ana")
			for range 2 {
				if d := v.sheet(tt.page, tt.header...); d.status != http.StatusOK || d.header.Get("Cache-Control") != "no-store" {
					t.Fatalf("the style sheet = %d %q, want 200 and no-store", d.status, d.header.Get("Cache-Control"))
				}
			}
			count := 0
			if tt.want != nil {
				count = 1
			}
			if n := strings.Count(log.String(), "mounted wrong"); n != count {
				t.Errorf("the advice was logged %d times, want %d: %s", n, count, log)
			}
			v.open("profile/edit")
			v.says(tt.want...)
			if n := strings.Count(v.body, `<p class="ly-note ly-warn">`); n != count {
				t.Errorf("the page has %d pieces of advice, want %d", n, count)
			}
			v.sheet(right)
			if v.open("profile/edit"); strings.Contains(v.body, `<p class="ly-note ly-warn">`) {
				t.Errorf("the page gives advice that was taken")
			}
		})
	}
}

// Pages that are asked for without their assets are noticed, and what is no
// browser is not.
func TestSelfCheckOfBlockedAssets(t *testing.T) {
	t.Parallel()
	look := func(v *visitor, accept string, pages int) {
		for range pages {
			r := v.request(http.MethodGet, v.w.mount(""), nil)
			r.Header.Set("Accept", accept)
			v.do(r)
		}
	}
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	w, log := developer(t, nil)
	v := w.visit(t, "ana")
	look(v, "*/*", 5)
	look(v, browser, 2)
	v.sheet("http://hub.example/account/")
	if log.Len() > 0 {
		t.Errorf("nothing is wrong yet, and the log says %s", log)
	}
	look(v, browser, 1)
	if said := log.String(); !strings.Contains(said, "lanyard.js did not run") || strings.Contains(said, "lanyard.css is not there") {
		t.Errorf("the third page without the script is logged as %q, want the script named alone", said)
	}
	look(v, browser, 3)
	if said := log.String(); strings.Count(said, "lanyard.css is not there") != 1 || strings.Count(said, "lanyard.js did not run") != 1 {
		t.Errorf("more pages without assets are logged as %q, want each once", said)
	}
}

// A handler that nobody takes the prefix off for says so, as a refused call of
// the API does, which has no page.
func TestSelfCheckOfTheMount(t *testing.T) {
	t.Parallel()
	w, log := developer(t, func(c *httpadapter.Config) {
		c.ClientIP = func(*http.Request) string { return "198.51.100.7" }
	})
	v := w.visit(t, "ana")
	r := v.request(http.MethodPatch, w.mount("api/v1/profile"), nil)
	r.Header.Set("Origin", "https://front.example")
	r.Header.Del("Sec-Fetch-Site")
	if d := v.do(r); d.status != http.StatusForbidden || !strings.Contains(log.String(), `Config.TrustedOrigins to \"https://front.example\"`) {
		t.Errorf("a refused call = %d, logged as %q", d.status, log)
	}

	for path, want := range map[string]string{
		"/account/":                 "/account",
		"/account":                  "/account", // chi's Mount leads it here
		"/tools/account/activity":   "/tools/account",
		"/account/profile/edit":     "/account",
		"/account/api/v1/whoami":    "/account",
		"/account/api/v1/api-keys":  "/account/api/v1/api-keys", // not served without keys
		"/account/assets/none.css":  "/account",
		"/account/nothing/at/all/":  "/account/nothing/at/all",
		"/account/nothing/api/v1/x": "/account/nothing/api/v1/x",
	} {
		d := serveRaw(t, bareHandler(t, w, nil), path)
		if want = html.EscapeString(fmt.Sprintf("the whole path %q. Where the page is to be at %s/, have the prefix taken off: httpadapter.Mount(mux, %q, h)", path, want, want)); d.status != http.StatusNotFound || !strings.Contains(d.body, want) {
			t.Errorf("GET %s without a mount = %d, want 404 that says %s:\n%s", path, d.status, want, d.body)
		}
	}
	stripped := serveRaw(t, http.StripPrefix("/account", bareHandler(t, w, nil)), "/account/x/activity")
	if strings.Contains(stripped.body, "the whole path") {
		t.Error("a handler that is mounted well gives advice on a page that is not there")
	}

	root := bareHandler(t, w, nil)
	if d := serveRaw(t, root, "/"); d.status != http.StatusUnauthorized {
		t.Fatalf("GET / of a handler at the root = %d, want 401", d.status)
	}
	if d := serveRaw(t, root, "/favicon.ico"); d.status != http.StatusNotFound || strings.Contains(d.body, "the whole path") {
		t.Errorf("GET /favicon.ico of a handler at the root = %d, want 404 without advice:\n%s", d.status, d.body)
	}
}

// Without the page, or for the API's own 404, the advice is the problem's detail
// and in the log.
func TestSelfCheckOfTheMountInJSON(t *testing.T) {
	t.Parallel()
	w, _ := developer(t, nil)
	for path, want := range map[string]bool{
		"/account/": true, "/account/api/v1/whoami": true, "/account/api/v1/profile": true, "/api/v1/nothing": true,
	} {
		for development := range map[bool]bool{true: true, false: true} {
			var log bytes.Buffer
			h := bareHandler(t, w, func(c *httpadapter.Config) {
				c.JSONOnly, c.Development, c.Logger = true, development, slog.New(slog.NewTextHandler(&log, nil))
			})
			d := serveRaw(t, h, path)
			var problem struct{ Detail string }
			pageOK(t, json.Unmarshal([]byte(d.body), &problem))
			said := strings.Contains(problem.Detail, "the whole path") && strings.Contains(log.String(), "the whole path")
			if d.status != http.StatusNotFound || said != (want && development) || !development && problem.Detail != "" {
				t.Errorf("GET %s with Development %v = %d %q, logged as %q", path, development, d.status, problem.Detail, log.String())
			}
		}
	}
	h := bareHandler(t, w, func(c *httpadapter.Config) { c.JSONOnly = true })
	if d := serveRaw(t, http.StripPrefix("/account", h), "/account/api/v1/nothing"); d.status != http.StatusNotFound || strings.Contains(d.body, "detail") {
		t.Errorf("a route that is not there, mounted well = %d %s, want 404 without a detail", d.status, d.body)
	}
}

// bareHandler is a handler of a host that somebody develops, without its mount.
func bareHandler(t *testing.T, w *pageWorld, config func(*httpadapter.Config)) http.Handler {
	t.Helper()
	c := httpadapter.Config{Profiles: w.profiles, Identify: nobodyIsSignedIn, Development: true}
	if config != nil {
		config(&c)
	}
	h, err := httpadapter.New(c)
	pageOK(t, err)
	return h
}

// Under http.StripPrefix the address without the slash leads to the one with
// it, whatever a proxy takes off before.
func TestStripPrefix(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	h, err := httpadapter.New(httpadapter.Config{Profiles: w.profiles, Identify: nobodyIsSignedIn})
	pageOK(t, err)
	for prefix, want := range map[string]string{"/account": "./account/", "/tools/my%20account": "./my%20account/"} {
		plain, err := url.PathUnescape(prefix)
		pageOK(t, err)
		d := serveRaw(t, http.StripPrefix(plain, h), prefix)
		if d.status != http.StatusPermanentRedirect || d.header.Get("Location") != want {
			t.Errorf("GET %s = %d to %q, want 308 to %q", prefix, d.status, d.header.Get("Location"), want)
		}
		if d := serveRaw(t, http.StripPrefix(plain, h), prefix+"/"); d.status != http.StatusUnauthorized {
			t.Errorf("GET %s/ = %d, want the page", prefix, d.status)
		}
	}
}

// Without the page everything is JSON, and there is nothing but the API.
func TestJSONOnly(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) { c.JSONOnly = true }})
	v := w.visit(t, "ana")
	for path, status := range map[string]int{
		"": 404, "api-keys": 404, "assets/lanyard.css": 404, "api": 404, "api/v1/nothing": 404, "api/v1/profile": 200, "api/v1/api-keys": 200,
	} {
		d := v.do(v.request(http.MethodGet, w.mount(path), nil))
		kind := "application/problem+json"
		if status == http.StatusOK {
			kind = "application/json"
		}
		if d.status != status || d.header.Get("Content-Type") != kind {
			t.Errorf("GET %s = %d %s, want %d %s", path, d.status, d.header.Get("Content-Type"), status, kind)
		}
	}
}

// Where TLS ends at a proxy, code that is shown without script says https.
func TestSnippetsBehindTLS(t *testing.T) {
	t.Parallel()
	v := newPageWorld(t, pageOptions{}).visit(t, "ana")
	for proto, want := range map[string]string{
		"": "http://hub.example/account/api/v1/whoami", "https": "https://hub.example/account/api/v1/whoami", "javascript": "http://hub.example/account/api/v1/whoami",
	} {
		r := v.request(http.MethodGet, v.w.mount("docs"), nil)
		r.Header.Set("X-Forwarded-Proto", proto)
		if v.do(r); !strings.Contains(v.body, ">"+want+"<") && !strings.Contains(v.body, want) {
			t.Errorf("with X-Forwarded-Proto %q the snippets do not say %s", proto, want)
		}
		if proto == "" && strings.Contains(v.body, "https://hub.example/account") {
			t.Error("without TLS the snippets say https")
		}
	}
}
