package apikey

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// deaf is a store that takes nothing.
type deaf struct{}

func (deaf) RecordKeyUse(context.Context, []store.KeyUse) error { return lanyard.ErrUnavailable }
func (deaf) Append(context.Context, lanyard.Event) error        { return lanyard.ErrUnavailable }

// useLogOn is a log whose facts nobody hears.
func useLogOn(st useStore, table *verdicts) *useLog {
	return newUseLog(st, table, newStopwatch(), time.Now, func(context.Context, lanyard.Event) {}, slog.New(slog.DiscardHandler))
}

// A flood of keys costs bounded memory, also while the store takes nothing and
// flushes put back what they took.
func TestUseLogIsBounded(t *testing.T) {
	t.Parallel()
	table := newVerdicts(1)
	u := useLogOn(deaf{}, table)
	for _, round := range []string{"a", "b"} {
		for i := range maxLeft + 10 {
			v, left := table.put(verdictOn(table, round+strconv.Itoa(i), int64(i+1)))
			u.leave(left)
			u.mark(v, u.watch.now(), "")
		}
		for range maxFacts + 10 {
			u.tell(t.Context(), lanyard.Event{ID: round})
		}
		if err := u.flush(t.Context(), u.flushAll); err == nil {
			t.Error("flush() to a deaf store = nil, want an error")
		}
	}
	u.mu.Lock()
	if len(u.left) != maxLeft || len(u.facts) != maxFacts {
		t.Errorf("%d uses and %d facts wait, want %d and %d", len(u.left), len(u.facts), maxLeft, maxFacts)
	}
	u.mu.Unlock()
	if err := u.close(t.Context()); err == nil {
		t.Error("close() to a deaf store = nil, want an error: the last uses are lost")
	}
}

// No use is lost where a verdict is replaced beside it, and none where the store
// takes only some of what it is given.
func TestNoUseIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newVerdicts(2 * flushSize)
		l := &ledger{last: make(map[string]time.Time)}
		u := useLogOn(l, table)
		wantUsed := func(what, key string, at time.Time) {
			t.Helper()
			if err := u.flush(t.Context(), u.flushAll); err != nil {
				t.Fatalf("flush() = %v, want nil", err)
			}
			if got := l.used(key); !got.Equal(at) {
				t.Errorf("%s: last used at %v, want %v", what, got, at)
			}
		}
		old := table.keep(verdictOn(table, "a", 1))
		u.mark(old, u.watch.now(), "192.0.2.1")
		wantUsed("first use", "a", time.Now())

		<-time.After(2 * time.Second)
		u.mark(old, u.watch.now(), "192.0.2.1")
		used := time.Now()
		newer := table.keep(verdictOn(table, "a", 2))
		wantUsed("replaced after the mark", "a", used)

		<-time.After(2 * time.Second)
		table.keep(verdictOn(table, "a", 3))
		u.mark(newer, u.watch.now(), "192.0.2.1")
		wantUsed("replaced before the mark", "a", time.Now())

		const keys = 2*flushSize - 1
		<-time.After(2 * time.Second)
		used = time.Now()
		for i := range keys {
			u.mark(table.keep(verdictOn(table, strconv.Itoa(i), 1)), u.watch.now(), "")
		}
		l.fail(true)
		for range 10 {
			_ = u.flush(t.Context(), u.flushAll)
		}
		synctest.Wait()
		if l.taken == 0 {
			t.Error("a store that takes every other call got nothing")
		}
		l.fail(false)
		for i := range keys {
			wantUsed("stored in parts", strconv.Itoa(i), used)
		}
		if err := u.close(t.Context()); err != nil {
			t.Errorf("close() = %v, want nil", err)
		}
	})
}

// Whoever notes a use late, because the processor was busy elsewhere, moves no
// later one back.
func TestLateMarksMoveNothingBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newVerdicts(2)
		l := &usages{known: make(map[string]store.KeyUsage)}
		u := useLogOn(l, table)
		v := table.keep(verdictOn(table, "a", 1))
		u.mark(v, u.watch.now(), "192.0.2.1")
		<-time.After(2 * time.Second)
		late := u.watch.now()
		<-time.After(2 * time.Second)
		u.mark(v, u.watch.now(), "192.0.2.1")
		last := time.Now()
		u.mark(v, late, "192.0.2.1")
		if err := u.close(t.Context()); err != nil {
			t.Fatalf("close() = %v, want nil", err)
		}
		if got := l.known["a"].LastUsedAt; !got.Equal(last) {
			t.Errorf("last used at %v, want %v", got, last)
		}
	})
}

// Nor does he put another address beside what is seen of his own later.
func TestLateMarksKeepTheAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newVerdicts(2)
		l := &usages{known: make(map[string]store.KeyUsage)}
		u := useLogOn(l, table)
		v := table.keep(verdictOn(table, "a", 1))
		late := u.watch.now()
		<-time.After(2 * time.Second)
		u.mark(v, u.watch.now(), "192.0.2.1")
		u.mark(v, late, "198.51.100.1")
		<-time.After(2 * time.Second)
		u.mark(v, u.watch.now(), "198.51.100.1")
		last := time.Now()
		if err := u.close(t.Context()); err != nil {
			t.Fatalf("close() = %v, want nil", err)
		}
		if got := l.known["a"]; !got.LastUsedAt.Equal(last) || got.LastUsedFrom != "198.51.100.0/24" {
			t.Errorf("last used at %v from %s, want %v from 198.51.100.0/24", got.LastUsedAt, got.LastUsedFrom, last)
		}
	})
}

// ledger is a store that remembers the last use of each key. While it fails it
// takes every other call.
type ledger struct {
	mu           sync.Mutex // the log flushes by itself, too
	failing      bool
	calls, taken int
	last         map[string]time.Time
}

func (l *ledger) fail(failing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = failing
}

func (l *ledger) used(key string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[key]
}

func (l *ledger) Append(context.Context, lanyard.Event) error { return nil }

func (l *ledger) RecordKeyUse(_ context.Context, uses []store.KeyUse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls++; l.failing && l.calls%2 == 0 {
		return lanyard.ErrUnavailable
	}
	for _, u := range uses {
		l.taken++
		if u.At.After(l.last[u.ID]) {
			l.last[u.ID] = u.At
		}
	}
	return nil
}

// A key that is used for the first time while a flush is at the store keeps its
// first use, though its place is one that this flush looked at.
func TestFirstUseDuringAFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newVerdicts(2) // all its places share one bit
		l := &usages{known: make(map[string]store.KeyUsage)}
		u := useLogOn(l, table)
		busy, fresh := table.keep(verdictOn(table, "busy", 1)), table.keep(verdictOn(table, "fresh", 1))

		first := time.Now()
		l.during = func() {
			u.mark(fresh, u.watch.now(), "192.0.2.1")
			<-time.After(2 * time.Second)
			u.mark(fresh, u.watch.now(), "198.51.100.1")
		}
		u.mark(busy, u.watch.now(), "192.0.2.1")
		if err := u.flush(t.Context(), u.flushAll); err != nil {
			t.Fatalf("flush() = %v, want nil", err)
		}
		if err := u.close(t.Context()); err != nil {
			t.Fatalf("close() = %v, want nil", err)
		}
		if got := l.known["fresh"]; !got.FirstUsedAt.Equal(first) || got.FirstUsedFrom != "192.0.2.0/24" {
			t.Errorf("first used at %v from %s, want %v from 192.0.2.0/24", got.FirstUsedAt, got.FirstUsedFrom, first)
		}
	})
}

// usages is a store that remembers what it was told. During its first call
// something happens.
type usages struct {
	during func()
	known  map[string]store.KeyUsage
}

func (*usages) Append(context.Context, lanyard.Event) error { return nil }

func (s *usages) RecordKeyUse(_ context.Context, uses []store.KeyUse) error {
	if during := s.during; during != nil {
		s.during = nil
		during()
	}
	for _, u := range uses {
		s.known[u.ID] = s.known[u.ID].Add(u)
	}
	return nil
}

// What keys left that are forgotten by now is stored in parts: a store that is too
// slow for all of it at once gets it in the end.
func TestSlowStoreGetsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys = 5 * flushSize
		table := newVerdicts(1)
		l := &slow{each: time.Millisecond, known: make(map[string]bool)}
		u := useLogOn(l, table)
		for i := range keys {
			v, left := table.put(verdictOn(table, strconv.Itoa(i), 1))
			u.leave(left)
			u.mark(v, u.watch.now(), "")
		}
		<-time.After(20 * flushEvery)
		synctest.Wait()
		if len(l.known) != keys {
			t.Errorf("after 20 flushes the store knows of %d uses, want %d", len(l.known), keys)
		}
		if err := u.close(t.Context()); err != nil {
			t.Errorf("close() = %v, want nil", err)
		}
	})
}

// slow is a store that takes its time for each use, and nothing of a call that
// ends before.
type slow struct {
	each  time.Duration
	known map[string]bool
}

func (*slow) Append(context.Context, lanyard.Event) error { return nil }

func (s *slow) RecordKeyUse(ctx context.Context, uses []store.KeyUse) error {
	select {
	case <-ctx.Done():
		return lanyard.ErrUnavailable
	case <-time.After(time.Duration(len(uses)) * s.each):
	}
	for _, u := range uses {
		s.known[u.ID] = true
	}
	return nil
}

// Of facts of which too many wait, what is left out is told when it happens again.
func TestFactsLeftOutAreToldLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &narrator{told: make(map[string]bool)}
		u := useLogOn(l, newVerdicts(1))
		s := &Service{clock: time.Now, uses: u}
		const keys = maxFacts + 10
		use := func() {
			for i := range keys {
				s.note(t.Context(), ActionUsedAfterDelete, &verdict{id: strconv.Itoa(i), owner: lanyard.Owner{Subject: "ana"}}, &Call{})
			}
			_ = u.flush(t.Context(), u.flushAll)
			synctest.Wait()
		}
		l.deaf = true
		use()
		l.deaf = false
		use()
		use()
		if len(l.told) != keys || l.twice {
			t.Errorf("the history tells of %d keys, twice of one: %t; want %d, each once", len(l.told), l.twice, keys)
		}
		if err := u.close(t.Context()); err != nil {
			t.Errorf("close() = %v, want nil", err)
		}
	})
}

// narrator is a history. While it is deaf it takes nothing.
type narrator struct {
	deaf, twice bool
	told        map[string]bool
}

func (*narrator) RecordKeyUse(context.Context, []store.KeyUse) error { return nil }

func (n *narrator) Append(_ context.Context, e lanyard.Event) error {
	if n.deaf {
		return lanyard.ErrUnavailable
	}
	n.twice = n.twice || n.told[e.Object]
	n.told[e.Object] = true
	return nil
}
