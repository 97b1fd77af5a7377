package embed

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
)

// patience is how long anything in the browser may take.
const patience = 30 * time.Second

// tab is a browser's window in which somebody develops.
type tab struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // that is how chromedp names a tab
	page string          // address of the page, with a slash at its end
	log  *lockedBuffer   // of the host
}

// lockedBuffer is what a host logs while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	ok(b.t, chromedp.Run(ctx, actions...))
}

// text is what a user sees of the elements that a selector names.
func (b *tab) text(selector string) string {
	b.t.Helper()
	var text string
	b.run(chromedp.Evaluate(fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.innerText).join('\\n')", selector), &text))
	return text
}

// advice is what the page says to a developer, as far as one sees it.
func (b *tab) advice() string { return strings.TrimSpace(b.text(".ly-checks")) }

// atNginx signs in at a host that somebody develops, behind an nginx with these
// locations, and looks at its page twice: what the first tells the host, the
// second shows. %s in the locations is where the host listens.
func atNginx(t *testing.T, listen, locations string, change func(*httpadapter.Config)) *tab {
	t.Helper()
	log := new(lockedBuffer)
	upstream := behindNginx(t, func(c *httpadapter.Config) {
		c.Development, c.Logger = true, slog.New(slog.NewTextHandler(log, nil))
		c.ClientIP = func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }
		if change != nil {
			change(c)
		}
	})
	address := startNginx(t, listen, strings.ReplaceAll(locations, "%s", upstream))
	_, port, err := net.SplitHostPort(address)
	ok(t, err)
	scheme := "http://"
	if listen != "" {
		scheme = "https://"
	}
	b := &tab{t: t, ctx: newWindow(t), page: scheme + site + ":" + port + "/account/", log: log}
	b.run(chromedp.Navigate(b.page), chromedp.Navigate(b.page))
	return b
}

// saveName edits the name, and returns the heading of what comes back.
func (b *tab) saveName() string {
	b.t.Helper()
	b.run(chromedp.Navigate(b.page+"profile/edit"), chromedp.SetValue("#given_name", "Anabela", chromedp.ByQuery))
	b.submit()
	return b.text("h1")
}

// submit presses the button of the page's first form, and waits for the answer.
func (b *tab) submit() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, chromedp.Click("main form button", chromedp.ByQuery))
	ok(b.t, err)
}

const (
	passed  = "proxy_pass http://%s; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;"
	rightly = passed + " proxy_set_header Host $http_host;"
)

// A real browser behind a real proxy that is set up wrong: the page names what
// is wrong and the line that mends it, and so does the log. Set up right, it
// says nothing.
func TestSelfCheckInChromium(t *testing.T) {
	t.Parallel()
	cert, _ := certificate(t, t.TempDir())
	tls := "ssl_certificate " + cert + "; ssl_certificate_key " + cert + ";"
	for name, tt := range map[string]struct {
		listen, locations string
		change            func(*httpadapter.Config)
		want              []string // nil = nothing is wrong
		refused           bool     // a form
	}{
		"right":                   {locations: "location / { " + rightly + " }"},
		"right, with TLS":         {listen: " ssl", locations: tls + "location / { " + rightly + " }"},
		"right, and a prefix off": {locations: "location /account/ { " + strings.Replace(rightly, "%s", "%s/account/", 1) + " } location / { " + rightly + " }"},
		"nginx without a word about the host": {
			locations: "location / { " + passed + " }", refused: true,
			want: []string{`The browser is at "http://` + site, "a proxy puts another host there", "proxy_set_header Host $http_host;", "Config.TrustedOrigins"},
		},
		"the host without its port": {
			locations: "location / { " + passed + " proxy_set_header Host $host; }", refused: true,
			want: []string{"a proxy leaves the port out", "proxy_set_header Host $http_host;"},
		},
		"TLS that the proxy keeps to itself": {
			listen: " ssl", locations: tls + "location / { proxy_pass http://%s; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; }",
			want: []string{"The browser uses https, and X-Forwarded-Proto does not arrive", "proxy_set_header X-Forwarded-Proto $scheme;"},
		},
		"TLS that is not there": {
			locations: "location / { proxy_pass http://%s; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https; }",
			change: func(c *httpadapter.Config) { // the login's cookie would be for TLS alone, and lead back to the login for ever
				c.Identify = func(*http.Request) (lanyard.Principal, error) {
					return lanyard.Principal{Owner: lanyard.Owner{Subject: "ana"}}, nil
				}
			},
			want: []string{`The browser uses http, and X-Forwarded-Proto says "https"`},
		},
		"no address of the client": {
			locations: "location / { proxy_pass http://%s; proxy_set_header Host $http_host; }",
			want:      []string{`Config.ClientIP returned ""`, "proxy_set_header X-Forwarded-For $remote_addr;"},
		},
		"another referrer policy": {
			locations: "location / { " + rightly + " proxy_hide_header Referrer-Policy; add_header Referrer-Policy no-referrer always; }", refused: true,
			want: []string{"Origin: null", "no add_header Referrer-Policy"},
		},
		"a location for style sheets": {
			locations: `location / { ` + rightly + ` } location ~ \.css$ { root /nowhere; }`,
			want:      []string{"lanyard.css is not there", `a location for \.css$`},
		},
		"a location for scripts": {
			locations: `location / { ` + rightly + ` } location ~ \.js$ { root /nowhere; }`,
			want:      []string{"lanyard.js did not run", `a location for \.js$`},
		},
		"a policy in front": {
			locations: `location / { ` + rightly + ` add_header Content-Security-Policy "script-src 'none'"; }`,
			want:      []string{"lanyard.js did not run", "Content-Security-Policy of the answer does not allow script-src 'self'"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := atNginx(t, tt.listen, tt.locations, tt.change)
			said := b.advice()
			for _, want := range tt.want {
				if !strings.Contains(said, want) {
					t.Errorf("the page says %q, want %q in it", said, want)
				}
			}
			if tt.want == nil && said != "" {
				t.Errorf("nothing is wrong, and the page says %q", said)
			}
			if lines := strings.Count(strings.TrimSpace(said), "\n\n"); lines > 0 {
				t.Errorf("one thing is wrong, and the page says %q", said)
			}
			title := b.saveName()
			switch {
			case tt.refused && title != "This came from another site", !tt.refused && title != "Profile":
				t.Errorf("a form leads to %q", title)
			case tt.refused && !strings.Contains(b.advice(), "The form was refused"):
				t.Errorf("a form was refused, and the page says %q", b.advice())
			}
			b.run(chromedp.Navigate(b.page)) // enough pages without an asset
			if logged := strings.Count(b.log.String(), "mounted wrong"); (logged > 0) != (tt.want != nil) {
				t.Errorf("the log says %q", b.log)
			}
		})
	}
}

// A host's layout with a policy by nonce works, Trusted Types included, and says
// so where the page has another nonce than the policy.
func TestNonceInChromium(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		nonce func(*httpadapter.Config)
		want  []string
	}{
		"the nonce of the policy": {nonce: inOurPolicy},
		"another nonce": {
			nonce: func(c *httpadapter.Config) { c.Nonce = func(*http.Request) string { return "another" } },
			want:  []string{"lanyard.css is not there", "lanyard.js did not run"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := atNginx(t, "", "location / { "+rightly+" }", func(c *httpadapter.Config) {
				tt.nonce(c)
				c.Layout = func(w http.ResponseWriter, _ *http.Request, p httpadapter.Page) {
					w.Header().Add("Content-Security-Policy", "require-trusted-types-for 'script'; trusted-types 'none'")
					w.WriteHeader(p.Status)
					_, _ = fmt.Fprintf(w, "<!doctype html><html lang=%s><title>%s</title>%s<main>%s</main>", p.Lang, p.Title, p.Head, p.Body)
				}
			})
			said := b.advice()
			for _, want := range tt.want {
				if !strings.Contains(said, want) {
					t.Errorf("the page says %q, want %q in it", said, want)
				}
			}
			if tt.want == nil && said != "" {
				t.Errorf("nothing is wrong, and the page says %q", said)
			}
			if title := b.saveName(); title != "Profile" {
				t.Errorf("a form leads to %q", title)
			}
		})
	}
}

// Whose session ended while a form was open finds the way to the login, also
// where that is another site's: the page's policy lets forms go nowhere else,
// and Chromium holds their redirects to it as well
// (https://www.w3.org/TR/CSP3/#form-action-pre-navigate).
func TestSessionEndsInChromium(t *testing.T) {
	t.Parallel()
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>x</title><h1>The login</h1>"))
	}))
	t.Cleanup(idp.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(idp.URL, "http://"))
	ok(t, err)
	b := atNginx(t, "", "location / { "+rightly+" }", func(c *httpadapter.Config) { c.LoginURL = "http://" + elsewhere + ":" + port + "/" })
	if title := b.text("h1"); title != "The login" {
		t.Fatalf("the page leads to %q without a session", title)
	}
	b.run(chromedp.Navigate(strings.Replace(b.page, "/account/", "/login", 1)), chromedp.Navigate(b.page+"profile/edit"), clearCookies())
	b.submit()
	if title := b.text("h1"); title != "Please sign in" {
		t.Errorf("a form after the session's end leads to %q", title)
	}
	b.run(chromedp.Click("main a", chromedp.ByQuery), chromedp.WaitVisible("//h1[text()='The login']"))
}

// A browser shows the page in frames of its own origin and of those that the host
// names, and in nobody else's: a frame that it refuses asks for no asset.
func TestFramesInChromium(t *testing.T) {
	t.Parallel()
	var frames atomic.Pointer[string]
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>Portal</title>" + *frames.Load()))
	}))
	t.Cleanup(portal.Close)
	origin := "http://" + elsewhere + ":" + strings.Split(portal.URL, ":")[2]
	var asked sync.Map // by host and path
	host := func(name string, change func(*httpadapter.Config)) (frame string) {
		page := newHost(t, underNetHTTP, func(c *httpadapter.Config) {
			c.Identify = func(*http.Request) (lanyard.Principal, error) {
				return lanyard.Principal{Owner: lanyard.Owner{Subject: "ana"}}, nil
			}
			change(c)
		})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Store(name+" "+r.URL.Path, true)
			if r.URL.Path == "/framing" {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte("<!doctype html><title>Framing</title><iframe src=/account/></iframe>"))
				return
			}
			page.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		return "http://" + site + ":" + strings.Split(server.URL, ":")[2]
	}
	named := host("named", func(c *httpadapter.Config) { c.FrameAncestors = []string{origin} })
	other := host("other", func(c *httpadapter.Config) { c.FrameAncestors = []string{origin + "0"} })
	nobody := host("nobody", func(*httpadapter.Config) {})
	own := host("own", func(*httpadapter.Config) {})
	all := fmt.Sprintf("<iframe src=%s/account/></iframe><iframe src=%s/account/></iframe><iframe src=%s/account/></iframe>", named, other, nobody)
	frames.Store(&all)
	ctx, cancel := context.WithTimeout(newWindow(t), patience)
	defer cancel()
	ok(t, chromedp.Run(ctx, chromedp.Navigate(origin), chromedp.Navigate(own+"/framing"))) // each waits for its frames
	for name, want := range map[string]bool{"named": true, "other": false, "nobody": false, "own": true} {
		_, page := asked.Load(name + " /account/")
		_, style := asked.Load(name + " /account/assets/lanyard.css")
		if !page || style != want {
			t.Errorf("%s: the page was asked for = %t, and shown = %t, want %t", name, page, style, want)
		}
	}
}

func clearCookies() chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error { return network.ClearBrowserCookies().Do(ctx) })
}
