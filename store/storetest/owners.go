package storetest

import (
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var ownerKeyTests = map[string]func(*testing.T, store.Store){
	"TheFirstWins": func(t *testing.T, st store.Store) {
		_, err := st.OwnerKey(t.Context(), ana)
		is(t, "OwnerKey before any", err, lanyard.ErrNotFound)
		w := populate(t, st, ana)
		late := newOwnerKey(ana)
		late.ID, late.Wrapped = "late", []byte("late")
		got, err := st.CreateOwnerKey(t.Context(), late)
		ok(t, err)
		same(t, "a second CreateOwnerKey", got, w.ownerKey)
		got, err = st.OwnerKey(t.Context(), ana)
		ok(t, err)
		same(t, "OwnerKey", got, w.ownerKey)
		got.Wrapped[0] = 'x'
		got, err = st.OwnerKey(t.Context(), ana)
		ok(t, err)
		same(t, "OwnerKey after changing an answer", got, w.ownerKey)
	},
	"AnIDIsOneOwners": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		theirs := newOwnerKey(ben)
		theirs.ID = w.ownerKey.ID
		_, err := st.CreateOwnerKey(t.Context(), theirs)
		is(t, "CreateOwnerKey with another owner's id", err, lanyard.ErrExists)
		_, err = st.OwnerKey(t.Context(), ben)
		is(t, "OwnerKey after that", err, lanyard.ErrNotFound)
	},
	"TheSystemHasOne": func(t *testing.T, st store.Store) {
		system := newOwnerKey(lanyard.Owner{})
		_, err := st.CreateOwnerKey(t.Context(), system)
		ok(t, err)
		ok(t, st.Erase(t.Context(), anaNoTenant, erasure(anaNoTenant)))
		got, err := st.OwnerKey(t.Context(), lanyard.Owner{})
		ok(t, err)
		system.Version = 1
		same(t, "the system's OwnerKey", got, system)
	},
}

var ownerTests = map[string]func(*testing.T, store.Store){
	"DeactivateIsOneOwners": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		for i, other := range strangers {
			ok(t, st.Deactivate(t.Context(), other, at(i), event(other, "x")))
			lookup, err := st.APIKeyByHash(t.Context(), w.key.Hash)
			ok(t, err)
			same(t, "the state of "+other.Tenant+"/"+other.Subject+" in ana's APIKeyByHash", lookup.Owner, store.OwnerState{})
		}
	},
	"Deactivate": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		states := func(want store.OwnerState) {
			t.Helper()
			got, err := st.OwnerState(t.Context(), ana)
			ok(t, err)
			same(t, "OwnerState", got, want)
			lookup, err := st.APIKeyByHash(t.Context(), w.key.Hash)
			ok(t, err)
			same(t, "the owner's state in APIKeyByHash", lookup.Owner, want)
		}
		states(store.OwnerState{})
		ok(t, st.Reactivate(t.Context(), ana, event(ana, "x")))
		ok(t, st.Deactivate(t.Context(), ana, at(70), event(ana, "owner.deactivated")))
		states(store.OwnerState{DeactivatedAt: at(70)})
		before := picture(t, st, w)
		ok(t, st.Deactivate(t.Context(), ana, at(71), event(ana, "again")))
		unchanged(t, st, w, "a second Deactivate", before)
		other, err := st.OwnerState(t.Context(), anaElse)
		ok(t, err)
		same(t, "the state of another tenant's ana", other, store.OwnerState{})
		ok(t, st.Reactivate(t.Context(), ana, event(ana, "owner.reactivated")))
		states(store.OwnerState{})
		before = picture(t, st, w)
		ok(t, st.Reactivate(t.Context(), ana, event(ana, "again")))
		unchanged(t, st, w, "a second Reactivate", before)
	},
	"StrangersAreActive": func(t *testing.T, st store.Store) {
		got, err := st.OwnerState(t.Context(), ana)
		ok(t, err)
		same(t, "OwnerState of somebody unknown", got, store.OwnerState{})
		ok(t, st.Deactivate(t.Context(), ana, at(70), event(ana, "x")))
		got, err = st.OwnerState(t.Context(), ana)
		ok(t, err)
		same(t, "OwnerState of somebody without records", got, store.OwnerState{DeactivatedAt: at(70)})
	},
	"EraseLeavesNothing": func(t *testing.T, st store.Store) {
		empty := picture(t, st, world{})
		w := populate(t, st, ana)
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: w.key.ID, At: at(99)}}))
		ok(t, st.Deactivate(t.Context(), ana, at(70), event(ana, "x")))
		e := erasure(ana)
		ok(t, st.Erase(t.Context(), ana, e))
		if got, want := withoutEpochs(picture(t, st, world{})), withoutEpochs(empty); !erasureOnly(got, want) {
			t.Errorf("after Erase there is still\n%s", got)
		}
		for name, hash := range map[string][]byte{"key": w.key.Hash, "tombstone": w.tombstone.Hash} {
			_, err := st.APIKeyByHash(t.Context(), hash)
			is(t, "APIKeyByHash of an erased "+name, err, lanyard.ErrNotFound)
		}
		for _, id := range []string{w.key.ID, w.tombstone.ID} {
			_, err := st.APIKeyByID(t.Context(), id)
			is(t, "APIKeyByID of an erased key", err, lanyard.ErrNotFound)
		}
		tokens, err := st.AllProviderTokens(t.Context(), "", 10)
		ok(t, err)
		ownerKeys, err := st.AllOwnerKeys(t.Context(), "", 10)
		ok(t, err)
		if len(tokens)+len(ownerKeys) != 0 {
			t.Errorf("after Erase there are %d connections and %d owner keys", len(tokens), len(ownerKeys))
		}
		left, err := st.Erasures(t.Context(), ana.Tenant, store.EventCursor{}, 10)
		ok(t, err)
		same(t, "Erasures", left, []lanyard.Event{e})
		// What was there may come again, under the same ids.
		again := populate(t, st, ana)
		got, err := st.APIKey(t.Context(), ana, again.key.ID)
		ok(t, err)
		same(t, "KeyUsage after Erase", got.KeyUsage, store.KeyUsage{})
		state, err := st.OwnerState(t.Context(), ana)
		ok(t, err)
		if state.Deactivated() {
			t.Error("Erase kept the deactivation")
		}
	},
	"EraseIsAllOrNothing": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		taken := event(ben, "x")
		ok(t, st.Append(t.Context(), taken))
		ok(t, st.Deactivate(t.Context(), ana, at(70), event(ana, "x")))
		before := picture(t, st, w)
		e := erasure(ana)
		e.ID = taken.ID
		is(t, "Erase with a taken event", st.Erase(t.Context(), ana, e), lanyard.ErrExists)
		bad := erasure(ana)
		bad.UserAgent = "a\x00b"
		isInput(t, "Erase with a bad event", st.Erase(t.Context(), ana, bad))
		unchanged(t, st, w, "a refused Erase", before)
	},
	"EraseForgetsLateUses": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		ok(t, st.Erase(t.Context(), ana, erasure(ana)))
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: w.key.ID, At: at(99)}}))
		ok(t, st.RecordTokenUse(t.Context(), ana, w.token.ID, at(99)))
		w = populate(t, st, ana)
		got, err := st.APIKey(t.Context(), ana, w.key.ID)
		ok(t, err)
		same(t, "a key after a use of its erased namesake", got, w.key)
	},
	"EraseOfNobodyIsRecorded": func(t *testing.T, st store.Store) {
		e := erasure(ben)
		ok(t, st.Erase(t.Context(), ben, e))
		left, err := st.Erasures(t.Context(), ben.Tenant, store.EventCursor{}, 10)
		ok(t, err)
		same(t, "Erasures", left, []lanyard.Event{e})
	},
	"EraseRefusesToNameTheSubject": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		before := picture(t, st, w)
		named, actor, elsewhere := event(ana, "owner.erased"), erasure(ana), erasure(anaElse)
		actor.Actor = ana
		for name, e := range map[string]lanyard.Event{"owner": named, "actor": actor, "another tenant": elsewhere} {
			isInput(t, "Erase with an event that names the "+name, st.Erase(t.Context(), ana, e))
		}
		unchanged(t, st, w, "a refused Erase", before)
	},
}
