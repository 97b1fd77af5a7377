package profile_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store/memory"
)

func TestFirstSight(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		if _, err := b.Profile(t.Context(), ana); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("Profile() before first sight = %v, want ErrNotFound", err)
		}
		ctx := lanyard.WithRequest(lanyard.WithPrincipal(t.Context(), signedIn()), lanyard.Request{ID: "req-1", IP: "203.0.113.7"})
		got, err := b.Seen(ctx, signedIn())
		if err != nil {
			t.Fatalf("Seen() = %v, want nil", err)
		}
		want := profile.Profile{
			Owner: ana, Version: 1, Email: "ana@example.com", EmailVerified: true,
			GivenName: "Ana", FamilyName: "Souza", Name: "Ana de Souza", Locale: "pt-BR", ZoneInfo: "America/Sao_Paulo",
			Directory: profile.Names{Given: "Ana", Family: "Souza", Full: "Ana de Souza"},
			CreatedAt: start, UpdatedAt: start,
		}
		if !same(got, want) {
			t.Errorf("Seen() = %+v, want %+v", got, want)
		}
		if read, err := b.Profile(t.Context(), ana); err != nil || !same(read, want) {
			t.Errorf("Profile() = %+v, %v, want %+v", read, err, want)
		}
		events := b.history(t, ana)
		if len(events) != 1 || events[0].Action != profile.ActionCreated || events[0].Actor != ana || events[0].Via != lanyard.ViaSession ||
			events[0].RequestID != "req-1" || events[0].IP != "203.0.113.7" || events[0].Object != "" || !events[0].At.Equal(start) {
			t.Errorf("history = %+v, want one creation by ana's session", events)
		}
		if h := b.heard.all(); len(h) != 1 || h[0].ID != events[0].ID {
			t.Errorf("OnEvent heard %+v, want the creation", h)
		}
	})
}

// Seeing the same principal again writes nothing, whatever is new about it that
// is no claim of the profile.
func TestSeenAgain(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		first := b.seen(t, signedIn())
		b.clock.advance(time.Hour)
		again := signedIn()
		again.AuthTime, again.Roles, again.Via = start.Add(time.Hour), nil, ""
		for _, p := range []lanyard.Principal{signedIn(), again} {
			if got := b.seen(t, p); !same(got, first) {
				t.Errorf("Seen() again = %+v, want %+v", got, first)
			}
		}
		if got := b.actions(t, ana); !slices.Equal(got, []string{profile.ActionCreated}) {
			t.Errorf("history = %q, want the creation only", got)
		}
		if n := len(b.heard.all()); n != 1 {
			t.Errorf("OnEvent heard %d events, want 1", n)
		}
	})
}

// A login refreshes each claim the identity provider owns and says in the
// history which.
func TestRefresh(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*lanyard.Principal)
		fields string
		want   func(profile.Profile) bool
	}{
		"email":          {func(p *lanyard.Principal) { p.Email = "ana@new.example" }, "email", func(p profile.Profile) bool { return p.Email == "ana@new.example" }},
		"email taken":    {func(p *lanyard.Principal) { p.Email = "" }, "email", func(p profile.Profile) bool { return p.Email == "" }},
		"email verified": {func(p *lanyard.Principal) { p.EmailVerified = false }, "email_verified", func(p profile.Profile) bool { return !p.EmailVerified }},
		"given name":     {func(p *lanyard.Principal) { p.GivenName = "Anna" }, "given_name", func(p profile.Profile) bool { return p.GivenName == "Anna" && !p.GivenNameEdited }},
		"family name":    {func(p *lanyard.Principal) { p.FamilyName = "Lima" }, "family_name", func(p profile.Profile) bool { return p.FamilyName == "Lima" }},
		"full name":      {func(p *lanyard.Principal) { p.Name = "Ana Lima" }, "name", func(p profile.Profile) bool { return p.Name == "Ana Lima" }},
		"all names": {func(p *lanyard.Principal) { p.GivenName, p.FamilyName, p.Name = "A", "B", "" }, "given_name family_name",
			func(p profile.Profile) bool { return p.Name == "A B" }},
		"no names": {func(p *lanyard.Principal) { p.GivenName, p.FamilyName, p.Name = "", "", "" }, "given_name family_name",
			func(p profile.Profile) bool { return p.Name == "ana@example.com" }},
		"nothing left": {func(p *lanyard.Principal) { *p = lanyard.Principal{Owner: ana} }, "given_name family_name email email_verified locale zoneinfo",
			func(p profile.Profile) bool { return p.Name == "ana" && p.Email == "" }},
		"email and locale": {func(p *lanyard.Principal) { p.Email, p.Locale = "ana@new.example", "en" }, "email locale",
			func(p profile.Profile) bool { return p.Email == "ana@new.example" && p.Locale == "en" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(memory.New())
			b.seen(t, signedIn())
			b.clock.advance(time.Hour)
			p := signedIn()
			tt.change(&p)
			got := b.seen(t, p)
			if !tt.want(got) || got.Version != 2 || !got.UpdatedAt.Equal(start.Add(time.Hour)) || !got.CreatedAt.Equal(start) {
				t.Errorf("Seen() = %+v, want it refreshed as version 2", got)
			}
			if read, err := b.Profile(t.Context(), ana); err != nil || !same(read, got) {
				t.Errorf("Profile() = %+v, %v, want %+v", read, err, got)
			}
			newest := b.history(t, ana)[0]
			if newest.Action != profile.ActionRefreshed || newest.Detail[profile.DetailFields] != tt.fields {
				t.Errorf("newest event = %s of %q, want a refresh of %q", newest.Action, newest.Detail[profile.DetailFields], tt.fields)
			}
			for _, value := range newest.Detail {
				if strings.Contains(value, "example") || strings.Contains(value, "Anna") {
					t.Errorf("the history holds a value: %q", value)
				}
			}
			if again := b.seen(t, p); again.Version != 2 {
				t.Errorf("Seen() again = version %d, want 2", again.Version)
			}
		})
	}
}

// A login that changes nothing an answer shows is kept all the same, and is
// neither a new version nor history: an open form does not grow stale by it.
func TestRefreshUnseen(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*lanyard.Principal)
		want   func(profile.Profile) bool
	}{
		"locale":   {func(p *lanyard.Principal) { p.Locale = "en" }, func(p profile.Profile) bool { return p.Locale == "en" }},
		"zoneinfo": {func(p *lanyard.Principal) { p.ZoneInfo = "UTC" }, func(p profile.Profile) bool { return p.ZoneInfo == "UTC" }},
		"hidden name": {func(p *lanyard.Principal) { p.GivenName, p.Name = "Anna", "Anna Souza" },
			func(p profile.Profile) bool { return p.Directory.Given == "Anna" && p.GivenName == "Aninha" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachStore(t, func(t *testing.T, b *bench) {
				before := b.update(t, b.seen(t, signedIn()).Version, profile.Update{GivenName: profile.Set("Aninha")})
				history, heard := b.actions(t, ana), len(b.heard.all())
				b.clock.advance(time.Hour)
				p := signedIn()
				tt.change(&p)
				got := b.seen(t, p)
				if !tt.want(got) || got.Version != before.Version || !got.UpdatedAt.Equal(before.UpdatedAt) {
					t.Errorf("Seen() = %+v, want it refreshed and still version %d", got, before.Version)
				}
				if read, err := b.Profile(t.Context(), ana); err != nil || !same(read, got) {
					t.Errorf("Profile() = %+v, %v, want %+v", read, err, got)
				}
				if now := b.actions(t, ana); !slices.Equal(now, history) || len(b.heard.all()) != heard {
					t.Errorf("history = %q, want %q", now, history)
				}
			})
		})
	}
}

// What the user wrote survives every login; what the directory says meanwhile
// comes out when he goes back to it.
func TestLoginKeepsEditedNames(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		v := b.seen(t, signedIn()).Version
		b.update(t, v, profile.Update{GivenName: profile.Set("Aninha")})
		p := signedIn()
		p.GivenName, p.FamilyName, p.Name = "ANA MARIA", "SOUZA", "ANA MARIA SOUZA"
		got := b.seen(t, p)
		if got.GivenName != "Aninha" || !got.GivenNameEdited || got.FamilyName != "SOUZA" || got.FamilyNameEdited || got.Name != "Aninha SOUZA" {
			t.Errorf("Seen() = %+v, want the edited given name and the new family name", got)
		}
		// Hidden by the edited name, and noted all the same.
		p.GivenName = "Ana Clara"
		b.clock.advance(time.Minute)
		b.seen(t, p)
		back := b.update(t, 0, profile.Update{GivenName: profile.FromDirectory()})
		if back.GivenName != "Ana Clara" || back.GivenNameEdited || back.Name != "ANA MARIA SOUZA" {
			t.Errorf("Update(FromDirectory) = %+v, want the directory's names", back)
		}
	})
}

// A key says who owns it and nothing else, so it refreshes nothing.
func TestSeenByKey(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	byKey := lanyard.Principal{Owner: ana, Via: lanyard.ViaAPIKey, KeyID: "k1"}
	if _, err := b.Seen(t.Context(), byKey); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("Seen() by key before first sight = %v, want ErrNotFound", err)
	}
	first := b.seen(t, signedIn())
	if got := b.seen(t, byKey); !same(got, first) {
		t.Errorf("Seen() by key = %+v, want %+v", got, first)
	}
}

// What comes from an identity provider is made fit, never refused: its owner
// could not mend it.
func TestClaimsAreCleaned(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		p := signedIn()
		p.GivenName, p.FamilyName = " A\x00n\u202ea\n", "Sou\xffza"
		p.Name, p.Email = strings.Repeat("é", 300), "ana@example.com\r\nBcc: eve@example.com"
		got := b.seen(t, p)
		if got.GivenName != "Ana" || got.FamilyName != "Sou\ufffdza" || got.Name != strings.Repeat("é", 255) || got.Email != "ana@example.comBcc: eve@example.com" {
			t.Errorf("Seen() = %+v, want clean claims", got)
		}
		if again := b.seen(t, p); again.Version != 1 {
			t.Errorf("Seen() again = version %d, want 1", again.Version)
		}
	})
}

func TestSeenOfNobody(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	for _, owner := range []lanyard.Owner{{}, {Tenant: "acme"}, {Subject: "a\x00"}, {Subject: "\xff"}, {Subject: strings.Repeat("x", 256)}} {
		_, err := b.Seen(t.Context(), lanyard.Principal{Owner: owner})
		var input *lanyard.InputError
		if !errors.As(err, &input) || input.Field != "owner" {
			t.Errorf("Seen(%q) = %v, want an InputError of owner", owner, err)
		}
	}
}

// Many requests of a user nobody knew: one creation, and all succeed.
func TestFirstSightRace(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if p, err := b.Seen(t.Context(), signedIn()); err != nil || p.Version != 1 {
					t.Errorf("Seen() beside others = version %d, %v, want 1", p.Version, err)
				}
			})
		}
		all.Wait()
		if got := b.actions(t, ana); !slices.Equal(got, []string{profile.ActionCreated}) {
			t.Errorf("history = %q, want one creation", got)
		}
		if n := len(b.heard.all()); n != 1 {
			t.Errorf("OnEvent heard %d events, want 1", n)
		}
	})
}
