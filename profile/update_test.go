package profile_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store/memory"
)

func TestUpdate(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		b.seen(t, signedIn())
		b.clock.advance(time.Minute)
		ctx := lanyard.WithPrincipal(t.Context(), lanyard.Principal{Owner: bob})
		got, err := b.Update(ctx, ana, 1, profile.Update{GivenName: profile.Set("  Aninha  ")})
		if err != nil {
			t.Fatalf("Update() = %v, want nil", err)
		}
		if got.GivenName != "Aninha" || !got.GivenNameEdited || got.FamilyName != "Souza" || got.FamilyNameEdited || got.Name != "Aninha Souza" || got.Version != 2 {
			t.Errorf("Update() = %+v, want the edited given name as version 2", got)
		}
		if got.Directory.Given != "Ana" || got.Email != "ana@example.com" || !got.UpdatedAt.Equal(start.Add(time.Minute)) || !got.CreatedAt.Equal(start) {
			t.Errorf("Update() = %+v, want all else as it was", got)
		}
		if read, err := b.Profile(t.Context(), ana); err != nil || !same(read, got) {
			t.Errorf("Profile() = %+v, %v, want %+v", read, err, got)
		}
		e := b.history(t, ana)[0]
		if e.Action != profile.ActionUpdated || e.Actor != bob || e.Detail[profile.DetailFields] != "given_name" {
			t.Errorf("newest event = %+v, want an update of given_name by bob", e)
		}
		if h := b.heard.all(); len(h) != 2 || h[1].ID != e.ID {
			t.Errorf("OnEvent heard %d events, want the update last", len(h))
		}
	})
}

// A change that changes nothing is none.
func TestUpdateOfNothing(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	b.seen(t, signedIn())
	for name, u := range map[string]profile.Update{
		"no edit":                 {},
		"what the directory says": {GivenName: profile.Set("Ana"), FamilyName: profile.Set(" Souza ")},
		"back to what it is":      {GivenName: profile.FromDirectory(), FamilyName: profile.FromDirectory()},
	} {
		if got := b.update(t, 1, u); got.Version != 1 || got.GivenNameEdited || got.FamilyNameEdited {
			t.Errorf("Update() with %s = %+v, want version 1, nothing edited", name, got)
		}
	}
	if n := len(b.history(t, ana)); n != 1 {
		t.Errorf("history has %d events, want the creation only", n)
	}
	edited := b.update(t, 1, profile.Update{GivenName: profile.Set("Aninha")})
	if again := b.update(t, 2, profile.Update{GivenName: profile.Set("Aninha")}); !same(again, edited) {
		t.Errorf("Update() again = %+v, want %+v", again, edited)
	}
	// Once edited, the directory's text stays the user's until he says otherwise.
	if got := b.update(t, 2, profile.Update{GivenName: profile.Set("Ana")}); !got.GivenNameEdited || got.Version != 3 {
		t.Errorf("Update() of an edited name = %+v, want it edited still", got)
	}
	if got := b.update(t, 3, profile.Update{GivenName: profile.FromDirectory()}); got.GivenNameEdited || got.Version != 4 {
		t.Errorf("Update(FromDirectory) = %+v, want the directory's, as version 4", got)
	}
}

// How the name to show comes about.
func TestFullName(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		principal lanyard.Principal
		update    profile.Update
		want      string
	}{
		"the directory's":           {signedIn(), profile.Update{}, "Ana de Souza"},
		"one edited":                {signedIn(), profile.Update{FamilyName: profile.Set("Lima")}, "Ana Lima"},
		"both edited":               {signedIn(), profile.Update{GivenName: profile.Set("A"), FamilyName: profile.Set("L")}, "A L"},
		"no given name":             {signedIn(), profile.Update{GivenName: profile.Set("")}, "Souza"},
		"no name at all":            {signedIn(), profile.Update{GivenName: profile.Set(""), FamilyName: profile.Set("")}, "Ana de Souza"},
		"parts only":                {lanyard.Principal{Owner: ana, GivenName: "Ana", FamilyName: "Souza"}, profile.Update{}, "Ana Souza"},
		"an address only":           {lanyard.Principal{Owner: ana, Email: "ana@example.com"}, profile.Update{}, "ana@example.com"},
		"nothing":                   {lanyard.Principal{Owner: ana}, profile.Update{}, "ana"},
		"edited, without directory": {lanyard.Principal{Owner: ana}, profile.Update{FamilyName: profile.Set("Souza")}, "Souza"},
	} {
		b := newBench(memory.New())
		b.seen(t, tt.principal)
		if got := b.update(t, 0, tt.update).Name; got != tt.want {
			t.Errorf("%s: Name = %q, want %q", name, got, tt.want)
		}
	}
}

func TestBadNames(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		before := b.seen(t, signedIn())
		for name, tt := range map[string]struct{ value, code string }{
			"NUL":                  {"An\x00a", lanyard.CodeInvalid},
			"invalid UTF-8":        {"An\xffa", lanyard.CodeInvalid},
			"overlong UTF-8":       {"\xc0\xaf", lanyard.CodeInvalid},
			"a line end":           {"Ana\nSouza", lanyard.CodeInvalid},
			"a tab":                {"Ana\tSouza", lanyard.CodeInvalid},
			"an escape":            {"\x1b[31mAna", lanyard.CodeInvalid},
			"a right-to-left mark": {"Ana\u202eazuoS", lanyard.CodeInvalid},
			"an isolate":           {"\u2066Ana\u2069", lanyard.CodeInvalid},
			"a zero-width space":   {"A\u200bna", lanyard.CodeInvalid},
			"a BOM":                {"\ufeffAna", lanyard.CodeInvalid},
			"a tag character":      {"Ana\U000e0041", lanyard.CodeInvalid},
			"a line separator":     {"Ana\u2028Souza", lanyard.CodeInvalid},
			"private use":          {"\ue000", lanyard.CodeInvalid},
			"a noncharacter":       {"Ana\ufffe", lanyard.CodeInvalid},
			"nothing to be seen":   {"\u200d\u3164", lanyard.CodeInvalid},
			"101 characters":       {strings.Repeat("é", 101), lanyard.CodeTooLong},
			"64 KiB":               {strings.Repeat("x", 64<<10), lanyard.CodeTooLong},
			"101 and white space":  {" " + strings.Repeat("x", 101) + " ", lanyard.CodeTooLong},
		} {
			_, err := b.Update(t.Context(), ana, 1, profile.Update{GivenName: profile.Set(tt.value)})
			wantInput(t, "Update() with "+name, err, "given_name", tt.code)
			if err != nil && strings.Contains(err.Error(), tt.value) {
				t.Errorf("Update() with %s = %q, which repeats it", name, err)
			}
			_, err = b.Update(t.Context(), ana, 1, profile.Update{FamilyName: profile.Set(tt.value)})
			wantInput(t, "Update() with "+name, err, "family_name", tt.code)
		}
		// Both at once are both named.
		_, err := b.Update(t.Context(), ana, 1, profile.Update{GivenName: profile.Set("\x00"), FamilyName: profile.Set(strings.Repeat("x", 101))})
		if err == nil || !strings.Contains(err.Error(), "given_name: invalid") || !strings.Contains(err.Error(), "family_name: too-long") {
			t.Errorf("Update() with two bad names = %v, want both named", err)
		}
		if after, err := b.Profile(t.Context(), ana); err != nil || !same(after, before) || len(b.history(t, ana)) != 1 {
			t.Errorf("Profile() = %+v, %v, want it unchanged", after, err)
		}
	})
}

func TestGoodNames(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		b.seen(t, signedIn())
		for value, want := range map[string]string{
			"":                          "",
			" \t\r\n ":                  "",
			"\u00a0 Ana \u3000":         "Ana",
			"x":                         "x",
			strings.Repeat("é", 100):    strings.Repeat("é", 100),
			"O'Neil-García; DROP TABLE": "O'Neil-García; DROP TABLE",
			"<script>alert(1)</script>": "<script>alert(1)</script>",
			"{{.Reveal}} %s %x":         "{{.Reveal}} %s %x",
			"e\u0301 é":                 "e\u0301 é",
			"علی\u200cرضا":              "علی\u200cرضا",
			"👩\u200d👩\u200d👧":           "👩\u200d👩\u200d👧",
			"王小明":                       "王小明",
		} {
			got, err := b.Update(t.Context(), ana, 0, profile.Update{GivenName: profile.Set(value)})
			if err != nil || got.GivenName != want {
				t.Errorf("Update(%q) = %q, %v, want %q", value, got.GivenName, err, want)
			}
			if read, err := b.Profile(t.Context(), ana); err != nil || read.GivenName != want {
				t.Errorf("Profile() after Update(%q) = %q, %v, want %q", value, read.GivenName, err, want)
			}
		}
	})
}

// Nothing but the two names can be written: there is no field for the rest.
func TestNothingElseCanBeWritten(t *testing.T) {
	t.Parallel()
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[profile.Update]()) {
		fields = append(fields, f.Name)
	}
	if want := []string{"GivenName", "FamilyName"}; !slices.Equal(fields, want) {
		t.Errorf("Update has fields %q, want %q", fields, want)
	}
}

func TestStaleVersion(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		b.seen(t, signedIn())
		b.update(t, 1, profile.Update{GivenName: profile.Set("one")})
		for _, version := range []int64{1, 3, -1, 1 << 62} {
			if _, err := b.Update(t.Context(), ana, version, profile.Update{GivenName: profile.Set("two")}); !errors.Is(err, lanyard.ErrConflict) {
				t.Errorf("Update() of version %d = %v, want ErrConflict", version, err)
			}
			// Also when there would be nothing to write.
			if _, err := b.Update(t.Context(), ana, version, profile.Update{GivenName: profile.Set("one")}); !errors.Is(err, lanyard.ErrConflict) {
				t.Errorf("Update() of version %d with what it is = %v, want ErrConflict", version, err)
			}
		}
		if got := b.update(t, 0, profile.Update{GivenName: profile.Set("two")}); got.Version != 3 {
			t.Errorf("Update() of any version = version %d, want 3", got.Version)
		}
		if _, err := b.Update(t.Context(), bob, 0, profile.Update{GivenName: profile.Set("x")}); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("Update() of an owner never seen = %v, want ErrNotFound", err)
		}
	})
}

// Of many updates of one version one wins; without a version all get through.
func TestConcurrentUpdates(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		b.seen(t, signedIn())
		var won, lost atomic.Int32
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				_, err := b.Update(t.Context(), ana, 1, profile.Update{GivenName: profile.Set(strings.Repeat("x", i+1))})
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, lanyard.ErrConflict):
					lost.Add(1)
				default:
					t.Errorf("Update() beside others = %v, want nil or ErrConflict", err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || lost.Load() != 15 {
			t.Errorf("%d updates of one version won and %d lost, want 1 and 15", won.Load(), lost.Load())
		}
		for i := range 4 {
			all.Go(func() {
				if _, err := b.Update(t.Context(), ana, 0, profile.Update{FamilyName: profile.Set(strings.Repeat("y", i+1))}); err != nil {
					t.Errorf("Update() without a version = %v, want nil", err)
				}
			})
		}
		all.Wait()
		p, err := b.Profile(t.Context(), ana)
		if err != nil || p.Version != 6 || len(b.history(t, ana)) != 6 || len(b.heard.all()) != 6 {
			t.Errorf("Profile() = version %d, %v with %d events of which %d were told, want 6", p.Version, err, len(b.history(t, ana)), len(b.heard.all()))
		}
	})
}

// A login that races with an edit loses neither.
func TestLoginBesideEdit(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		b.seen(t, signedIn())
		p := signedIn()
		p.Email = "ana@new.example"
		var all sync.WaitGroup
		all.Go(func() { b.update(t, 0, profile.Update{GivenName: profile.Set("Aninha")}) })
		all.Go(func() { b.seen(t, p) })
		all.Wait()
		if got, err := b.Profile(t.Context(), ana); err != nil || got.GivenName != "Aninha" || got.Email != "ana@new.example" || got.Version != 3 {
			t.Errorf("Profile() = %+v, %v, want both changes as version 3", got, err)
		}
	})
}
