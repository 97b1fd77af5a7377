package providertoken_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
)

// platform is a recorder that is offered as "acme-x", with ana's connection
// and a client lent for it.
type platform struct {
	*recorder
	*world
	url    string
	token  providertoken.Token
	client *http.Client
}

func newPlatform(t *testing.T, d providertoken.Definition, use *providertoken.Use) *platform {
	t.Helper()
	p := &platform{recorder: &recorder{status: http.StatusFound}}
	server, err := providertest.NewServer(p.recorder)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	p.url = server.URL()
	p.world = newWorld(t, func(o *providertoken.Options) {
		o.Providers = append(o.Providers, d)
		o.Instances = append(o.Instances, instance(server))
	})
	p.token, err = p.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	p.client, err = p.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, use)
	ok(t, err)
	return p
}

func (p *platform) request(t *testing.T, method, path string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, nil)
	ok(t, err)
	return req
}

// send sends the request and returns the response, whose body is closed.
func send(t *testing.T, c *http.Client, req *http.Request) *http.Response {
	t.Helper()
	res, err := c.Do(req)
	ok(t, err)
	_ = res.Body.Close()
	return res
}

// Whoever holds a response holds its request: it has to be the caller's.
func TestAResponseDoesNotNameTheCredential(t *testing.T) {
	t.Parallel()
	for _, name := range headerNames {
		p := newPlatform(t, acme(name), nil)
		req := p.request(t, "GET", "/things")
		res := send(t, p.client, req)
		if res.Request != req {
			t.Errorf("%s: the response's request is not the caller's", name)
		}
		text := fmt.Sprintf("%+v %+v %+v %#v", res, res.Request, req.Header, p.client)
		if strings.Contains(text, anaSecret) {
			t.Errorf("%s: the response or the client shows the credential", name)
		}
		p.sendTo("/stay")
		res = send(t, p.client, p.request(t, "GET", "/go"))
		for r := res.Request; r != nil; {
			if strings.Contains(fmt.Sprint(r.Header), anaSecret) {
				t.Errorf("%s: a redirected request shows the credential", name)
			}
			if r.Response == nil {
				break
			}
			r = r.Response.Request
		}
		if p.last().header.Get(name) != anaSecret {
			t.Errorf("%s: the credential did not arrive", name)
		}
	}
}

// A trace is told every header that is written, and where a connection goes.
func TestATraceHearsNothing(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, acme("X-Key"), nil)
	var ear ear
	ctx := httptrace.WithClientTrace(t.Context(), ear.trace())
	send(t, p.client, p.request(t, "GET", "/things").WithContext(ctx))
	if heard := ear.heard(); heard != nil {
		t.Errorf("a caller's trace heard %v on a warm connection", heard)
	}
	cold := newWorldOver(t, p.world, p.store) // with a transport of its own
	c, err := cold.tokens.Client(ctx, ana, providertoken.Ref{Provider: "acme-x"}, nil)
	ok(t, err)
	send(t, c, p.request(t, "GET", "/things").WithContext(ctx))
	if heard := ear.heard(); heard != nil {
		t.Errorf("a caller's trace heard %v on a cold connection", heard)
	}

	// Nor that of a probe which a 401 starts.
	refuse := &moody{}
	server, err := providertest.NewServer(refuse)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newWorld(t, func(o *providertoken.Options) {
		o.Providers, o.Instances = append(o.Providers, acme("X-Key")), append(o.Instances, instance(server))
	})
	_, err = w.tokens.Create(ctx, ana, acmeRequest)
	ok(t, err)
	c, err = w.tokens.Client(ctx, ana, providertoken.Ref{Provider: "acme-x"}, nil)
	ok(t, err)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL()+"/refused", nil)
	ok(t, err)
	send(t, c, req)
	if heard := ear.heard(); refuse.count() != 2 || heard != nil {
		t.Errorf("%d probes, of which a caller's trace heard %v", refuse.count(), heard)
	}
}

// ear notes which hooks of its trace were called.
type ear struct {
	mu    sync.Mutex
	hooks []string
}

func (e *ear) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hooks
}

// trace returns a trace with every hook there is.
func (e *ear) trace() *httptrace.ClientTrace {
	var all httptrace.ClientTrace
	for hook, value := range reflect.ValueOf(&all).Elem().Fields() {
		value.Set(reflect.MakeFunc(hook.Type, func([]reflect.Value) []reflect.Value {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.hooks = append(e.hooks, hook.Name)
			var none []reflect.Value
			for out := range hook.Type.Outs() {
				none = append(none, reflect.Zero(out))
			}
			return none
		}))
	}
	return &all
}

// TRACE repeats the request in its answer.
func TestMethodsThatAreNotLent(t *testing.T) {
	t.Parallel()
	for _, use := range []*providertoken.Use{nil, {ReadOnly: true}} {
		p := newPlatform(t, acme("X-Key"), use)
		before := p.count()
		for _, method := range []string{"TRACE", "CONNECT", "trace", "Connect"} {
			_, err := p.client.Transport.RoundTrip(p.request(t, method, "/things"))
			is(t, method, err, providertoken.ErrMethod)
		}
		if n := p.count() - before; n != 0 {
			t.Errorf("%d of them arrived", n)
		}
	}
}

// What a caller says about who he is does not go out beside the credential,
// however it is written.
func TestHeadersOfTheCallerAreStripped(t *testing.T) {
	t.Parallel()
	for _, name := range headerNames {
		p := newPlatform(t, acme(name), &providertoken.Use{ReadOnly: true})
		req := p.request(t, "GET", "/things")
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name), "authorization", "AUTHORIZATION", "cookie", "proxy-authorization"} {
			req.Header[spelled] = []string{"of-the-caller"}
			req.Header[strings.ReplaceAll(spelled, "-", "_")] = []string{"of-the-caller"}
		}
		req.Header["X_Http-Method_Override"] = []string{"of-the-caller"}
		req.Header["x_http_method"] = []string{"of-the-caller"}
		req.Header["x_mine"] = []string{"3"}
		req.Header["host"] = []string{"evil.example"}
		req.Header["transfer-encoding"] = []string{"chunked"}
		req.Header["x-http-method-override"] = []string{"DELETE"}
		req.Header["x-mine"] = []string{"1", "2"}
		req.Host = "evil.example"
		send(t, p.client, req)
		last := p.last()
		if got := last.header.Values(name); len(got) != 1 || got[0] != anaSecret {
			t.Errorf("%s: %d values arrived, want the connection's own", name, len(got))
		}
		if text := fmt.Sprint(last.header); strings.Contains(text, "of-the-caller") {
			t.Errorf("%s: what the caller set arrived: %v", name, last.header)
		}
		if got := last.header.Values("X-Mine"); len(got) != 2 {
			t.Errorf("%s: X-Mine = %v, want both values", name, got)
		}
		if got := last.header.Get("X_mine"); got != "3" {
			t.Errorf("%s: X_mine = %q, want what is the caller's own", name, got)
		}
		if last.header.Get("X-Http-Method-Override") != "" {
			t.Error("a client lent for reading sent another method's name")
		}
		if last.host != strings.TrimPrefix(p.url, "https://") {
			t.Errorf("the request was for host %s", last.host)
		}
	}
}

// An SDK may put the transport under a client of its own, which follows every
// redirect.
func TestAnotherClientOverTheTransport(t *testing.T) {
	t.Parallel()
	thief := &recorder{}
	elsewhere, err := providertest.NewServer(thief)
	ok(t, err)
	t.Cleanup(func() { _ = elsewhere.Close(context.Background()) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		p := newPlatform(t, acme("apikey"), nil)
		p.status = status
		p.sendTo(elsewhere.URL() + "/")
		own := &http.Client{Transport: p.client.Transport}
		req := p.request(t, "POST", "/go")
		req.Body = io.NopCloser(strings.NewReader("body"))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
		res, err := own.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		is(t, fmt.Sprintf("a %d followed elsewhere", status), err, providertoken.ErrForeignOrigin)
	}
	if n := thief.count(); n != 0 {
		t.Errorf("%d requests arrived elsewhere", n)
	}
}

func TestRedirectsWithoutAnEnd(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, acme("X-Key"), nil)
	p.sendTo("/go")
	before := p.count()
	res := send(t, p.client, p.request(t, "GET", "/go"))
	if n := p.count() - before; res.StatusCode != http.StatusFound || n > 11 {
		t.Errorf("a loop ended with %d after %d requests", res.StatusCode, n)
	}
}

// The time of last use is stored at most once a minute, for all clients.
func TestLastUsedIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	counting := &countingStore{Store: w.store}
	d := newWorldOver(t, w, counting)
	token := d.connect(t)
	for range 3 {
		c, err := d.tokens.Client(t.Context(), ana, ref, nil)
		ok(t, err)
		for range 3 {
			ok(t, get(t, c, "GET", token.Base+"/rest/api/2/search"))
		}
	}
	if n := counting.uses.Load(); n != 1 {
		t.Errorf("nine calls within a minute wrote %d times, want once", n)
	}
	first, err := d.tokens.Token(t.Context(), ana, token.ID)
	ok(t, err)
	d.clock.Add(time.Minute)
	c, err := d.tokens.Client(t.Context(), ana, ref, nil)
	ok(t, err)
	ok(t, get(t, c, "GET", token.Base+"/rest/api/2/search"))
	now, err := d.tokens.Token(t.Context(), ana, token.ID)
	ok(t, err)
	if counting.uses.Load() != 2 || !now.LastUsedAt.Equal(d.clock.Now()) || now.Version != first.Version {
		t.Errorf("a minute later: %d writes, last used %v, version %d", counting.uses.Load(), now.LastUsedAt, now.Version)
	}
}

// Row and owner are read anew when two seconds have gone by, and not sooner.
func TestAClientLooksEveryTwoSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	counting := &countingStore{Store: w.store}
	d := newWorldOver(t, w, counting)
	token := d.connect(t)
	c, err := d.tokens.Client(t.Context(), ana, ref, nil)
	ok(t, err)
	before := counting.states.Load()
	for range 5 {
		ok(t, get(t, c, "GET", token.Base+"/rest/api/2/search"))
	}
	if n := counting.states.Load() - before; n != 0 {
		t.Errorf("five calls at one instant read the owner's state %d times, want 0", n)
	}
	d.clock.Add(2*time.Second - time.Microsecond)
	ok(t, get(t, c, "GET", token.Base+"/rest/api/2/search"))
	d.clock.Add(time.Microsecond)
	ok(t, get(t, c, "GET", token.Base+"/rest/api/2/search"))
	if n := counting.states.Load() - before; n != 1 {
		t.Errorf("within and after two seconds the owner's state was read %d times, want once", n)
	}
	d.clock.Add(-time.Hour)
	ok(t, get(t, c, "GET", token.Base+"/rest/api/2/search"))
	if n := counting.states.Load() - before; n != 2 {
		t.Errorf("after the clock went back the owner's state was read %d times, want twice", n)
	}
}

// Who waits for the platform's rate limit may be deactivated meanwhile.
func TestAWaitDoesNotOutliveItsOwner(t *testing.T) {
	t.Parallel()
	d := acme("X-Key")
	d.Limits.PerMinute = 75 // 15 at once, then one a second
	p := newPlatform(t, d, nil)
	looked := make(chan struct{}, 1)
	over := newWorldOver(t, p.world, &countingStore{Store: p.store, looked: looked})
	c, err := over.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
	ok(t, err)
	for range 15 {
		send(t, c, p.request(t, "GET", "/things"))
	}
	before := p.count()
	p.clock.Add(2 * time.Second)
	<-looked // when it was lent
	waiting := make(chan error)
	go func() { waiting <- get(t, c, "GET", p.url+"/things") }()
	<-looked
	e := lanyard.NewEvent(t.Context(), p.clock.Now(), ana, "owner.deactivated", "")
	ok(t, p.store.Deactivate(t.Context(), ana, p.clock.Now(), e))
	p.clock.Add(2 * time.Second)
	is(t, "a call that waited", <-waiting, lanyard.ErrDeactivated)
	if n := p.count(); n != before {
		t.Error("the call went out all the same")
	}
}

// The probe that a 401 starts is not the caller's alone: he may go, and the
// verdict is stored all the same.
func TestA401DoesNotHoldItsCaller(t *testing.T) {
	t.Parallel()
	h := &held{asked: make(chan struct{}), answer: make(chan struct{})}
	server, err := providertest.NewServer(h)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	marked := make(chan string, 8)
	w := newWorld(t, func(o *providertoken.Options) {
		o.Providers, o.Instances = append(o.Providers, acme("X-Key")), append(o.Instances, instance(server))
		o.OnEvent = func(_ context.Context, e lanyard.Event) { marked <- e.Action }
	})
	_, err = w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	c, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
	ok(t, err)
	h.hold.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL()+"/refused", nil)
	ok(t, err)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if res, err := c.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-h.asked
	cancel()
	<-gone
	close(h.answer)
	for action := range marked {
		if action == providertoken.ActionNeedsAttention {
			break
		}
	}
}

// The probe that a 401 starts runs on a goroutine of its own, where a panic of
// the host's hook or store would end his process. What it panicked with is not
// logged: it may hold anything.
func TestAPanicBehindA401(t *testing.T) {
	t.Parallel()
	const canary = "canary-panic-6Hq2bWn8"
	for _, who := range []string{"hook", "store"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			refuse := &moody{}
			server, err := providertest.NewServer(refuse)
			ok(t, err)
			t.Cleanup(func() { _ = server.Close(context.Background()) })
			var logged bytes.Buffer
			w := newWorld(t, func(o *providertoken.Options) {
				o.Providers, o.Instances = append(o.Providers, acme("X-Key")), append(o.Instances, instance(server))
				o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			})
			st := &panickingStore{Store: w.store}
			options := w.options
			options.OnEvent = func(_ context.Context, e lanyard.Event) {
				if who == "hook" && e.Action == providertoken.ActionNeedsAttention {
					panic(canary)
				}
			}
			service, err := providertoken.NewService(st, w.sealer, &options)
			ok(t, err)
			token, err := service.Create(t.Context(), ana, acmeRequest)
			ok(t, err)
			c, err := service.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
			ok(t, err)
			refuse.reject()
			if who == "store" {
				st.with.Store(canary)
			}
			ok(t, get(t, c, "GET", token.Base+"/refused"))
			if text := logged.String(); strings.Contains(text, canary) || !strings.Contains(text, "recheck") {
				t.Errorf("the log is %q, want the stack and nothing else", text)
			}
		})
	}
}

// panickingStore panics with what it holds, if that is anything.
type panickingStore struct {
	providertoken.Store
	with atomic.Value
}

func (s *panickingStore) ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (store.ProviderToken, error) {
	if with := s.with.Load(); with != nil {
		panic(with)
	}
	return s.Store.ProviderToken(ctx, owner, id)
}

// held answers /me at once with the account until it holds, then with 401 when
// it may; all else is refused.
type held struct {
	hold          atomic.Bool
	asked, answer chan struct{}
}

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/me":
	case h.hold.Load():
		close(h.asked)
		<-h.answer
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id": 7}`)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// countingStore counts the calls a client makes of its store.
type countingStore struct {
	providertoken.Store
	uses, states atomic.Int64
	looked       chan struct{} // nil, or told of each read of an owner's state
}

func (s *countingStore) RecordTokenUse(ctx context.Context, owner lanyard.Owner, id string, at time.Time) error {
	s.uses.Add(1)
	return s.Store.RecordTokenUse(ctx, owner, id, at)
}

func (s *countingStore) OwnerState(ctx context.Context, owner lanyard.Owner) (store.OwnerState, error) {
	s.states.Add(1)
	state, err := s.Store.OwnerState(ctx, owner)
	if s.looked != nil {
		s.looked <- struct{}{}
	}
	return state, err
}

// Many clients and callers at once start one probe.
func TestManyRefusalsStartOneProbe(t *testing.T) {
	t.Parallel()
	platform := &moody{}
	server, err := providertest.NewServer(platform)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newWorld(t, func(o *providertoken.Options) {
		o.Providers, o.Instances = append(o.Providers, acme("Authorization")), append(o.Instances, instance(server))
	})
	token, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	var group sync.WaitGroup
	for range 16 {
		c, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
		ok(t, err)
		group.Go(func() {
			if err := get(t, c, "GET", token.Base+"/refused"); err != nil {
				t.Errorf("a call that is refused = %v, want the answer itself", err)
			}
		})
	}
	group.Wait()
	if n := platform.count(); n != 2 {
		t.Errorf("16 refusals started %d probes, want 1 besides that of Create", n)
	}
	// That the credential is good after all is no news.
	if row := w.row(t, token.ID); row.Version != token.Version {
		t.Errorf("the connection has version %d after a confirmed 401, want %d", row.Version, token.Version)
	}
}

// Two uses are told apart also where their names run together.
func TestUsesAreToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.connect(t)
	for _, use := range []providertoken.Use{{AgentID: "a:b", Purpose: "c"}, {AgentID: "a", Purpose: "b:c"}, {AgentID: "a", Purpose: "b:c"}} {
		_, err := w.tokens.Client(t.Context(), ana, ref, &use)
		ok(t, err)
	}
	if got := w.actions(); len(got) != 3 {
		t.Errorf("events %v, want one for each of two uses", got)
	}
	w.clock.Add(time.Hour)
	_, err := w.tokens.Client(t.Context(), ana, ref, &providertoken.Use{AgentID: "a", Purpose: "b:c"})
	ok(t, err)
	if got := w.actions(); len(got) != 4 {
		t.Errorf("events %v, want another one in another hour", got)
	}
}

// If the history cannot be written nothing is lent.
func TestNothingIsLentWithoutHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.connect(t)
	d := newWorldOver(t, w, noHistory{w.store})
	c, err := d.tokens.Client(t.Context(), ana, ref, nil)
	is(t, "Client", err, lanyard.ErrUnavailable)
	if c != nil {
		t.Error("a client was lent")
	}
}

type noHistory struct{ providertoken.Store }

func (noHistory) Append(context.Context, lanyard.Event) error { return lanyard.ErrUnavailable }

// What a caller is told says neither the credential nor what the network said.
func TestClientErrorsSayNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *providertoken.Options) {
		for i := range o.Instances {
			o.Instances[i].RootCAs = nil // nobody is trusted
		}
	})
	r := request("jira-data-center", anaSecret)
	r.AllowUnverified = true
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	c, err := w.tokens.Client(t.Context(), ana, ref, nil)
	ok(t, err)
	err = get(t, c, "GET", token.Base+"/rest/api/2/search")
	is(t, "a call nobody answers", err, providertoken.ErrUnreachable)
	is(t, "a call nobody answers", err, lanyard.ErrUnavailable)
	if text := fmt.Sprintf("%v %+v", err, errors.Unwrap(err)); strings.Contains(text, anaSecret) || strings.Contains(text, "x509") {
		t.Errorf("the error says too much: %s", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, token.Base+"/", nil)
	ok(t, err)
	_, err = c.Do(req)
	is(t, "a call its caller gave up", err, context.Canceled)
}

// A hook that panics leaves no answer of the platform open.
func TestAPanicOfAHookClosesTheAnswer(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	server, err := providertest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		says(200, "application/json", `{"id": "ana"}`)(w, r)
		if r.URL.Path != "/me" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		}
	}))
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newWorld(t, func(o *providertoken.Options) {
		o.Providers, o.Instances = append(o.Providers, acme("X-Key")), append(o.Instances, instance(server))
		o.OnCall = func(context.Context, providertoken.Call) { panic("a hook") }
	})
	token, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	c, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
	ok(t, err)
	func() {
		defer func() { _ = recover() }()
		_ = get(t, c, "GET", token.Base+"/things")
		t.Error("the hook's panic is lost")
	}()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the platform is still answering")
	}
}
