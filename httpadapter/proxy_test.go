package httpadapter_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
)

// agentsPlatform is a platform below /api that takes a key in Basic credentials
// and does what agents should not be able to misuse.
type agentsPlatform struct {
	blocked chan struct{} // told when /api/slow is reached
	gone    chan struct{} // told when its caller went

	mu      sync.Mutex
	rejects bool
	seen    []*http.Request
	bodies  []string
}

func (p *agentsPlatform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.seen, p.bodies = append(p.seen, r), append(p.bodies, string(body))
	rejects := p.rejects
	p.mu.Unlock()
	query := r.URL.Query()
	switch r.URL.Path {
	case "/api/me":
		if rejects {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id": 7}`)
	case "/api/echo":
		p.echo(w, r)
	case "/api/go":
		w.Header().Set("Location", query.Get("to"))
		w.WriteHeader(http.StatusTemporaryRedirect)
	case "/api/refused":
		w.Header().Set("WWW-Authenticate", `Basic realm="acme"`)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
	case "/api/slow":
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		p.blocked <- struct{}{}
		<-r.Context().Done()
		p.gone <- struct{}{}
	case "/api/stream":
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = fmt.Fprintf(w, "data: %s\n\n", r.Header.Get("Authorization"))
			_ = http.NewResponseController(w).Flush()
			p.blocked <- struct{}{}
		}
	case "/api/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, r.Header.Get("Authorization"))
		_ = z.Close()
	case "/api/br":
		w.Header().Set("Content-Encoding", "br")
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	default:
		w.Header().Set("X-Mine", "1")
		_, _ = io.WriteString(w, "ok")
	}
}

// echo repeats the credential in every way it can be written.
func (p *agentsPlatform) echo(w http.ResponseWriter, r *http.Request) {
	auth := r.Header.Get("Authorization")
	user, secret, _ := r.BasicAuth()
	for name, value := range map[string]string{
		"X-Echo": auth, "X-Secret": secret, "Location": "/api/x?key=" + url.QueryEscape(secret), "Link": `<https://x.example/?k=` + secret + `>`,
		"Set-Cookie": "session=" + secret, "WWW-Authenticate": `Basic realm="` + secret + `"`, "Authentication-Info": secret,
		"X-Accel-Redirect": "/etc/passwd", "Strict-Transport-Security": "max-age=1", "Access-Control-Allow-Origin": "*", "Alt-Svc": `h2="evil.example:443"`,
		"Clear-Site-Data": `"*"`, "Cache-Control": "public", "Lanyard-Answer": "ours", "Content-Security-Policy": "default-src *", "Trailer": "X-Trailing",
	} {
		w.Header().Set(name, value)
	}
	var all bytes.Buffer
	_ = json.NewEncoder(&all).Encode(map[string]any{"headers": r.Header, "user": user})
	for offset := range 4 {
		all.WriteString("\n" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("-", offset)+secret+"--")))
		all.WriteString("\n" + base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("-", offset)+secret+"--")))
	}
	for _, text := range []string{secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))} {
		all.WriteString("\n" + text)
	}
	// In small pieces, so that no piece holds it whole.
	for piece := range slices.Chunk(all.Bytes(), 5) {
		_, _ = w.Write(piece)
		_ = http.NewResponseController(w).Flush()
	}
	w.Header().Set("X-Trailing", secret)
}

func (p *agentsPlatform) reject() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rejects = true
}

func (p *agentsPlatform) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

func (p *agentsPlatform) last() (*http.Request, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[len(p.seen)-1], p.bodies[len(p.bodies)-1]
}

const agentsSecret = apiCanary + "/agents+8sLk2m5xZv"

// agentsWorld is a world with a Proxy below /agents, ana's connection and a key
// of hers that may use it.
type agentsWorld struct {
	*apiWorld
	platform *agentsPlatform
	url      string // of the server with the Proxy
	base     string // of the platform
	id       string
	key      string

	mu    sync.Mutex
	calls []providertoken.Call
}

func newAgentsWorld(t *testing.T, o *httpadapter.ProxyOptions, change func(*providertoken.Options), open func(testing.TB) store.Store) *agentsWorld {
	t.Helper()
	w := &agentsWorld{platform: &agentsPlatform{blocked: make(chan struct{}, 9), gone: make(chan struct{}, 9)}}
	server, err := providertest.NewServer(w.platform)
	mustAPI(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w.base = server.URL() + "/api"
	w.apiWorld = newAPIWorld(t, apiOptions{
		store: open,
		keys:  func(o *apikey.Options) { o.Scopes = append(o.Scopes, httpadapter.ScopeUseProviderTokens) },
		tokens: func(o *providertoken.Options) {
			o.Providers = append(o.Providers, providertoken.Definition{
				ID: "acme", Name: "Acme", Instance: providertoken.InstanceSpec{Mode: providertoken.ModeOperator},
				Methods: []providertoken.Method{{
					ID: "key", Label: "Key", Fields: []providertoken.Field{{Name: "email", Label: "E-mail", Public: true}, {Name: "key", Label: "Key"}},
					Headers: map[string]string{"Authorization": "Basic {b64:{email}:{key}}"},
				}},
				Verify: []providertoken.Probe{{Path: "/me", Identity: providertoken.Identity{ID: "id"}}},
			})
			o.Instances = append(o.Instances, providertoken.Instance{
				ID: "acme-x", Provider: "acme", Base: w.base, RootCAs: server.RootCAs(), Networks: server.Networks(),
			})
			o.OnCall = func(_ context.Context, c providertoken.Call) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.calls = append(w.calls, c)
			}
			if change != nil {
				change(o)
			}
		},
	})
	token, err := w.tokens.Create(t.Context(), ownerOf(ana), providertoken.CreateRequest{
		ProviderID: "acme-x", Fields: map[string]string{"email": "ana@acme.example"},
		Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret(agentsSecret)},
	})
	mustAPI(t, err)
	w.id = token.ID
	_, w.key = w.newKey(ana, httpadapter.ScopeUseProviderTokens)
	if o == nil {
		o = &httpadapter.ProxyOptions{}
	}
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/agents", httpadapter.Proxy(w.tokens, w.keys, o))
	proxy := httptest.NewServer(mux)
	t.Cleanup(proxy.Close)
	w.url = proxy.URL + "/agents/"
	return w
}

// request makes a request of an agent with ana's key, to what is below the
// connection.
func (w *agentsWorld) request(method, below, body string, headers ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+w.id+below, strings.NewReader(body))
	mustAPI(w.t, err)
	r.Header.Set("Authorization", "Bearer "+w.key)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// agent is an agent's own client, which follows nothing.
var agent = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (w *agentsWorld) do(r *http.Request) apiAnswer {
	w.t.Helper()
	res, err := agent.Do(r)
	mustAPI(w.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Errorf("%s %s breaks off: %v", r.Method, r.URL.Path, err)
	}
	a := apiAnswer{t: w.t, what: r.Method + " " + r.URL.RequestURI(), status: res.StatusCode, header: res.Header, body: body}
	for name, values := range res.Trailer {
		a.header[name] = append(a.header[name], values...)
	}
	w.hear(exchange{Method: r.Method, Target: r.URL.RequestURI(), Status: a.status, AnswerHeader: a.header, Answer: a.body})
	return a
}

// ours checks that an answer is a problem of ours, and nothing of a platform's.
func (a apiAnswer) ours(status int, code string) apiAnswer {
	a.t.Helper()
	var body map[string]any
	if err := json.Unmarshal(a.body, &body); err != nil {
		a.t.Fatalf("%s = %d %s, want a problem", a.what, a.status, a.body)
	}
	if a.status != status || body["code"] != code || a.header.Get("Content-Type") != "application/problem+json" ||
		a.header.Get("Cache-Control") != "no-store" || a.header.Get(httpadapter.HeaderAnswer) != "" {
		a.t.Errorf("%s = %d %v with %v, want our %d %s", a.what, a.status, body["code"], a.header, status, code)
	}
	return a
}

func TestProxyForwards(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAgentsWorld(t, nil, nil, open)
		a := w.do(w.request("POST", "/projects/acme%2Fhub/issues?state=open&q=a+b", `{"x":1}`,
			"Lanyard-Agent", "planner", "Lanyard-Purpose", "weekly report", "Content-Type", "application/json", "X-Mine", "1", "User-Agent", "planner/2",
			"Cookie", "session=of-the-agent", "X-Forwarded-For", "of-the-agent", "X-Forwarded-User", "of-the-agent", "Forwarded", "for=of-the-agent", "X-Real-IP", "of-the-agent",
			"Proxy-Authorization", "of-the-agent", "X-Api-Key", "of-the-agent", "private_token", "of-the-agent", "Referer", "https://of-the-agent", "Origin", "https://of-the-agent",
			"X-Remote-User", "of-the-agent", "Baggage", "a=of-the-agent", "Connection", "X-Hop", "X-Hop", "of-the-agent", "Range", "bytes=1-2", "Via", "of-the-agent"))
		if a.status != 200 || string(a.body) != "ok" || a.header.Get("X-Mine") != "1" || a.header.Get(httpadapter.HeaderAnswer) != "platform" {
			t.Fatalf("a call = %d %s %v, want the platform's answer", a.status, a.body, a.header)
		}
		seen, body := w.platform.last()
		if seen.Method != http.MethodPost || seen.RequestURI != "/api/projects/acme%2Fhub/issues?state=open&q=a+b" || body != `{"x":1}` {
			t.Errorf("the platform saw %s %s %s", seen.Method, seen.RequestURI, body)
		}
		if user, secret, ok := seen.BasicAuth(); !ok || user != "ana@acme.example" || secret != agentsSecret || len(seen.Header.Values("Authorization")) != 1 {
			t.Error("the call did not carry the connection's credential and nothing else")
		}
		text := fmt.Sprint(seen.Header, seen.Host)
		for _, not := range []string{"of-the-agent", w.key, "Lanyard", "Range", "X-Forwarded"} {
			if strings.Contains(text, not) {
				t.Errorf("%q went to the platform: %s", not, strings.ReplaceAll(text, w.key, "[the key]"))
			}
		}
		if seen.Header.Get("X-Mine") != "1" || seen.Header.Get("User-Agent") != "planner/2" || seen.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the agent's own headers are missing: %s", text)
		}
		if seen.Host != strings.TrimSuffix(strings.TrimPrefix(w.base, "https://"), "/api") {
			t.Errorf("the call was for host %s", seen.Host)
		}
		for below, want := range map[string]string{"": "/api", "/": "/api/", "/x/": "/api/x/", "/a%20b;c=d": "/api/a%20b;c=d"} {
			w.do(w.request("GET", below, ""))
			if seen, _ := w.platform.last(); seen.URL.EscapedPath() != want {
				t.Errorf("%q went to %s, want %s", below, seen.URL.EscapedPath(), want)
			}
		}
		// The platform's own refusals are told from ours.
		a = w.do(w.request("GET", "/refused", ""))
		if a.status != 401 || a.header.Get(httpadapter.HeaderAnswer) != "platform" || a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("the platform's 401 = %d %v", a.status, a.header)
		}
		if a := w.do(w.request("HEAD", "/things", "")); a.status != 200 || a.header.Get(httpadapter.HeaderAnswer) != "platform" {
			t.Errorf("HEAD = %d %v", a.status, a.header)
		}
		// What a query says of who calls does not go out.
		w.do(w.request("GET", "/things?private_token=x&a=1&ACCESS_TOKEN=y&b=2&%61pikey=z", ""))
		if seen, _ := w.platform.last(); seen.URL.RawQuery != "a=1&b=2" {
			t.Errorf("the query that went out is %q, want a=1&b=2", seen.URL.RawQuery)
		}
	})
}

// The credential is in no answer, however the platform repeats it.
func TestProxyMasksTheCredential(t *testing.T) {
	t.Parallel()
	w := newAgentsWorld(t, nil, nil, nil)
	a := w.do(w.request("GET", "/echo", ""))
	if a.status != 200 || len(a.body) < 500 {
		t.Fatalf("echo = %d %s", a.status, a.body)
	}
	text := string(a.body) + fmt.Sprint(a.header)
	forbidden := []string{
		agentsSecret, url.QueryEscape(agentsSecret), hex.EncodeToString([]byte(agentsSecret)), strings.ToUpper(hex.EncodeToString([]byte(agentsSecret))),
		base64.StdEncoding.EncodeToString([]byte("ana@acme.example:" + agentsSecret)),
		strings.ReplaceAll(agentsSecret, "/", `\/`), agentsSecret[3:], agentsSecret[:len(agentsSecret)-3],
	}
	for offset := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("-", offset) + agentsSecret + "--"))
		forbidden = append(forbidden, encoded[4:len(encoded)-8])
	}
	for _, secret := range forbidden {
		if strings.Contains(text, secret) {
			t.Errorf("an answer repeats the credential as %d characters", len(secret))
		}
	}
	for _, name := range []string{
		"Set-Cookie", "WWW-Authenticate", "Authentication-Info", "X-Accel-Redirect", "Strict-Transport-Security",
		"Access-Control-Allow-Origin", "Alt-Svc", "Clear-Site-Data", "X-Trailing", "Trailer",
	} {
		if a.header.Get(name) != "" {
			t.Errorf("the answer has the platform's %s", name)
		}
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Lanyard-Answer": "platform",
		"Content-Security-Policy": "default-src 'none'; sandbox", "X-Secret": strings.Repeat("*", len(agentsSecret)),
	} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	// Compressed or not, asked for or not.
	for _, header := range []string{"", "gzip", "br"} {
		a := w.do(w.request("GET", "/gzip", "", "Accept-Encoding", header))
		if a.status != 200 || a.header.Get("Content-Encoding") != "" || !strings.HasPrefix(string(a.body), "Basic ") || strings.Count(string(a.body), "*") < len(agentsSecret) {
			t.Errorf("gzip with %q = %d %s", header, a.status, a.body)
		}
	}
	w.do(w.request("GET", "/br", "")).ours(502, "platform-unreadable")
	w.do(w.request("GET", "/gzip", "", "Range", "bytes=3-9"))
	if seen, _ := w.platform.last(); seen.Header.Get("Range") != "" {
		t.Error("a part of an answer was asked for")
	}
}

func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAgentsWorld(t, &httpadapter.ProxyOptions{MaxBody: 1000}, nil, open)
		before := w.platform.count()
		_, bens := w.newKey(ben, httpadapter.ScopeUseProviderTokens)
		_, lacks := w.newKey(ana, "read", "write")
		as := func(key string, r *http.Request) *http.Request {
			r.Header.Set("Authorization", "Bearer "+key)
			return r
		}
		w.do(as("", w.request("GET", "/things", ""))).ours(401, "unauthenticated")
		w.do(as("aic_x", w.request("GET", "/things", ""))).ours(401, "unauthenticated")
		w.do(as(lacks, w.request("GET", "/things", ""))).ours(403, "forbidden")
		w.do(w.request("GET", "/things?key="+w.key, "")).ours(400, "malformed-request")
		foreign := w.do(as(bens, w.request("GET", "/things", ""))).ours(404, "not-found")
		id := w.id
		for _, other := range []string{lanyard.NewID(), "x", strings.ToUpper(w.id), w.id + "x", "%2e%2e", "a%2fb"} {
			w.id = other
			unknown := w.do(w.request("GET", "/things", "")).ours(404, "not-found")
			if withoutID(unknown.body) != withoutID(foreign.body) {
				t.Errorf("an unknown id = %s, somebody else's = %s", unknown.body, foreign.body)
			}
		}
		w.id = id
		for _, below := range []string{
			"/%2e%2e/me", "/a/%2e%2e%2fme", "/..;/me", "/a/..;x=1/b", "/a%5c..%5cme", "/%252e%252e/me", "/a%00b", "/a%0d%0ab", "/%2e/me", `/a%5Cb`, "/a/..%20/me", "/a/%20../me", "/a/..%20;x/me", "/a/..%c2%a0/me",
		} {
			w.do(w.request("GET", below, "")).ours(400, "malformed-request")
		}
		for _, header := range [][]string{
			{"Upgrade", "websocket", "Connection", "Upgrade"}, {"Upgrade", "h2c"},
			{"Lanyard-Agent", "a", "Lanyard-Agent", "b"}, {"Lanyard-Purpose", strings.Repeat("x", 201)}, {"Lanyard-Agent", "a\tb"},
		} {
			w.do(w.request("GET", "/things", "", header...)).ours(400, "malformed-request")
		}
		w.do(w.request("POST", "/things", strings.Repeat("x", 1001))).ours(413, "too-large")
		w.do(w.request("TRACE", "/things", "")).ours(405, "method-not-allowed")
		if n := w.platform.count() - before; n != 0 {
			t.Errorf("%d refused calls arrived", n)
		}
		chunked := w.request("POST", "/things", "")
		chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 5000))), -1
		w.do(chunked).ours(413, "too-large")
		w.do(w.request("POST", "/things", strings.Repeat("x", 1000))).is(200)

		w.platform.reject()
		w.do(w.request("GET", "/refused", "")).is(401) // and the service asks
		w.do(w.request("GET", "/things", "")).ours(409, "needs-attention")
		mustAPI(t, w.tokens.Delete(t.Context(), ownerOf(ana), w.id, 0))
		w.do(w.request("GET", "/things", "")).ours(404, "not-found")
		before = w.platform.count()
		mustAPI(t, w.store.Close())
		w.do(w.request("GET", "/things", "")).ours(503, "unavailable")
		if n := w.platform.count() - before; n != 0 {
			t.Errorf("%d refused calls arrived", n)
		}
	})
}

// withoutID is a problem without what is different each time.
func withoutID(body []byte) string {
	text := string(body)
	if i := strings.Index(text, `"request_id"`); i >= 0 {
		text = text[:i]
	}
	return text
}

// A connection that is deleted ends a proxied agent's next call, in every
// process.
func TestProxyOfADeletedConnection(t *testing.T) {
	t.Parallel()
	w := newAgentsWorld(t, nil, nil, nil)
	w.do(w.request("GET", "/things", "")).is(200)
	mustAPI(t, w.tokens.Delete(t.Context(), ownerOf(ana), w.id, 0))
	before := w.platform.count()
	w.do(w.request("GET", "/things", "")).ours(404, "not-found")
	if w.platform.count() != before {
		t.Error("the call arrived all the same")
	}
}

// A connection whose credential works at another base of its platform is called
// there: at the one that is stored, whichever it is now.
func TestProxyFollowsTheStoredBase(t *testing.T) {
	t.Parallel()
	const scoped, whole = "scoped-4fJr0c9wTq", "whole-8sLk2m5xZv"
	fake := providertest.JiraCloud(providertest.Tokens{scoped: {ID: "7", Name: "Ana", Scoped: true}, whole: {ID: "7", Name: "Ana"}}.Account)
	server, err := providertest.NewServer(fake)
	mustAPI(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newAgentsWorld(t, nil, func(o *providertoken.Options) {
		o.Instances = append(o.Instances, providertoken.Instance{
			ID: "cloud", Provider: "jira-cloud", Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
			Alternatives: map[string]string{"gateway": server.URL() + "/ex/jira/{cloud_id}"},
		})
	}, nil)
	token, err := w.tokens.Create(t.Context(), ownerOf(ana), providertoken.CreateRequest{
		ProviderID: "cloud", Fields: map[string]string{"email": "ana@acme.example", "site": "acme"},
		Secrets: map[string]lanyard.Secret{"api_token": lanyard.NewSecret(scoped)},
	})
	mustAPI(t, err)
	w.id = token.ID
	called := func() string {
		t.Helper()
		w.do(w.request("GET", "/rest/api/3/myself", "")).is(200)
		asked := fake.Requests()
		return asked[len(asked)-1].Path
	}
	if got, want := called(), strings.TrimPrefix(token.Base, server.URL())+"/rest/api/3/myself"; got != want || !strings.HasPrefix(got, "/ex/jira/") {
		t.Errorf("with a token with scopes %s was called, want %s at the gateway", got, want)
	}
	_, err = w.tokens.Update(t.Context(), ownerOf(ana), token.ID, providertoken.UpdateRequest{
		Secrets: map[string]lanyard.Secret{"api_token": lanyard.NewSecret(whole)},
	})
	mustAPI(t, err)
	if got := called(); got != "/rest/api/3/myself" {
		t.Errorf("with a token without scopes %s was called, want the site", got)
	}
}

func TestProxyOfAnUnreachablePlatform(t *testing.T) {
	t.Parallel()
	w := newAgentsWorld(t, nil, nil, nil)
	token := w.newToken(ana, "")
	w.unplugAll()
	w.id = token
	w.do(w.request("GET", "/rest/api/2/search", "")).ours(502, "platform-unreachable")
}

// Policies of the host hold for those who come by the Proxy.
func TestProxyPolicies(t *testing.T) {
	t.Parallel()
	w := newAgentsWorld(t, nil, func(o *providertoken.Options) {
		o.Policy = providertoken.Policy{RequireAgent: true, RequirePurpose: true}
		o.Policies = map[string]providertoken.Policy{"acme": {Agents: []string{"planner"}}, "acme-x": {ReadOnly: true}}
	}, nil)
	before := w.platform.count()
	w.do(w.request("GET", "/things", "")).ours(400, "malformed-request")
	w.do(w.request("GET", "/things", "", "Lanyard-Agent", "planner")).ours(400, "malformed-request")
	w.do(w.request("GET", "/things", "", "Lanyard-Agent", "other", "Lanyard-Purpose", "p")).ours(403, "forbidden")
	w.do(w.request("POST", "/things", "x", "Lanyard-Agent", "planner", "Lanyard-Purpose", "p")).ours(403, "forbidden")
	if n := w.platform.count() - before; n != 0 {
		t.Errorf("%d refused calls arrived", n)
	}
	w.do(w.request("GET", "/things", "", "Lanyard-Agent", "planner", "Lanyard-Purpose", "p")).is(200)
	// For reading means that no header says otherwise.
	w.do(w.request("GET", "/things", "", "Lanyard-Agent", "planner", "Lanyard-Purpose", "p", "X-HTTP-Method-Override", "DELETE"))
	if seen, _ := w.platform.last(); seen.Header.Get("X-Http-Method-Override") != "" {
		t.Error("a use for reading named another method")
	}
}

// A host may decide by the key who the agent is.
func TestProxyUseOfTheHost(t *testing.T) {
	t.Parallel()
	w := newAgentsWorld(t, &httpadapter.ProxyOptions{Use: func(_ *http.Request, p lanyard.Principal) providertoken.Use {
		return providertoken.Use{AgentID: "agent of " + p.KeyID, ReadOnly: true}
	}}, nil, nil)
	w.do(w.request("POST", "/things", "x")).ours(403, "forbidden")
	w.do(w.request("GET", "/things", "", "Lanyard-Agent", "somebody")).is(200)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.calls) != 1 || !strings.HasPrefix(w.calls[0].AgentID, "agent of ") {
		t.Errorf("calls = %+v, want one of the host's own name", w.calls)
	}
}

// No redirect is followed, wherever it leads, and none takes the credential.
func TestProxyRedirects(t *testing.T) {
	t.Parallel()
	thief := &agentsPlatform{}
	elsewhere, err := providertest.NewServer(thief)
	mustAPI(t, err)
	t.Cleanup(func() { _ = elsewhere.Close(context.Background()) })
	w := newAgentsWorld(t, nil, nil, nil)
	origin := strings.TrimSuffix(w.base, "/api")
	host := strings.TrimPrefix(origin, "https://")
	for _, c := range []struct{ below, to, want string }{
		{"/go", "/api/stay?x=1#f", "./stay?x=1#f"},
		{"/go", w.base + "/a%2Fb/c/", "./a%2Fb/c/"},
		{"/go", w.base, "./"},
		{"/go", "stay", "./stay"},
		{"/go", "/elsewhere", origin + "/elsewhere"},
		{"/go", "/apix", origin + "/apix"},
		{"/go", "../out", origin + "/out"},
		{"/go", elsewhere.URL() + "/", elsewhere.URL() + "/"},
		{"/go", "http://" + host + "/api/x", "http://" + host + "/api/x"},
		{"/go", "//evil.example/api/x", "https://evil.example/api/x"},
		{"/go", "https://evil.example\\@" + host + "/", ""},
		{"/go", "https://user@" + host + "/api/x", "https://user@" + host + "/api/x"},
		{"/go", "/api/go", "./go"}, // without an end
	} {
		var a apiAnswer
		for _, r := range []*http.Request{w.request("POST", c.below+"?to="+url.QueryEscape(c.to), "body"), w.request("GET", c.below+"?to="+url.QueryEscape(c.to), "")} {
			before := w.platform.count()
			a = w.do(r)
			if got := a.header.Get("Location"); a.status != 307 || got != c.want {
				t.Errorf("a redirect to %s = %d %q, want %q", c.to, a.status, got, c.want)
			}
			if n := w.platform.count() - before; n != 1 {
				t.Errorf("a redirect to %s made %d calls, want 1", c.to, n)
			}
		}
		// A client that follows it within the Proxy arrives there.
		if led, err := url.Parse(a.header.Get("Location")); err == nil && strings.HasPrefix(c.want, "./") {
			asked, err := url.Parse(w.url + w.id + "/go")
			mustAPI(t, err)
			if to := asked.ResolveReference(led); !strings.HasPrefix(to.String(), w.url+w.id+"/") {
				t.Errorf("a redirect to %s leads to %s", c.to, to)
			}
		}
	}
	if thief.count() != 0 {
		t.Errorf("%d calls followed a redirect elsewhere", thief.count())
	}
}

// A caller who goes ends the call, and one who waits too long is let go.
func TestProxyEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	w := newAgentsWorld(t, nil, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	res, err := agent.Do(w.request("GET", "/slow", "").WithContext(ctx))
	mustAPI(t, err)
	<-w.platform.blocked
	cancel()
	<-w.platform.gone
	_ = res.Body.Close()

	// Long enough for the head of the answer on a busy machine.
	w = newAgentsWorld(t, &httpadapter.ProxyOptions{Timeout: 2 * time.Second}, nil, nil)
	res, err = agent.Do(w.request("GET", "/slow", ""))
	mustAPI(t, err)
	defer func() { _ = res.Body.Close() }()
	if _, err := io.ReadAll(res.Body); err == nil || res.StatusCode != http.StatusOK {
		t.Fatalf("an answer that was cut off = %d, %v, want 200 that looks cut off", res.StatusCode, err)
	}
	<-w.platform.gone
}

// A stream goes on as it comes, and is masked all the same.
func TestProxyStreams(t *testing.T) {
	t.Parallel()
	w := newAgentsWorld(t, nil, nil, nil)
	w.platform.blocked = make(chan struct{}) // the platform waits until each is read
	res, err := agent.Do(w.request("GET", "/stream", ""))
	mustAPI(t, err)
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewReader(res.Body)
	for range 3 {
		line, err := lines.ReadString('\n')
		mustAPI(t, err)
		if !strings.HasPrefix(line, "data: Basic ") || strings.Count(line, "*") < len(agentsSecret) {
			t.Errorf("a line of the stream is %q", line)
		}
		_, err = lines.ReadString('\n')
		mustAPI(t, err)
		<-w.platform.blocked
	}
}

// Each call is recorded with who, what for, how, where and how it ended, and not
// with what was asked.
func TestProxyRecords(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAgentsWorld(t, nil, nil, open)
		const asked = "asked-for-this"
		for range 3 {
			w.do(w.request("POST", "/"+asked+"?q="+asked, asked, "Lanyard-Agent", "planner", "Lanyard-Purpose", "weekly report", "X-Request-Id", "request-0001"))
		}
		w.do(w.request("GET", "/refused", "", "Lanyard-Agent", "planner"))
		events, err := w.store.Events(t.Context(), ownerOf(ana), store.EventCursor{}, 100)
		mustAPI(t, err)
		host := strings.TrimSuffix(strings.TrimPrefix(w.base, "https://"), "/api")
		var called []string
		for _, e := range events {
			if strings.Contains(fmt.Sprintf("%+v", e), asked) {
				t.Errorf("the history says what was asked: %+v", e)
			}
			if e.Action == providertoken.ActionCalled {
				called = append(called, strings.Join([]string{e.Detail["agent"], e.Detail["purpose"], e.Detail["method"], e.Detail["host"], e.Detail["status"]}, "|"))
				if e.Object != w.id || e.Via != lanyard.ViaAPIKey || e.Detail["key_id"] == "" || e.IP == "" {
					t.Errorf("a call is recorded as %+v", e)
				}
			}
		}
		slices.Sort(called)
		if want := []string{"planner|weekly report|POST|" + host + "|200", "planner||GET|" + host + "|401"}; !slices.Equal(called, want) {
			t.Errorf("the history has %q, want %q", called, want)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.calls) != 4 {
			t.Fatalf("%d calls were heard, want 4", len(w.calls))
		}
		c := w.calls[0]
		c.Took, c.At = 0, time.Time{}
		if want := (providertoken.Call{Owner: ownerOf(ana), TokenID: w.id, Provider: "acme-x", AgentID: "planner", Purpose: "weekly report", Method: "POST", Host: host, Status: 200}); c != want {
			t.Errorf("a call was heard as %+v, want %+v", c, want)
		}
		if text := w.log.String(); strings.Contains(text, asked) || strings.Count(text, `"msg":"provider called"`) != 4 || !strings.Contains(text, "request-0001") {
			t.Errorf("the log has %d calls, or what was asked", strings.Count(text, `"msg":"provider called"`))
		}
	})
}

// A panic of a hook is a 500 that says nothing of what was panicked with.
func TestProxyPanics(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	logger := newTextLogger(&log)
	for name, w := range map[string]*agentsWorld{
		"use": newAgentsWorld(t, &httpadapter.ProxyOptions{Logger: logger, Use: func(*http.Request, lanyard.Principal) providertoken.Use {
			panic(agentsSecret)
		}}, nil, nil),
		"call": newAgentsWorld(t, &httpadapter.ProxyOptions{Logger: logger}, func(o *providertoken.Options) {
			o.OnCall = func(context.Context, providertoken.Call) { panic(agentsSecret) }
		}, nil),
	} {
		a := w.do(w.request("GET", "/things", "")).ours(500, "internal-error")
		if strings.Contains(string(a.body)+log.String(), apiCanary) || !strings.Contains(log.String(), "proxy panicked") {
			t.Errorf("%s: the answer or the log is %s %s", name, a.body, log.String())
		}
	}
}

// The scope has to be one of those that keys can have.
func TestProxyWithoutItsScope(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	w := newAPIWorld(t, apiOptions{})
	_, key := w.newKey(ana, "read")
	h := httpadapter.Proxy(w.tokens, w.keys, &httpadapter.ProxyOptions{Logger: newTextLogger(&log)})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/"+w.newToken(ana, "")+"/x", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	out := httptest.NewRecorder()
	h.ServeHTTP(out, r)
	if out.Code != 403 || !strings.Contains(log.String(), "provider-tokens:use") {
		t.Errorf("without the scope: %d, log %q, want 403 and a word to the operator", out.Code, log.String())
	}
}

// An agent gets no connection of another protocol.
func TestProxyDoesNotUpgrade(t *testing.T) {
	t.Parallel()
	w := newAgentsWorld(t, nil, nil, nil)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(w.url, "http://"), "/agents/"))
	mustAPI(t, err)
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET /agents/%s/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", w.id, w.key)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 400 ") {
		t.Errorf("a websocket = %q, %v, want 400", line, err)
	}
}

func newTextLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
