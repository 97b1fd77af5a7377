package httpadapter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// hostAPI is a host's handler, which notes what it was given.
type hostAPI struct {
	calls     int
	principal lanyard.Principal
	header    http.Header
}

func (h *hostAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.calls++
	h.principal, _ = lanyard.PrincipalFrom(r.Context())
	h.header = r.Header
	w.WriteHeader(http.StatusNoContent)
}

// guard sends a request with these Authorization headers through RequireKey.
func guard(w *apiWorld, o *httpadapter.KeyOptions, next http.Handler, target string, authorization ...string) apiAnswer {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, target, nil)
	for _, value := range authorization {
		r.Header.Add("Authorization", value)
	}
	sent := r.Header.Clone()
	out := httptest.NewRecorder()
	httpadapter.RequireKey(w.keys, o)(next).ServeHTTP(out, r)
	if fmt.Sprint(r.Header) != fmt.Sprint(sent) {
		w.t.Errorf("RequireKey changed the caller's own request")
	}
	a := apiAnswer{t: w.t, what: "GET " + target, status: out.Code, header: out.Header(), body: out.Body.Bytes()}
	if out.Code >= 400 {
		if got := a.header.Get("Content-Type") + " " + a.header.Get("Cache-Control") + " " + a.header.Get("X-Content-Type-Options"); got != "application/problem+json no-store nosniff" {
			w.t.Errorf("%s = %d with the headers %v", a.what, a.status, a.header)
		}
		var body map[string]any
		mustAPI(w.t, json.Unmarshal(a.body, &body))
		a.checkValues("", body)
	}
	w.hear(exchange{Method: "GET", Target: target, Status: a.status, AnswerHeader: a.header, Answer: a.body})
	return a
}

func TestRequireKey(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		id, secret := w.newKey(ana, "read", "write")
		host := new(hostAPI)
		for _, scheme := range []string{"Bearer ", "bearer ", "BEARER   "} {
			if a := guard(w, nil, host, "/api/hello?q=1", scheme+secret); a.status != 204 {
				t.Fatalf("a good key with %q = %d %s", scheme, a.status, a.body)
			}
		}
		p := host.principal
		if host.calls != 3 || p.Owner != ownerOf(ana) || p.Via != lanyard.ViaAPIKey || p.KeyID != id || !slices.Equal(p.Scopes, []string{"read", "write"}) || p.Email != "" {
			t.Errorf("the host's handler saw %+v, want ana's key and nothing else", p)
		}
		if got := host.header.Values("Authorization"); len(got) > 0 {
			t.Errorf("the host's handler saw the Authorization header")
		}
	})
}

// A scope that no key can have is told when the handler is made, once, with its
// name; the calls are refused.
func TestRequireKeySaysWhichScopeIsUnknown(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, secret := w.newKey(ana, "read", "write")
	var heard safeBuffer
	o := &httpadapter.KeyOptions{Scopes: []string{"read", "wirte"}, Logger: slog.New(slog.NewTextHandler(&heard, nil))}
	require := httpadapter.RequireKey(w.keys, o)
	for range 2 {
		require(new(hostAPI))
	}
	said := heard.String()
	if strings.Count(said, "level=ERROR") != 1 || !strings.Contains(said, "scopes=[wirte]") {
		t.Errorf("RequireKey with a mistyped scope logged %q, want one error that names it", said)
	}
	host := new(hostAPI)
	a := guard(w, o, host, "/api", "Bearer "+secret).refused(403, "forbidden")
	if !strings.Contains(string(a.body), `"detail":"no key can have the scope wirte: it is not offered here"`) {
		t.Errorf("the 403 of a mistyped scope is %s, want it named", a.body)
	}
	heard = safeBuffer{}
	guard(w, &httpadapter.KeyOptions{Scopes: []string{"read", "write"}, Logger: o.Logger}, host, "/api", "Bearer "+secret)
	if said := heard.String(); said != "" || host.calls != 1 {
		t.Errorf("RequireKey with scopes that are offered logged %q and called the handler %d times, want nothing and once", said, host.calls)
	}
}

// A key that lacks a scope is told which, and a refusal ends its line, as for a
// terminal.
func TestRequireKeyNamesTheScope(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, secret := w.newKey(ana, "read")
	for want, scopes := range map[string][]string{
		"the key lacks the scope write":         {"write"},
		"the key lacks the scope read or write": {"read", "write"},
	} {
		a := guard(w, &httpadapter.KeyOptions{Scopes: scopes}, new(hostAPI), "/api", "Bearer "+secret).refused(403, "forbidden")
		if !strings.Contains(string(a.body), `"detail":"`+want+`"`) {
			t.Errorf("the 403 of a key without %q is %s, want %q", scopes, a.body, want)
		}
	}
	for _, a := range []apiAnswer{
		guard(w, nil, new(hostAPI), "/api"), w.call(session(ana), "GET", "/nothing", ""),
	} {
		if n := strings.Count(string(a.body), "\n"); n != 1 || !strings.HasSuffix(string(a.body), "\n") {
			t.Errorf("%s = %q, want one line with its end", a.what, a.body)
		}
	}
}

// Who calls a Proxy that no key can call learns why, and so does the Logger when
// it is made.
func TestScopeThatIsNotOfferedIsNeverSilent(t *testing.T) {
	t.Parallel()
	keys, err := apikey.NewService(memory.New(), &apikey.Options{Prefix: "aic", Scopes: []string{"read"}})
	mustAPI(t, err)
	t.Cleanup(func() { _ = keys.Close(context.WithoutCancel(t.Context())) })
	made, err := keys.Create(t.Context(), lanyard.Owner{Subject: ana}, apikey.CreateRequest{Name: "agent", Scopes: []string{"read"}})
	mustAPI(t, err)
	var said safeBuffer
	logger := slog.New(slog.NewTextHandler(&said, nil))
	for _, o := range []*httpadapter.ProxyOptions{nil, {Logger: logger}} {
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/agents/some-id/", nil)
		r.Header.Set("Authorization", "Bearer "+made.Secret.Reveal())
		httpadapter.Proxy(nil, keys, o).ServeHTTP(w, r)
		if want := `"detail":"no key can have the scope provider-tokens:use: it is not offered here"`; w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), want) {
			t.Errorf("a Proxy whose scope is not offered answers %d %s, want 403 with %s", w.Code, w.Body, want)
		}
	}
	if !strings.Contains(said.String(), "a handler wants scopes that no api key can have") || !strings.Contains(said.String(), "[provider-tokens:use]") {
		t.Errorf("a Proxy whose scope is not offered logs %q", said.String())
	}
}

// Inside of a guarded handler no key is left: a second guard refuses, or has Else
// serve, and never takes the principal of the first for its own.
func TestRequireKeyInsideOfAnother(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, secret := w.newKey(ana, "read", "write")
	host := new(hostAPI)
	inner := httpadapter.RequireKey(w.keys, &httpadapter.KeyOptions{Scopes: []string{"read"}})
	guard(w, nil, inner(host), "/api", "Bearer "+secret).refused(401, "unauthenticated")
	if host.calls != 0 {
		t.Errorf("the handler inside of two guards was called %d times, want none", host.calls)
	}
	inner = httpadapter.RequireKey(w.keys, &httpadapter.KeyOptions{Else: func(next http.Handler) http.Handler { return next }})
	if a := guard(w, nil, inner(host), "/api", "Bearer "+secret); a.status != 204 || host.calls != 1 || host.principal.Owner != ownerOf(ana) {
		t.Errorf("Else inside of a guard = %d, called %d times for %+v, want once for the key of the outer", a.status, host.calls, host.principal.Owner)
	}
}

// A key comes in one header and nowhere else.
func TestRequireKeyTakesOneHeader(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, good := w.newKey(ana)
	deletedID, deleted := w.newKey(ana)
	mustAPI(t, w.keys.Delete(t.Context(), ownerOf(ana), deletedID, 0))
	host := new(hostAPI)
	if got := guard(w, nil, host, "/api").refused(401, "unauthenticated"); got.whole() != guard(w, nil, host, "/api", "Bearer "+deleted).whole() {
		t.Errorf("no header at all = %s, want as for a deleted key", got.whole())
	}
	guard(w, nil, host, "/api", "Bearer "+good, "Bearer "+good).refused(400, "malformed-request")
	for _, target := range []string{"/api?key=" + good, "/api?" + good, "/api?a=b&a=" + good, "/api?key=" + deleted, "/api?%6bey=%61" + good[1:], "/api?a=Bearer+" + good, "/api?a=%22" + good + "%22", "/api?x=%zz&key=" + good, "/api?x=1;key=" + good, "/api?key=" + good + "%zz"} {
		guard(w, nil, host, target, "Bearer "+good).refused(400, "malformed-request")
		guard(w, &httpadapter.KeyOptions{Else: func(h http.Handler) http.Handler { return h }}, host, target).refused(400, "malformed-request")
	}
	if host.calls != 0 {
		t.Errorf("the host's handler was called %d times without a good key", host.calls)
	}
}

func TestRequireKeyWithStoreDown(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		_, good := w.newKey(ana)
		mustAPI(t, w.store.Close())
		var log safeBuffer
		host := new(hostAPI)
		a := guard(w, &httpadapter.KeyOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}, host, "/api", "Bearer "+good).refused(503, "unavailable")
		if a.header.Get("Retry-After") != "1" || a.header.Get("WWW-Authenticate") != "" || host.calls != 0 {
			t.Errorf("503 has the headers %v, want Retry-After and no challenge", a.header)
		}
		if !strings.Contains(log.String(), "api key could not be verified") || strings.Contains(log.String(), good[4:]) {
			t.Errorf("the log says %s", log.String())
		}
		// What cannot be a key needs no store.
		guard(w, nil, host, "/api", "Bearer aic_x").refused(401, "unauthenticated")
	})
}

func TestRequireKeyWithClosedService(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, good := w.newKey(ana)
	mustAPI(t, w.keys.Close(t.Context()))
	guard(w, nil, new(hostAPI), "/api", "Bearer "+good).refused(503, "unavailable")
}

func TestRequireKeyScopes(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, none := w.newKey(ana)
	_, read := w.newKey(ana, "read")
	_, both := w.newKey(ana, "read", "write")
	for _, c := range []struct {
		key    string
		scopes []string
		status int
	}{
		{none, nil, 204}, {none, []string{"read"}, 403},
		{read, nil, 204}, {read, []string{"read"}, 204}, {read, []string{"write"}, 403}, {read, []string{"read", "write"}, 403},
		{both, []string{"read", "write"}, 204}, {both, []string{"write"}, 204}, {both, []string{"admin"}, 403},
	} {
		host := new(hostAPI)
		a := guard(w, &httpadapter.KeyOptions{Scopes: c.scopes}, host, "/api", "Bearer "+c.key)
		if a.status != c.status || (host.calls == 1) != (c.status == 204) {
			t.Errorf("scopes %v = %d, want %d", c.scopes, a.status, c.status)
		}
		if c.status == 403 {
			a.refused(403, "forbidden")
			want := `Bearer error="insufficient_scope", scope="` + strings.Join(c.scopes, " ") + `"`
			if got := a.header.Get("WWW-Authenticate"); got != want {
				t.Errorf("WWW-Authenticate = %s, want %s", got, want)
			}
		}
	}
	// A key that is not good is 401 before anybody asks for scopes.
	guard(w, &httpadapter.KeyOptions{Scopes: []string{"read"}}, new(hostAPI), "/api", "Bearer "+strangersKey(t)).refused(401, "unauthenticated")
}

func TestRequireKeyElse(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, good := w.newKey(ana)
	asked := 0
	o := &httpadapter.KeyOptions{Scopes: []string{"read"}, Else: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			next.ServeHTTP(w, r.WithContext(lanyard.WithPrincipal(r.Context(), principalOf(ben))))
		})
	}}
	for _, value := range []string{"", "Basic x", "Bearer ghp_0123", "Bearer ", "Bearer\t" + good} {
		host := new(hostAPI)
		if a := guard(w, o, host, "/api", value); a.status != 204 || host.principal.Owner != ownerOf(ben) {
			t.Errorf("Authorization %.12q with Else = %d as %v, want ben's session", value, a.status, host.principal.Owner)
		}
		if value != "" && host.header.Get("Authorization") != value {
			t.Errorf("Else lost the host's own Authorization header")
		}
	}
	if asked != 5 {
		t.Errorf("Else was asked %d times, want 5", asked)
	}
	// A key of ours, good or not, is never somebody else's.
	guard(w, o, new(hostAPI), "/api", "Bearer "+good).refused(403, "forbidden")
	guard(w, o, new(hostAPI), "/api", "Bearer "+strangersKey(t)).refused(401, "unauthenticated")
	guard(w, o, new(hostAPI), "/api", "Bearer aic_", "Basic x").refused(400, "malformed-request")
	if asked != 5 {
		t.Errorf("Else was asked for a key of ours")
	}
}

// A query that begins like a key and is none is the host's own.
func TestRequireKeyLeavesOtherQueriesAlone(t *testing.T) {
	t.Parallel()
	keys, err := apikey.NewService(memory.New(), &apikey.Options{Prefix: "id"})
	mustAPI(t, err)
	defer func() { mustAPI(t, keys.Close(context.Background())) }()
	made, err := keys.Create(t.Context(), ownerOf(ana), apikey.CreateRequest{Name: "n"})
	mustAPI(t, err)
	token := made.Secret.Reveal()
	tail := strings.TrimPrefix(token, "id_")
	guarded := httpadapter.RequireKey(keys, nil)(new(hostAPI))
	for query, want := range map[string]int{
		"":                             204,
		"sort=id_desc":                 204,
		"id_=1&id_x":                   204,
		"q=" + made.Key.Hint:           204,
		"q=id_" + tail[1:]:             204, // too short
		"q=id_" + tail + "0":           204, // too long
		"q=id_" + tail[1:] + "-":       204,
		"q=grid_" + tail:               204,
		"q=" + tail:                    204,
		"q=" + token:                   400,
		"q=id_" + tail[1:] + "0":       400, // whatever its checksum
		"sort=id_desc&" + token + "=1": 400,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api?"+query, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		out := httptest.NewRecorder()
		guarded.ServeHTTP(out, r)
		if out.Code != want {
			t.Errorf("GET /api?%s = %d, want %d", strings.ReplaceAll(query, tail, "TAIL"), out.Code, want)
		}
	}
}

// The history says from where a deleted key is used.
func TestRequireKeySaysWhereFrom(t *testing.T) {
	t.Parallel()
	header := func(r *http.Request) string { return r.Header.Get("X-Real-Ip") }
	known := lanyard.Request{ID: "the-hosts-own", IP: "192.0.2.9", UserAgent: "told"}
	for name, tt := range map[string]struct {
		options *httpadapter.KeyOptions
		known   lanyard.Request
		want    lanyard.Request
	}{
		"by default":       {nil, lanyard.Request{}, lanyard.Request{ID: "request-1", IP: "192.0.2.1", UserAgent: "curl/8"}},
		"behind a proxy":   {&httpadapter.KeyOptions{ClientIP: header}, lanyard.Request{}, lanyard.Request{ID: "request-1", IP: "203.0.113.7", UserAgent: "curl/8"}},
		"as the host says": {&httpadapter.KeyOptions{ClientIP: header}, known, known},
	} {
		w := newAPIWorld(t, apiOptions{})
		_, good := w.newKey(ana)
		deletedID, deleted := w.newKey(ana)
		mustAPI(t, w.keys.Delete(t.Context(), ownerOf(ana), deletedID, 0))
		w.advance(time.Second)
		var passed lanyard.Request
		guarded := httpadapter.RequireKey(w.keys, tt.options)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = lanyard.RequestFrom(r.Context())
		}))
		for _, token := range []string{deleted, good} {
			r := httptest.NewRequestWithContext(lanyard.WithRequest(t.Context(), tt.known), http.MethodGet, "/api", nil)
			for key, value := range map[string]string{"Authorization": "Bearer " + token, "X-Request-Id": "request-1", "X-Real-Ip": "203.0.113.7", "User-Agent": "curl/8"} {
				r.Header.Set(key, value)
			}
			r.RemoteAddr = "192.0.2.1:1234"
			guarded.ServeHTTP(httptest.NewRecorder(), r)
		}
		_, err := w.keys.Keys(t.Context(), ownerOf(ana)) // which stores what was noted
		mustAPI(t, err)
		events, err := w.store.Events(t.Context(), ownerOf(ana), store.EventCursor{}, 1)
		mustAPI(t, err)
		e := events[0]
		if got := (lanyard.Request{ID: e.RequestID, IP: e.IP, UserAgent: e.UserAgent}); e.Action != apikey.ActionUsedAfterDelete || got != tt.want {
			t.Errorf("%s: the newest event is %q from %+v, want the use of a deleted key from %+v", name, e.Action, got, tt.want)
		}
		if passed != tt.want {
			t.Errorf("%s: the host's handler was called from %+v, want %+v", name, passed, tt.want)
		}
	}
}

// The context ends a verification that hangs.
func TestRequireKeyOfACallerWhoLeft(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, good := w.newKey(ana)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api", nil)
	r.Header.Set("Authorization", "Bearer "+good)
	out := httptest.NewRecorder()
	httpadapter.RequireKey(w.keys, nil)(new(hostAPI)).ServeHTTP(out, r)
	if out.Code != 503 {
		t.Errorf("a caller who left = %d, want 503", out.Code)
	}
}

func BenchmarkRequireKey(b *testing.B) {
	st := memory.New()
	keys, err := apikey.NewService(st, nil)
	mustAPI(b, err)
	defer func() { mustAPI(b, keys.Close(context.Background())) }()
	made, err := keys.Create(b.Context(), ownerOf(ana), apikey.CreateRequest{Name: "bench"})
	mustAPI(b, err)
	h := httpadapter.RequireKey(keys, nil)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	bare := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, bench := range map[string]struct {
		h     http.Handler
		token string
	}{"bare": {bare, made.Secret.Reveal()}, "good": {h, made.Secret.Reveal()}, "malformed": {h, "lyd_x"}} {
		b.Run(name, func(b *testing.B) {
			h, token := bench.h, bench.token
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("User-Agent", "curl/8")
			r.Header.Set("Accept", "*/*")
			out := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(out, r)
				out.Body.Reset()
			}
		})
	}
}
