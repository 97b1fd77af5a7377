package vaulttransit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// A redirect leads token and key nowhere, not even to open a connection.
func TestRedirect(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	other.Start()
	t.Cleanup(other.Close)

	follows := func(client *api.Client) *api.Client {
		config := client.CloneConfig()
		config.HttpClient.CheckRedirect = nil // net/http's own: ten redirects
		again, err := api.NewClient(config)
		if err != nil {
			t.Fatalf("api.NewClient() = %v", err)
		}
		again.SetToken(client.Token())
		return again
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, change := range map[string]func(*api.Client) *api.Client{
			"a client as it comes":        func(c *api.Client) *api.Client { return c },
			"a client whose http follows": follows,
		} {
			s := newServer(t)
			secrets := newTransit(t, change(s.client(t)), "lanyard", nil)
			key, it := sample(t, secrets, "place")
			s.instead(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", other.URL+r.URL.Path)
				w.WriteHeader(status)
			})
			_, err := secrets.Wrap(t.Context(), key, it.Binding)
			wantOutcome(t, fmt.Sprintf("Wrap() redirected by %d, %s", status, name), err, lanyard.ErrUnavailable, key)
			_, err = secrets.Unwrap(t.Context(), it.Wrapped, it.Binding)
			wantOutcome(t, fmt.Sprintf("Unwrap() redirected by %d, %s", status, name), err, lanyard.ErrUnavailable, key)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections reached the other host, want none", n)
	}
}

// The client stays as it was: what is safe for us need not be for the host.
func TestClientIsNotChanged(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	config := api.DefaultConfig()
	config.Address, config.AgentAddress = s.URL, ""
	config.MaxRetries, config.Timeout = 3, 7*time.Second
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatalf("api.NewClient() = %v", err)
	}
	client.SetToken(canaryToken)
	client.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	transport := config.HttpClient.Transport

	secrets := newTransit(t, client, "lanyard", nil)
	sample(t, secrets, "place")
	if client.MaxRetries() != 3 || client.ClientTimeout() != 7*time.Second || client.Token() != canaryToken || client.Address() != s.URL {
		t.Errorf("the client has now %d retries, %v, another token or address", client.MaxRetries(), client.ClientTimeout())
	}
	if config.HttpClient.Transport != transport || config.DisableRedirects {
		t.Error("the client's configuration was changed")
	}
	if client.CurrentWrappingLookupFunc() == nil || s.requests()[0].header.Get("X-Vault-Wrap-Ttl") != "" {
		t.Error("the client's wrapping was changed, or used")
	}
}

// The host renews its token, or moves to another namespace, on its own client.
func TestTokenIsTheClients(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := s.client(t)
	client.AddHeader("X-Route", "blue")
	secrets := newTransit(t, client, "lanyard", nil)
	key, it := sample(t, secrets, "place")

	client.SetToken("expired")
	_, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding)
	wantOutcome(t, "Unwrap() with an expired token", err, crypto.ErrDenied, key)
	if !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Unwrap() with an expired token = %v, want an ErrUnavailable", err)
	}
	client.ClearToken()
	if _, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding); !errors.Is(err, crypto.ErrDenied) {
		t.Errorf("Unwrap() without a token = %v, want ErrDenied", err)
	}
	client.SetToken("two\nlines")
	if _, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Unwrap() with a token that is none = %v, want ErrUnavailable", err)
	}
	client.SetToken(canaryToken)
	client.SetNamespace("team-a")
	if _, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding); err != nil {
		t.Errorf("Unwrap() after a renewal = %v, want nil", err)
	}

	seen := s.requests()
	for i, want := range []struct{ token, namespace string }{{canaryToken, ""}, {"expired", ""}, {"", ""}, {canaryToken, "team-a"}} {
		if seen[i].token != want.token || seen[i].namespace != want.namespace || seen[i].header.Get("X-Route") != "blue" {
			t.Errorf("request %d has token %q, namespace %q, want %q, %q and the client's headers", i, seen[i].token, seen[i].namespace, want.token, want.namespace)
		}
	}
}

// The environment may say what it likes once the host has its client.
func TestEnvironment(t *testing.T) { //nolint:paralleltest // sets the environment
	s, a := newServer(t), newAuthority()
	client, tokenless := s.client(t), a.client(t)
	private := httptest.NewUnstartedServer(s)
	private.Config.ErrorLog = log.New(io.Discard, "", 0)
	private.StartTLS()
	t.Cleanup(private.Close)

	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request went where the environment says") }))
	t.Cleanup(elsewhere.Close)
	for name, value := range map[string]string{
		"VAULT_ADDR": elsewhere.URL, "VAULT_AGENT_ADDR": elsewhere.URL, "VAULT_TOKEN": "from-the-environment",
		"VAULT_NAMESPACE": "from-the-environment", "VAULT_HEADERS": `{"X-From":"the environment"}`,
		"VAULT_SKIP_VERIFY": "true", "VAULT_WRAP_TTL": "5m", "VAULT_MAX_RETRIES": "9", "VAULT_PROXY_ADDR": elsewhere.URL,
	} {
		t.Setenv(name, value)
	}
	sample(t, newTransit(t, client, "lanyard", nil), "place")
	if a := s.requests()[0]; a.token != canaryToken || a.namespace != "" || a.header.Get("X-From") != "" || a.header.Get("X-Vault-Wrap-Ttl") != "" {
		t.Errorf("a request has token %q, namespace %q and headers %v, want the client's", a.token, a.namespace, a.header)
	}
	client.ClearToken()
	if _, err := newTransit(t, client, "lanyard", nil).Wrap(t.Context(), make([]byte, 32), []byte("place")); !errors.Is(err, crypto.ErrDenied) {
		t.Errorf("Wrap() without a token = %v, want ErrDenied", err)
	}

	// Nor does a login take anything from it.
	own := newTransit(t, tokenless, "lanyard", &vaulttransit.Options{Auth: approle()})
	t.Cleanup(func() { _ = own.Close() })
	use(t, "with a login", own, nil)
	if h := a.heard[0]; h.Get("X-Vault-Token") != "" || h.Get("X-Vault-Namespace") != "" || h.Get("X-From") != "" || h.Get("X-Vault-Wrap-Ttl") != "" {
		t.Errorf("a login has headers %v, want the client's", h)
	}

	// A host that wants certificates verified keeps that.
	config := client.CloneConfig()
	config.Address, config.AgentAddress = private.URL, ""
	config.HttpClient = &http.Client{Transport: &http.Transport{}}
	strict, err := api.NewClient(config)
	if err != nil {
		t.Fatalf("api.NewClient() = %v", err)
	}
	before := len(s.requests())
	if _, err := newTransit(t, strict, "lanyard", nil).Wrap(t.Context(), make([]byte, 32), []byte("place")); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Wrap() with a certificate nobody knows = %v, want ErrUnavailable", err)
	}
	if len(s.requests()) != before {
		t.Error("a request went to a server nobody knows")
	}

	t.Setenv("VAULT_MAX_RETRIES", "many")
	if _, err := vaulttransit.New(client, "lanyard", nil); err == nil {
		t.Error("New() in an environment that cannot be read = nil, want an error")
	}
}

// The address is what the client has now, also after SetAddress, and keys do
// not cross a network unencrypted unasked.
func TestAddress(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := s.client(t)
	for address, want := range map[string]bool{
		"http://vault.example.com:8200":  false,
		"http://10.0.0.7:8200":           false,
		"http://127.0.0.1.example.com":   false,
		"ftp://vault.example.com":        false,
		"https://vault.example.com:8200": true,
		"http://localhost:8200":          true,
		"http://[::1]:8200":              true,
		"http://127.0.0.1:8200":          true,
	} {
		if err := client.SetAddress(address); err != nil {
			t.Fatalf("SetAddress(%q) = %v", address, err)
		}
		if _, err := vaulttransit.New(client, "lanyard", nil); (err == nil) != want {
			t.Errorf("New() with address %q = %v, want it accepted: %v", address, err, want)
		}
	}
	_ = client.SetAddress("http://vault.example.com:8200")
	newTransit(t, client, "lanyard", &vaulttransit.Options{PlainHTTP: true})

	config := api.DefaultConfig()
	config.AgentAddress = "http://127.0.0.1:1"
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatalf("api.NewClient() = %v", err)
	}
	if err := client.SetAddress(s.URL); err != nil {
		t.Fatalf("SetAddress() = %v", err)
	}
	client.SetToken(canaryToken)
	sample(t, newTransit(t, client, "lanyard", nil), "place")
}

// A server that hangs costs as long as the caller, or the client, will wait.
func TestHangs(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	hangHalfWay := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"data":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, handler := range map[string]http.HandlerFunc{"at once": hang, "half way": hangHalfWay} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			client := s.client(t)
			secrets := newTransit(t, client, "lanyard", nil)
			key, it := sample(t, secrets, "place")
			s.instead(handler)

			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := secrets.Unwrap(ctx, it.Wrapped, it.Binding)
			wantOutcome(t, "Unwrap() within 50 ms", err, lanyard.ErrUnavailable, key)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Unwrap() within 50 ms = %v, want DeadlineExceeded too", err)
			}

			ctx, cancel = context.WithCancel(t.Context())
			s.instead(func(w http.ResponseWriter, r *http.Request) { cancel(); handler(w, r) })
			_, err = secrets.Wrap(ctx, key, it.Binding)
			wantOutcome(t, "Wrap() that was cancelled", err, lanyard.ErrUnavailable, key)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Wrap() that was cancelled = %v, want Canceled too", err)
			}

			s.instead(handler)
			client.SetClientTimeout(50 * time.Millisecond)
			_, err = newTransit(t, client, "lanyard", nil).Unwrap(t.Context(), it.Wrapped, it.Binding)
			wantOutcome(t, "Unwrap() by a client of 50 ms", err, lanyard.ErrUnavailable, key)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Unwrap() by a client of 50 ms = %v, want DeadlineExceeded too", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secrets := s.transit(t)
	key, it := sample(t, secrets, "place")
	s.Close()
	_, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding)
	wantOutcome(t, "Unwrap() of a server that is gone", err, lanyard.ErrUnavailable, key)
}

// lines collects what a client logs.
type lines struct{ n atomic.Int32 }

func (l *lines) Error(string, ...any) { l.n.Add(1) }
func (l *lines) Info(string, ...any)  { l.n.Add(1) }
func (l *lines) Debug(string, ...any) { l.n.Add(1) }
func (l *lines) Warn(string, ...any)  { l.n.Add(1) }

// The client's logger writes down addresses and errors; ours says nothing.
func TestLogsNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client, logger := s.client(t), &lines{}
	client.SetLogger(logger)
	secrets := newTransit(t, client, "lanyard", nil)
	_, it := sample(t, secrets, "place")
	s.instead(answers(500, canaryText))
	_, _ = secrets.Unwrap(t.Context(), it.Wrapped, it.Binding)
	if n := logger.n.Load(); n != 0 {
		t.Errorf("the client's logger was given %d lines, want none", n)
	}
}
