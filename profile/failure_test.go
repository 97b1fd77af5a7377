package profile_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// faulty is a store whose methods fail where a test says so.
type faulty struct {
	store.Store

	fail  func(method string) error
	after func(method string) // after the call
}

func (f *faulty) do(method string, call func() error) error {
	if f.fail != nil {
		if err := f.fail(method); err != nil {
			return err
		}
	}
	err := call()
	if f.after != nil {
		f.after(method)
	}
	return err
}

func (f *faulty) Profile(ctx context.Context, o lanyard.Owner) (p store.Profile, err error) {
	err = f.do("Profile", func() error { p, err = f.Store.Profile(ctx, o); return err })
	return p, err
}

func (f *faulty) CreateProfile(ctx context.Context, p store.Profile, e lanyard.Event) error {
	return f.do("CreateProfile", func() error { return f.Store.CreateProfile(ctx, p, e) })
}

func (f *faulty) UpdateProfile(ctx context.Context, p store.Profile, e lanyard.Event) error {
	return f.do("UpdateProfile", func() error { return f.Store.UpdateProfile(ctx, p, e) })
}

func (f *faulty) OwnerState(ctx context.Context, o lanyard.Owner) (s store.OwnerState, err error) {
	err = f.do("OwnerState", func() error { s, err = f.Store.OwnerState(ctx, o); return err })
	return s, err
}

func (f *faulty) Deactivate(ctx context.Context, o lanyard.Owner, at time.Time, e lanyard.Event) error {
	return f.do("Deactivate", func() error { return f.Store.Deactivate(ctx, o, at, e) })
}

func (f *faulty) Reactivate(ctx context.Context, o lanyard.Owner, e lanyard.Event) error {
	return f.do("Reactivate", func() error { return f.Store.Reactivate(ctx, o, e) })
}

func (f *faulty) Erase(ctx context.Context, o lanyard.Owner, e lanyard.Event) error {
	return f.do("Erase", func() error { return f.Store.Erase(ctx, o, e) })
}

func (f *faulty) Events(ctx context.Context, o lanyard.Owner, c store.EventCursor, n int) (es []lanyard.Event, err error) {
	err = f.do("Events", func() error { es, err = f.Store.Events(ctx, o, c, n); return err })
	return es, err
}

func (f *faulty) APIKeys(ctx context.Context, o lanyard.Owner) (ks []store.APIKey, err error) {
	err = f.do("APIKeys", func() error { ks, err = f.Store.APIKeys(ctx, o); return err })
	return ks, err
}

func (f *faulty) ProviderTokens(ctx context.Context, o lanyard.Owner) (ts []store.ProviderToken, err error) {
	err = f.do("ProviderTokens", func() error { ts, err = f.Store.ProviderTokens(ctx, o); return err })
	return ts, err
}

// calls are all calls of a service, and what of the store each needs.
var calls = map[string]struct {
	needs []string
	call  func(context.Context, *profile.Service) error
}{
	"Seen, first": {[]string{"OwnerState", "Profile", "CreateProfile"}, func(ctx context.Context, s *profile.Service) error {
		_, err := s.Seen(ctx, lanyard.Principal{Owner: bob})
		return err
	}},
	"Seen": {[]string{"OwnerState", "Profile", "UpdateProfile"}, func(ctx context.Context, s *profile.Service) error {
		_, err := s.Seen(ctx, lanyard.Principal{Owner: ana})
		return err
	}},
	"Profile": {[]string{"Profile"}, func(ctx context.Context, s *profile.Service) error { _, err := s.Profile(ctx, ana); return err }},
	"Update": {[]string{"Profile", "UpdateProfile"}, func(ctx context.Context, s *profile.Service) error {
		_, err := s.Update(ctx, ana, 0, profile.Update{GivenName: profile.Set("x")})
		return err
	}},
	"Activity": {[]string{"Events"}, func(ctx context.Context, s *profile.Service) error {
		_, err := s.Activity(ctx, ana, profile.Page{})
		return err
	}},
	"Export": {[]string{"OwnerState", "Profile", "APIKeys", "ProviderTokens", "Events"}, func(ctx context.Context, s *profile.Service) error {
		_, err := s.Export(ctx, ana)
		return err
	}},
	"Active":     {[]string{"OwnerState"}, func(ctx context.Context, s *profile.Service) error { return s.Active(ctx, ana) }},
	"Check":      {[]string{"Profile"}, func(ctx context.Context, s *profile.Service) error { return s.Check(ctx) }},
	"Deactivate": {[]string{"Deactivate"}, func(ctx context.Context, s *profile.Service) error { return s.Deactivate(ctx, ana) }},
	"Reactivate": {[]string{"Reactivate"}, func(ctx context.Context, s *profile.Service) error { return s.Reactivate(ctx, ana) }},
	"Erase":      {[]string{"Erase"}, func(ctx context.Context, s *profile.Service) error { return s.Erase(ctx, ana) }},
}

// A store that is down makes every call an ErrUnavailable, at whichever of its
// methods it goes down, and nobody hears of what was not done.
func TestStoreDown(t *testing.T) {
	t.Parallel()
	for name, tt := range calls {
		for _, method := range tt.needs {
			st := &faulty{Store: memory.New()}
			b := newBench(st)
			b.seen(t, signedIn())
			b.changed.Store(0)
			st.fail = func(m string) error {
				if m == method {
					return lanyard.ErrUnavailable
				}
				return nil
			}
			if err := tt.call(t.Context(), b.Service); !errors.Is(err, lanyard.ErrUnavailable) {
				t.Errorf("%s() without %s = %v, want ErrUnavailable", name, method, err)
			}
			if n := len(b.heard.all()); n != 1 || b.changed.Load() != 0 {
				t.Errorf("%s() without %s told %d events and %d changes, want none", name, method, n-1, b.changed.Load())
			}
			st.fail = nil
			if n := len(b.history(t, ana)); n != 1 {
				t.Errorf("%s() without %s left %d events, want the creation", name, method, n)
			}
			if err := tt.call(t.Context(), b.Service); err != nil {
				t.Errorf("%s() afterwards = %v, want nil", name, err)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	b.seen(t, signedIn())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range calls {
		if err := tt.call(ctx, b.Service); !errors.Is(err, context.Canceled) {
			t.Errorf("%s() with a context that had ended = %v, want Canceled", name, err)
		}
	}
	if got := b.actions(t, ana); len(got) != 1 || len(b.heard.all()) != 1 || b.changed.Load() != 0 {
		t.Errorf("history = %q, want the creation only", got)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	if err := b.store.Close(); err != nil {
		t.Fatalf("Close() = %v, want nil", err)
	}
	for name, tt := range calls {
		if err := tt.call(t.Context(), b.Service); !errors.Is(err, lanyard.ErrClosed) {
			t.Errorf("%s() of a closed store = %v, want ErrClosed", name, err)
		}
	}
}

// A race that is lost again and again ends, as a conflict.
func TestEndlessRaces(t *testing.T) {
	t.Parallel()
	st := &faulty{Store: memory.New()}
	b := newBench(st)
	b.seen(t, signedIn())
	tries := 0
	st.fail = func(method string) error {
		switch method {
		case "UpdateProfile":
			tries++
			return lanyard.ErrConflict
		case "CreateProfile":
			tries++
			return lanyard.ErrExists
		}
		return nil
	}
	for _, name := range []string{"Seen, first", "Seen", "Update"} {
		tries = 0
		if err := calls[name].call(t.Context(), b.Service); !errors.Is(err, lanyard.ErrConflict) || tries != 10 {
			t.Errorf("%s() in an endless race = %v after %d tries, want ErrConflict after 10", name, err, tries)
		}
	}
	tries = 0
	if _, err := b.Update(t.Context(), ana, 1, profile.Update{GivenName: profile.Set("x")}); !errors.Is(err, lanyard.ErrConflict) || tries != 1 {
		t.Errorf("Update() of version 1 = %v after %d tries, want ErrConflict after one", err, tries)
	}
}

// A profile that is erased between reading and refreshing is made anew.
func TestErasedMeanwhile(t *testing.T) {
	t.Parallel()
	st := &faulty{Store: memory.New()}
	b := newBench(st)
	b.seen(t, signedIn())
	st.after = func(method string) {
		if method == "Profile" {
			st.after = nil
			if err := b.Erase(t.Context(), ana); err != nil {
				t.Errorf("Erase() = %v, want nil", err)
			}
		}
	}
	p := signedIn()
	p.Email = "ana@new.example"
	if got := b.seen(t, p); got.Version != 1 || got.Email != "ana@new.example" {
		t.Errorf("Seen() = %+v, want a new profile", got)
	}
}

// When it cannot be read whether the change was made, nobody hears of it, the
// caches are told all the same, and a line of the log says so.
func TestEventNotTold(t *testing.T) {
	t.Parallel()
	st := &faulty{Store: memory.New()}
	var log bytes.Buffer
	h, changes := new(heard), 0
	svc := profile.NewService(st, &profile.Options{
		OnEvent: h.hear, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		OwnerChanged: func(context.Context) error { changes++; return nil },
	})
	st.fail = func(method string) error {
		if method == "Events" {
			return errors.New("text of a driver")
		}
		return nil
	}
	if err := svc.Deactivate(t.Context(), ana); err != nil {
		t.Errorf("Deactivate() = %v, want nil", err)
	}
	if len(h.all()) != 0 || changes != 1 {
		t.Errorf("%d events and %d changes were told, want none and one", len(h.all()), changes)
	}
	if line := log.String(); !strings.Contains(line, "an event could not be told") || strings.Contains(line, "driver") {
		t.Errorf("the log says %q, want one line without text of the store", line)
	}
}

// Every call has a span with its outcome; no span says who or what.
func TestSpans(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	var log bytes.Buffer
	svc := profile.NewService(memory.New(), &profile.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)),
		Logger:         slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OwnerChanged:   func(context.Context) error { return errors.New("ana@example.com") },
	})
	ctx := t.Context()
	_, _ = svc.Profile(ctx, ana)
	_, _ = svc.Seen(ctx, signedIn())
	_, _ = svc.Update(ctx, ana, 7, profile.Update{})
	_, _ = svc.Update(ctx, ana, 1, profile.Update{GivenName: profile.Set("\x00ana@example.com")})
	_, _ = svc.Update(ctx, ana, 1, profile.Update{GivenName: profile.Set("Aninha")})
	_, _ = svc.Activity(ctx, ana, profile.Page{})
	_, _ = svc.Activity(ctx, ana, profile.Page{Token: "junk"})
	_, _ = svc.Export(ctx, ana)
	_ = svc.Active(ctx, ana)
	_ = svc.Deactivate(ctx, ana)
	_ = svc.Active(ctx, ana)
	_, _ = svc.Seen(ctx, signedIn())
	_ = svc.Reactivate(ctx, ana)
	_ = svc.Erase(ctx, ana)
	_ = svc.Check(ctx)

	var got []string
	var said strings.Builder
	for _, span := range recorder.Ended() {
		outcome := ""
		for _, a := range span.Attributes() {
			said.WriteString(string(a.Key) + "=" + a.Value.String() + "\n")
			if a.Key == "lanyard.outcome" {
				outcome = a.Value.AsString()
			}
		}
		said.WriteString(span.Name() + " " + span.Status().Description + "\n")
		got = append(got, span.Name()+" "+outcome)
		if scope := span.InstrumentationScope().Name; scope != "github.com/aichub/lanyard/profile" {
			t.Errorf("a span of %s, want one of this package", scope)
		}
	}
	want := []string{
		"profile.Profile not_found", "profile.Seen ok", "profile.Update conflict", "profile.Update invalid", "profile.Update ok",
		"profile.Activity ok", "profile.Activity invalid", "profile.Export ok", "profile.Active ok",
		"profile.Deactivate unavailable", "profile.Active deactivated", "profile.Seen deactivated", "profile.Reactivate unavailable", "profile.Erase unavailable", "profile.Check ok",
	}
	if !slices.Equal(got, want) {
		t.Errorf("spans = %q, want %q", got, want)
	}
	for _, private := range []string{"ana", "Souza", "example.com", "acme", "junk"} {
		if strings.Contains(said.String(), private) || strings.Contains(log.String(), private) {
			t.Errorf("%q is in the spans %q or the log %q", private, said.String(), log.String())
		}
	}
}

// The zero options, or none, are ready to use.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, o := range []*profile.Options{nil, {}} {
		svc := profile.NewService(memory.New(), o)
		p, err := svc.Seen(t.Context(), signedIn())
		if err != nil || time.Since(p.CreatedAt) > time.Minute || p.CreatedAt.Location() != time.UTC {
			t.Errorf("Seen() = created %v, %v, want now in UTC", p.CreatedAt, err)
		}
		if err := errors.Join(svc.Deactivate(t.Context(), ana), svc.Reactivate(t.Context(), ana), svc.Erase(t.Context(), ana)); err != nil {
			t.Errorf("a life without options = %v, want nil", err)
		}
	}
}

// One owner's calls answer as if no other existed.
func TestOwnersAreNotMixed(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		first := b.seen(t, signedIn())
		for _, other := range []lanyard.Owner{bob, eve, {Subject: "ana"}, {Tenant: "acme", Subject: "ANA"}, {Tenant: "Acme", Subject: "ana"}} {
			if _, err := b.Profile(t.Context(), other); !errors.Is(err, lanyard.ErrNotFound) {
				t.Errorf("Profile(%q) = %v, want ErrNotFound", other, err)
			}
			if _, err := b.Update(t.Context(), other, 0, profile.Update{GivenName: profile.Set("x")}); !errors.Is(err, lanyard.ErrNotFound) {
				t.Errorf("Update(%q) = %v, want ErrNotFound", other, err)
			}
			if page, err := b.Activity(t.Context(), other, profile.Page{}); err != nil || len(page.Events) != 0 {
				t.Errorf("Activity(%q) = %d events, %v, want none", other, len(page.Events), err)
			}
			if x, err := b.Export(t.Context(), other); err != nil || x.Profile != nil || len(x.Activity) != 0 {
				t.Errorf("Export(%q) = %+v, %v, want nothing", other, x, err)
			}
			// The same address, and the same names, are another's all the same.
			p := signedIn()
			p.Owner = other
			if got := b.seen(t, p); got.Owner != other || got.Version != 1 {
				t.Errorf("Seen(%q) = %+v, want a profile of his own", other, got)
			}
			if err := errors.Join(b.Deactivate(t.Context(), other), b.Erase(t.Context(), other)); err != nil {
				t.Errorf("Erase(%q) = %v, want nil", other, err)
			}
		}
		if got, err := b.Profile(t.Context(), ana); err != nil || !same(got, first) || len(b.history(t, ana)) != 1 || b.Active(t.Context(), ana) != nil {
			t.Errorf("Profile() = %+v, %v, want it as it was", got, err)
		}
	})
}
