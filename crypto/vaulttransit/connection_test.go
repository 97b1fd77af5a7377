package vaulttransit_test

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
)

// wire stands before a server. What it swallows, nobody hears of again.
type wire struct {
	net.Listener
	to string

	mu    sync.Mutex
	conns []*swallower
}

// swallower is one connection; deaf, it reads and passes nothing on.
type swallower struct {
	mu   sync.Mutex
	deaf bool
}

func (s *swallower) copy(dst io.Writer, src io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		deaf := s.deaf
		s.mu.Unlock()
		if !deaf {
			_, _ = dst.Write(buf[:n])
		}
	}
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := new(net.Dialer).DialContext(ctx, "tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			s := &swallower{}
			w.mu.Lock()
			w.conns = append(w.conns, s)
			w.mu.Unlock()
			context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
			all.Go(func() { s.copy(out, in); _ = out.Close() })
			all.Go(func() { s.copy(in, out); _ = in.Close() })
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); all.Wait() })
	return w
}

// swallow makes the connections of now deaf; new ones are not.
func (w *wire) swallow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.conns {
		s.mu.Lock()
		s.deaf = true
		s.mu.Unlock()
	}
}

// overTLS returns a client of a server that speaks HTTP/2 or not, through a wire.
func overTLS(t *testing.T, s *server, http2 bool) (*api.Client, *wire) {
	t.Helper()
	private := httptest.NewUnstartedServer(s)
	private.EnableHTTP2 = http2
	private.StartTLS()
	t.Cleanup(private.Close)
	w := newWire(t, private.Listener.Addr().String())
	config := api.DefaultConfig()
	config.Address, config.AgentAddress = "https://"+w.Addr().String(), ""
	roots := x509.NewCertPool()
	roots.AddCert(private.Certificate())
	config.HttpClient.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatalf("api.NewClient() = %v", err)
	}
	client.SetToken(canaryToken)
	return client, w
}

// A connection that was lost without a word is given up within seconds, also
// while calls come and go on it.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client, w := overTLS(t, s, true)
	secrets := newTransit(t, client, "lanyard", nil)
	_, it := sample(t, secrets, "place")
	if got := s.requests()[0].protocol; got != "HTTP/2.0" {
		t.Fatalf("the server was asked over %s, want HTTP/2.0", got)
	}
	w.swallow()
	lost := time.Now()
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	healed := make(chan struct{})
	var once sync.Once
	for time.Since(lost) < 15*time.Second {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := secrets.Unwrap(ctx, it.Wrapped, it.Binding); err == nil {
				once.Do(func() { close(healed) })
			}
		})
		select {
		case <-healed:
			return
		case <-tick.C:
		}
	}
	t.Errorf("nothing opened for %v after a connection was lost", time.Since(lost))
}

// Over HTTP/1.1 a late answer costs one connection, and takes those with it
// that lie ready.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client, w := overTLS(t, s, false)
	secrets := newTransit(t, client, "lanyard", nil)
	_, it := sample(t, secrets, "place")
	var together sync.WaitGroup
	together.Add(3)
	s.instead(func(w http.ResponseWriter, _ *http.Request) {
		together.Done()
		together.Wait()
		w.WriteHeader(http.StatusInternalServerError)
	})
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() { _, _ = secrets.Unwrap(t.Context(), it.Wrapped, it.Binding) })
	}
	calls.Wait()
	s.instead(nil)
	if _, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding); err != nil {
		t.Fatalf("Unwrap() = %v, want nil", err)
	}
	w.swallow()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := secrets.Unwrap(ctx, it.Wrapped, it.Binding)
	wantOutcome(t, "Unwrap() over a lost connection", err, lanyard.ErrUnavailable, nil)
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := secrets.Unwrap(ctx, it.Wrapped, it.Binding); err != nil {
		t.Errorf("Unwrap() after that = %v, want nil", err)
	}
}
