package httpadapter_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store/memory"
)

// BenchmarkProxy streams 100 MiB from a platform, by a Proxy and by the
// ReverseProxy of the standard library alone.
func BenchmarkProxy(b *testing.B) {
	const size = 100 << 20
	piece := make([]byte, 32<<10)
	for i := range piece {
		piece[i] = `{"key":"HUB-7","summary":"Rotate the demo certificates"},`[i%57]
	}
	server, err := providertest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/me" {
			_, _ = io.WriteString(w, `{"id": 7}`)
			return
		}
		for range size / len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	mustAPI(b, err)
	b.Cleanup(func() { _ = server.Close(b.Context()) })
	id, key, proxy := newBenchProxy(b, server)
	target, err := url.Parse(server.URL())
	mustAPI(b, err)
	bare := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: server.RootCAs(), MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		},
	}
	take := func(url string) time.Duration {
		start := time.Now()
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
		mustAPI(b, err)
		r.Header.Set("Authorization", "Bearer "+key)
		res, err := agent.Do(r)
		mustAPI(b, err)
		if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
			b.Fatalf("%d bytes, %v", n, err)
		}
		_ = res.Body.Close()
		return time.Since(start)
	}
	fronts := map[string]string{}
	for name, h := range map[string]http.Handler{"bare": bare, "proxy": proxy} {
		front := httptest.NewServer(h)
		defer front.Close()
		fronts[name] = front.URL + "/x"
		if name == "proxy" {
			fronts[name] = front.URL + "/" + id + "/x"
		}
	}
	for _, name := range []string{"bare", "proxy"} {
		b.Run(name, func(b *testing.B) {
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			highest := watchHeap(b)
			b.SetBytes(size)
			for b.Loop() {
				take(fronts[name])
			}
			b.ReportMetric((float64(highest())-float64(before.HeapAlloc))/(1<<20), "MiB-heap")
		})
	}
	// One after the other, so that whatever else the machine does is the same
	// for both.
	b.Run("ratio", func(b *testing.B) {
		var without, with []time.Duration
		for b.Loop() {
			without, with = append(without, take(fronts["bare"])), append(with, take(fronts["proxy"]))
		}
		slices.Sort(without)
		slices.Sort(with)
		b.ReportMetric(float64(without[len(without)/2])/float64(with[len(with)/2]), "of-bare")
	})
}

// watchHeap returns a function that ends the watch and says how much of the heap
// was in use at most, garbage included.
func watchHeap(b *testing.B) func() uint64 {
	b.Helper()
	var highest atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > highest.Load() {
				highest.Store(now.HeapAlloc)
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	return func() uint64 { close(stop); <-done; return highest.Load() }
}

// newBenchProxy returns a Proxy with a connection to the server and a key that
// may use it.
func newBenchProxy(b *testing.B, server *providertest.Server) (id, key string, h http.Handler) {
	b.Helper()
	st := memory.New()
	ring, err := keyring.Create(filepath.Join(b.TempDir(), "keys"), nil)
	mustAPI(b, err)
	sealer, err := crypto.NewSealer(ring, st, nil)
	mustAPI(b, err)
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Scopes: []string{httpadapter.ScopeUseProviderTokens}})
	mustAPI(b, err)
	b.Cleanup(func() { _ = keys.Close(b.Context()) })
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
		Providers: []providertoken.Definition{{
			ID: "acme", Name: "Acme", Instance: providertoken.InstanceSpec{Mode: providertoken.ModeOperator},
			Methods: []providertoken.Method{{
				ID: "key", Label: "Key", Fields: []providertoken.Field{{Name: "key", Label: "Key"}}, Headers: map[string]string{"X-Key": "{key}"},
			}},
			Verify: []providertoken.Probe{{Path: "/me", Identity: providertoken.Identity{ID: "id"}}},
		}},
		Instances: []providertoken.Instance{{ID: "acme-x", Provider: "acme", Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks()}},
	})
	mustAPI(b, err)
	token, err := tokens.Create(b.Context(), ownerOf(ana), providertoken.CreateRequest{
		ProviderID: "acme-x", Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret(agentsSecret)},
	})
	mustAPI(b, err)
	created, err := keys.Create(b.Context(), ownerOf(ana), apikey.CreateRequest{Name: "agent", Scopes: []string{httpadapter.ScopeUseProviderTokens}})
	mustAPI(b, err)
	return token.ID, created.Secret.Reveal(), httpadapter.Proxy(tokens, keys, nil)
}
