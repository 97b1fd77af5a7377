package storetest

import (
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var epochTests = map[string]func(*testing.T, store.Store){
	"WrittenByWhatVerifyReads": func(t *testing.T, st store.Store) {
		e, has := st.(store.Epochs)
		if !has {
			return
		}
		eachChange(t, st, func(t *testing.T, c change, w world) {
			before := epochs(t, e)
			ok(t, c.do(t.Context(), st, w, event(c.owner, "x")))
			wrote(t, c.name, before, epochs(t, e), c.owner, c.epoch)
		})
		w := populate(t, st, ana)
		for _, step := range []struct {
			name  string
			epoch bool
			do    func() error
		}{
			{"Reactivate of an active owner", false, func() error { return st.Reactivate(t.Context(), ana, event(ana, "x")) }},
			{"Deactivate", true, func() error { return st.Deactivate(t.Context(), ana, at(70), event(ana, "x")) }},
			{"a second Deactivate", false, func() error { return st.Deactivate(t.Context(), ana, at(71), event(ana, "x")) }},
			{"Reactivate", true, func() error { return st.Reactivate(t.Context(), ana, event(ana, "x")) }},
			{"RecordKeyUse", false, func() error {
				return st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: w.key.ID, At: at(99)}})
			}},
			{"SignAPIKey", false, func() error { return st.SignAPIKey(t.Context(), w.key) }},
			{"Erase", true, func() error { return st.Erase(t.Context(), ana, erasure(ana)) }},
		} {
			before := epochs(t, e)
			if err := step.do(); err != nil {
				t.Fatalf("%s = %v", step.name, err)
			}
			wrote(t, step.name, before, epochs(t, e), ana, step.epoch)
		}
	},
	"LookupCarriesTheEpoch": func(t *testing.T, st store.Store) {
		e, has := st.(store.Epochs)
		if !has {
			return
		}
		w := populate(t, st, ana)
		for range 3 {
			lookup, err := st.APIKeyByHash(t.Context(), w.key.Hash)
			ok(t, err)
			if want := epochs(t, e)[store.Shard(ana)]; lookup.Epoch != want {
				t.Errorf("APIKeyByHash carries epoch %d, Epochs says %d", lookup.Epoch, want)
			}
			w.key.Version = lookup.Key.Version
			ok(t, st.UpdateAPIKey(t.Context(), w.key, event(ana, "x")))
		}
	},
	"AreRandom": func(t *testing.T, st store.Store) {
		e, has := st.(store.Epochs)
		if !has {
			return
		}
		// A counter would come back to a number that a process remembers, after
		// the database was restored to an earlier point.
		before := epochs(t, e)[store.Shard(ana)]
		seen := map[int64]bool{before: true}
		for range 4 {
			for _, change := range []func() error{
				func() error { return st.Deactivate(t.Context(), ana, at(70), event(ana, "x")) },
				func() error { return st.Reactivate(t.Context(), ana, event(ana, "x")) },
			} {
				ok(t, change())
				fresh := epochs(t, e)[store.Shard(ana)]
				if seen[fresh] || fresh-before < 1<<16 && before-fresh < 1<<16 {
					t.Errorf("the epoch after %d is %d, want a random one", before, fresh)
				}
				seen[fresh], before = true, fresh
			}
		}
	},
	"ReturnsACopy": func(t *testing.T, st store.Store) {
		e, has := st.(store.Epochs)
		if !has {
			return
		}
		got := epochs(t, e)
		want := *got
		got[0]++
		same(t, "Epochs after changing an answer", *epochs(t, e), want)
	},
}

func epochs(t *testing.T, e store.Epochs) *[store.Shards]int64 {
	t.Helper()
	all, err := e.Epochs(t.Context())
	ok(t, err)
	return all
}

// wrote fails unless exactly the owner's shard changed, or none.
func wrote(t *testing.T, what string, before, after *[store.Shards]int64, owner lanyard.Owner, want bool) {
	t.Helper()
	for shard := range before {
		changed, expected := before[shard] != after[shard], want && shard == store.Shard(owner)
		if changed != expected {
			t.Errorf("%s: epoch of shard %d changed: %v, want %v", what, shard, changed, expected)
		}
	}
}
