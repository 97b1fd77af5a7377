package storetest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var inputTests = map[string]func(*testing.T, store.Store){
	"BadTextIsRefused": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		before := picture(t, st, w)
		for name, bad := range map[string]string{"NUL": "a\x00b", "invalid UTF-8": "a\xffb", "a surrogate": "\xed\xa0\x80"} {
			p := newProfile(ben)
			p.Directory.Family = bad
			isInput(t, "CreateProfile with "+name, st.CreateProfile(t.Context(), p, event(ben, "x")))
			u := w.profile
			u.GivenName = &bad
			isInput(t, "UpdateProfile with "+name, st.UpdateProfile(t.Context(), u, event(ana, "x")))
			k := newKey(ana, "new")
			k.Scopes = []string{bad}
			isInput(t, "CreateAPIKey with "+name, st.CreateAPIKey(t.Context(), k, 10, event(ana, "x")))
			uk := w.key
			uk.Name = bad
			isInput(t, "UpdateAPIKey with "+name, st.UpdateAPIKey(t.Context(), uk, event(ana, "x")))
			tok := newToken(w.ownerKey, "github", bad)
			isInput(t, "CreateProviderToken with "+name, st.CreateProviderToken(t.Context(), tok, 10, event(ana, "x")))
			ut := w.token
			ut.Fields = map[string]string{bad: "x"}
			isInput(t, "UpdateProviderToken with "+name, st.UpdateProviderToken(t.Context(), ut, event(ana, "x")))
			ok2 := newOwnerKey(ben)
			ok2.KeyVersion = bad
			_, err := st.CreateOwnerKey(t.Context(), ok2)
			isInput(t, "CreateOwnerKey with "+name, err)
			rewrapped := w.ownerKey
			rewrapped.Secrets = bad
			isInput(t, "RewrapOwnerKey with "+name, st.RewrapOwnerKey(t.Context(), rewrapped))
			shortened, next := w.key, newKey(ana, "next")
			next.RotatedFrom, next.Hint = w.key.ID, bad
			isInput(t, "RotateAPIKey to a key with "+name, st.RotateAPIKey(t.Context(), shortened, next, 10, event(ana, "x")))
			shortened.Name, next.Hint = bad, ""
			isInput(t, "RotateAPIKey of a key with "+name, st.RotateAPIKey(t.Context(), shortened, next, 10, event(ana, "x")))
			isInput(t, "RecordKeyUse from "+name, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: w.key.ID, At: at(1)}, {ID: w.key.ID, At: at(2), From: bad}}))
			fact := event(ana, "x")
			fact.DedupeKey = bad
			isInput(t, "Append of a fact with "+name, st.Append(t.Context(), fact))
			_, err = st.Events(t.Context(), ana, store.EventCursor{At: at(1), ID: bad}, 10)
			isInput(t, "Events after "+name, err)
			for _, owner := range []lanyard.Owner{{Tenant: bad, Subject: "x"}, {Subject: bad}} {
				_, err = st.Profile(t.Context(), owner)
				isInput(t, "Profile of an owner with "+name, err)
			}
		}
		short := newKey(ana, "new")
		short.Hash = short.Hash[:31]
		isInput(t, "CreateAPIKey with a short hash", st.CreateAPIKey(t.Context(), short, 10, event(ana, "x")))
		isInput(t, "RecordKeyUse from a long text", st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: w.key.ID, At: at(1), From: strings.Repeat("x", store.MaxFromLen+1)}}))
		unchanged(t, st, w, "refused text", before)
	},
	"TimesThatSayNothingAreRefused": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		before := picture(t, st, w)
		of := func(k store.APIKey) lanyard.Event { return event(k.Owner, "x") }
		for name, when := range map[string]time.Time{"zero": {}, "the year 10000": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			k := w.key
			k.DeletedAt = when
			isInput(t, "DeleteAPIKey at "+name, st.DeleteAPIKey(t.Context(), k, event(ana, "x")))
			isInput(t, "DeleteAPIKeyByID at "+name, st.DeleteAPIKeyByID(t.Context(), k.ID, when, of))
			_, err := st.DeleteAPIKeysCreatedBefore(t.Context(), at(1000), when, 10, of)
			isInput(t, "DeleteAPIKeysCreatedBefore at "+name, err)
			isInput(t, "Deactivate at "+name, st.Deactivate(t.Context(), ana, when, event(ana, "x")))
			if !when.IsZero() { // a use without a time is passed over
				isInput(t, "RecordKeyUse at "+name, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: k.ID, At: when}}))
			}
		}
		unchanged(t, st, w, "refused times", before)
	},
	"LongestIDs": func(t *testing.T, st store.Store) {
		// Random, so that no database makes it shorter.
		long := func(n int) string {
			b := make([]byte, n/2+1)
			_, _ = rand.Read(b)
			return hex.EncodeToString(b)[:n]
		}
		owner := lanyard.Owner{Tenant: long(lanyard.MaxOwnerLen), Subject: long(lanyard.MaxOwnerLen)}
		k := newKey(owner, "k")
		k.ID, k.RotatedFrom, k.CreateToken = long(store.MaxIDLen), long(store.MaxIDLen), []byte(long(store.MaxIDLen))
		ownerKey := newOwnerKey(owner)
		ownerKey.ID = long(store.MaxIDLen)
		_, err := st.CreateOwnerKey(t.Context(), ownerKey)
		ok(t, err)
		tok := newToken(ownerKey, long(store.MaxIDLen), long(store.MaxLabelLen))
		tok.ID = long(store.MaxIDLen)
		fact := event(owner, "x")
		fact.ID, fact.DedupeKey = long(store.MaxIDLen), long(store.MaxDedupeKeyLen)
		ok(t, st.Append(t.Context(), fact))
		ok(t, st.CreateAPIKey(t.Context(), k, 10, event(owner, "x")))
		ok(t, st.CreateProviderToken(t.Context(), tok, 10, event(owner, "x")))

		k.ID, k.Hash = k.ID+"x", newKey(owner, "k2").Hash
		isInput(t, "CreateAPIKey with a longer id", st.CreateAPIKey(t.Context(), k, 10, event(owner, "x")))
		tok.ID, tok.Label = "t2", tok.Label+"x"
		isInput(t, "CreateProviderToken with a longer label", st.CreateProviderToken(t.Context(), tok, 10, event(owner, "x")))
		_, err = st.APIKey(t.Context(), owner, long(10_000))
		is(t, "APIKey of a very long id", err, lanyard.ErrNotFound)
	},
	"UnusualTextIsKept": func(t *testing.T, st store.Store) {
		for i, text := range []string{
			"", " ", "'; DROP TABLE lanyard_api_keys; --", `"\`, "%_", "?0 ?", "$1", "{{.}}", "ü ñ 名 🧑‍💻", "e\u0301 é", "\u202e", "line\nbreak\ttab", "null", "\\x00",
		} {
			k := newKey(ana, "text"+string(rune('a'+i)))
			k.Name, k.Scopes = text, []string{text}
			ok(t, st.CreateAPIKey(t.Context(), k, -1, event(ana, "x")))
			ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: k.ID, At: at(1), From: text}}))
			got, err := st.APIKey(t.Context(), ana, k.ID)
			ok(t, err)
			k.Version, k.KeyUsage = 1, store.KeyUsage{FirstUsedAt: at(1), FirstUsedFrom: text, LastUsedAt: at(1), LastUsedFrom: text}
			same(t, "a key with unusual text", got, k)
		}
	},
	"TimesToTheMicrosecond": func(t *testing.T, st store.Store) {
		zone := time.FixedZone("odd", 5*3600+45*60)
		for i, when := range []time.Time{
			time.Date(2026, 2, 3, 4, 5, 6, 123456789, zone),
			time.Date(1, 1, 2, 0, 0, 0, 1000, time.UTC),
			time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
			time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC),
			time.Date(2026, 10, 25, 2, 30, 0, 0, time.UTC),
		} {
			k := newKey(ana, "time"+string(rune('a'+i)))
			k.ExpiresAt = when
			ok(t, st.CreateAPIKey(t.Context(), k, -1, event(ana, "x")))
			got, err := st.APIKey(t.Context(), ana, k.ID)
			ok(t, err)
			want := when.UTC().Truncate(time.Microsecond)
			if !got.ExpiresAt.Equal(want) || got.ExpiresAt.Location() != time.UTC {
				t.Errorf("ExpiresAt = %v, want %v", got.ExpiresAt, want)
			}
		}
		k := newKey(ana, "far")
		k.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		isInput(t, "CreateAPIKey in the year 10000", st.CreateAPIKey(t.Context(), k, -1, event(ana, "x")))
		never := newKey(ana, "never")
		ok(t, st.CreateAPIKey(t.Context(), never, -1, event(ana, "x")))
		got, err := st.APIKey(t.Context(), ana, never.ID)
		ok(t, err)
		if !got.ExpiresAt.IsZero() || !got.LastUsedAt.IsZero() || !got.DeletedAt.IsZero() {
			t.Error("a zero time did not stay zero")
		}
	},
	"EveryTimeIsKept": func(t *testing.T, st store.Store) {
		zone := time.FixedZone("odd", -(3*3600 + 30*60))
		n := 0
		odd := func() time.Time { // another one each time
			n++
			return time.Date(2026, 2, 3, 4, 5, n, 123456789, zone)
		}
		kept := func(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

		p := newProfile(ana)
		p.CreatedAt, p.UpdatedAt = odd(), odd()
		ok(t, st.CreateProfile(t.Context(), p, event(ana, "x")))
		gotProfile, err := st.Profile(t.Context(), ana)
		ok(t, err)
		p.Version, p.CreatedAt, p.UpdatedAt = 1, kept(p.CreatedAt), kept(p.UpdatedAt)
		same(t, "a profile's times", gotProfile, p)

		k := newKey(ana, "k")
		k.CreatedAt, k.ExpiresAt = odd(), odd()
		ok(t, st.CreateAPIKey(t.Context(), k, 10, event(ana, "x")))
		first, used, deleted := odd(), odd(), odd()
		ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: k.ID, At: used}, {ID: k.ID, At: first}}))
		gotKey, err := st.APIKey(t.Context(), ana, k.ID)
		ok(t, err)
		k.Version, k.CreatedAt, k.ExpiresAt, k.FirstUsedAt, k.LastUsedAt = 1, kept(k.CreatedAt), kept(k.ExpiresAt), kept(first), kept(used)
		same(t, "a key's times", gotKey, k)
		k.DeletedAt = deleted
		ok(t, st.DeleteAPIKey(t.Context(), k, event(ana, "x")))
		lookup, err := st.APIKeyByHash(t.Context(), k.Hash)
		ok(t, err)
		k.Version, k.DeletedAt, k.KeyUsage = 2, kept(deleted), store.KeyUsage{}
		same(t, "a tombstone's times", lookup.Key, k)

		ownerKey := newOwnerKey(ana)
		ownerKey.CreatedAt = odd()
		gotOwnerKey, err := st.CreateOwnerKey(t.Context(), ownerKey)
		ok(t, err)
		ownerKey.Version, ownerKey.CreatedAt = 1, kept(ownerKey.CreatedAt)
		same(t, "an owner key's time", gotOwnerKey, ownerKey)

		tok := newToken(ownerKey, "jira", "")
		sealed := odd()
		tok.Secrets = map[string]store.SealedSecret{"a": {Envelope: []byte{1}, Version: 1, UpdatedAt: sealed}, "b": {Envelope: []byte{2}}}
		tok.CheckedAt, tok.ExpiresAt, tok.CreatedAt, tok.UpdatedAt = odd(), odd(), odd(), odd()
		ok(t, st.CreateProviderToken(t.Context(), tok, 10, event(ana, "x")))
		ok(t, st.RecordTokenUse(t.Context(), ana, tok.ID, used))
		gotToken, err := st.ProviderToken(t.Context(), ana, tok.ID)
		ok(t, err)
		tok.Version, tok.LastUsedAt = 1, kept(used)
		tok.CheckedAt, tok.ExpiresAt, tok.CreatedAt, tok.UpdatedAt = kept(tok.CheckedAt), kept(tok.ExpiresAt), kept(tok.CreatedAt), kept(tok.UpdatedAt)
		tok.Secrets = map[string]store.SealedSecret{"a": {Envelope: []byte{1}, Version: 1, UpdatedAt: kept(sealed)}, "b": {Envelope: []byte{2}}}
		same(t, "a connection's times", gotToken, tok)

		e := event(ben, "x")
		e.At = odd()
		ok(t, st.Append(t.Context(), e))
		events, err := st.Events(t.Context(), ben, store.EventCursor{}, 10)
		ok(t, err)
		e.At = kept(e.At)
		same(t, "an event's time", events, []lanyard.Event{e})

		when := odd()
		ok(t, st.Deactivate(t.Context(), ben, when, event(ben, "x")))
		state, err := st.OwnerState(t.Context(), ben)
		ok(t, err)
		same(t, "the time of a deactivation", state, store.OwnerState{DeactivatedAt: kept(when)})
	},
	"UnknownIDsAreNotFound": func(t *testing.T, st store.Store) {
		for _, id := range []string{"", "unknown", "%", "a\x00b", "\xff"} {
			_, err := st.APIKey(t.Context(), ana, id)
			notThere(t, "APIKey", err)
			_, err = st.ProviderToken(t.Context(), ana, id)
			notThere(t, "ProviderToken", err)
			notThere(t, "DeleteAPIKey", st.DeleteAPIKey(t.Context(), store.APIKey{ID: id, Owner: ana, DeletedAt: at(1)}, event(ana, "x")))
			notThere(t, "DeleteProviderToken", st.DeleteProviderToken(t.Context(), ana, id, 0, event(ana, "x")))
			_, err = st.APIKeyByID(t.Context(), id)
			notThere(t, "APIKeyByID", err)
			ok(t, st.RecordTokenUse(t.Context(), ana, id, at(1)))
			ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: id, At: at(1)}}))
		}
		_, err := st.APIKeyByHash(t.Context(), nil)
		notThere(t, "APIKeyByHash(nil)", err)
		_, err = st.APIKeyByHash(t.Context(), []byte("short"))
		notThere(t, "APIKeyByHash(short)", err)
	},
}

// notThere fails unless an id that cannot exist was refused as input or not
// found.
func notThere(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s of an id that cannot exist = nil", what)
		return
	}
	var in *lanyard.InputError
	if !errors.As(err, &in) {
		is(t, what, err, lanyard.ErrNotFound)
	}
}
