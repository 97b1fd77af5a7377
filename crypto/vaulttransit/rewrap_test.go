package vaulttransit_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// wrapMany wraps n keys for places of their own.
func wrapMany(t *testing.T, secrets *vaulttransit.Transit, n int) (keys [][]byte, items []rewrapItem) {
	t.Helper()
	for i := range n {
		key, it := sample(t, secrets, fmt.Sprint("place ", i))
		keys, items = append(keys, key), append(items, it)
	}
	return keys, items
}

func wantMoved(t *testing.T, secrets *vaulttransit.Transit, i int, r crypto.RewrapResult, version string, key, binding []byte) {
	t.Helper()
	if r.Err != nil || r.Wrapped.KeyVersion != version {
		t.Errorf("item %d: Rewrap() = version %q, %v, want %q", i, r.Wrapped.KeyVersion, r.Err, version)
		return
	}
	if got, err := secrets.Unwrap(t.Context(), r.Wrapped, binding); err != nil || !bytes.Equal(got, key) {
		t.Errorf("item %d after Rewrap: Unwrap() = %v, want its key", i, err)
	}
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secrets := s.transit(t)
	keys, items := wrapMany(t, secrets, 205)
	s.rotate("lanyard")
	before := len(s.requests())
	results := secrets.Rewrap(t.Context(), items)
	var sizes []int
	for _, a := range s.requests()[before:] {
		sizes = append(sizes, len(a.batch.Items))
	}
	if want := []int{100, 100, 5}; !slices.Equal(sizes, want) {
		t.Errorf("Rewrap() made requests of %v items, want %v", sizes, want)
	}
	for i, r := range results {
		wantMoved(t, secrets, i, r, "v2", keys[i], items[i].Binding)
	}
}

// The server encrypts anew what is under the newest version already. That
// would be a write for nothing.
func TestRewrapOfTheNewest(t *testing.T) {
	t.Parallel()
	secrets := newServer(t).transit(t)
	_, it := sample(t, secrets, "place")
	if got := secrets.Rewrap(t.Context(), []rewrapItem{it})[0]; got.Err != nil || !bytes.Equal(got.Wrapped.Ciphertext, it.Wrapped.Ciphertext) {
		t.Errorf("Rewrap() of the newest = %q, %v, want it as it was", got.Wrapped.Ciphertext, got.Err)
	}
}

// One bad item costs the others nothing, whether it is seen here or there.
func TestRewrapOfBadItems(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secrets := s.transit(t)
	keys, items := wrapMany(t, secrets, 6)
	s.rotate("lanyard")
	items[1].Binding = []byte("elsewhere")
	items[2].Binding = nil
	items[4].Wrapped.Ciphertext = []byte("junk")
	for i, r := range secrets.Rewrap(t.Context(), items) {
		switch i {
		case 1, 2, 4:
			if !errors.Is(r.Err, crypto.ErrIntegrity) || r.Wrapped.Ciphertext != nil {
				t.Errorf("bad item %d: Rewrap() = %q, %v, want ErrIntegrity", i, r.Wrapped.Ciphertext, r.Err)
			}
			wantSilent(t, "Rewrap()", r.Err, keys[i])
		default:
			wantMoved(t, secrets, i, r, "v2", keys[i], items[i].Binding)
		}
	}
	// All bad: a 400 with a result for each.
	for i, r := range secrets.Rewrap(t.Context(), items[1:2]) {
		if !errors.Is(r.Err, crypto.ErrIntegrity) {
			t.Errorf("item %d of bad ones: Rewrap() = %v, want ErrIntegrity", i, r.Err)
		}
	}
}

// Answers are told apart by their reference. Where one is missing, doubled or
// of something else, none is believed.
func TestRewrapOfOddAnswers(t *testing.T) {
	t.Parallel()
	reorder := func(f func(results []map[string]any) []map[string]any) func(map[string]any) {
		return func(answer map[string]any) {
			data := answer["data"].(map[string]any)
			data["batch_results"] = f(data["batch_results"].([]map[string]any))
		}
	}
	for name, tt := range map[string]struct {
		rewrite func(map[string]any)
		want    error
	}{
		"permuted": {reorder(func(r []map[string]any) []map[string]any { slices.Reverse(r); return r }), nil},
		"missing":  {reorder(func(r []map[string]any) []map[string]any { return r[:2] }), lanyard.ErrUnavailable},
		"added":    {reorder(func(r []map[string]any) []map[string]any { return append(r, map[string]any{"reference": "3"}) }), lanyard.ErrUnavailable},
		"doubled":  {reorder(func(r []map[string]any) []map[string]any { r[1] = r[0]; return r }), lanyard.ErrUnavailable},
		"unnamed":  {reorder(func(r []map[string]any) []map[string]any { delete(r[1], "reference"); return r }), lanyard.ErrUnavailable},
		"older": {reorder(func(r []map[string]any) []map[string]any {
			for i := range r {
				r[i]["ciphertext"] = "vault:v1:" + r[i]["ciphertext"].(string)[len("vault:v3:"):]
			}
			return r
		}), lanyard.ErrUnavailable},
		"empty": {reorder(func(r []map[string]any) []map[string]any {
			for i := range r {
				delete(r[i], "ciphertext")
			}
			return r
		}), lanyard.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			secrets := s.transit(t)
			s.rotate("lanyard")
			keys, items := wrapMany(t, secrets, 3)
			s.rotate("lanyard")
			s.mu.Lock()
			s.rewrite = tt.rewrite
			s.mu.Unlock()
			results := secrets.Rewrap(t.Context(), items)
			s.mu.Lock()
			s.rewrite = nil
			s.mu.Unlock()
			for i, r := range results {
				if tt.want == nil {
					wantMoved(t, secrets, i, r, "v3", keys[i], items[i].Binding)
				} else if !errors.Is(r.Err, tt.want) || r.Wrapped.Ciphertext != nil {
					t.Errorf("item %d: Rewrap() = %q, %v, want %v", i, r.Wrapped.Ciphertext, r.Err, tt.want)
				}
			}
		})
	}
}

// A server that is down is asked once, not once a batch.
func TestRewrapStops(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secrets := s.transit(t)
	keys, items := wrapMany(t, secrets, 1)
	for len(items) < 300 {
		items = append(items, items[0])
	}
	s.rotate("lanyard")
	var calls atomic.Int32
	s.instead(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 2 {
			fails(w, http.StatusServiceUnavailable)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.transitEngine(w, r, s.asked[len(s.asked)-1])
	})
	results := secrets.Rewrap(t.Context(), items)
	if n := calls.Load(); n != 2 {
		t.Errorf("Rewrap() made %d requests, want 2", n)
	}
	s.instead(nil)
	for i, r := range results {
		if i < 100 {
			wantMoved(t, secrets, i, r, "v2", keys[0], items[0].Binding)
		} else if !errors.Is(r.Err, lanyard.ErrUnavailable) {
			t.Errorf("item %d: Rewrap() = %v, want ErrUnavailable", i, r.Err)
		}
	}
}
