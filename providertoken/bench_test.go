package providertoken_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store/memory"
)

// BenchmarkClient is a request by a lent client on loopback, with the owner's key
// cached, beside one by a client of the standard library that does the same.
func BenchmarkClient(b *testing.B) {
	platform := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id": 7}`)
	})
	server, err := providertest.NewServer(platform)
	ok(b, err)
	defer func() { _ = server.Close(context.Background()) }()
	st := memory.New()
	ring, err := keyring.Create(filepath.Join(b.TempDir(), "keys"), nil)
	ok(b, err)
	sealer, err := crypto.NewSealer(ring, st, nil)
	ok(b, err)
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
		Providers: []providertoken.Definition{acme("X-Key")}, Instances: []providertoken.Instance{instance(server)},
	})
	ok(b, err)
	_, err = tokens.Create(b.Context(), ana, acmeRequest)
	ok(b, err)
	lent, err := tokens.Client(b.Context(), ana, providertoken.Ref{Provider: "acme-x"}, &providertoken.Use{AgentID: "planner"})
	ok(b, err)
	bare := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: server.RootCAs(), MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}}
	defer bare.CloseIdleConnections()
	call := func(c *http.Client) time.Duration {
		start := time.Now()
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL()+"/things", nil)
		ok(b, err)
		req.Header.Set("X-Key", anaSecret)
		res, err := c.Do(req)
		ok(b, err)
		_, err = io.Copy(io.Discard, res.Body)
		ok(b, err)
		ok(b, res.Body.Close())
		return time.Since(start)
	}
	for _, c := range []struct {
		name   string
		client *http.Client
	}{{"bare", bare}, {"lent", lent}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				call(c.client)
			}
		})
	}
	// One after the other, so that whatever else the machine does is the same
	// for both.
	b.Run("more", func(b *testing.B) {
		var without, with []time.Duration
		for b.Loop() {
			without, with = append(without, call(bare)), append(with, call(lent))
		}
		b.ReportMetric(float64(median(with)-median(without))/1000, "µs-more/op")
	})
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkOpen opens a sealed token whose owner's key is cached, beside the
// least that it takes: HKDF-SHA-256 and AES-256-GCM of the same size.
func BenchmarkOpen(b *testing.B) {
	st := memory.New()
	ring, err := keyring.Create(filepath.Join(b.TempDir(), "keys"), nil)
	ok(b, err)
	sealer, err := crypto.NewSealer(ring, st, nil)
	ok(b, err)
	binding := crypto.Binding{
		Purpose: "provider-token", Owner: ana, Record: lanyard.NewID(), Field: "key", SecretVersion: 1, Destination: make([]byte, sha256.Size),
	}
	secret := make([]byte, 192) // an API token of Atlassian has that length
	_, _ = rand.Read(secret)
	for i := range secret {
		secret[i] = 'a' + secret[i]%26
	}
	sealed, err := sealer.Seal(b.Context(), binding, lanyard.NewSecret(string(secret)))
	ok(b, err)
	b.Run("sealer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			opened, err := sealer.Open(b.Context(), binding, sealed.Envelope)
			ok(b, err)
			if opened.Reveal() == "" {
				b.Fatal("empty")
			}
		}
	})
	master, nonce, extra := make([]byte, 32), make([]byte, 12), make([]byte, 200)
	gcm := func() cipher.AEAD {
		key, err := hkdf.Key(sha256.New, master, nil, "lanyard/v1/provider-token", 32)
		ok(b, err)
		block, err := aes.NewCipher(key)
		ok(b, err)
		aead, err := cipher.NewGCM(block)
		ok(b, err)
		return aead
	}
	ciphertext := gcm().Seal(nil, nonce, secret, extra)
	b.Run("least", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			plain, err := gcm().Open(nil, nonce, ciphertext, extra)
			ok(b, err)
			if len(plain) != len(secret) {
				b.Fatal("short")
			}
		}
	})
}
