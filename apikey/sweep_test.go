package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

const day = 24 * time.Hour

// warnings returns an owner's warnings as "key days", oldest first.
func warnings(t testing.TB, st store.Events, owner lanyard.Owner) []string {
	t.Helper()
	var told []string
	for _, e := range historyOf(t, st, owner, apikey.ActionExpiring) {
		told = append(told, e.Object+" "+e.Detail[apikey.DetailDays])
	}
	slices.Reverse(told)
	return told
}

func (b *bench) sweep(t testing.TB, want int) {
	t.Helper()
	if n, err := b.Sweep(t.Context(), b.memory); n != want || err != nil {
		t.Errorf("at %v Sweep() = %d, %v, want %d", b.clock.now(), n, err, want)
	}
}

// Swept every hour, a key is told of at each of the five times, at the first
// sweep from then on.
func TestSweepWarnsFiveTimes(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	expires := start.Add(40*day + 90*time.Minute)
	key, _ := b.create(t, ana, apikey.CreateRequest{Name: "laptop", ExpiresAt: expires})
	b.create(t, ana, apikey.CreateRequest{Name: "for ever"})
	for b.clock.now().Before(expires.Add(day)) {
		if _, err := b.Sweep(t.Context(), b.memory); err != nil {
			t.Fatal(err)
		}
		b.clock.advance(time.Hour)
	}
	events := historyOf(t, b.memory, ana, apikey.ActionExpiring)
	slices.Reverse(events)
	if len(events) != 5 || len(b.heard.actions()) != 7 {
		t.Fatalf("%d warnings, heard %q, want 5 of each", len(events), b.heard.actions())
	}
	for i, days := range []int{30, 14, 7, 3, 1} {
		e := events[i]
		ahead := expires.Sub(e.At)
		if e.Object != key.ID || e.Detail[apikey.DetailDays] != fmt.Sprint(days) || e.Detail[apikey.DetailName] != "laptop" ||
			e.Detail[apikey.DetailExpiresAt] != "2026-04-10T13:30:00Z" || e.Via != lanyard.ViaSystem || e.Actor != ana {
			t.Errorf("warning %d is %+v, want one of %d days", i, e, days)
		}
		if ahead > time.Duration(days)*day || ahead <= time.Duration(days)*day-time.Hour {
			t.Errorf("the warning of %d days came %v ahead", days, ahead)
		}
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
		{100 * day, day, "1"},
		{100 * day, time.Microsecond, "1"},
		{100 * day, 0, ""}, // it has expired
		{100 * day, -time.Hour, ""},
		// A warning for which it was too late when the key was made.
		{30 * day, 30 * day, ""},
		{30 * day, 15 * day, ""},
		{30 * day, 14 * day, "14"},
		{30*day + time.Microsecond, 30 * day, "30"},
		{2 * day, 2 * day, ""},
		{2 * day, 25 * time.Hour, ""},
		{2 * day, day, "1"},
		{day, day, ""},
		{day, time.Hour, ""},
		{time.Hour, time.Minute, ""},
	} {
		b := newBench(t, nil)
		key, _ := b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(tt.life)})
		b.clock.set(start.Add(tt.life - tt.left))
		want := 0
		var told []string
		if tt.want != "" {
			want, told = 1, []string{key.ID + " " + tt.want}
		}
		b.sweep(t, want)
		if got := warnings(t, b.memory, ana); !slices.Equal(got, told) {
			t.Errorf("a key of %v with %v left: warned %q, want %q", tt.life, tt.left, got, told)
		}
		b.sweep(t, 0)
	}
}

// Nobody hears of a deleted key, nor does who is deactivated; after a
// reactivation the warning comes.
func TestSweepLeavesOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	deleted, _ := b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(40 * day)})
	if err := b.Delete(t.Context(), ana, deleted.ID, 0); err != nil {
		t.Fatal(err)
	}
	key, _ := b.create(t, bob, apikey.CreateRequest{ExpiresAt: start.Add(40 * day)})
	event := func(action string) lanyard.Event { return lanyard.NewEvent(t.Context(), start, bob, action, "") }
	if err := b.memory.Deactivate(t.Context(), bob, start, event("off")); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(20 * day)
	b.sweep(t, 0)
	if err := b.memory.Reactivate(t.Context(), bob, event("on")); err != nil {
		t.Fatal(err)
	}
	b.sweep(t, 1)
	if got := warnings(t, b.memory, bob); !slices.Equal(got, []string{key.ID + " 30"}) {
		t.Errorf("after the reactivation: warned %q", got)
	}

	// Deleted, and rotated, after the page was read.
	raced, _ := b.create(t, ana, apikey.CreateRequest{ExpiresAt: b.clock.now().Add(40 * day)})
	b.clock.advance(20 * day) // bob's has expired
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		row.Key.DeletedAt = start
		return row, err
	}
	b.sweep(t, 0)
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		row.Key.ExpiresAt = row.Key.ExpiresAt.Add(-time.Hour)
		return row, err
	}
	b.sweep(t, 0)
	b.store.onLookup = func(store.KeyLookup, error) (store.KeyLookup, error) { return store.KeyLookup{}, lanyard.ErrNotFound }
	b.sweep(t, 0)
	b.store.onLookup = nil
	b.sweep(t, 1)
	if got := warnings(t, b.memory, ana); !slices.Equal(got, []string{raced.ID + " 30"}) {
		t.Errorf("warned %q, want the key once", got)
	}
}

// The old key of a rotation has another end, and so other warnings.
func TestSweepAfterRotation(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	old, _ := b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(40 * day)})
	b.clock.advance(33*day + time.Minute)
	b.sweep(t, 1)
	rotated, err := b.Rotate(t.Context(), ana, old.ID, apikey.RotateRequest{Grace: 5 * day})
	if err != nil {
		t.Fatal(err)
	}
	b.sweep(t, 1)
	b.clock.advance(2*day + time.Hour)
	b.sweep(t, 1)
	want := []string{old.ID + " 7", old.ID + " 7", old.ID + " 3"}
	if got := warnings(t, b.memory, ana); !slices.Equal(got, want) {
		t.Errorf("warned %q, want %q and nothing of the successor %s", got, want, rotated.Key.ID)
	}
}

// Three instances that sweep at once, and again after a restart, write each
// warning once, and one of them hears it.
func TestSweepAtOnce(t *testing.T) {
	t.Parallel()
	forStores(t, func(t *testing.T, open func() store.Store) {
		const keys = 60
		clock, heard := newClock(), new(heard)
		options := apikey.Options{Now: clock.now, OnEvent: heard.hear}
		st := open()
		maker := newService(t, st, &options)
		for i := range keys {
			owner := lanyard.Owner{Subject: fmt.Sprint("u", i%5)}
			_, err := maker.Create(t.Context(), owner, apikey.CreateRequest{Name: "x", ExpiresAt: start.Add(40*day + time.Duration(i)*time.Second)})
			if err != nil {
				t.Fatal(err)
			}
		}
		heard.events = nil
		told := 0
		for _, left := range []time.Duration{29 * day, 10 * day, 12 * time.Hour} {
			clock.set(start.Add(40*day - left))
			for range 2 { // the second time every service is a new one
				var wg sync.WaitGroup
				var mu sync.Mutex
				for range 3 {
					st := open()
					s := newService(t, st, &options)
					for range 2 {
						wg.Go(func() {
							n, err := s.Sweep(t.Context(), st)
							if err != nil {
								t.Errorf("Sweep() = %v", err)
							}
							mu.Lock()
							defer mu.Unlock()
							told += n
						})
					}
				}
				wg.Wait()
			}
		}
		written := map[string]bool{}
		n := 0
		for i := range 5 {
			for _, w := range warnings(t, st, lanyard.Owner{Subject: fmt.Sprint("u", i)}) {
				written[w] = true
				n++
			}
		}
		if len(written) != 3*keys || n != 3*keys || told != 3*keys || len(heard.actions()) != 3*keys {
			t.Errorf("%d warnings, %d of them different, %d by Sweep's count, %d heard; want %d of each", n, len(written), told, len(heard.actions()), 3*keys)
		}
	})
}

// pages counts what is read.
type pages struct {
	store.Maintenance
	read, longest int
	fail          error
}

func (p *pages) ExpiringAPIKeys(ctx context.Context, from, to time.Time, after string, limit int) ([]store.APIKey, error) {
	if p.read++; p.fail != nil {
		return nil, p.fail
	}
	keys, err := p.Maintenance.ExpiringAPIKeys(ctx, from, to, after, limit)
	p.longest = max(p.longest, len(keys))
	return keys, err
}

// A large table is read by pages, and what this process told it does not ask
// about again.
func TestSweepPages(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Limit: -1})
	for range 1100 {
		b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(40 * day)})
	}
	b.clock.advance(20 * day)
	p := &pages{Maintenance: b.memory}
	if n, err := b.Sweep(t.Context(), p); n != 1100 || err != nil {
		t.Errorf("Sweep() = %d, %v, want 1100", n, err)
	}
	if p.read != 3 || p.longest > 500 {
		t.Errorf("Sweep() read %d pages of up to %d keys, want 3 of up to 500", p.read, p.longest)
	}
	asked, appended := b.store.lookups.Load(), b.store.appends.Load()
	b.sweep(t, 0)
	if b.store.lookups.Load() != asked || b.store.appends.Load() != appended {
		t.Errorf("the second Sweep() asked about %d keys and wrote %d events, want none", b.store.lookups.Load()-asked, b.store.appends.Load()-appended)
	}
}

// After a failure the next sweep tells the rest.
func TestSweepInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for range 5 {
		b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(40 * day)})
	}
	b.clock.advance(20 * day)
	calls := 0
	b.store.onAppend = func(err error) error {
		if calls++; calls == 3 {
			return lanyard.ErrUnavailable // and it is not known that it was written
		}
		return err
	}
	if n, err := b.Sweep(t.Context(), b.memory); n != 2 || !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Sweep() = %d, %v, want 2 and ErrUnavailable", n, err)
	}
	b.sweep(t, 2)
	if n := len(warnings(t, b.memory, ana)); n != 5 {
		t.Errorf("%d warnings, want 5", n)
	}
	b.clock.advance(7 * day)
	b.store.onLookup = func(row store.KeyLookup, _ error) (store.KeyLookup, error) { return row, errors.New("driver: host=db") }
	if n, err := b.Sweep(t.Context(), b.memory); n != 0 || !errors.Is(err, lanyard.ErrUnavailable) || strings.Contains(err.Error(), "db") {
		t.Errorf("Sweep() with the store down = %d, %v, want ErrUnavailable", n, err)
	}
	if n, err := b.Sweep(t.Context(), &pages{fail: lanyard.ErrUnavailable}); n != 0 || !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Sweep() without pages = %d, %v, want ErrUnavailable", n, err)
	}
	b.store.onLookup = nil
	b.sweep(t, 5)
}
