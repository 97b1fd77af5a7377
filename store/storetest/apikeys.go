package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var apiKeyTests = map[string]func(*testing.T, store.Store){
	"ReadsWhatWasStored": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		got, err := st.APIKey(t.Context(), ana, w.key.ID)
		ok(t, err)
		same(t, "APIKey", got, w.key)
		list, err := st.APIKeys(t.Context(), ana)
		ok(t, err)
		same(t, "APIKeys", list, []store.APIKey{w.key})
		lookup, err := st.APIKeyByHash(t.Context(), w.key.Hash)
		ok(t, err)
		same(t, "APIKeyByHash", lookup.Key, w.key)
		byToken, err := st.APIKeyByCreateToken(t.Context(), ana, w.key.CreateToken)
		ok(t, err)
		same(t, "APIKeyByCreateToken", byToken, w.key)
	},
	"OptionalPartsStayEmpty": func(t *testing.T, st store.Store) {
		k := newKey(ana, "bare")
		k.MAC, k.Scopes, k.CreateToken, k.CreateDigest, k.Name, k.Hint = nil, nil, nil, nil, "", ""
		ok(t, st.CreateAPIKey(t.Context(), k, 10, event(ana, "x")))
		got, err := st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		k.Version = 1
		same(t, "a key with nothing optional", got, k)
		_, err = st.APIKeyByCreateToken(t.Context(), ana, nil)
		is(t, "APIKeyByCreateToken(nil)", err, lanyard.ErrNotFound)
		other := newKey(ana, "bare2")
		other.CreateToken = nil
		ok(t, st.CreateAPIKey(t.Context(), other, 10, event(ana, "x")))
	},
	"BeginLiveAndUnused": func(t *testing.T, st store.Store) {
		k := newKey(ana, "k")
		k.Version, k.DeletedAt, k.LastUsedAt = 7, at(1), at(2)
		ok(t, st.CreateAPIKey(t.Context(), k, 10, event(ana, "x")))
		got, err := st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		k.Version, k.DeletedAt, k.LastUsedAt = 1, time.Time{}, time.Time{}
		same(t, "a new key", got, k)
	},
	"EmptyIsNil": func(t *testing.T, st store.Store) {
		k := newKey(ana, "k")
		k.MAC, k.Scopes, k.CreateToken, k.CreateDigest = []byte{}, []string{}, []byte{}, []byte{}
		ok(t, st.CreateAPIKey(t.Context(), k, 10, event(ana, "x")))
		got, err := st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		k.Version, k.MAC, k.Scopes, k.CreateToken, k.CreateDigest = 1, nil, nil, nil, nil
		same(t, "a key with empty parts", got, k)
	},
	"TombstonesAreHidden": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		_, err := st.APIKey(t.Context(), ana, w.tombstone.ID)
		is(t, "APIKey of a tombstone", err, lanyard.ErrNotFound)
		is(t, "UpdateAPIKey of a tombstone", st.UpdateAPIKey(t.Context(), w.tombstone, event(ana, "x")), lanyard.ErrNotFound)
		is(t, "DeleteAPIKey of a tombstone", st.DeleteAPIKey(t.Context(), w.tombstone, event(ana, "x")), lanyard.ErrNotFound)
		list, err := st.APIKeys(t.Context(), ana)
		ok(t, err)
		same(t, "APIKeys beside a tombstone", list, []store.APIKey{w.key})
		lookup, err := st.APIKeyByHash(t.Context(), w.tombstone.Hash)
		ok(t, err)
		same(t, "APIKeyByHash of a tombstone", lookup.Key, w.tombstone)
		byToken, err := st.APIKeyByCreateToken(t.Context(), ana, w.tombstone.CreateToken)
		ok(t, err)
		same(t, "APIKeyByCreateToken of a tombstone", byToken, w.tombstone)
	},
	"TakenIsTakenForEver": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		for name, spoil := range map[string]func(*store.APIKey){
			"id":                        func(k *store.APIKey) { k.ID = w.key.ID },
			"id of a tombstone":         func(k *store.APIKey) { k.ID = w.tombstone.ID },
			"hash":                      func(k *store.APIKey) { k.Hash = w.key.Hash },
			"hash of a tombstone":       func(k *store.APIKey) { k.Hash = w.tombstone.Hash },
			"create token":              func(k *store.APIKey) { k.CreateToken = w.key.CreateToken },
			"create token of tombstone": func(k *store.APIKey) { k.CreateToken = w.tombstone.CreateToken },
		} {
			k := newKey(ana, "new")
			spoil(&k)
			is(t, "CreateAPIKey with a taken "+name, st.CreateAPIKey(t.Context(), k, 10, event(ana, "x")), lanyard.ErrExists)
		}
		k := newKey(ana, "new")
		k.CreateToken = w.key.CreateToken
		is(t, "a taken create token at the limit", st.CreateAPIKey(t.Context(), k, 1, event(ana, "x")), lanyard.ErrExists)
		theirs := newKey(ben, "new")
		theirs.CreateToken = w.key.CreateToken
		ok(t, st.CreateAPIKey(t.Context(), theirs, 10, event(ben, "x")))
	},
	"Limit": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana) // one live, one tombstone
		ok(t, st.CreateAPIKey(t.Context(), newKey(ben, "theirs"), 1, event(ben, "x")))
		expired := newKey(ana, "expired")
		expired.ExpiresAt = at(-1000)
		ok(t, st.CreateAPIKey(t.Context(), expired, 2, event(ana, "x")))
		is(t, "CreateAPIKey at the limit", st.CreateAPIKey(t.Context(), newKey(ana, "third"), 2, event(ana, "x")), lanyard.ErrLimit)
		is(t, "CreateAPIKey with limit 0", st.CreateAPIKey(t.Context(), newKey(ana, "third"), 0, event(ana, "x")), lanyard.ErrLimit)
		w.key.DeletedAt = at(61)
		ok(t, st.DeleteAPIKey(t.Context(), w.key, event(ana, "x")))
		ok(t, st.CreateAPIKey(t.Context(), newKey(ana, "third"), 2, event(ana, "x")))
		ok(t, st.CreateAPIKey(t.Context(), newKey(ana, "fourth"), -1, event(ana, "x")))
	},
	"UpdateAPIKey": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		k := w.key
		k.Name, k.Scopes, k.ExpiresAt, k.MAC = "other", []string{"z", "a"}, time.Time{}, []byte("other mac")
		want := k
		k.Hint, k.CreatedAt, k.RotatedFrom, k.CreateToken, k.DeletedAt = "x", at(9999), "x", []byte("x"), at(1)
		ok(t, st.UpdateAPIKey(t.Context(), k, event(ana, "x")))
		got, err := st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		want.Version = 2
		same(t, "APIKey after the update", got, want)
		for _, version := range []int64{0, 1, 3} {
			k.Version = version
			is(t, "UpdateAPIKey of another version", st.UpdateAPIKey(t.Context(), k, event(ana, "x")), lanyard.ErrConflict)
		}
	},
	"DeleteAPIKey": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		k := w.key
		k.DeletedAt, k.MAC = at(70), []byte("tomb mac")
		k.Version = 7
		is(t, "DeleteAPIKey of another version", st.DeleteAPIKey(t.Context(), k, event(ana, "x")), lanyard.ErrConflict)
		k.Version = 0
		ok(t, st.DeleteAPIKey(t.Context(), k, event(ana, "x")))
		lookup, err := st.APIKeyByHash(t.Context(), k.Hash)
		ok(t, err)
		k.Version = 2
		same(t, "the tombstone", lookup.Key, k)
		is(t, "a second DeleteAPIKey", st.DeleteAPIKey(t.Context(), k, event(ana, "x")), lanyard.ErrNotFound)
	},
	"RecordKeyUse": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		k := w.key
		use := func(seconds int, from string, want store.KeyUsage) {
			t.Helper()
			ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{
				{ID: "unknown", At: at(seconds)}, {ID: w.tombstone.ID, At: at(seconds), From: from}, {ID: k.ID, At: at(seconds), From: from},
			}))
			got, err := st.APIKey(t.Context(), ana, k.ID)
			ok(t, err)
			k.KeyUsage = want
			same(t, "APIKey after a use", got, k)
		}
		use(200, "a", store.KeyUsage{FirstUsedAt: at(200), FirstUsedFrom: "a", LastUsedAt: at(200), LastUsedFrom: "a"})
		use(300, "b", store.KeyUsage{FirstUsedAt: at(200), FirstUsedFrom: "a", LastUsedAt: at(300), LastUsedFrom: "b"})
		use(250, "c", store.KeyUsage{FirstUsedAt: at(200), FirstUsedFrom: "a", LastUsedAt: at(300), LastUsedFrom: "b"})
		use(200, "d", store.KeyUsage{FirstUsedAt: at(200), FirstUsedFrom: "a", LastUsedAt: at(300), LastUsedFrom: "b"})
		use(300, "e", store.KeyUsage{FirstUsedAt: at(200), FirstUsedFrom: "a", LastUsedAt: at(300), LastUsedFrom: "b"})
		use(100, "f", store.KeyUsage{FirstUsedAt: at(100), FirstUsedFrom: "f", LastUsedAt: at(300), LastUsedFrom: "b"})
		use(400, "", store.KeyUsage{FirstUsedAt: at(100), FirstUsedFrom: "f", LastUsedAt: at(400)})
		use(50, "", store.KeyUsage{FirstUsedAt: at(50), LastUsedAt: at(400)})
		list, err := st.APIKeys(t.Context(), ana)
		ok(t, err)
		same(t, "APIKeys after a use", list, []store.APIKey{k})
		lookup, err := st.APIKeyByHash(t.Context(), k.Hash)
		ok(t, err)
		same(t, "KeyUsage of APIKeyByHash", lookup.Key.KeyUsage, store.KeyUsage{})
		byToken, err := st.APIKeyByCreateToken(t.Context(), ana, k.CreateToken)
		ok(t, err)
		same(t, "APIKeyByCreateToken after a use", byToken, k)
		renamed := k
		renamed.Name = "renamed"
		ok(t, st.UpdateAPIKey(t.Context(), renamed, event(ana, "x")))
		got, err := st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		same(t, "KeyUsage after a rename", got.KeyUsage, k.KeyUsage)
		dead, err := st.APIKeyByID(t.Context(), w.tombstone.ID)
		ok(t, err)
		same(t, "KeyUsage of a deleted key", dead.KeyUsage, store.KeyUsage{})
		ok(t, st.RecordKeyUse(t.Context(), nil))
	},
	"RecordKeyUsesAtOnce": func(t *testing.T, st store.Store) {
		k := newKey(ana, "k")
		ok(t, st.CreateAPIKey(t.Context(), k, 10, event(ana, "x")))
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{
			{ID: k.ID, From: "never"}, {ID: k.ID, At: at(200), From: "middle"}, {ID: k.ID, At: at(300), From: "last"},
			{ID: k.ID, At: at(300).Add(time.Nanosecond), From: "no later"}, {ID: k.ID, At: at(100), From: "first"}, {ID: k.ID, At: at(100), From: "again"},
		}))
		want := store.KeyUsage{FirstUsedAt: at(100), FirstUsedFrom: "first", LastUsedAt: at(300), LastUsedFrom: "last"}
		got, err := st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		same(t, "KeyUsage of several uses", got.KeyUsage, want)

		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: k.ID, At: at(250), From: "elsewhere", NotFirst: true}}))
		want.FirstUsedAt, want.FirstUsedFrom = time.Time{}, ""
		got, err = st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		same(t, "KeyUsage after a use that was not the first", got.KeyUsage, want)
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: k.ID, At: at(50), From: "x"}, {ID: k.ID, At: at(400), From: "y"}}))
		want.LastUsedAt, want.LastUsedFrom = at(400), "y"
		got, err = st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		same(t, "KeyUsage whose first is not known, after more uses", got.KeyUsage, want)

		moved := newKey(ana, "moved")
		ok(t, st.CreateAPIKey(t.Context(), moved, 10, event(ana, "x")))
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: moved.ID, At: at(100), NotFirst: true}, {ID: moved.ID, At: at(90), From: "x"}}))
		list, err := st.APIKeys(t.Context(), ana)
		ok(t, err)
		for _, k := range list {
			if k.ID == moved.ID {
				same(t, "KeyUsage of a key that was used elsewhere before", k.KeyUsage, store.KeyUsage{LastUsedAt: at(100)})
			}
		}

		never := newKey(ana, "never")
		ok(t, st.CreateAPIKey(t.Context(), never, 10, event(ana, "x")))
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: never.ID, From: "x"}}))
		got, err = st.APIKey(t.Context(), ana, never.ID)
		ok(t, err)
		same(t, "KeyUsage without a time", got.KeyUsage, store.KeyUsage{})
	},
	"ListOrder": func(t *testing.T, st store.Store) {
		for i, name := range []string{"b", "a", "B", "c"} {
			k := newKey(ana, name)
			k.CreatedAt = at(10 * (i / 2)) // b and a, B and c share a time
			ok(t, st.CreateAPIKey(t.Context(), k, 10, event(ana, "x")))
		}
		list, err := st.APIKeys(t.Context(), ana)
		ok(t, err)
		want := []string{tag(ana, "B"), tag(ana, "c"), tag(ana, "a"), tag(ana, "b")}
		same(t, "APIKeys: newest first, then by id", ids(list, keyID), want)
	},
	"IDsAreCaseSensitive": func(t *testing.T, st store.Store) {
		lower, upper := newKey(ana, "case"), newKey(ana, "CASE")
		ok(t, st.CreateAPIKey(t.Context(), lower, 10, event(ana, "x")))
		_, err := st.APIKey(t.Context(), ana, upper.ID)
		is(t, "APIKey in another case", err, lanyard.ErrNotFound)
		ok(t, st.CreateAPIKey(t.Context(), upper, 10, event(ana, "x")))
	},
	"ReturnsCopies": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		for range 2 {
			got, err := st.APIKey(t.Context(), ana, w.key.ID)
			ok(t, err)
			lookup, err := st.APIKeyByHash(t.Context(), w.key.Hash)
			ok(t, err)
			for _, k := range []store.APIKey{got, lookup.Key} {
				same(t, "a key after changing an answer", k, w.key)
				k.Hash[0], k.MAC[0], k.Scopes[0], k.CreateToken[0], k.CreateDigest[0] = 0, 0, "x", 0, 0
			}
			list, err := st.APIKeys(t.Context(), ana)
			ok(t, err)
			same(t, "a listed key after changing an answer", list, []store.APIKey{w.key})
			list[0].Hash[0], list[0].Scopes[0] = 0, "x"
		}
	},
	"KeepsCopies": func(t *testing.T, st store.Store) {
		spoil := func(k store.APIKey) {
			k.Hash[0], k.MAC[0], k.Scopes[0], k.CreateToken[0], k.CreateDigest[0] = 0, 0, "x", 0, 0
		}
		given, want := newKey(ana, "k"), newKey(ana, "k")
		ok(t, st.CreateAPIKey(t.Context(), given, 10, event(ana, "x")))
		spoil(given)
		given, want.Version = newKey(ana, "k"), 2
		given.Version = 1
		ok(t, st.UpdateAPIKey(t.Context(), given, event(ana, "x")))
		spoil(given)
		given = newKey(ana, "k")
		given.Version = 2
		ok(t, st.SignAPIKey(t.Context(), given))
		spoil(given)
		got, err := st.APIKey(t.Context(), ana, want.ID)
		ok(t, err)
		same(t, "a key after its callers changed theirs", got, want)
		given = newKey(ana, "k")
		given.DeletedAt, want.DeletedAt, want.Version = at(60), at(60), 3
		ok(t, st.DeleteAPIKey(t.Context(), given, event(ana, "x")))
		spoil(given)
		got, err = st.APIKeyByID(t.Context(), want.ID)
		ok(t, err)
		same(t, "a tombstone after its caller changed his", got, want)
	},
}

var rotationTests = map[string]func(*testing.T, store.Store){
	"RotateAPIKey": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		old := w.key
		old.ExpiresAt, old.RotatedAt, old.LifeEndsAt, old.MAC = at(500), at(400), at(600), []byte("shortened")
		next := newKey(ana, "next")
		next.RotatedFrom = old.ID
		ok(t, st.RotateAPIKey(t.Context(), old, next, 2, event(ana, "x")))
		old.Version, next.Version = 2, 1
		list, err := st.APIKeys(t.Context(), ana)
		ok(t, err)
		same(t, "APIKeys after a rotation", list, []store.APIKey{old, next})
	},
	"OneLiveSuccessor": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		next := newKey(ana, "next")
		next.RotatedFrom = w.key.ID
		is(t, "RotateAPIKey of a stale version",
			st.RotateAPIKey(t.Context(), staleKey(w.key), next, 10, event(ana, "x")), lanyard.ErrConflict)
		ok(t, st.RotateAPIKey(t.Context(), w.key, next, 10, event(ana, "x")))
		second := newKey(ana, "second")
		second.RotatedFrom = w.key.ID
		old := w.key
		old.Version = 2
		is(t, "RotateAPIKey with a live successor", st.RotateAPIKey(t.Context(), old, second, 10, event(ana, "x")), lanyard.ErrConflict)
		_, err := st.APIKey(t.Context(), ana, second.ID)
		is(t, "the successor of a refused rotation", err, lanyard.ErrNotFound)
		next.DeletedAt = at(80)
		ok(t, st.DeleteAPIKey(t.Context(), next, event(ana, "x")))
		ok(t, st.RotateAPIKey(t.Context(), old, second, 10, event(ana, "x")))
	},
	"LimitHolds": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		next := newKey(ana, "next")
		next.RotatedFrom = w.key.ID
		before := picture(t, st, w)
		is(t, "RotateAPIKey at the limit", st.RotateAPIKey(t.Context(), w.key, next, 1, event(ana, "x")), lanyard.ErrLimit)
		unchanged(t, st, w, "RotateAPIKey at the limit", before)
	},
	"NamesItsPredecessor": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		before := picture(t, st, w)
		for name, spoil := range map[string]func(*store.APIKey){
			"no key":        func(k *store.APIKey) { k.RotatedFrom = "" },
			"another key":   func(k *store.APIKey) { k.RotatedFrom = w.tombstone.ID },
			"another owner": func(k *store.APIKey) { k.Owner = ben },
		} {
			next := newKey(ana, "next")
			next.RotatedFrom = w.key.ID
			spoil(&next)
			isInput(t, "RotateAPIKey to a successor that names "+name, st.RotateAPIKey(t.Context(), w.key, next, 10, event(ana, "x")))
		}
		unchanged(t, st, w, "a rotation to a wrong successor", before)
	},
	"TombstonesDoNotRotate": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		next := newKey(ana, "next")
		next.RotatedFrom = w.tombstone.ID
		is(t, "RotateAPIKey of a tombstone", st.RotateAPIKey(t.Context(), w.tombstone, next, 10, event(ana, "x")), lanyard.ErrNotFound)
	},
	"TakenSuccessorChangesNothing": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		next := newKey(ana, "next")
		next.RotatedFrom, next.Hash = w.key.ID, slices.Clone(w.tombstone.Hash)
		before := picture(t, st, w)
		is(t, "RotateAPIKey to a taken hash", st.RotateAPIKey(t.Context(), w.key, next, 10, event(ana, "x")), lanyard.ErrExists)
		unchanged(t, st, w, "RotateAPIKey to a taken hash", before)
	},
}

func staleKey(k store.APIKey) store.APIKey {
	k.Version += 5
	return k
}
