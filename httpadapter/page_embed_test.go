package httpadapter_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store/memory"
)

// raw is a page as Ana gets it, of a host that departs from what every other
// page is held to.
func (w *pageWorld) raw(t *testing.T, path string) *document {
	t.Helper()
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, w.visit(t, "ana").request(http.MethodGet, w.mount(path), nil))
	root, err := html.Parse(strings.NewReader(recorder.Body.String()))
	pageOK(t, err)
	return &document{status: recorder.Code, header: recorder.Header(), body: recorder.Body.String(), root: root}
}

// serveRaw is the answer of a handler, read as a browser reads it.
func serveRaw(t *testing.T, h http.Handler, path string) *document {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return &document{status: recorder.Code, header: recorder.Header(), body: recorder.Body.String()}
}

func nobodyIsSignedIn(*http.Request) (lanyard.Principal, error) {
	return lanyard.Principal{}, lanyard.ErrUnauthenticated
}

// A host's name leads home, with its logo beside it and its style sheet after
// ours; a nonce stands on what the page loads.
func TestPageBrand(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.Brand = httpadapter.Brand{Home: "/", Logo: "/logo.svg", StyleSheet: "/brand.css"}
		c.Nonce = func(*http.Request) string { return "n0nce" }
		c.Layout = func(w http.ResponseWriter, _ *http.Request, p httpadapter.Page) {
			_, _ = w.Write([]byte("<!doctype html>\n<head>" + string(p.Head) + "</head><main>" + string(p.Body) + "</main>"))
		}
	}})
	d := w.raw(t, "api-keys")
	sheets := d.all("link")
	if len(sheets) != 2 || attr(sheets[1], "href") != "/brand.css" {
		t.Errorf("the page loads %d style sheets, want ours and then the host's", len(sheets))
	}
	for _, n := range append(sheets, d.all("script")...) {
		if attr(n, "nonce") != "n0nce" {
			t.Errorf("<%s> has the nonce %q", n.Data, attr(n, "nonce"))
		}
	}
	if img := d.all("img"); len(img) != 1 || attr(img[0], "src") != "/logo.svg" || !hasAttr(img[0], "alt") {
		t.Error("the logo is not there")
	}
	home := false
	for _, a := range d.all("a") {
		home = home || attr(a, "href") == "/" && textOf(a) == "Back to Hub"
	}
	if !home {
		t.Error("the name does not lead home")
	}
}

func TestFrameAncestors(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.FrameAncestors = []string{"https://portal.example.com", "https://other.example.com:8443"}
	}})
	d := w.raw(t, "")
	if got, want := d.header.Get("Content-Security-Policy"), "; frame-ancestors 'self' https://portal.example.com https://other.example.com:8443; "; !strings.Contains(got, want) {
		t.Errorf("Content-Security-Policy = %q, want %q in it", got, want)
	}
}

func noLayout(http.ResponseWriter, *http.Request, httpadapter.Page) {}

// What could turn a page against its users, and what would be ignored, is
// refused by name.
func TestEmbeddingIsChecked(t *testing.T) {
	t.Parallel()
	for field, changes := range map[string][]func(*httpadapter.Config){
		"Config.Layout": {
			func(c *httpadapter.Config) { c.JSONOnly, c.Layout = true, noLayout },
		},
		"Config.Nonce": {
			func(c *httpadapter.Config) { c.Nonce = func(*http.Request) string { return "x" } },
		},
		"Config.LoginURL": {
			func(c *httpadapter.Config) { c.LoginURL = "login" }, // from api-keys/new it would lead to api-keys/login
			func(c *httpadapter.Config) { c.LoginURL = "javascript:alert(1)" },
			func(c *httpadapter.Config) { c.LoginURL = "//idp.example.com/login" },
			func(c *httpadapter.Config) { c.LoginURL = `/\idp.example.com/login` },
			func(c *httpadapter.Config) { c.LoginURL = "/login?return={retrun}" },
			func(c *httpadapter.Config) { c.LoginURL = "/login?return={return}&again={return}" },
			func(c *httpadapter.Config) { c.LoginURL = "/login/{return}" },
			func(c *httpadapter.Config) { c.LoginURL = "{return}" },
			func(c *httpadapter.Config) { c.LoginURL = "https://{return}/?" },
		},
		"Config.TrustedOrigins": { // what no browser sends would be trusted in vain
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://Hub.example.com"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://hub.example.com:443"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"http://hub.example.com:80"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://*.example.com"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://ana@hub.example.com"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://hub.example.com?"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://hub.example.com/"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://b\u00fccher.example"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"*"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{"null"} },
			func(c *httpadapter.Config) { c.TrustedOrigins = []string{""} },
		},
		"Config.Docs": {
			func(c *httpadapter.Config) { c.Docs = []httpadapter.Link{{Title: "Guide", URL: "guide"}} },
		},
		"Config.Brand.Home": {
			func(c *httpadapter.Config) { c.Brand.Home = "javascript:alert(1)" },
			func(c *httpadapter.Config) { c.Brand.Home = "home" },
		},
		"Config.Brand.Logo": {
			func(c *httpadapter.Config) { c.Brand.Logo = "https://cdn.example/logo.svg" },
			func(c *httpadapter.Config) { c.Brand.Logo = "data:text/html,x" },
			func(c *httpadapter.Config) { c.Brand.Logo = "//cdn.example/logo.svg" },
			func(c *httpadapter.Config) { c.Brand.Logo = `/\cdn.example/logo.svg` },
			func(c *httpadapter.Config) { c.Brand.Logo = "static/logo.svg" },
		},
		"Config.Brand.StyleSheet": {
			func(c *httpadapter.Config) { c.Brand.StyleSheet = "https://cdn.example/x.css" },
			func(c *httpadapter.Config) { c.Brand.StyleSheet = "data:text/css,x" },
		},
		"Config.FrameAncestors": {
			func(c *httpadapter.Config) {
				c.Layout, c.FrameAncestors = noLayout, []string{"https://portal.example.com"}
			},
			func(c *httpadapter.Config) { c.FrameAncestors = []string{"*"} },
			func(c *httpadapter.Config) { c.FrameAncestors = []string{"https://*.example.com"} },
			func(c *httpadapter.Config) { c.FrameAncestors = []string{"https://a.example/path"} },
			func(c *httpadapter.Config) { c.FrameAncestors = []string{"https://a.example; script-src *"} },
			func(c *httpadapter.Config) { c.FrameAncestors = []string{""} },
		},
	} {
		for _, change := range changes {
			c := httpadapter.Config{Profiles: profile.NewService(memory.New(), nil), Identify: nobodyIsSignedIn}
			change(&c)
			if _, err := httpadapter.New(c); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("New() = %v, want an error that names %s", err, field)
			}
		}
	}
}

// What a browser sends is taken as it is.
func TestTrustedOrigins(t *testing.T) {
	t.Parallel()
	c := httpadapter.Config{Profiles: profile.NewService(memory.New(), nil), Identify: nobodyIsSignedIn}
	c.TrustedOrigins = []string{
		"https://hub.example.com", "http://hub.example.com:8080", "https://hub.example.com:80", "https://[2001:db8::1]:8443",
		"https://xn--bcher-kva.example", "capacitor://localhost",
	}
	if _, err := httpadapter.New(c); err != nil {
		t.Errorf("New(TrustedOrigins: %q) = %v, want nil", c.TrustedOrigins, err)
	}
}

// While somebody develops, the page says what is wrong with how it is mounted,
// and nothing while nothing is; otherwise it never does.
func TestSelfCheck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		production bool
		config     func(*httpadapter.Config)
		header     map[string]string
		origin     string // of a form, "" = a page is asked for
		want       []string
		not        string // where there is other advice
	}{
		"nothing is wrong": {},
		"a host whose proxy says no address": {
			config: func(c *httpadapter.Config) {
				c.ClientIP = func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }
			},
			want: []string{`Config.ClientIP returned ""`, "proxy_set_header X-Forwarded-For $remote_addr;"},
		},
		"a host that takes a list for an address": {
			header: map[string]string{"X-Forwarded-For": "198.51.100.7, 10.0.0.1"},
			config: func(c *httpadapter.Config) {
				c.ClientIP = func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }
			},
			want: []string{`Config.ClientIP returned "198.51.100.7, 10.0.0.1"`},
		},
		"a form without an origin": {
			origin: "null", want: []string{"(Origin: null)", "Referrer-Policy: same-origin"}, not: "TrustedOrigins",
		},
		"a form of a front end": {
			origin: "https://app.hub.example", header: map[string]string{"Sec-Fetch-Site": "same-site"},
			want: []string{"(Sec-Fetch-Site: same-site)", `Config.TrustedOrigins to "https://app.hub.example"`}, not: "proxy_set_header",
		},
		"the client's address": {
			header: map[string]string{"X-Forwarded-For": "198.51.100.7"},
			want:   []string{"X-Forwarded-For", "Config.ClientIP", "192.0.2.1"},
		},
		"a host that knows the client's address": {
			header: map[string]string{"X-Forwarded-For": "198.51.100.7"},
			config: func(c *httpadapter.Config) { c.ClientIP = func(*http.Request) string { return "198.51.100.7" } },
		},
		"the host's name": {
			header: map[string]string{"X-Forwarded-Host": "hub.example.com"},
			want:   []string{`"hub.example.com"`, `Host: "hub.example"`, "Config.TrustedOrigins"},
		},
		"a list of hosts": {
			header: map[string]string{"X-Forwarded-Host": "hub.example.com, proxy.internal"},
			want:   []string{`"hub.example.com, proxy.internal"`, "not one host", "$http_host"}, not: "TrustedOrigins",
		},
		"an address for a host": {
			header: map[string]string{"X-Forwarded-Host": "https://hub.example.com/account"},
			want:   []string{"not one host"}, not: "TrustedOrigins",
		},
		"a host that no browser sends": {
			header: map[string]string{"X-Forwarded-Host": "hub.example.com:443"},
			want:   []string{"not one host"}, not: "TrustedOrigins",
		},
		"the host's name, trusted": {
			header: map[string]string{"X-Forwarded-Host": "hub.example.com"},
			config: func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://hub.example.com"} },
		},
		"a form that is refused": {
			origin: "https://hub.example.com",
			want:   []string{`posted it from "https://hub.example.com"`, `for the host "hub.example"`, `Config.TrustedOrigins to "https://hub.example.com"`},
		},
		"production": {production: true, header: map[string]string{"X-Forwarded-For": "198.51.100.7"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
				c.Development, c.Logger = !tt.production, slog.New(slog.NewTextHandler(&log, nil))
				if tt.config != nil {
					tt.config(c)
				}
			}})
			v := w.visit(t, "ana")
			r := v.request(http.MethodGet, w.mount("profile/edit"), nil)
			if tt.origin != "" {
				r = v.request(http.MethodPost, w.mount("profile/edit"), url.Values{})
				r.Header.Del("Sec-Fetch-Site") // as on plain HTTP
				r.Header.Set("Origin", tt.origin)
			}
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			for range 2 {
				v.do(r.Clone(t.Context()))
			}
			v.says(tt.want...)
			if tt.not != "" && strings.Contains(v.body, tt.not) {
				t.Errorf("the page says %s as well", tt.not)
			}
			advice := strings.Count(v.body, `<p class="ly-note ly-warn">`)
			if (advice > 0) != (tt.want != nil) {
				t.Errorf("the page has %d pieces of advice, want some: %t", advice, tt.want != nil)
			}
			if there := strings.Contains(v.body, "lanyard.css is not there"); there == tt.production {
				t.Errorf("the page speaks of a style sheet that is not there: %t", there)
			}
			if logged := strings.Count(log.String(), "mounted wrong"); (logged == 1) != (tt.want != nil) {
				t.Errorf("the advice was logged %d times, want once where there is some: %s", logged, &log)
			}
		})
	}
}
