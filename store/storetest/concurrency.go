package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// workers is how many goroutines race in each test.
const workers = 16

// concurrencyTests are the shared tests over one handle.
var concurrencyTests = func() map[string]func(*testing.T, store.Store) {
	tests := map[string]func(*testing.T, store.Store){}
	for name, test := range sharedTests {
		tests[name] = func(t *testing.T, st store.Store) { test(t, []store.Store{st}) }
	}
	return tests
}()

// sharedTests race over one or several handles on the same records.
var sharedTests = map[string]func(*testing.T, []store.Store){
	"OneUpdateOfAVersionWins": func(t *testing.T, sts []store.Store) {
		w := populate(t, sts[0], ana)
		race(t, sts, 1, lanyard.ErrConflict, func(i int, st store.Store) error {
			p := w.profile
			p.Email = fmt.Sprint(i)
			return st.UpdateProfile(t.Context(), p, event(ana, "x"))
		})
		race(t, sts, 1, lanyard.ErrConflict, func(i int, st store.Store) error {
			k := w.key
			k.Name = fmt.Sprint(i)
			return st.UpdateAPIKey(t.Context(), k, event(ana, "x"))
		})
		race(t, sts, 1, lanyard.ErrConflict, func(i int, st store.Store) error {
			tok := w.token
			tok.Reason = fmt.Sprint(i)
			return st.UpdateProviderToken(t.Context(), tok, event(ana, "x"))
		})
	},
	"LimitsHold": func(t *testing.T, sts []store.Store) {
		w := populate(t, sts[0], ana) // one key, one connection
		race(t, sts, 3, lanyard.ErrLimit, func(i int, st store.Store) error {
			return st.CreateAPIKey(t.Context(), newKey(ana, fmt.Sprint("k", i)), 4, event(ana, "x"))
		})
		race(t, sts, 3, lanyard.ErrLimit, func(i int, st store.Store) error {
			return st.CreateProviderToken(t.Context(), newToken(w.ownerKey, "p", fmt.Sprint(i)), 4, event(ana, "x"))
		})
	},
	"OneCreateTokenOneKey": func(t *testing.T, sts []store.Store) {
		race(t, sts, 1, lanyard.ErrExists, func(i int, st store.Store) error {
			k := newKey(ana, fmt.Sprint("k", i))
			k.CreateToken = []byte("same")
			return st.CreateAPIKey(t.Context(), k, 50, event(ana, "x"))
		})
	},
	"OneSuccessor": func(t *testing.T, sts []store.Store) {
		w := populate(t, sts[0], ana)
		race(t, sts, 1, lanyard.ErrConflict, func(i int, st store.Store) error {
			next := newKey(ana, fmt.Sprint("n", i))
			next.RotatedFrom = w.key.ID
			return st.RotateAPIKey(t.Context(), w.key, next, 50, event(ana, "x"))
		})
	},
	"OneProfile": func(t *testing.T, sts []store.Store) {
		race(t, sts, 1, lanyard.ErrExists, func(_ int, st store.Store) error {
			return st.CreateProfile(t.Context(), newProfile(ana), event(ana, "x"))
		})
	},
	"OneDelete": func(t *testing.T, sts []store.Store) {
		w := populate(t, sts[0], ana)
		race(t, sts, 1, lanyard.ErrNotFound, func(_ int, st store.Store) error {
			k := w.key
			k.Version, k.DeletedAt = 0, at(60)
			return st.DeleteAPIKey(t.Context(), k, event(ana, "x"))
		})
	},
	"OneFact": func(t *testing.T, sts []store.Store) {
		race(t, sts, 1, lanyard.ErrExists, func(_ int, st store.Store) error {
			e := event(ana, "fact")
			e.DedupeKey = "once"
			return st.Append(t.Context(), e)
		})
	},
	"OneOwnerKey": func(t *testing.T, sts []store.Store) {
		var mu sync.Mutex
		got := map[string]int{}
		race(t, sts, workers, nil, func(i int, st store.Store) error {
			k := newOwnerKey(ana)
			k.ID = fmt.Sprint("ok", i)
			stored, err := st.CreateOwnerKey(t.Context(), k)
			mu.Lock()
			got[stored.ID]++
			mu.Unlock()
			return err
		})
		if len(got) != 1 {
			t.Errorf("CreateOwnerKey gave %v, want one key for all", got)
		}
	},
	"UseInAnyOrder": func(t *testing.T, sts []store.Store) {
		var uses []store.KeyUse
		for i := range 12 {
			k := newKey(ana, fmt.Sprint("k", i))
			ok(t, sts[0].CreateAPIKey(t.Context(), k, 50, event(ana, "x")))
			uses = append(uses, store.KeyUse{ID: k.ID, At: at(200)})
		}
		race(t, sts, workers, nil, func(i int, st store.Store) error {
			mine := make([]store.KeyUse, len(uses))
			for j, u := range uses {
				u.At = at(200 + i)
				if i%2 == 0 {
					mine[j] = u
				} else {
					mine[len(uses)-1-j] = u
				}
			}
			return st.RecordKeyUse(t.Context(), mine)
		})
		keys, err := sts[0].APIKeys(t.Context(), ana)
		ok(t, err)
		for _, k := range keys {
			if want := at(200 + workers - 1); !k.LastUsedAt.Equal(want) {
				t.Errorf("%s was last used %v, want the newest, %v", k.ID, k.LastUsedAt, want)
			}
		}
	},
	"OldRowNeverWithNewEpoch": func(t *testing.T, sts []store.Store) {
		e, has := sts[0].(store.Epochs)
		if !has {
			return
		}
		w := populate(t, sts[0], ana)
		before := epochs(t, e)[store.Shard(ana)]
		start, done := make(chan struct{}), make(chan error, 1)
		go func() {
			<-start
			k := w.key
			k.DeletedAt = at(60)
			done <- sts[len(sts)-1].DeleteAPIKey(t.Context(), k, event(ana, "x"))
		}()
		close(start)
		for {
			lookup, err := sts[0].APIKeyByHash(t.Context(), w.key.Hash)
			ok(t, err)
			deleted, written := !lookup.Key.DeletedAt.IsZero(), lookup.Epoch != before
			if deleted != written {
				t.Fatalf("a look-up shows the key deleted: %v, and a new epoch: %v", deleted, written)
			}
			if deleted {
				break
			}
		}
		ok(t, <-done)
	},
}

// race runs f at once in many goroutines, spread over the stores, and expects
// wins of them to succeed and the others to lose with the error lost.
func race(t *testing.T, sts []store.Store, wins int, lost error, f func(i int, st store.Store) error) {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, workers)
	for i := range workers {
		wg.Go(func() {
			<-start
			errs[i] = f(i, sts[i%len(sts)])
		})
	}
	close(start)
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case lost == nil || !errors.Is(err, lost):
			t.Errorf("a loser got %v, want %v", err, lost)
		}
	}
	if won != wins {
		t.Errorf("%d of %d won, want %d", won, workers, wins)
	}
}
