package providertoken_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/store/memory"
)

// pipes is a listener whose connections are in memory, so that a bubble's time
// goes on while they are idle.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// arrivals notes when requests arrive.
type arrivals struct {
	mu       sync.Mutex
	times    []time.Time
	rejected bool // the credential, by every path
}

func (a *arrivals) reject() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rejected = true
}

func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.times = append(a.times, time.Now())
	rejected := a.rejected
	a.mu.Unlock()
	if rejected || r.URL.Path == "/refused" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"id": 7}`)
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.times)
}

// most returns how many arrived within a minute at most.
func (a *arrivals) most() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	most := 0
	for i, from := range a.times {
		end, _ := slices.BinarySearchFunc(a.times, from.Add(time.Minute), time.Time.Compare)
		most = max(most, end-i)
	}
	return most
}

// limited is a platform that allows 30 calls a minute, in a bubble.
type limited struct {
	*arrivals
	tokens *providertoken.Service
	id     string
	proxy  http.Handler
	key    string
}

func newLimited(t *testing.T) *limited {
	t.Helper()
	return newLimitedProcesses(t, 1)[0]
}

// newLimitedProcesses is the same in so many processes.
func newLimitedProcesses(t *testing.T, processes int) []*limited {
	t.Helper()
	l := &limited{arrivals: &arrivals{}}
	listener := newPipes()
	server := &http.Server{Handler: l.arrivals, ReadHeaderTimeout: time.Hour}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	transport := &http.Transport{DialTLSContext: listener.dial, MaxIdleConnsPerHost: 4}
	t.Cleanup(func() { transport.CloseIdleConnections(); _ = server.Close(); <-served })

	st := memory.New()
	ring, err := keyring.Create(t.TempDir()+"/keys", nil)
	ok(t, err)
	sealer, err := crypto.NewSealer(ring, st, nil)
	ok(t, err)
	d := acme("X-Key")
	d.Limits.PerMinute = 30
	d.Methods[0].Fields = append(d.Methods[0].Fields, providertoken.Field{Name: "note", Label: "Note", Public: true, Optional: true})
	process := func() *providertoken.Service {
		tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
			Providers: []providertoken.Definition{d}, Instances: []providertoken.Instance{{ID: "acme-x", Provider: "acme", Base: "https://acme.example"}},
			Processes: processes,
		})
		ok(t, err)
		providertoken.SetTransport(tokens, "acme-x", transport)
		return tokens
	}
	l.tokens = process()
	token, err := l.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	l.id = token.ID
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Scopes: []string{httpadapter.ScopeUseProviderTokens}})
	ok(t, err)
	t.Cleanup(func() { _ = keys.Close(context.WithoutCancel(t.Context())) })
	created, err := keys.Create(t.Context(), ana, apikey.CreateRequest{Name: "agents", Scopes: []string{httpadapter.ScopeUseProviderTokens}})
	ok(t, err)
	l.key, l.proxy = created.Secret.Reveal(), httpadapter.Proxy(l.tokens, keys, nil)
	l.times = nil // of the probe
	all := []*limited{l}
	for range processes - 1 {
		other := *l
		other.tokens = process()
		other.proxy = httpadapter.Proxy(other.tokens, keys, nil)
		all = append(all, &other)
	}
	return all
}

// call calls by the Proxy and returns the status and what Retry-After says.
func (l *limited) call(t *testing.T, agent, path string) (status int, retryAfter time.Duration) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+l.id+path, nil)
	r.Header.Set("Authorization", "Bearer "+l.key)
	r.Header.Set(httpadapter.HeaderAgent, agent)
	out := httptest.NewRecorder()
	l.proxy.ServeHTTP(out, r)
	seconds, _ := strconv.Atoi(out.Header().Get("Retry-After"))
	return out.Code, time.Duration(seconds) * time.Second
}

// spend makes so many calls at once, which are answered.
func (l *limited) spend(t *testing.T, calls int) {
	t.Helper()
	for range calls {
		if status, _ := l.call(t, "", "/things"); status != http.StatusOK {
			t.Fatalf("one of %d calls at once = %d, want 200", calls, status)
		}
	}
}

func (l *limited) client(t *testing.T) *http.Client {
	t.Helper()
	c, err := l.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
	ok(t, err)
	return c
}

// kept checks that the platform saw no more than it allows.
func (l *limited) kept(t *testing.T) {
	t.Helper()
	if most := l.most(); most > 30 {
		t.Errorf("%d calls arrived within a minute, want at most 30", most)
	}
}

// A hundred agents with a hundred calls each on one connection: the platform sees
// no more than it allows, and every agent that is refused hears when there is a
// place.
func TestManyAgentsUnderOneLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		var (
			group             sync.WaitGroup
			mu                sync.Mutex
			answered, refused int
		)
		for agent := range 100 {
			group.Go(func() {
				for range 100 {
					status, wait := l.call(t, fmt.Sprint("agent ", agent), "/things")
					mu.Lock()
					switch {
					case status == http.StatusOK:
						answered++
					case status == http.StatusTooManyRequests && wait >= time.Second && wait <= 3*time.Second:
						refused++
					default:
						t.Errorf("a call = %d with Retry-After %v, want 200, or 429 with 1 to 3 s: a place comes free every 2.5 s", status, wait)
					}
					mu.Unlock()
					<-time.After(max(wait, 100*time.Millisecond))
				}
			})
		}
		group.Wait()
		if answered+refused != 100*100 || answered != len(l.times) || answered < 100 {
			t.Errorf("%d answered and %d refused, %d arrived, want 10000 in all", answered, refused, len(l.times))
		}
		l.kept(t)
	})
}

// Processes that share a connection stay below its limit together, where each is
// told how many they are.
func TestProcessesShareALimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		processes := newLimitedProcesses(t, 4)
		var group sync.WaitGroup
		for _, l := range processes {
			group.Go(func() {
				for range 300 {
					if status, _ := l.call(t, "", "/things"); status != http.StatusOK && status != http.StatusTooManyRequests {
						t.Errorf("a call = %d, want 200 or 429", status)
					}
					<-time.After(time.Second)
				}
			})
		}
		group.Wait()
		l := processes[0]
		if most := l.most(); most > 30 || len(l.times) < 4*5*5 {
			t.Errorf("%d calls arrived in five minutes, %d within one, want at most 30", len(l.times), most)
		}
	})
}

// Who waits as long as Retry-After says has a place, and who waits a second less
// has none. What was refused took no place.
func TestRetryAfterIsRight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		l.spend(t, 6)
		var wait time.Duration
		for range 50 {
			var status int
			if status, wait = l.call(t, "", "/things"); status != http.StatusTooManyRequests || wait != 3*time.Second {
				t.Fatalf("a call too many = %d with Retry-After %v, want 429 with 3 s", status, wait)
			}
		}
		<-time.After(wait - time.Second)
		if status, left := l.call(t, "", "/things"); status != http.StatusTooManyRequests || left != time.Second {
			t.Errorf("a second too early = %d with Retry-After %v, want 429 with 1 s", status, left)
		}
		<-time.After(time.Second)
		if status, _ := l.call(t, "", "/things"); status != http.StatusOK {
			t.Errorf("after Retry-After = %d, want 200", status)
		}
	})
}

// Clients wait in turn; one whose context ends before its place does not wait.
func TestClientsWaitUnderOneLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		var group sync.WaitGroup
		for range 30 {
			c := l.client(t)
			group.Go(func() {
				for range 3 {
					if err := get(t, c, "GET", "https://acme.example/things"); err != nil {
						t.Errorf("a call that waits = %v", err)
					}
				}
			})
		}
		synctest.Wait()
		c := l.client(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://acme.example/things", nil)
		ok(t, err)
		start := time.Now()
		_, err = c.Do(req)
		var limit *providertoken.RateLimitError
		if !errors.As(err, &limit) || limit.RetryAfter < time.Second || !errors.Is(err, providertoken.ErrRateLimited) || time.Since(start) != 0 {
			t.Errorf("a call that cannot wait = %v after %v, want a *RateLimitError at once", err, time.Since(start))
		}
		if errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("a limit is no failure of ours: %v", err)
		}
		group.Wait()
		if most := l.most(); len(l.times) != 90 || most > 30 {
			t.Errorf("%d calls arrived, %d of them within a minute, want 90 and at most 30", len(l.times), most)
		}
	})
}

// A probe that a 401 starts counts too: where there is no place, the next call
// gives its own.
func TestAProbeTakesAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		l.spend(t, 5)
		if status, _ := l.call(t, "", "/refused"); status != http.StatusUnauthorized || len(l.times) != 6 {
			t.Errorf("the sixth call = %d, and %d arrived, want 6 without a probe", status, len(l.times))
		}
		<-time.After(5 * time.Second)
		if l.call(t, "", "/refused"); len(l.times) != 8 {
			t.Errorf("%d arrived, want 8 with the probe", len(l.times))
		}
		l.kept(t)
	})
}

// Where callers queue for places there is never a free one; that the platform
// rejects the credential shows all the same.
func TestAProbeComesThroughAQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		l.reject()
		var group sync.WaitGroup
		clients := make([]*http.Client, 60)
		for i := range clients {
			var err error
			clients[i], err = l.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
			ok(t, err)
		}
		for _, c := range clients {
			group.Go(func() { _ = get(t, c, "GET", "https://acme.example/refused") })
		}
		group.Wait()
		token, err := l.tokens.Token(t.Context(), ana, l.id)
		if err != nil || token.Status != providertoken.StatusNeedsAttention || len(l.times) > 40 {
			t.Errorf("after %d calls it is %s, %v", len(l.times), token.Status, err)
		}
		l.kept(t)
	})
}

// Who gives his place to a probe has another one to wait for.
func TestAProbeTakesTheNextPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		l.spend(t, 5)
		l.call(t, "", "/refused")
		<-time.After(3 * time.Second)
		status, wait := l.call(t, "", "/things")
		if status != http.StatusTooManyRequests || wait != 2*time.Second || len(l.times) != 7 {
			t.Fatalf("a call in the place of a probe = %d with Retry-After %v, and %d arrived, want 429 with 2 s and the probe", status, wait, len(l.times))
		}
		<-time.After(wait)
		if status, _ := l.call(t, "", "/things"); status != http.StatusOK || len(l.times) != 8 {
			t.Errorf("after Retry-After = %d, and %d arrived, want 200 and 8", status, len(l.times))
		}
	})
}

// A test by the owner counts as well, and so does an edit that keeps the secret: it
// waits for a place, and does not go where there is none in time.
func TestAVerificationTakesAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		l.spend(t, 6)
		start := time.Now()
		v, err := l.tokens.Verify(t.Context(), ana, l.id)
		if err != nil || v.Verdict != providertoken.VerdictOK || time.Since(start) != 2500*time.Millisecond {
			t.Errorf("Verify = %s, %v after %v, want ok after 2.5 s", v.Verdict, err, time.Since(start))
		}
		c := l.client(t)
		var group sync.WaitGroup
		for range 30 {
			group.Go(func() { _ = get(t, c, "GET", "https://acme.example/things") })
		}
		synctest.Wait()
		arrived := l.count()
		v, err = l.tokens.Verify(t.Context(), ana, l.id)
		if err != nil || v.Verdict != providertoken.VerdictRateLimited || l.count() != arrived {
			t.Errorf("behind a queue Verify = %s, %v, want rate_limited and nothing sent", v.Verdict, err)
		}
		_, err = l.tokens.Update(t.Context(), ana, l.id, providertoken.UpdateRequest{Fields: map[string]string{"note": "mine"}})
		var refused *providertoken.VerificationError
		if !errors.As(err, &refused) || refused.Verdict != providertoken.VerdictRateLimited || l.count() != arrived {
			t.Errorf("behind a queue Update with the same secret = %v, want rate_limited and nothing sent", err)
		}
		group.Wait()
		l.kept(t)
		ok(t, errOf(l.tokens.Update(t.Context(), ana, l.id, secrets("key", newSecret)))) // which the platform counts anew
	})
}

// Who leaves the queue takes no place with him.
func TestWhoLeavesAQueueTakesNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		l.spend(t, 6)
		c := l.client(t)
		ctx, leave := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://acme.example/things", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if res, err := c.Do(req); err == nil {
					_ = res.Body.Close()
					t.Error("a call went out although its caller had left")
				}
			})
		}
		synctest.Wait()
		<-time.After(time.Second)
		leave()
		group.Wait()
		if status, wait := l.call(t, "", "/things"); status != http.StatusTooManyRequests || wait != 2*time.Second {
			t.Errorf("a call = %d with Retry-After %v, want 429 with 2 s", status, wait)
		}
		start := time.Now()
		ok(t, get(t, c, "GET", "https://acme.example/things"))
		if waited := time.Since(start); waited != 1500*time.Millisecond {
			t.Errorf("the next one waits %v, want 1.5 s", waited)
		}
		l.kept(t)
	})
}

// A place that comes free is of who has waited, and who comes later hears when all
// of them have theirs.
func TestWhoComesLaterWaitsLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t)
		l.spend(t, 6)
		c := l.client(t)
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				if err := get(t, c, "GET", "https://acme.example/things"); err != nil {
					t.Errorf("a call that waits = %v", err)
				}
			})
		}
		synctest.Wait()
		status, wait := l.call(t, "", "/things")
		if status != http.StatusTooManyRequests || wait != 28*time.Second {
			t.Errorf("a call behind ten = %d with Retry-After %v, want 429 with 28 s: a place comes free every 2.5 s", status, wait)
		}
		<-time.After(wait)
		if status, _ := l.call(t, "", "/things"); status != http.StatusOK {
			t.Errorf("after Retry-After = %d, want 200", status)
		}
		group.Wait()
	})
}
