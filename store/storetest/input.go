package storetest

import (
	"errors"
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
			_, err = st.Profile(t.Context(), lanyard.Owner{Tenant: bad, Subject: "x"})
			isInput(t, "Profile of an owner with "+name, err)
		}
		short := newKey(ana, "new")
		short.Hash = short.Hash[:31]
		isInput(t, "CreateAPIKey with a short hash", st.CreateAPIKey(t.Context(), short, 10, event(ana, "x")))
		unchanged(t, st, w, "refused text", before)
	},
	"UnusualTextIsKept": func(t *testing.T, st store.Store) {
		for i, text := range []string{
			"", " ", "'; DROP TABLE lanyard_api_keys; --", `"\`, "%_", "?0 ?", "$1", "{{.}}", "ü ñ 名 🧑‍💻", "e\u0301 é", "\u202e", "line\nbreak\ttab", "null", "\\x00",
		} {
			k := newKey(ana, "text"+string(rune('a'+i)))
			k.Name, k.Scopes = text, []string{text}
			ok(t, st.CreateAPIKey(t.Context(), k, -1, event(ana, "x")))
			got, err := st.APIKey(t.Context(), ana, k.ID)
			ok(t, err)
			k.Version = 1
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
	"UnknownIDsAreNotFound": func(t *testing.T, st store.Store) {
		for _, id := range []string{"", "unknown", "%", "a\x00b", "\xff"} {
			_, err := st.APIKey(t.Context(), ana, id)
			notThere(t, "APIKey", err)
			_, err = st.ProviderToken(t.Context(), ana, id)
			notThere(t, "ProviderToken", err)
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
