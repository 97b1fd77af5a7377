package providertoken_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
)

const day = 24 * time.Hour

// expiring makes ana's connection of that label, which ends after life.
func (w *world) expiring(t *testing.T, label string, life time.Duration) providertoken.Token {
	t.Helper()
	r := request("jira-data-center", anaSecret)
	r.Label, r.ExpiresAt = label, w.clock.Now().Add(life)
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	return token
}

func (w *world) sweep(t *testing.T, want int) {
	t.Helper()
	if n, err := w.tokens.Sweep(t.Context(), w.store); n != want || err != nil {
		t.Errorf("at %v Sweep() = %d, %v, want %d", w.clock.Now(), n, err, want)
	}
}

// warnings returns ana's warnings as "connection days", oldest first.
func (w *world) warnings(t *testing.T) []string {
	t.Helper()
	events, err := w.store.Events(t.Context(), ana, store.EventCursor{}, 1000)
	ok(t, err)
	var told []string
	for _, e := range events {
		if e.Action == providertoken.ActionExpiring {
			told = append(told, e.Object+" "+e.Detail[providertoken.DetailDays])
		}
	}
	slices.Reverse(told)
	return told
}

// Swept every hour, a connection is told of at each of the five times.
func TestSweepWarnsFiveTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.expiring(t, "work", 40*day+90*time.Minute)
	w.connect(t) // for ever
	heard := len(w.actions())
	for range 42 * 24 {
		_, err := w.tokens.Sweep(t.Context(), w.store)
		ok(t, err)
		w.clock.Add(time.Hour)
	}
	var want []string
	for _, days := range []int{30, 14, 7, 3, 1} {
		want = append(want, fmt.Sprint(token.ID, " ", days))
	}
	if got := w.warnings(t); !slices.Equal(got, want) {
		t.Errorf("warned %q, want %q", got, want)
	}
	if got := w.actions()[heard:]; len(got) != 5 || got[0] != providertoken.ActionExpiring {
		t.Errorf("heard %q, want five warnings", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.events[heard]
	if e.Detail[providertoken.DetailProvider] != "jira-data-center-x" || e.Detail[providertoken.DetailLabel] != "work" ||
		e.Detail[providertoken.DetailExpiresAt] != "2027-01-02T13:30:00Z" || e.Via != lanyard.ViaSystem {
		t.Errorf("a warning is %+v", e)
	}
}

func TestSweepThresholds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		life, left time.Duration
		want       string // days
	}{
		{100 * day, 30*day + time.Microsecond, ""},
		{100 * day, 30 * day, "30"},
		{100 * day, 14*day + time.Microsecond, "30"},
		{100 * day, 14 * day, "14"},
		{100 * day, 2 * day, "3"},
		{100 * day, time.Microsecond, "1"},
		{100 * day, 0, ""}, // it has expired
		{30 * day, 30 * day, ""},
		{30 * day, 14 * day, "14"},
		{2 * day, 25 * time.Hour, ""},
		{2 * day, day, "1"},
		{time.Hour, time.Minute, ""},
	} {
		w := newWorld(t, nil)
		token := w.expiring(t, "", tt.life)
		w.clock.Add(tt.life - tt.left)
		var told []string
		if tt.want != "" {
			told = []string{token.ID + " " + tt.want}
		}
		w.sweep(t, len(told))
		if got := w.warnings(t); !slices.Equal(got, told) {
			t.Errorf("a life of %v with %v left: warned %q, want %q", tt.life, tt.left, got, told)
		}
		w.sweep(t, 0)
	}
}

// Nothing is said where there is nothing to do about it.
func TestSweepLeavesOut(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world, providertoken.Token) *world{
		"deleted": func(w *world, token providertoken.Token) *world {
			ok(t, w.tokens.Delete(t.Context(), ana, token.ID, 0))
			return w
		},
		"rejected": func(w *world, token providertoken.Token) *world {
			w.fakes["jira-data-center"].Tell(providertest.LoginFailed)
			_, err := w.tokens.Verify(t.Context(), ana, token.ID)
			ok(t, err)
			return w
		},
		"not offered": func(w *world, _ providertoken.Token) *world {
			w.options.Providers, w.options.Instances = nil, nil
			return newWorldOver(t, w, w.store)
		},
		"deactivated": func(w *world, _ providertoken.Token) *world {
			e := lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "off", "")
			ok(t, w.store.Deactivate(t.Context(), ana, w.clock.Now(), e))
			return w
		},
		"replaced": func(w *world, token providertoken.Token) *world {
			later := w.clock.Now().Add(90 * day)
			_, err := w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{
				Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(newSecret)}, ExpiresAt: &later,
			})
			ok(t, err)
			return w
		},
	} {
		w := newWorld(t, nil)
		token := w.expiring(t, "", 40*day)
		w.clock.Add(20 * day)
		stale, err := w.store.ExpiringProviderTokens(t.Context(), time.Time{}, w.clock.Now().Add(31*day), "", 10)
		ok(t, err)
		over := change(w, token)
		// The page may be from before.
		for _, m := range []store.Maintenance{w.store, oldPage{w.store, stale}} {
			if n, err := over.tokens.Sweep(t.Context(), m); n != 0 || err != nil {
				t.Errorf("%s: Sweep() = %d, %v, want 0", name, n, err)
			}
		}
		if name == "deactivated" {
			ok(t, w.store.Reactivate(t.Context(), ana, lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "on", "")))
			w.sweep(t, 1)
		}
	}
}

// oldPage is what a page was.
type oldPage struct {
	store.Maintenance
	rows []store.ProviderToken
}

func (p oldPage) ExpiringProviderTokens(context.Context, time.Time, time.Time, string, int) ([]store.ProviderToken, error) {
	return p.rows, nil
}

// Three processes that sweep at once, and again after a restart, write each
// warning once, and one of them hears it. What fails comes with the next sweep.
func TestSweepAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *providertoken.Options) { o.Limit = -1 })
	const connections = 520 // two pages
	row := w.row(t, w.expiring(t, "first", 40*day).ID)
	for i := range connections - 1 {
		next := row
		next.ID, next.Label, next.Version = lanyard.NewID(), fmt.Sprint(i), 0
		ok(t, w.store.CreateProviderToken(t.Context(), next, -1, lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "made", next.ID)))
	}
	w.clock.Add(20 * day)
	failing := newWorldOver(t, w, noHistory{w.store})
	if n, err := failing.tokens.Sweep(t.Context(), w.store); n != 0 || !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Sweep() without history = %d, %v, want ErrUnavailable", n, err)
	}
	var (
		group       sync.WaitGroup
		mu          sync.Mutex
		told, heard int
	)
	for range 2 { // the second time every process is a new one
		var processes []*world
		for range 3 {
			over := newWorldOver(t, w, w.store)
			processes = append(processes, over)
			for range 2 {
				group.Go(func() {
					n, err := over.tokens.Sweep(t.Context(), w.store)
					if err != nil {
						t.Errorf("Sweep() = %v", err)
					}
					mu.Lock()
					defer mu.Unlock()
					told += n
				})
			}
		}
		group.Wait()
		for _, over := range processes {
			heard += len(over.actions())
		}
	}
	if n := len(w.warnings(t)); n != connections || told != connections || heard != connections {
		t.Errorf("%d warnings, %d by Sweep's count, %d heard, want %d of each", n, told, heard, connections)
	}
}
