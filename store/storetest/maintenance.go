package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var maintenanceTests = map[string]func(*testing.T, store.Store){
	"APIKeyByID": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		for _, want := range []store.APIKey{w.key, w.tombstone} {
			got, err := st.APIKeyByID(t.Context(), want.ID)
			ok(t, err)
			same(t, "APIKeyByID", got, want)
		}
		_, err := st.APIKeyByID(t.Context(), "unknown")
		is(t, "APIKeyByID of an unknown id", err, lanyard.ErrNotFound)
	},
	"DeleteAPIKeyByID": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		ok(t, st.DeleteAPIKeyByID(t.Context(), w.key.ID, at(60), func(k store.APIKey) lanyard.Event {
			same(t, "the key its event is made from", k, w.key)
			return event(k.Owner, "x")
		}))
		got, err := st.APIKeyByHash(t.Context(), w.key.Hash)
		ok(t, err)
		w.key.DeletedAt, w.key.Version, w.key.MAC = at(60), 2, nil
		same(t, "the tombstone, without its MAC", got.Key, w.key)
		for _, id := range []string{w.key.ID, w.tombstone.ID, "unknown"} {
			err := st.DeleteAPIKeyByID(t.Context(), id, at(61), func(store.APIKey) lanyard.Event { return event(ana, "x") })
			is(t, "DeleteAPIKeyByID of what is not live", err, lanyard.ErrNotFound)
		}
	},
	"DeleteAPIKeysCreatedBefore": func(t *testing.T, st store.Store) {
		for i := range 7 {
			owner := []lanyard.Owner{ana, ben, anaElse}[i%3]
			k := newKey(owner, fmt.Sprint("k", i))
			k.CreatedAt = at(i)
			ok(t, st.CreateAPIKey(t.Context(), k, -1, event(owner, "created")))
		}
		total := 0
		for _, want := range []int{2, 2, 1, 0} {
			n, err := st.DeleteAPIKeysCreatedBefore(t.Context(), at(5), at(60), 2, func(k store.APIKey) lanyard.Event {
				return event(k.Owner, "deleted")
			})
			ok(t, err)
			if n != want {
				t.Fatalf("DeleteAPIKeysCreatedBefore = %d, want %d", n, want)
			}
			total += n
		}
		for i := range 5 {
			owner := []lanyard.Owner{ana, ben, anaElse}[i%3]
			got, err := st.APIKeyByHash(t.Context(), newKey(owner, fmt.Sprint("k", i)).Hash)
			ok(t, err)
			if got.Key.DeletedAt.IsZero() || got.Key.MAC != nil {
				t.Errorf("key %d was deleted at %v and has the MAC %q, want a tombstone without one", i, got.Key.DeletedAt, got.Key.MAC)
			}
		}
		left, deleted := 0, 0
		for _, owner := range []lanyard.Owner{ana, ben, anaElse} {
			keys, err := st.APIKeys(t.Context(), owner)
			ok(t, err)
			left += len(keys)
			events, err := st.Events(t.Context(), owner, store.EventCursor{}, 100)
			ok(t, err)
			for _, e := range events {
				if e.Action == "deleted" {
					deleted++
				}
			}
		}
		if left != 2 || deleted != total {
			t.Errorf("%d keys are left and %d events say deleted, want 2 and %d", left, deleted, total)
		}
	},
	"Expiring": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		for i := range 7 {
			k := newKey(ben, fmt.Sprint("k", i))
			k.ExpiresAt = at(1000 + i)
			ok(t, st.CreateAPIKey(t.Context(), k, -1, event(ben, "x")))
			tok := newToken(w.ownerKey, "p", fmt.Sprint(i))
			tok.ExpiresAt = at(1000 + i)
			ok(t, st.CreateProviderToken(t.Context(), tok, -1, event(ana, "x")))
		}
		dead := newKey(ben, "k2")
		dead.DeletedAt = at(60)
		ok(t, st.DeleteAPIKey(t.Context(), dead, event(ben, "x")))
		keys := pages(t, keyID, func(after string) ([]store.APIKey, error) {
			return st.ExpiringAPIKeys(t.Context(), at(1001), at(1005), after, 2)
		})
		same(t, "ExpiringAPIKeys", ids(keys, keyID), []string{tag(ben, "k1"), tag(ben, "k3"), tag(ben, "k4")})
		tokens := pages(t, tokenID, func(after string) ([]store.ProviderToken, error) {
			return st.ExpiringProviderTokens(t.Context(), at(1001), at(1005), after, 2)
		})
		same(t, "ExpiringProviderTokens", ids(tokens, tokenID), []string{tag(ana, "p1"), tag(ana, "p2"), tag(ana, "p3"), tag(ana, "p4")})
		// Without a beginning: all that expire before; without an end: none.
		keys, err := st.ExpiringAPIKeys(t.Context(), time.Time{}, at(1002), "", 10)
		ok(t, err)
		same(t, "ExpiringAPIKeys from zero", ids(keys, keyID), []string{tag(ben, "k0"), tag(ben, "k1")})
		keys, err = st.ExpiringAPIKeys(t.Context(), at(0), time.Time{}, "", 10)
		ok(t, err)
		same(t, "ExpiringAPIKeys to zero", ids(keys, keyID), []string{})
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: w.key.ID, At: at(99)}}))
		live := pages(t, keyID, func(after string) ([]store.APIKey, error) { return st.AllAPIKeys(t.Context(), after, 3) })
		for _, k := range live {
			same(t, "the KeyUsage in AllAPIKeys", k.KeyUsage, store.KeyUsage{})
		}
		same(t, "AllAPIKeys", ids(live, keyID), slices.Sorted(slices.Values([]string{
			w.key.ID, tag(ben, "k0"), tag(ben, "k1"), tag(ben, "k3"), tag(ben, "k4"), tag(ben, "k5"), tag(ben, "k6"),
		})))
		all := pages(t, tokenID, func(after string) ([]store.ProviderToken, error) {
			return st.AllProviderTokens(t.Context(), after, 3)
		})
		if len(all) != 8 {
			t.Errorf("AllProviderTokens pages hold %d, want 8", len(all))
		}
	},
	"SignAPIKey": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		bare := newKey(ana, "bare")
		bare.MAC = nil
		ok(t, st.CreateAPIKey(t.Context(), bare, -1, event(ana, "x")))
		bare.Version = 1
		unsigned, err := st.UnsignedAPIKeys(t.Context(), "", 10)
		ok(t, err)
		same(t, "UnsignedAPIKeys", unsigned, []store.APIKey{bare})
		bare.MAC = []byte("signed")
		is(t, "SignAPIKey of another version", st.SignAPIKey(t.Context(), staleKey(bare)), lanyard.ErrConflict)
		ok(t, st.SignAPIKey(t.Context(), bare))
		got, err := st.APIKey(t.Context(), ana, bare.ID)
		ok(t, err)
		same(t, "a signed key", got, bare)
		is(t, "SignAPIKey of a tombstone", st.SignAPIKey(t.Context(), w.tombstone), lanyard.ErrNotFound)
		unsigned, err = st.UnsignedAPIKeys(t.Context(), "", 10)
		ok(t, err)
		if len(unsigned) != 0 {
			t.Errorf("UnsignedAPIKeys holds %d after signing", len(unsigned))
		}
	},
	"OwnerKeys": func(t *testing.T, st store.Store) {
		want := map[lanyard.Owner]store.OwnerKey{}
		for i, owner := range []lanyard.Owner{{}, ana, ben, anaElse, anaCapital} {
			k := newOwnerKey(owner)
			k.KeyVersion = []string{"v1", "v2"}[i%2]
			stored, err := st.CreateOwnerKey(t.Context(), k)
			ok(t, err)
			want[owner] = stored
		}
		all := pages(t, func(k store.OwnerKey) string { return k.ID }, func(after string) ([]store.OwnerKey, error) {
			return st.AllOwnerKeys(t.Context(), after, 2)
		})
		if len(all) != len(want) {
			t.Fatalf("AllOwnerKeys pages hold %d, want %d", len(all), len(want))
		}
		for _, k := range all {
			same(t, "AllOwnerKeys", k, want[k.Owner])
		}
		counts, err := st.CountOwnerKeys(t.Context())
		ok(t, err)
		same(t, "CountOwnerKeys", counts, []store.OwnerKeyCount{
			{Secrets: "keyring", KeyVersion: "v1", Count: 3}, {Secrets: "keyring", KeyVersion: "v2", Count: 2},
		})
		k := want[ana]
		k.Secrets, k.KeyVersion, k.Wrapped = "vault", "v9", []byte("new")
		ok(t, st.RewrapOwnerKey(t.Context(), k))
		is(t, "a second RewrapOwnerKey of one version", st.RewrapOwnerKey(t.Context(), k), lanyard.ErrConflict)
		got, err := st.OwnerKey(t.Context(), ana)
		ok(t, err)
		k.Version++
		same(t, "a rewrapped key", got, k)
		k.Wrapped[0] = 'x' // ours, not the store's
		got, err = st.OwnerKey(t.Context(), ana)
		ok(t, err)
		if string(got.Wrapped) != "new" {
			t.Error("a rewrapped key changed with its caller's")
		}
		odd := k
		odd.CreatedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		is(t, "RewrapOwnerKey of a key whose other columns are odd", st.RewrapOwnerKey(t.Context(), odd), nil)
		k.ID = "gone"
		is(t, "RewrapOwnerKey of a key that was replaced", st.RewrapOwnerKey(t.Context(), k), lanyard.ErrNotFound)
	},
	"Purge": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		usedOnce := newKey(ana, "used")
		ok(t, st.CreateAPIKey(t.Context(), usedOnce, 10, event(ana, "x")))
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: w.key.ID, At: at(99)}, {ID: usedOnce.ID, At: at(98)}, {ID: usedOnce.ID, At: at(500)}}))
		usedOnce.DeletedAt = at(50)
		ok(t, st.DeleteAPIKey(t.Context(), usedOnce, event(ana, "x")))
		before := picture(t, st, w)
		done, err := st.Purge(t.Context(), store.Purge{})
		ok(t, err)
		same(t, "Purge of nothing", done, store.Purged{})
		done, err = st.Purge(t.Context(), store.Purge{EventsBefore: at(100), TombstonesBefore: at(50), UsageBefore: at(99)})
		ok(t, err)
		same(t, "Purge of what is older", done, store.Purged{})
		unchanged(t, st, w, "Purge of what is older than all", before)
		events, err := st.Events(t.Context(), ana, store.EventCursor{}, 100)
		ok(t, err)
		done, err = st.Purge(t.Context(), store.Purge{EventsBefore: at(101), TombstonesBefore: at(51), UsageBefore: at(100)})
		ok(t, err)
		same(t, "Purge", done, store.Purged{Events: len(events), Tombstones: 2, Usage: 1})
		usedOnce.DeletedAt = time.Time{}
		ok(t, st.CreateAPIKey(t.Context(), usedOnce, 10, event(ana, "x")))
		reborn, err := st.APIKey(t.Context(), ana, usedOnce.ID)
		ok(t, err)
		same(t, "KeyUsage of a purged tombstone's namesake", reborn.KeyUsage, store.KeyUsage{})
		_, err = st.APIKeyByHash(t.Context(), w.tombstone.Hash)
		is(t, "APIKeyByHash of a purged tombstone", err, lanyard.ErrNotFound)
		got, err := st.APIKey(t.Context(), ana, w.key.ID)
		ok(t, err)
		same(t, "a live key after Purge", got, w.key)
		_, err = st.ProviderToken(t.Context(), ana, w.token.ID)
		ok(t, err)
	},
	"ErasurePages": func(t *testing.T, st store.Store) {
		for range 3 {
			ok(t, st.Erase(t.Context(), ana, erasure(ana)))
		}
		var cursor store.EventCursor
		n := 0
		for {
			page, err := st.Erasures(t.Context(), ana.Tenant, cursor, 2)
			ok(t, err)
			if len(page) == 0 {
				break
			}
			n += len(page)
			last := page[len(page)-1]
			cursor = store.EventCursor{At: last.At, ID: last.ID}
		}
		if n != 3 {
			t.Errorf("Erasures pages hold %d, want 3", n)
		}
	},
}

// pages reads all pages and fails when one repeats or breaks the order.
func pages[T any](t *testing.T, id func(T) string, read func(after string) ([]T, error)) []T {
	t.Helper()
	var all []T
	after := ""
	for {
		page, err := read(after)
		ok(t, err)
		if len(page) == 0 {
			return all
		}
		for _, r := range page {
			if id(r) <= after {
				t.Fatalf("page after %q holds %q", after, id(r))
			}
			after = id(r)
		}
		all = append(all, page...)
	}
}
