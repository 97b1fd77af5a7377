package faults_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/integration/line"
	"github.com/aichub/lanyard/store/postgres"
)

// onLine returns p as it is reached by a line of its own.
func onLine(t testing.TB, p place) (*line.Line, place) {
	t.Helper()
	l, through := line.New(t, p.Postgres)
	p.Postgres = through
	return l, p
}

// A connection that is lost before COMMIT is sent takes the change along: the
// server never hears of it.
func TestLostBeforeCommit(t *testing.T) {
	t.Parallel()
	loseCommits(t, func(l *line.Line) { l.Ail("reset_peer", line.Up, `"timeout": 0`) },
		func(t *testing.T, what string, err error, changed bool) {
			if !errors.Is(err, lanyard.ErrUnavailable) || changed {
				t.Errorf("%s whose COMMIT did not arrive = %v, changed: %v, want ErrUnavailable and no change", what, err, changed)
			}
		})
}

// A connection that is lost after COMMIT was sent leaves the outcome unknown,
// and here the change was made. Who made a secret reads it again by the id he
// chose, so that nobody is told to make another.
func TestLostAfterCommit(t *testing.T) {
	t.Parallel()
	rereads := []string{"apikey.Create", "apikey.Create without an idempotency key", "apikey.Rotate", "providertoken.Create"}
	loseCommits(t, func(l *line.Line) { l.Ail("timeout", line.Down, `"timeout": 200`) },
		func(t *testing.T, what string, err error, changed bool) {
			if err != nil && !errors.Is(err, lanyard.ErrUnavailable) || err == nil && !slices.Contains(rereads, what) {
				t.Errorf("%s whose COMMIT was not answered = %v, want ErrUnavailable", what, err)
			}
			if err != nil && slices.Contains(rereads, what) {
				t.Errorf("%s whose COMMIT was not answered = %v, although it can be read again", what, err)
			}
			if !changed {
				t.Errorf("%s whose COMMIT arrived changed nothing", what)
			}
		})
}

// loseCommits makes the line ail just before the COMMIT of each change, heals it at
// the next step and lets judge say what must be so then. The call is made
// again, as a caller would.
func loseCommits(t *testing.T, ail func(*line.Line), judge func(t *testing.T, what string, err error, changed bool)) {
	t.Helper()
	p := onPostgres(t)
	wire, through := onLine(t, p)
	l := newLedger()
	h, s := through.stepped(t, l.hear)
	h.pool.SetMaxOpenConns(1) // so that the lost connection is the only one
	if _, err := firstKey(t.Context(), h, l, newOwner()); err != nil {
		t.Fatal(err)
	}
	db := p.beside(t)
	for _, c := range changes {
		owner := newOwner()
		do := c.by(t, h, l, owner)
		if strings.HasPrefix(c.name, "providertoken") { // whose owner key is another change
			if err := sealFirst(t.Context(), h, owner); err != nil {
				t.Fatal(err)
			}
		}
		before := history(t, db, owner)
		var lost, healed atomic.Bool
		s.at(func(ctx context.Context, at step) error {
			switch {
			case lost.Load(): // whoever is next, on the only connection
				if healed.CompareAndSwap(false, true) {
					wire.Mend()
				}
			case isOurs(ctx) && at == (step{"before", "COMMIT"}):
				lost.Store(true)
				ail(wire)
			}
			return nil
		})
		err := l.call(t.Context(), t, c.name, 5*time.Second, do)
		s.at(nil)
		wire.Mend()
		if !lost.Load() {
			t.Errorf("%s committed nothing", c.name)
		}
		if keys, want := len(keysOf(t, db, owner)), map[string]int{"apikey.Create": 1, "apikey.Create without an idempotency key": 1, "apikey.Rotate": 2}[c.name]; want > 0 && keys > want {
			t.Errorf("%s left %d keys, want at most %d", c.name, keys, want)
		}
		judge(t, c.name, err, !slices.Equal(before, history(t, db, owner)))
		within(t, 2*time.Second, c.name+" again", func() bool { return do(t.Context()) == nil })
	}
	l.check(t, p, h)
	t.Log(l)
}

// history names the events in somebody's tenant.
func history(t testing.TB, db *bun.DB, owner lanyard.Owner) (ids []string) {
	t.Helper()
	if err := db.NewRaw(`SELECT id FROM lanyard_events WHERE tenant = ? ORDER BY id`, owner.Tenant).Scan(t.Context(), &ids); err != nil {
		t.Fatalf("read the history: %v", err)
	}
	return ids
}

// keysOf names somebody's live keys.
func keysOf(t testing.TB, db *bun.DB, owner lanyard.Owner) (ids []string) {
	t.Helper()
	if err := db.NewRaw(`SELECT id FROM lanyard_api_keys WHERE tenant = ? AND deleted_at IS NULL`, owner.Tenant).Scan(t.Context(), &ids); err != nil {
		t.Fatalf("read the keys: %v", err)
	}
	return ids
}

// Where the line stays down after a COMMIT, nobody can tell: a create is
// ErrUnavailable, and repeated with its idempotency key it answers with the
// one key it made.
func TestDownAfterCommit(t *testing.T) {
	t.Parallel()
	p := onPostgres(t)
	wire, through := onLine(t, p)
	l := newLedger()
	h, s := through.stepped(t, l.hear)
	if _, err := firstKey(t.Context(), h, l, newOwner()); err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		owner := newOwner()
		do := c.by(t, h, l, owner)
		var once sync.Once
		s.at(func(ctx context.Context, at step) error {
			if at == (step{"before", "COMMIT"}) && isOurs(ctx) {
				once.Do(func() { wire.Ail("timeout", line.Down, `"timeout": 0`) })
			}
			return nil
		})
		err := l.call(t.Context(), t, c.name, 300*time.Millisecond, do)
		s.at(nil)
		wire.Mend()
		if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s on a line that is down = %v, want ErrUnavailable and DeadlineExceeded", c.name, err)
		}
		// Connections that lay idle went with the line, and each may fail once.
		within(t, 2*time.Second, c.name+" again", func() bool { return do(t.Context()) == nil })
	}
	rows := readTables(t, p.beside(t))
	live := map[string]int{}
	for _, k := range rows.keys {
		if k.CreateToken != nil && k.Deleted == 0 {
			live[k.Tenant]++
		}
	}
	for tenant, n := range live {
		if n != 1 {
			t.Errorf("one idempotency key left %d keys of %s", n, tenant)
		}
	}
	l.check(t, p, h)
	t.Log(l)
}

// A line on which nothing arrives and nothing ends costs a caller his deadline,
// and a connection that saw it is not used again.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	p := onPostgres(t)
	wire, through := onLine(t, p)
	l := newLedger()
	h, s := through.stepped(t, l.hear)
	h.pool.SetMaxOpenConns(1)
	id, err := firstKey(t.Context(), h, l, newOwner())
	if err != nil {
		t.Fatal(err)
	}
	owner := l.issued[id].owner
	reads := []struct {
		name string
		do   call
	}{
		{"apikey.Keys", func(ctx context.Context) error { _, err := h.keys.Keys(ctx, owner); return err }},
		{"apikey.Check", h.keys.Check},
		{"profile.Check", h.profiles.Check},
	}
	for _, c := range changes {
		do := c.by(t, h, l, newOwner())
		reads = append(reads, struct {
			name string
			do   call
		}{c.name, do})
	}
	for _, c := range reads {
		wire.Ail("timeout", line.Up, `"timeout": 0`)
		wire.Ail("timeout", line.Down, `"timeout": 0`)
		if err := l.call(t.Context(), t, c.name, 100*time.Millisecond, c.do); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("%s in a black hole = %v, want ErrUnavailable", c.name, err)
		}
		wire.Mend()
		var dialled atomic.Int32
		s.at(func(_ context.Context, at step) error {
			if at == (step{"after", "CONNECT"}) {
				dialled.Add(1)
			}
			return nil
		})
		if err := l.call(t.Context(), t, c.name, 5*time.Second, c.do); err != nil {
			t.Errorf("%s after a black hole = %v", c.name, err)
		}
		s.at(nil)
		if dialled.Load() == 0 {
			t.Errorf("%s went on with the connection of the black hole", c.name)
		}
	}
	l.check(t, p, h)
	t.Log(l)
}

// A slow line fills the pool and no more than the pool; who waits longer than
// he wants to goes away.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	const conns, callers = 4, 40
	p := onPostgres(t)
	wire, through := onLine(t, p)
	st, err := postgres.Open(t.Context(), through.Postgres, &postgres.Options{MaxConns: conns})
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	h, err := newHost(st, p.Ring, l.hear)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.close(context.WithoutCancel(t.Context())) })
	owner := newOwner()
	var warm sync.WaitGroup
	for range conns {
		warm.Go(func() { _, _ = firstKey(t.Context(), h, l, owner) })
	}
	warm.Wait()

	wire.Ail("latency", line.Down, `"latency": 1000, "jitter": 200`)
	wire.Ail("bandwidth", line.Down, `"rate": 1`)
	db := p.beside(t)
	most := 0
	var running sync.WaitGroup
	var reads atomic.Int32
	for i := range callers {
		running.Go(func() {
			if i%4 == 0 {
				_ = l.call(t.Context(), t, "apikey.Create on a slow line", 2*time.Second, func(ctx context.Context) error {
					return changes[1].by(t, h, l, newOwner())(ctx)
				})
				return
			}
			patience := 6 * time.Second
			if i%8 == 1 {
				patience = time.Minute
			}
			err := l.call(t.Context(), t, "profile.Active on a slow line", patience, func(ctx context.Context) error {
				return h.profiles.Active(ctx, owner)
			})
			if err == nil {
				reads.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-tick.C:
			var n int
			if err := db.NewRaw(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()
				AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(t.Context(), &n); err != nil {
				t.Error(err)
			}
			most = max(most, n)
		}
	}
	// One that was given up is replaced before the server has noticed.
	if most > 2*conns {
		t.Errorf("%d callers had %d connections at the server, want at most %d and as many that end", callers, most, conns)
	}
	if reads.Load() == 0 {
		t.Error("nobody could read on a slow line")
	}
	wire.Mend()
	within(t, 2*time.Second, "a call after the slow line", func() bool { return h.profiles.Active(t.Context(), owner) == nil })
	l.check(t, p, h)
	t.Log(fmt.Sprintf("%d callers, %d connections at most, %d reads;", callers, most, reads.Load()), l)
}
