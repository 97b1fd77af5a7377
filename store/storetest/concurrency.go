package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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
		race(t, sts, 1, lanyard.ErrConflict, func(i int, st store.Store) error {
			k := w.ownerKey
			k.KeyVersion = fmt.Sprint(i)
			return st.RewrapOwnerKey(t.Context(), k)
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
	"RotationsHoldTheLimit": func(t *testing.T, sts []store.Store) {
		keys := make([]store.APIKey, workers)
		for i := range keys {
			keys[i] = newKey(ana, fmt.Sprint("k", i))
			ok(t, sts[0].CreateAPIKey(t.Context(), keys[i], -1, event(ana, "x")))
			keys[i].Version = 1
		}
		race(t, sts, 3, lanyard.ErrLimit, func(i int, st store.Store) error {
			next := newKey(ana, fmt.Sprint("n", i))
			next.RotatedFrom = keys[i].ID
			return st.RotateAPIKey(t.Context(), keys[i], next, workers+3, event(ana, "x"))
		})
	},
	"ManyOwnersAtOnce": func(t *testing.T, sts []store.Store) {
		owners := make([]lanyard.Owner, 12) // in as many shards, nearly
		for i := range owners {
			owners[i] = lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("owner", i)}
			ok(t, sts[0].CreateAPIKey(t.Context(), newKey(owners[i], "k"), -1, event(owners[i], "x")))
		}
		race(t, sts, workers, nil, func(i int, st store.Store) error {
			switch owner := owners[i%len(owners)]; i % 4 {
			case 0, 1:
				_, err := st.DeleteAPIKeysCreatedBefore(t.Context(), at(1000), at(60), 1000, func(k store.APIKey) lanyard.Event {
					return event(k.Owner, "x")
				})
				return err
			case 2:
				return st.Deactivate(t.Context(), owner, at(70), event(owner, "x"))
			default:
				return st.Erase(t.Context(), owner, erasure(owner))
			}
		})
		for _, owner := range owners {
			keys, err := sts[0].APIKeys(t.Context(), owner)
			ok(t, err)
			if len(keys) != 0 {
				t.Errorf("%s has %d keys after their deletion", owner.Subject, len(keys))
			}
		}
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
	"OneDeleteByAnOperator": func(t *testing.T, sts []store.Store) {
		const keys = 8 // the first may be over before all have begun
		for i := range keys {
			k := newKey(ana, fmt.Sprint("k", i))
			ok(t, sts[0].CreateAPIKey(t.Context(), k, -1, event(ana, "x")))
			race(t, sts, 1, lanyard.ErrNotFound, func(_ int, st store.Store) error {
				return st.DeleteAPIKeyByID(t.Context(), k.ID, at(60), func(k store.APIKey) lanyard.Event {
					return event(k.Owner, "deleted")
				})
			})
		}
		events, err := sts[0].Events(t.Context(), ana, store.EventCursor{}, 1000)
		ok(t, err)
		if len(events) != 2*keys {
			t.Errorf("%d events tell of %d keys, made and deleted", len(events), keys)
		}
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
				u.At, u.From = at(200+i), fmt.Sprint(i)
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
			same(t, "KeyUsage of "+k.ID, k.KeyUsage, store.KeyUsage{
				FirstUsedAt: at(200), FirstUsedFrom: "0", LastUsedAt: at(200 + workers - 1), LastUsedFrom: fmt.Sprint(workers - 1),
			})
		}
	},
	"OneEpochOneState": func(t *testing.T, sts []store.Store) {
		if _, has := sts[0].(store.Epochs); !has {
			return
		}
		w := populate(t, sts[0], ana)
		// What a look-up shows of the key and its owner is told by its epoch:
		// never two states with one.
		type state struct {
			version     int64
			deactivated bool
			deleted     bool
		}
		var (
			mu   sync.Mutex
			seen = map[int64]state{}
			wg   sync.WaitGroup
		)
		look := func(st store.Store) (fine bool) {
			lookup, err := st.APIKeyByHash(t.Context(), w.key.Hash)
			if err != nil {
				t.Errorf("APIKeyByHash = %v", err)
				return false
			}
			now := state{lookup.Key.Version, lookup.Owner.Deactivated(), !lookup.Key.DeletedAt.IsZero()}
			mu.Lock()
			defer mu.Unlock()
			if before, known := seen[lookup.Epoch]; known && before != now {
				t.Errorf("with epoch %d a look-up showed %+v and %+v", lookup.Epoch, before, now)
				return false
			}
			seen[lookup.Epoch] = now
			return true
		}
		var over atomic.Bool
		for i := range 4 {
			wg.Go(func() {
				for !over.Load() && look(sts[i%len(sts)]) {
				}
			})
		}
		st, k := sts[len(sts)-1], w.key
		for range 15 {
			for name, change := range map[string]func() error{
				"UpdateAPIKey": func() error { return st.UpdateAPIKey(t.Context(), k, event(ana, "x")) },
				"Deactivate":   func() error { return st.Deactivate(t.Context(), ana, at(70), event(ana, "x")) },
				"Reactivate":   func() error { return st.Reactivate(t.Context(), ana, event(ana, "x")) },
			} {
				if err := change(); err != nil {
					t.Errorf("%s = %v", name, err)
				}
				if name == "UpdateAPIKey" {
					k.Version++
				}
				look(st)
			}
		}
		k.DeletedAt = at(60)
		if err := st.DeleteAPIKey(t.Context(), k, event(ana, "x")); err != nil {
			t.Errorf("DeleteAPIKey = %v", err)
		}
		look(st)
		over.Store(true)
		wg.Wait()
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
