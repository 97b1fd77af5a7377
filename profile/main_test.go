package profile_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/sqlite"
)

var (
	ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	bob = lanyard.Owner{Tenant: "acme", Subject: "bob"}
	// Another organisation's ana.
	eve = lanyard.Owner{Tenant: "evil", Subject: "ana"}

	// start is when every clock begins.
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// signedIn is ana as her identity provider describes her.
func signedIn() lanyard.Principal {
	return lanyard.Principal{
		Owner: ana, Email: "ana@example.com", EmailVerified: true,
		GivenName: "Ana", FamilyName: "Souza", Name: "Ana de Souza", Locale: "pt-BR", ZoneInfo: "America/Sao_Paulo",
		Roles: []string{"admin"}, AuthTime: start, Via: lanyard.ViaSession,
	}
}

// clock is a clock that only a test moves.
type clock struct{ micros atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.micros.Store(start.UnixMicro())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMicro(c.micros.Load()) }
func (c *clock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

// heard collects what OnEvent hears.
type heard struct {
	mu     sync.Mutex
	events []lanyard.Event
}

func (h *heard) hear(_ context.Context, e lanyard.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *heard) all() []lanyard.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]lanyard.Event(nil), h.events...)
}

// bench is a service with its store, clock and listeners.
type bench struct {
	*profile.Service
	store   store.Store
	clock   *clock
	heard   *heard
	changed *atomic.Int32 // calls of OwnerChanged
}

func newBench(st store.Store) *bench {
	b := &bench{store: st, clock: newClock(), heard: new(heard), changed: new(atomic.Int32)}
	b.Service = profile.NewService(st, &profile.Options{
		Now: b.clock.now, OnEvent: b.heard.hear,
		OwnerChanged: func(context.Context) error { b.changed.Add(1); return nil },
	})
	return b
}

// eachStore runs a test on a fresh store of each kind that needs no server.
func eachStore(t *testing.T, test func(*testing.T, *bench)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, newBench(memory.New()))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lanyard.db"), nil)
		if err != nil {
			t.Fatalf("sqlite.Open() = %v, want nil", err)
		}
		t.Cleanup(func() { _ = st.Close() })
		if err := st.Migrate(t.Context()); err != nil {
			t.Fatalf("Migrate() = %v, want nil", err)
		}
		test(t, newBench(st))
	})
}

// seen has the service see a principal, which must succeed.
func (b *bench) seen(t *testing.T, p lanyard.Principal) profile.Profile {
	t.Helper()
	got, err := b.Seen(t.Context(), p)
	if err != nil {
		t.Fatalf("Seen(%v) = %v, want nil", p.Owner, err)
	}
	return got
}

func (b *bench) update(t *testing.T, version int64, u profile.Update) profile.Profile {
	t.Helper()
	got, err := b.Update(t.Context(), ana, version, u)
	if err != nil {
		t.Fatalf("Update() = %v, want nil", err)
	}
	return got
}

// history returns the owner's events, newest first.
func (b *bench) history(t *testing.T, owner lanyard.Owner) []lanyard.Event {
	t.Helper()
	events, err := b.store.Events(t.Context(), owner, store.EventCursor{}, 10_000)
	if err != nil {
		t.Fatalf("Events(%v) = %v, want nil", owner, err)
	}
	return events
}

func (b *bench) actions(t *testing.T, owner lanyard.Owner) (actions []string) {
	t.Helper()
	for _, e := range b.history(t, owner) {
		actions = append(actions, e.Action)
	}
	return actions
}

// same compares profiles, whose times may be of another location.
func same(a, b profile.Profile) bool {
	if !a.CreatedAt.Equal(b.CreatedAt) || !a.UpdatedAt.Equal(b.UpdatedAt) {
		return false
	}
	a.CreatedAt, a.UpdatedAt, b.CreatedAt, b.UpdatedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return a == b
}

func wantInput(t *testing.T, what string, err error, field, code string) {
	t.Helper()
	var input *lanyard.InputError
	if !errors.As(err, &input) || input.Field != field || input.Code != code {
		t.Errorf("%s = %v, want %s: %s", what, err, field, code)
	}
}
