package storetest

import (
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var providerTokenTests = map[string]func(*testing.T, store.Store){
	"ReadsWhatWasStored": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		got, err := st.ProviderToken(t.Context(), ana, w.token.ID)
		ok(t, err)
		same(t, "ProviderToken", got, w.token)
		list, err := st.ProviderTokens(t.Context(), ana)
		ok(t, err)
		same(t, "ProviderTokens", list, []store.ProviderToken{w.token})
		_, err = st.ProviderToken(t.Context(), ana, "unknown")
		is(t, "ProviderToken of an unknown id", err, lanyard.ErrNotFound)
	},
	"OptionalPartsStayEmpty": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		bare := store.ProviderToken{
			ID: "bare", Owner: ana, ProviderID: "jira", OwnerKeyID: w.ownerKey.ID, CreatedAt: at(31), UpdatedAt: at(31),
		}
		ok(t, st.CreateProviderToken(t.Context(), bare, 10, event(ana, "x")))
		got, err := st.ProviderToken(t.Context(), ana, "bare")
		ok(t, err)
		bare.Version = 1
		same(t, "a connection with nothing optional", got, bare)
	},
	"OneOfALabel": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		twin := w.token
		twin.ID = "twin"
		is(t, "CreateProviderToken with a taken label", st.CreateProviderToken(t.Context(), twin, 10, event(ana, "x")), lanyard.ErrExists)
		other := newToken(w.ownerKey, "jira", "Work")
		ok(t, st.CreateProviderToken(t.Context(), other, 10, event(ana, "x")))
		other.Version, other.Label = 1, w.token.Label
		is(t, "UpdateProviderToken to a taken label", st.UpdateProviderToken(t.Context(), other, event(ana, "x")), lanyard.ErrExists)
		sameID := newToken(w.ownerKey, "github", "")
		sameID.ID = w.token.ID
		is(t, "CreateProviderToken with a taken id", st.CreateProviderToken(t.Context(), sameID, 10, event(ana, "x")), lanyard.ErrExists)
	},
	"Limit": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		is(t, "CreateProviderToken at the limit",
			st.CreateProviderToken(t.Context(), newToken(w.ownerKey, "github", ""), 1, event(ana, "x")), lanyard.ErrLimit)
		ok(t, st.CreateProviderToken(t.Context(), newToken(w.ownerKey, "github", ""), 2, event(ana, "x")))
		ok(t, st.CreateProviderToken(t.Context(), newToken(w.ownerKey, "gitlab", ""), -1, event(ana, "x")))
	},
	"UpdateProviderToken": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		want := w.token
		want.MethodID, want.Label, want.Fields = "basic", "home", map[string]string{"site": "globex", "email": "a@b"}
		want.Secrets = map[string]store.SealedSecret{"password": {Envelope: []byte{9}, Version: 4, UpdatedAt: at(40)}}
		want.Origin, want.Account = "https://other.example", store.Account{}
		want.Verdict, want.Reason, want.CheckedAt = "invalid", "captcha", at(41)
		want.ExpiresAt, want.UpdatedAt = time.Time{}, at(42)
		sent := want
		sent.ProviderID, sent.CreatedAt, sent.LastUsedAt = "github", at(9999), at(9999)
		ok(t, st.UpdateProviderToken(t.Context(), sent, event(ana, "x")))
		got, err := st.ProviderToken(t.Context(), ana, want.ID)
		ok(t, err)
		want.Version = 2
		same(t, "ProviderToken after the update", got, want)
		for _, version := range []int64{0, 1, 3} {
			want.Version = version
			is(t, "UpdateProviderToken of another version", st.UpdateProviderToken(t.Context(), want, event(ana, "x")), lanyard.ErrConflict)
		}
	},
	"DeleteProviderToken": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		is(t, "DeleteProviderToken of another version",
			st.DeleteProviderToken(t.Context(), ana, w.token.ID, 7, event(ana, "x")), lanyard.ErrConflict)
		ok(t, st.DeleteProviderToken(t.Context(), ana, w.token.ID, 0, event(ana, "x")))
		_, err := st.ProviderToken(t.Context(), ana, w.token.ID)
		is(t, "ProviderToken after its deletion", err, lanyard.ErrNotFound)
		is(t, "a second DeleteProviderToken", st.DeleteProviderToken(t.Context(), ana, w.token.ID, 0, event(ana, "x")), lanyard.ErrNotFound)
	},
	"OwnerKeyMustExist": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		populate(t, st, ben)
		for name, id := range map[string]string{"an unknown": "unknown", "another owner's": newOwnerKey(ben).ID} {
			orphan := newToken(w.ownerKey, "github", "")
			orphan.OwnerKeyID = id
			is(t, "CreateProviderToken with "+name+" key", st.CreateProviderToken(t.Context(), orphan, 10, event(ana, "x")), store.ErrOwnerKeyGone)
			moved := w.token
			moved.OwnerKeyID = id
			is(t, "UpdateProviderToken to "+name+" key", st.UpdateProviderToken(t.Context(), moved, event(ana, "x")), store.ErrOwnerKeyGone)
		}
	},
	"ErasedWhileCached": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		ok(t, st.Erase(t.Context(), ana, erasure(ana)))
		late := newToken(w.ownerKey, "github", "")
		is(t, "CreateProviderToken with an erased key", st.CreateProviderToken(t.Context(), late, 10, event(ana, "x")), store.ErrOwnerKeyGone)
		fresh := newOwnerKey(ana)
		fresh.ID = "fresh"
		_, err := st.CreateOwnerKey(t.Context(), fresh)
		ok(t, err)
		is(t, "CreateProviderToken with the old key", st.CreateProviderToken(t.Context(), late, 10, event(ana, "x")), store.ErrOwnerKeyGone)
		is(t, "RewrapOwnerKey of an erased key", st.RewrapOwnerKey(t.Context(), w.ownerKey), lanyard.ErrNotFound)
		late.OwnerKeyID = fresh.ID
		ok(t, st.CreateProviderToken(t.Context(), late, 10, event(ana, "x")))
	},
	"RecordTokenUse": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		for _, c := range []struct{ at, want int }{{200, 200}, {150, 200}, {300, 300}} {
			ok(t, st.RecordTokenUse(t.Context(), ana, w.token.ID, at(c.at)))
			got, err := st.ProviderToken(t.Context(), ana, w.token.ID)
			ok(t, err)
			w.token.LastUsedAt = at(c.want)
			same(t, "ProviderToken after a use", got, w.token)
		}
		ok(t, st.RecordTokenUse(t.Context(), ana, "unknown", at(1)))
		ok(t, st.UpdateProviderToken(t.Context(), newVersion(w.token), event(ana, "x")))
		got, err := st.ProviderToken(t.Context(), ana, w.token.ID)
		ok(t, err)
		if !got.LastUsedAt.Equal(at(300)) {
			t.Error("an update lost the last use")
		}
	},
	"ListOrder": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		for i, label := range []string{"b", "a", "B", "c"} {
			token := newToken(w.ownerKey, "x", label)
			token.CreatedAt = at(100 + i/2)
			ok(t, st.CreateProviderToken(t.Context(), token, 10, event(ana, "x")))
		}
		list, err := st.ProviderTokens(t.Context(), ana)
		ok(t, err)
		want := []string{tag(ana, "xB"), tag(ana, "xc"), tag(ana, "xa"), tag(ana, "xb"), w.token.ID}
		same(t, "ProviderTokens: newest first, then by id", ids(list, tokenID), want)
	},
	"ReturnsCopies": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		for range 2 {
			got, err := st.ProviderToken(t.Context(), ana, w.token.ID)
			ok(t, err)
			same(t, "a connection after changing an answer", got, w.token)
			got.Fields["site"] = "x"
			got.Secrets["token"].Envelope[0] = 'x'
			delete(got.Secrets, "token")
			for name, list := range map[string]func() ([]store.ProviderToken, error){
				"ProviderTokens":    func() ([]store.ProviderToken, error) { return st.ProviderTokens(t.Context(), ana) },
				"AllProviderTokens": func() ([]store.ProviderToken, error) { return st.AllProviderTokens(t.Context(), "", 10) },
			} {
				all, err := list()
				ok(t, err)
				same(t, name+" after changing an answer", all, []store.ProviderToken{w.token})
				all[0].Secrets["token"].Envelope[0] = 'x'
				all[0].Fields["site"] = "x"
			}
		}
	},
	"KeepsCopies": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		spoil := func(t store.ProviderToken) {
			t.Fields["site"] = "x"
			t.Secrets["token"].Envelope[0] = 'x'
			t.Secrets["other"] = store.SealedSecret{}
		}
		given, want := newToken(w.ownerKey, "github", ""), newToken(w.ownerKey, "github", "")
		ok(t, st.CreateProviderToken(t.Context(), given, 10, event(ana, "x")))
		spoil(given)
		given = newToken(w.ownerKey, "github", "")
		given.Version = 1
		ok(t, st.UpdateProviderToken(t.Context(), given, event(ana, "x")))
		spoil(given)
		got, err := st.ProviderToken(t.Context(), ana, want.ID)
		ok(t, err)
		want.Version = 2
		same(t, "a connection after its callers changed theirs", got, want)
	},
	"IDsAreCaseSensitive": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		upper := newToken(w.ownerKey, "JIRA", "work")
		_, err := st.ProviderToken(t.Context(), ana, upper.ID)
		is(t, "ProviderToken in another case", err, lanyard.ErrNotFound)
		ok(t, st.CreateProviderToken(t.Context(), upper, 10, event(ana, "x")))
	},
}

// newVersion returns t with its use forgotten, as a caller that read it
// before the use would send it.
func newVersion(t store.ProviderToken) store.ProviderToken {
	t.LastUsedAt = time.Time{}
	return t
}
