package storetest

import (
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var profileTests = map[string]func(*testing.T, store.Store){
	"CreateProfile": func(t *testing.T, st store.Store) {
		_, err := st.Profile(t.Context(), ana)
		is(t, "Profile before any", err, lanyard.ErrNotFound)
		w := populate(t, st, ana)
		got, err := st.Profile(t.Context(), ana)
		ok(t, err)
		same(t, "Profile", got, w.profile)
		is(t, "a second CreateProfile", st.CreateProfile(t.Context(), newProfile(ana), event(ana, "x")), lanyard.ErrExists)
	},
	"UpdateProfile": func(t *testing.T, st store.Store) {
		is(t, "UpdateProfile of none", st.UpdateProfile(t.Context(), newProfile(ana), event(ana, "x")), lanyard.ErrNotFound)
		w := populate(t, st, ana)
		empty := ""
		p := w.profile
		p.GivenName, p.FamilyName = nil, &empty
		p.Email, p.EmailVerified = "other@acme.example", false
		p.Directory = store.Names{}
		p.Locale, p.ZoneInfo = "", "UTC"
		p.CreatedAt, p.UpdatedAt = at(7777), at(5)
		ok(t, st.UpdateProfile(t.Context(), p, event(ana, "profile.updated")))
		got, err := st.Profile(t.Context(), ana)
		ok(t, err)
		p.Version, p.CreatedAt = 2, w.profile.CreatedAt
		same(t, "Profile after the update", got, p)
		for _, version := range []int64{0, 1, 3, -1} {
			p.Version = version
			is(t, "UpdateProfile of another version", st.UpdateProfile(t.Context(), p, event(ana, "x")), lanyard.ErrConflict)
		}
	},
	"RefreshProfile": func(t *testing.T, st store.Store) {
		is(t, "RefreshProfile of none", st.RefreshProfile(t.Context(), newProfile(ana)), lanyard.ErrNotFound)
		w := populate(t, st, ana)
		for _, other := range strangers {
			p := w.profile
			p.Owner = other
			is(t, "RefreshProfile of another owner", st.RefreshProfile(t.Context(), p), lanyard.ErrNotFound)
		}
		p, want := w.profile, w.profile
		p.Directory = store.Names{Given: "A", Family: "B", Full: "C"}
		p.Locale, p.ZoneInfo = "en", "UTC"
		want.Directory, want.Locale, want.ZoneInfo = p.Directory, p.Locale, p.ZoneInfo
		p.Email, p.EmailVerified, p.GivenName = "other@acme.example", false, nil
		p.CreatedAt, p.UpdatedAt = at(7777), at(5)
		ok(t, st.RefreshProfile(t.Context(), p))
		got, err := st.Profile(t.Context(), ana)
		ok(t, err)
		same(t, "Profile after RefreshProfile", got, want)
		for _, version := range []int64{0, 2, -1} {
			p.Version = version
			is(t, "RefreshProfile of another version", st.RefreshProfile(t.Context(), p), lanyard.ErrConflict)
		}
	},
	"ReturnsCopies": func(t *testing.T, st store.Store) {
		w := populate(t, st, ana)
		got, err := st.Profile(t.Context(), ana)
		ok(t, err)
		*got.GivenName = "changed"
		again, err := st.Profile(t.Context(), ana)
		ok(t, err)
		same(t, "Profile after changing an answer", again, w.profile)
	},
	"KeepsCopies": func(t *testing.T, st store.Store) {
		given, want := newProfile(ana), newProfile(ana)
		ok(t, st.CreateProfile(t.Context(), given, event(ana, "x")))
		*given.GivenName = "changed"
		given, want.Version = newProfile(ana), 2
		given.Version = 1
		ok(t, st.UpdateProfile(t.Context(), given, event(ana, "x")))
		*given.GivenName = "changed"
		got, err := st.Profile(t.Context(), ana)
		ok(t, err)
		same(t, "Profile after its callers changed theirs", got, want)
	},
}
