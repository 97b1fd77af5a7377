package faults_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/aichub/lanyard"
)

// A caller may give up at any moment of a call: it is cancelled before and
// after its first step, its second, and so on until none is left. Each time
// the change happened whole or not at all, nothing is left behind, and the same
// call again ends it. It counts goroutines, so nothing runs beside it.
func TestCancelledAtEachStep(t *testing.T) {
	for name, place := range map[string]func(testing.TB) place{"postgres": onPostgres, "sqlite": onSQLite} {
		t.Run(name, func(t *testing.T) {
			p := place(t)
			l := newLedger()
			before := goleak.IgnoreCurrent()
			h, s := p.stepped(t, l.hear)
			if _, err := firstKey(t.Context(), h, l, newOwner()); err != nil { // the system key, and what is prepared once
				t.Fatal(err)
			}
			db := p.beside(t)
			quiet(t, p, db, h)
			steps := 0
			for _, c := range changes {
				n := 1
				for ; cancelledAt(t, c, n, h, s, l); n++ {
					quiet(t, p, db, h)
				}
				if n < 4 {
					t.Errorf("%s has %d steps, too few for a change", c.name, n-1)
				}
				steps += n - 1
			}
			l.check(t, p, h)
			h.close(t.Context())
			_ = db.Close()
			if err := goleak.Find(before); err != nil {
				t.Errorf("goroutines are left: %v", err)
			}
			t.Logf("cancelled at %d steps of %d calls: %v", steps, len(changes), l)
		})
	}
}

// cancelledAt cancels a call at its nth step and reports whether it had one.
func cancelledAt(t *testing.T, c change, n int, h *host, s *steps, l *ledger) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(ours(t.Context()))
	defer cancel()
	do := c.by(t, h, l, newOwner())
	at := s.nth(n, func(context.Context) error { cancel(); return nil })
	err := do(ctx)
	s.at(nil)
	if at() == (step{}) {
		if err != nil {
			t.Errorf("%s, which nobody cancelled = %v", c.name, err)
		}
		return false
	}
	l.note(t, c.name, err)
	if err != nil && (!errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.Canceled)) {
		t.Errorf("%s cancelled %v = %v, want ErrUnavailable and Canceled", c.name, at(), err)
	}
	if err := do(t.Context()); err != nil {
		t.Errorf("%s again, after it was cancelled %v = %v", c.name, at(), err)
	}
	return true
}
