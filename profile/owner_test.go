package profile_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

func TestDeactivate(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		before := b.seen(t, signedIn())
		other := signedIn()
		other.Owner = eve
		b.seen(t, other)
		b.clock.advance(time.Minute)
		admin := lanyard.WithPrincipal(t.Context(), lanyard.Principal{Owner: bob})
		if err := b.Active(t.Context(), ana); err != nil {
			t.Errorf("Active() = %v, want nil", err)
		}
		for range 2 { // the second changes nothing
			if err := b.Deactivate(admin, ana); err != nil {
				t.Fatalf("Deactivate() = %v, want nil", err)
			}
		}
		if err := b.Active(t.Context(), ana); !errors.Is(err, lanyard.ErrDeactivated) || !errors.Is(err, lanyard.ErrForbidden) {
			t.Errorf("Active() = %v, want ErrDeactivated", err)
		}
		changed := signedIn()
		changed.Email = "ana@new.example"
		byKey := lanyard.Principal{Owner: ana, Via: lanyard.ViaAPIKey, KeyID: "k1"}
		for _, p := range []lanyard.Principal{changed, byKey} {
			if got, err := b.Seen(t.Context(), p); !errors.Is(err, lanyard.ErrDeactivated) || got.Version != 0 {
				t.Errorf("Seen(%s) = version %d, %v, want ErrDeactivated", p.Via, got.Version, err)
			}
		}
		if p, err := b.Profile(t.Context(), ana); err != nil || !same(p, before) {
			t.Errorf("Profile() = %+v, %v, want it unchanged", p, err)
		}
		// Nobody else is.
		for _, owner := range []lanyard.Owner{bob, eve} {
			if err := b.Active(t.Context(), owner); err != nil {
				t.Errorf("Active(%v) = %v, want nil", owner, err)
			}
		}
		b.seen(t, other)

		b.clock.advance(time.Minute)
		for range 2 {
			if err := b.Reactivate(admin, ana); err != nil {
				t.Fatalf("Reactivate() = %v, want nil", err)
			}
		}
		if got := b.seen(t, signedIn()); !same(got, before) {
			t.Errorf("Seen() after Reactivate = %+v, want %+v", got, before)
		}
		if got, want := b.actions(t, ana), []string{profile.ActionReactivated, profile.ActionDeactivated, profile.ActionCreated}; !slices.Equal(got, want) {
			t.Errorf("history = %q, want %q", got, want)
		}
		if e := b.history(t, ana)[0]; e.Actor != bob {
			t.Errorf("Reactivate was by %v, want bob", e.Actor)
		}
		var told []string
		for _, e := range b.heard.all() {
			if e.Owner == ana {
				told = append(told, e.Action)
			}
		}
		if want := []string{profile.ActionCreated, profile.ActionDeactivated, profile.ActionReactivated}; !slices.Equal(told, want) {
			t.Errorf("OnEvent heard %q, want %q", told, want)
		}
		if n := b.changed.Load(); n != 4 {
			t.Errorf("OwnerChanged was called %d times by four calls, want 4", n)
		}
	})
}

// An owner nobody has seen can be barred before he comes.
func TestDeactivateTheUnknown(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	if err := b.Deactivate(t.Context(), ana); err != nil {
		t.Fatalf("Deactivate() = %v, want nil", err)
	}
	if _, err := b.Seen(t.Context(), signedIn()); !errors.Is(err, lanyard.ErrDeactivated) {
		t.Errorf("Seen() = %v, want ErrDeactivated", err)
	}
	if _, err := b.Profile(t.Context(), ana); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("Profile() = %v, want ErrNotFound", err)
	}
	for _, call := range []func(context.Context, lanyard.Owner) error{b.Deactivate, b.Reactivate, b.Active, b.Erase} {
		wantInput(t, "a call for nobody", call(t.Context(), lanyard.Owner{Tenant: "acme"}), "owner", lanyard.CodeRequired)
	}
}

// Of many callers one made the change, and that is heard once.
func TestDeactivateRace(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if err := b.Deactivate(t.Context(), ana); err != nil {
					t.Errorf("Deactivate() beside others = %v, want nil", err)
				}
			})
		}
		all.Wait()
		stored, told := b.history(t, ana), b.heard.all()
		if len(stored) != 1 || len(told) != 1 || stored[0].ID != told[0].ID {
			t.Errorf("%d deactivations are stored and %d were told, want the same one", len(stored), len(told))
		}
	})
}

// What was written is found behind whatever happened since.
func TestDeactivateInABusyHistory(t *testing.T) {
	t.Parallel()
	st := &faulty{Store: memory.New()}
	b := newBench(st)
	st.after = func(method string) {
		if method == "Deactivate" {
			st.after = nil
			b.happened(t, ana, 120)
		}
	}
	if err := b.Deactivate(t.Context(), ana); err != nil {
		t.Fatalf("Deactivate() = %v, want nil", err)
	}
	if told := b.heard.all(); len(told) != 1 || told[0].Action != profile.ActionDeactivated {
		t.Errorf("OnEvent heard %+v, want the deactivation", told)
	}
}

func TestErase(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		everything(t, b.store, ana)
		everything(t, b.store, eve)
		b.seen(t, signedIn())
		other := signedIn()
		other.Owner = eve
		b.seen(t, other)
		b.update(t, 0, profile.Update{GivenName: profile.Set("Aninha")})
		if err := b.Deactivate(t.Context(), ana); err != nil {
			t.Fatalf("Deactivate() = %v, want nil", err)
		}
		before := len(b.heard.all())
		b.changed.Store(0)

		ctx := lanyard.WithRequest(lanyard.WithPrincipal(t.Context(), lanyard.Principal{Owner: ana, KeyID: "k1"}), lanyard.Request{ID: "req-9", IP: "203.0.113.7", UserAgent: "ana's browser"})
		if err := b.Erase(ctx, ana); err != nil {
			t.Fatalf("Erase() = %v, want nil", err)
		}
		if b.changed.Load() != 1 {
			t.Errorf("OwnerChanged was called %d times, want once", b.changed.Load())
		}
		if _, err := b.Profile(t.Context(), ana); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("Profile() after Erase = %v, want ErrNotFound", err)
		}
		x, err := b.Export(t.Context(), ana)
		if err != nil || x.Profile != nil || len(x.APIKeys) != 0 || len(x.ProviderTokens) != 0 || len(x.Activity) != 0 || !x.DeactivatedAt.IsZero() {
			t.Errorf("Export() after Erase = %+v, %v, want nothing", x, err)
		}
		if _, err := b.store.OwnerKey(t.Context(), ana); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("OwnerKey() after Erase = %v, want ErrNotFound", err)
		}
		left, err := b.store.Erasures(t.Context(), "acme", store.EventCursor{}, 10)
		if err != nil || len(left) != 1 {
			t.Fatalf("Erasures() = %d events, %v, want one", len(left), err)
		}
		tenant := lanyard.Owner{Tenant: "acme"}
		if e := left[0]; e.Action != profile.ActionErased || e.Owner != tenant || e.Actor != tenant || e.IP != "" || e.UserAgent != "" || len(e.Detail) != 0 || e.Object != "" {
			t.Errorf("what is left of ana = %+v, want nothing that names her", e)
		}
		if told := b.heard.all()[before:]; len(told) != 1 || told[0].ID != left[0].ID || told[0].Owner != tenant {
			t.Errorf("OnEvent heard %+v, want the erasure", told)
		}

		// The other ana lost nothing.
		if x, err := b.Export(t.Context(), eve); err != nil || x.Profile == nil || len(x.APIKeys) != 1 || len(x.ProviderTokens) != 1 || len(x.Activity) != 3 {
			t.Errorf("Export() of another tenant's ana = %+v, %v, want all of hers", x, err)
		}
		// Ana may come back, and begins anew.
		if p := b.seen(t, signedIn()); p.Version != 1 || p.GivenNameEdited || len(b.history(t, ana)) != 1 {
			t.Errorf("Seen() after Erase = %+v, want a new profile", p)
		}
	})
}

// What a call under way wrote after an erasure goes with the next.
func TestEraseAgain(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, b *bench) {
		everything(t, b.store, ana)
		if err := b.Erase(t.Context(), ana); err != nil {
			t.Fatalf("Erase() = %v, want nil", err)
		}
		late := lanyard.NewEvent(lanyard.WithRequest(t.Context(), lanyard.Request{IP: "203.0.113.7"}), start, ana, "provider_token.used", "t-acme")
		if err := b.store.Append(t.Context(), late); err != nil {
			t.Fatalf("Append() after Erase = %v, want nil", err)
		}
		if n := len(b.history(t, ana)); n != 1 {
			t.Fatalf("the history holds %d events after a late use, want 1", n)
		}
		if err := b.Erase(t.Context(), ana); err != nil {
			t.Fatalf("Erase() again = %v, want nil", err)
		}
		if history := b.history(t, ana); len(history) > 0 {
			t.Errorf("after a second Erase the history holds %+v", history)
		}
	})
}

// An operator who erases is named; the one who is erased is not.
func TestEraseByAnother(t *testing.T) {
	t.Parallel()
	b := newBench(memory.New())
	b.seen(t, signedIn())
	ctx := lanyard.WithRequest(lanyard.WithPrincipal(t.Context(), lanyard.Principal{Owner: bob}), lanyard.Request{IP: "203.0.113.8"})
	if err := b.Erase(ctx, ana); err != nil {
		t.Fatalf("Erase() = %v, want nil", err)
	}
	// Of an owner nobody knows, too: he may be known elsewhere.
	if err := b.Erase(ctx, ana); err != nil {
		t.Fatalf("Erase() again = %v, want nil", err)
	}
	left, err := b.store.Erasures(t.Context(), "acme", store.EventCursor{}, 10)
	if err != nil || len(left) != 2 || left[0].Actor != bob || left[0].IP != "203.0.113.8" {
		t.Errorf("Erasures() = %+v, %v, want two by bob", left, err)
	}
}

// The hook runs after the commit; when it fails the change stands and the
// caller hears of it.
func TestOwnerChanged(t *testing.T) {
	t.Parallel()
	st := memory.New()
	broken := errors.New("text of a cache")
	var fails error
	var seen []bool
	svc := profile.NewService(st, &profile.Options{OwnerChanged: func(ctx context.Context) error {
		state, err := st.OwnerState(ctx, ana)
		if err != nil {
			t.Errorf("OwnerState() = %v, want nil", err)
		}
		seen = append(seen, state.Deactivated())
		return fails
	}})
	for _, call := range []func(context.Context, lanyard.Owner) error{svc.Deactivate, svc.Reactivate, svc.Deactivate, svc.Erase} {
		if err := call(t.Context(), ana); err != nil {
			t.Fatalf("a change = %v, want nil", err)
		}
	}
	if want := []bool{true, false, true, false}; !slices.Equal(seen, want) {
		t.Errorf("OwnerChanged saw deactivated = %v, want %v", seen, want)
	}
	fails = broken
	for name, call := range map[string]func(context.Context, lanyard.Owner) error{"Deactivate": svc.Deactivate, "Reactivate": svc.Reactivate, "Erase": svc.Erase} {
		if err := call(t.Context(), ana); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("%s() with a hook that fails = %v, want ErrUnavailable", name, err)
		}
	}
	seen = nil
	if err := svc.Deactivate(t.Context(), ana); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Deactivate() with a hook that fails = %v, want ErrUnavailable", err)
	}
	fails = nil
	if err := svc.Deactivate(t.Context(), ana); err != nil || !slices.Equal(seen, []bool{true, true}) {
		t.Errorf("Deactivate() again = %v after hooks that saw %v, want nil and two of a deactivated owner", err, seen)
	}
}
