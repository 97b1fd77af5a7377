package apikey_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// synthetic is a store that knows n keys without keeping more of them than
// their ids.
type synthetic struct {
	*memory.Store
	ids map[[sha256.Size]byte]string
}

func newSynthetic(n int) (*synthetic, []string) {
	st := &synthetic{Store: memory.New(), ids: make(map[[sha256.Size]byte]string, n)}
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = resum(fmt.Sprintf("lyd_%010d%030d", i, i))
		st.ids[sha256.Sum256([]byte(tokens[i]))] = tokens[i][4:14]
	}
	return st, tokens
}

func (s *synthetic) APIKeyByHash(_ context.Context, hash []byte) (store.KeyLookup, error) {
	id, ok := s.ids[[sha256.Size]byte(hash)]
	if !ok {
		return store.KeyLookup{}, lanyard.ErrNotFound
	}
	return store.KeyLookup{Key: store.APIKey{Owner: ana, ID: id, Name: "laptop", Hash: hash}}, nil
}

// crowd is a Service that has verified each of n keys.
func crowd(b *testing.B, n int) (*apikey.Service, []string) {
	b.Helper()
	st, tokens := newSynthetic(n)
	s := newService(b, st, &apikey.Options{MaxCached: n})
	for _, token := range tokens {
		if _, err := s.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
	return s, tokens
}

// BenchmarkVerifyWarm is a verification that reads no store. Its floor is what
// no verification can do without: the hash of the token, its checksum and one
// look into a map of as many keys. The keys are used in an order that no cache
// of the processor foresees.
func BenchmarkVerifyWarm(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprint("keys=", n), func(b *testing.B) {
			s, tokens := crowd(b, n)
			known := make(map[[sha256.Size]byte]*lanyard.Principal, n)
			for _, token := range tokens {
				known[sha256.Sum256([]byte(token))] = new(lanyard.Principal)
			}
			b.Run("verify", func(b *testing.B) {
				b.ReportAllocs()
				ctx, i := b.Context(), 0
				for b.Loop() {
					i = (i + 7919) % n
					if _, err := s.Verify(ctx, tokens[i]); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("ratio", func(b *testing.B) { benchmarkRatio(b, s, tokens, known) })
			for _, goroutines := range []int{1, 2} {
				b.Run(fmt.Sprint("goroutines=", goroutines), func(b *testing.B) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(goroutines))
					b.RunParallel(func(pb *testing.PB) {
						ctx, i := context.Background(), 0
						for pb.Next() {
							i = (i + 7919) % n
							if _, err := s.Verify(ctx, tokens[i]); err != nil {
								b.Error(err)
								return
							}
						}
					})
				})
			}
		})
	}
}

// benchmarkRatio is how many times the floor a verification takes. Each is tried
// in short turns with the other, and of each the median turn counts, so that a
// machine with other work says much the same as a quiet one. A token is at hand
// before its turn, as one is that was just read from a request: fetching it from
// memory is no part of either.
func benchmarkRatio(b *testing.B, s *apikey.Service, tokens []string, known map[[sha256.Size]byte]*lanyard.Principal) {
	const turn = 300
	var (
		ctx            = b.Context()
		i              = 0
		floors, totals []time.Duration
		text           [turn * 64]byte
		atHand         [turn]string
	)
	fetch := func() {
		for k := range atHand {
			i = (i + 7919) % len(tokens)
			at := text[64*k:]
			atHand[k] = unsafe.String(&at[0], copy(at, tokens[i]))
		}
	}
	for b.Loop() {
		fetch()
		began := time.Now()
		for _, token := range atHand {
			of := unsafe.Slice(unsafe.StringData(token), len(token))
			hash, sum := sha256.Sum256(of), crc32.ChecksumIEEE(of[:len(of)-6])
			if known[hash] == nil || sum == 0 {
				b.Fatal("unknown")
			}
		}
		floors = append(floors, time.Since(began))

		fetch()
		began = time.Now()
		for _, token := range atHand {
			if _, err := s.Verify(ctx, token); err != nil {
				b.Fatal(err)
			}
		}
		totals = append(totals, time.Since(began))
	}
	slices.Sort(floors)
	slices.Sort(totals)
	floor, total := floors[len(floors)/2], totals[len(totals)/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(floor.Nanoseconds())/turn, "ns/floor")
	b.ReportMetric(float64(total.Nanoseconds())/turn, "ns/verify")
	b.ReportMetric(float64(total)/float64(floor), "x-floor")
}

// BenchmarkVerifyWarmWith is what each option adds to a verification that reads
// no store.
func BenchmarkVerifyWarmWith(b *testing.B) {
	scopes := []string{"read", "write"}
	for name, with := range map[string]struct {
		options apikey.Options
		request apikey.CreateRequest
		sealed  bool
	}{
		"nothing":  {},
		"a sealer": {sealed: true},
		"an end":   {request: apikey.CreateRequest{ExpiresAt: time.Now().Add(time.Hour)}},
		"networks": {options: apikey.Options{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")}}},
		"a rate":   {options: apikey.Options{Rate: 1e9, Burst: 1e9}},
		"scopes":   {options: apikey.Options{Scopes: scopes}, request: apikey.CreateRequest{Scopes: scopes}},
		"rights": {options: apikey.Options{Scopes: scopes, Rights: func(context.Context, lanyard.Owner) ([]string, error) { return scopes, nil }},
			request: apikey.CreateRequest{Scopes: scopes}},
	} {
		b.Run(name, func(b *testing.B) {
			st, o := memory.New(), with.options
			if with.sealed {
				o.Sealer, _ = newSealer(b, st)
			}
			s := newService(b, st, &o)
			with.request.Name = "laptop"
			made, err := s.Create(b.Context(), ana, with.request)
			if err != nil {
				b.Fatal(err)
			}
			need, err := s.ScopeSet(with.request.Scopes...)
			if err != nil {
				b.Fatal(err)
			}
			token, call := made.Secret.Reveal(), apikey.Call{Scopes: need, From: lanyard.Request{IP: "192.0.2.7"}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.VerifyCall(b.Context(), token, call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFloodOfUnknownTokens presents a million tokens that look right and
// are nobody's. It says how many reads of the store each cost, by how much the
// heap grew, and how many of the keys in use had to be read again.
func BenchmarkFloodOfUnknownTokens(b *testing.B) {
	const flood, inUse = 1_000_000, 1000
	for b.Loop() {
		st, tokens := newSynthetic(inUse)
		watched := &watched{Store: st}
		s := newService(b, watched, &apikey.Options{MaxStale: time.Hour})
		verify := func(token string, good bool) {
			if _, err := s.Verify(b.Context(), token); (err == nil) != good {
				b.Fatalf("Verify() = %v, want good: %t", err, good)
			}
		}
		for _, token := range tokens {
			verify(token, true)
		}
		before, reads := heap(), watched.lookups.Load()
		for i := range flood {
			verify(resum(fmt.Sprintf("lyd_%010d%030d", inUse+i, i)), false)
		}
		grown, asked := heap()-before, watched.lookups.Load()-reads
		reads = watched.lookups.Load()
		for _, token := range tokens {
			verify(token, true)
		}
		b.ReportMetric(float64(asked)/flood, "reads/token")
		b.ReportMetric(grown/(1<<20), "heap-MiB")
		b.ReportMetric(float64(watched.lookups.Load()-reads), "reread-keys")
		runtime.KeepAlive(s)
	}
}

// BenchmarkVerifyCold reads the store each time.
func BenchmarkVerifyCold(b *testing.B) {
	for name, signed := range map[string]bool{"plain": false, "signed": true} {
		b.Run(name, func(b *testing.B) {
			bench := newBench(b, nil)
			if signed {
				bench, _, _ = newSigned(b)
			}
			_, token := bench.create(b, ana, apikey.CreateRequest{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bench.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyMalformed(b *testing.B) {
	bench := newBench(b, nil)
	_, token := bench.create(b, ana, apikey.CreateRequest{})
	token = token[:len(token)-1] + "-"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bench.Verify(b.Context(), token); err == nil {
			b.Fatal("a malformed token was accepted")
		}
	}
}

// BenchmarkMemory says how many bytes a key costs in the cache, its rate
// included, without the texts of its record.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		st, tokens := newSynthetic(n)
		before := heap()
		s := newService(b, st, &apikey.Options{MaxCached: n, Rate: 1e6})
		for _, token := range tokens {
			if _, err := s.Verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((heap()-before)/n, "B/key")
		runtime.KeepAlive(s)
	}
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
