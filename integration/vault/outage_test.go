package vault_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/integration/servers"
	"github.com/aichub/lanyard/store/memory"
)

// A sealed server is an outage, which ends by itself when it is unsealed.
func TestSealed(t *testing.T) {
	t.Parallel()
	e := ownEngine(t)
	secrets := e.transit(t, "lanyard")
	x := newSample(t, secrets, "place")
	if err := e.Root.Sys().SealWithContext(t.Context()); err != nil {
		t.Fatalf("Seal() = %v", err)
	}
	e.refuses(t, secrets, "of a sealed server", x, lanyard.ErrUnavailable, lanyard.ErrUnavailable)
	e.wantHeard(t, "Vault is sealed")
	e.Unseal(t)
	within(t, 10*time.Second, "Unwrap() after the server was unsealed", func() bool {
		_, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
		return err == nil
	})
	x.opens(t, secrets, "after the server was unsealed", x.wrapped)
}

// A server that was killed and started again, after its key was rotated: what
// was wrapped before opens, and what is wrapped now is under the new version.
// Nothing has to be restarted for it, nor logged in again.
func TestRestarted(t *testing.T) {
	t.Parallel()
	durable := servers.NewDurableVault(t)
	e := prepare(t, durable.Transit)
	r := e.newRole(t, map[string]any{"token_ttl": "1h"})
	secrets, heard := e.loggedIn(t, r.login(r.secretID(t)))
	st := memory.New()
	sealer, err := crypto.NewSealer(secrets, st, &crypto.SealerOptions{CacheTTL: -1})
	if err != nil {
		t.Fatal(err)
	}
	x := newSample(t, secrets, "place")
	sealed, err := sealer.Seal(t.Context(), binding("ana"), lanyard.NewSecret("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.rotate(t.Context(), "lanyard"); err != nil {
			t.Fatal(err)
		}
	}
	durable.Restart(t)
	within(t, 10*time.Second, "Open() after a restart", func() bool {
		got, err := sealer.Open(t.Context(), binding("ana"), sealed.Envelope)
		return err == nil && got.Reveal() == "hunter2"
	})
	x.opens(t, secrets, "of version 1 after a restart", x.wrapped)
	if w := newSample(t, secrets, "new").wrapped; w.KeyVersion != "v3" {
		t.Errorf("Wrap() after two rotations and a restart names %q, want v3", w.KeyVersion)
	}
	report, err := sealer.Rewrap(t.Context(), st, nil)
	if err != nil || report.KeyVersion != "v3" || report.Rewrapped != report.Keys || len(report.Remaining) != 0 {
		t.Errorf("Rewrap() after a restart = %+v, %v, want all under v3", report, err)
	}
	if n := heard.times("login"); n != 1 {
		t.Errorf("%d logins, want 1: the token outlives a restart", n)
	}
}

// A standby that knows no active node is an outage, for who logs in too, which
// ends by itself when there is one.
func TestStandby(t *testing.T) {
	t.Parallel()
	durable := servers.NewDurableVault(t)
	e := prepare(t, durable.Transit)
	secrets := e.transit(t, "lanyard")
	x := newSample(t, secrets, "place")
	r := e.newRole(t, nil)
	login, _ := e.loggedIn(t, r.login(r.secretID(t)))
	durable.StepDown(t)
	e.refuses(t, secrets, "of a standby", x, lanyard.ErrUnavailable, lanyard.ErrUnavailable)
	e.wantHeard(t, "local node not active but active cluster node not found")
	_, err := login.Unwrap(t.Context(), x.wrapped, x.place)
	e.wantError(t, "Unwrap() with a login to a standby", err, lanyard.ErrUnavailable, x.key)
	for _, s := range []*vaulttransit.Transit{secrets, login} {
		within(t, 30*time.Second, "Unwrap() once there is an active node", func() bool {
			_, err := s.Unwrap(t.Context(), x.wrapped, x.place)
			return err == nil
		})
	}
}

// What a token may not do, or not any more, is a denial: an outage that only
// somebody can end.
func TestTokens(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	client := e.client(t, e.token)
	secrets := e.with(t, client, "lanyard")
	x := newSample(t, secrets, "place")

	revoked := e.newToken(t, e.Mount, "1h")
	if err := e.Root.Auth().Token().RevokeTreeWithContext(t.Context(), revoked); err != nil {
		t.Fatal(err)
	}
	expired := e.newToken(t, e.Mount, "1s")
	within(t, 10*time.Second, "the end of a token's time", func() bool {
		_, err := e.Root.Auth().Token().LookupWithContext(t.Context(), expired)
		return err != nil
	})
	e.allow(t, e.Mount+"-nothing", `path "nothing" { capabilities = ["read"] }`)
	for what, token := range map[string]string{
		"with a wrong token":             "hvs.CANARY-d41f",
		"without a token":                "",
		"with a revoked token":           revoked,
		"with an expired token":          expired,
		"with a token of another policy": e.newToken(t, e.Mount+"-nothing", "1h"),
	} {
		client.SetToken(token)
		e.refuses(t, secrets, what, x, crypto.ErrDenied, crypto.ErrDenied)
	}
	e.wantHeard(t, "permission denied")
	client.SetToken(e.newToken(t, e.Mount, "1h"))
	x.opens(t, secrets, "after the host logged in again", x.wrapped)
}

// Wrong names are told apart: what is not there from what does not open.
func TestNames(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	secrets := e.transit(t, "lanyard")
	x := newSample(t, secrets, "place")
	e.write(t, "keys/other", keyOptions(t))
	e.refuses(t, e.asRoot(t, "other"), "with another key", x, nil, crypto.ErrIntegrity)

	_, err := secrets.Unwrap(t.Context(), x.wrapped, []byte("elsewhere"))
	e.wantError(t, "Unwrap() with another binding", err, crypto.ErrIntegrity, x.key)

	e.wantHeard(t, "cipher: message authentication failed")
	elsewhere := *e
	transit := *e.Transit
	transit.Mount += "-nowhere"
	elsewhere.Transit = &transit
	e.refuses(t, elsewhere.asRoot(t, "lanyard"), "at a mount that is not there", x, crypto.ErrUnknownKey, crypto.ErrUnknownKey)
	e.refuses(t, elsewhere.transit(t, "lanyard"), "at a mount that is not there, and not allowed", x, crypto.ErrDenied, crypto.ErrDenied)
}

// A server that has had enough of us is an outage.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	secrets := e.transit(t, "lanyard")
	x := newSample(t, secrets, "place")
	quota := "sys/quotas/rate-limit/" + e.Mount
	if _, err := e.Root.Logical().WriteWithContext(t.Context(), quota, map[string]any{"path": e.Mount + "/", "rate": 1, "interval": "1h"}); err != nil {
		t.Fatalf("set a quota: %v", err)
	}
	t.Cleanup(func() { _, _ = e.Root.Logical().DeleteWithContext(context.WithoutCancel(t.Context()), quota) })
	_, _ = secrets.Unwrap(t.Context(), x.wrapped, x.place) // all there is for this hour
	before := e.heard.requests()
	e.refuses(t, secrets, "above the quota", x, lanyard.ErrUnavailable, lanyard.ErrUnavailable)
	if n := e.heard.requests() - before; n != 3 {
		t.Errorf("three calls above the quota made %d requests, want 3", n)
	}
	if last := e.heard.lastStatus(); last != http.StatusTooManyRequests {
		t.Errorf("the server answered %d, want 429", last)
	}
	// Vault says when to come back only where that is switched on.
	if _, err := e.Root.Logical().WriteWithContext(t.Context(), "sys/quotas/config", map[string]any{"enable_rate_limit_response_headers": true}); err != nil {
		t.Fatalf("configure quotas: %v", err)
	}
	_, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
	if busy := new(crypto.BusyError); !errors.As(err, &busy) || busy.RetryAfter <= 0 || busy.RetryAfter > time.Hour {
		t.Errorf("Unwrap() above the quota = %v, want a BusyError with what is left of the hour", err)
	}
}

// A server that is slow costs what the caller, or the client, will wait.
func TestSlow(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	x := newSample(t, e.transit(t, "lanyard"), "place")
	through := newProxy(t, e.Root.Address())
	client := e.client(t, e.token)
	if err := client.SetAddress(through.URL); err != nil {
		t.Fatal(err)
	}
	client.SetClientTimeout(100 * time.Millisecond)
	secrets := e.with(t, client, "lanyard")

	free := through.hold()
	e.refuses(t, secrets, "of a server that is slow", x, lanyard.ErrUnavailable, lanyard.ErrUnavailable)
	_, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Unwrap() after the client's time = %v, want DeadlineExceeded too", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = secrets.Unwrap(ctx, x.wrapped, x.place)
	e.wantError(t, "Unwrap() after the caller's time", err, lanyard.ErrUnavailable, x.key)
	free()
	client.SetClientTimeout(10 * time.Second)
	x.opens(t, e.with(t, client, "lanyard"), "of a server that is slow no more", x.wrapped)
}

// A redirect is not followed, even where it leads to the server itself: the
// client as it comes would carry token and key to any other just as well.
func TestRedirect(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	x := newSample(t, e.transit(t, "lanyard"), "place")
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		redirects := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", e.Root.Address()+r.URL.Path)
			w.WriteHeader(status)
		}))
		t.Cleanup(redirects.Close)
		client := e.client(t, e.token)
		if err := client.SetAddress(redirects.URL); err != nil {
			t.Fatal(err)
		}
		before := e.heard.requests()
		e.refuses(t, e.with(t, client, "lanyard"), "redirected", x, lanyard.ErrUnavailable, lanyard.ErrUnavailable)
		if n := e.heard.requests() - before; n != 3 {
			t.Errorf("three calls redirected by %d made %d requests, want 3", status, n)
		}
		if status != http.StatusTemporaryRedirect {
			continue
		}
		// So that this test can fail: the client as it comes gets there.
		if _, err := client.Logical().WriteWithContext(t.Context(), e.Mount+"/encrypt/lanyard",
			map[string]any{"plaintext": "AAAA", "context": "AAAA"}); err != nil {
			t.Errorf("the client as it comes does not follow a 307: %v", err)
		}
	}
}

// Rotations in the middle of use cost nobody anything.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	secrets := e.transit(t, "lanyard")
	old := newSample(t, secrets, "place")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for ctx.Err() == nil {
				w, err := secrets.Wrap(t.Context(), make([]byte, crypto.KeySize), []byte("new"))
				if err != nil {
					t.Errorf("Wrap() under load = %v", err)
					return
				}
				if _, err := secrets.Unwrap(t.Context(), w, []byte("new")); err != nil {
					t.Errorf("Unwrap() under load = %v", err)
				}
				old.opens(t, secrets, "of version 1 under load", old.wrapped)
				if answer := secrets.Rewrap(t.Context(), []crypto.RewrapItem{old.item()})[0]; answer.Err != nil {
					t.Errorf("Rewrap() under load = %v", answer.Err)
				}
			}
		})
	}
	for range 20 {
		if err := e.rotate(t.Context(), "lanyard"); err != nil {
			t.Errorf("rotate: %v", err)
		}
	}
	cancel()
	users.Wait()
	if w := newSample(t, secrets, "new").wrapped; w.KeyVersion != "v21" {
		t.Errorf("Wrap() after twenty rotations names %q, want v21", w.KeyVersion)
	}
}

// within waits until done says so.
func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not come within %v", what, limit)
		}
	}
}

// proxy stands before the server and can hold answers back.
type proxy struct {
	*httptest.Server
	mu   sync.Mutex
	held chan struct{} // closed when it goes on; may be nil
	seen int
}

func newProxy(t *testing.T, address string) *proxy {
	t.Helper()
	p := unstarted(t, address)
	p.Start()
	return p
}

func unstarted(t *testing.T, address string) *proxy {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	behind := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(resp *http.Response) error {
			p.mu.Lock()
			held := p.held
			p.mu.Unlock()
			if held != nil {
				select {
				case <-held:
				case <-resp.Request.Context().Done():
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen++
		p.mu.Unlock()
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { p.Close() })
	return p
}

// hold keeps answers back until the function it returns is called.
func (p *proxy) hold() (free func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.held = held
	return func() {
		close(held)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.held = nil
	}
}

func (p *proxy) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}
