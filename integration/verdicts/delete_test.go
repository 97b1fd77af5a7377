package verdicts_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aichub/lanyard/integration/line"
)

// condition is how a process that verifies stands with its database.
type condition struct {
	name string

	// What ails the store, or the line to it, before the first key is deleted
	// and in the middle of the deletions.
	before, amid func(r *trial) error

	mends      bool // afterwards keys are good again
	noPostgres bool
	noSQLite   bool

	always  bool // every verification is answered
	answers bool // each deletion is heard of
	half    bool // as fast as the bar is: p50 within MaxStale/2
}

func conditions() []condition {
	return []condition{
		{name: "all is well", always: true, answers: true, half: true},
		{name: "polls fail", before: (*trial).failPolls, always: true, answers: true},
		{name: "answers late by MaxStale/4", before: late(0.25)},
		{name: "answers later than MaxStale", before: late(1.5)},
		{name: "line silent", amid: func(r *trial) error { r.line.Ail("timeout", line.Down, `"timeout": 0`); return nil }, mends: true, noSQLite: true},
		{name: "line cut", amid: func(r *trial) error { r.line.Cut(); return nil }, mends: true, noSQLite: true},
		{name: "file unreadable", amid: func(r *trial) error { return r.tell(ailment{Nothing: true}) }, noPostgres: true},
	}
}

// trial is one row of the table: keys that one process deletes while another
// uses them.
type trial struct {
	condition
	store    string
	maxStale time.Duration

	deletes, uses *process
	line          *line.Line // of the one that uses them; nil = it has a file
	lag           []time.Duration
	yes, no, gone int
}

func (r *trial) tell(a ailment) error {
	if told := r.uses.do(command{Do: "ail", Ailment: a}); told.Result != ok {
		return errors.New(told.Error)
	}
	return nil
}

func (r *trial) failPolls() error { return r.tell(ailment{NoPolls: true}) }

// late has every answer come later by a part of MaxStale.
func late(part float64) func(*trial) error {
	return func(r *trial) error {
		late := time.Duration(part * float64(r.maxStale))
		if r.line == nil {
			return r.tell(ailment{Late: late})
		}
		r.line.Ail("latency", line.Down, fmt.Sprintf(`"latency": %d`, late.Milliseconds()))
		return nil
	}
}

// run deletes so many keys at random times, and finds what is promised of each
// broken.
func (r *trial) run(ctx context.Context, keys int) (broken error) {
	var (
		mu       sync.Mutex
		problems []error
		problem  = func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, fmt.Errorf(r.store+", %v, %s: "+format, append([]any{r.maxStale, r.name}, args...)...))
		}
		deleted = make([]answer, keys)
		watch   = command{Do: "watch", Every: r.maxStale / 50}
		made    []answer
	)
	if r.mends {
		watch.Patience = r.maxStale / 2 // so that there is always one who asks
	}
	for i := range keys + 1 { // the last one is kept
		a := r.deletes.do(command{Do: "create", Subject: fmt.Sprintf("%s/%v/%s/%d", r.store, r.maxStale, r.name, i)})
		if a.Result != ok {
			return fmt.Errorf("%s, %s: create a key: %s", r.store, r.name, a.Error)
		}
		made, watch.Tokens = append(made, a), append(watch.Tokens, a.Token)
	}
	if warm := r.uses.do(command{Do: "verify all", Tokens: watch.Tokens}); warm.Result != ok {
		return fmt.Errorf("%s, %s: verify a key: %s", r.store, r.name, warm.Error)
	}
	r.uses.do(watch)
	_ = wait(ctx, r.maxStale)
	if r.before != nil {
		if err := r.before(r); err != nil {
			problem("%v", err)
		}
		_ = wait(ctx, 2*r.maxStale)
	}

	during := r.maxStale * 3 / 2
	if r.amid == nil { // else what is deleted later says nothing
		during = max(during, time.Duration(keys)*10*time.Millisecond)
	}
	var deleting sync.WaitGroup
	for i := range keys {
		deleting.Go(func() {
			_ = wait(ctx, rand.N(during))
			deleted[i] = r.deletes.insist(command{Do: "delete", Subject: fmt.Sprintf("%s/%v/%s/%d", r.store, r.maxStale, r.name, i), ID: made[i].ID})
			if deleted[i].Result != ok && deleted[i].Result != notFound { // of a second try
				problem("Delete() = %s (%s), want ok", deleted[i].Result, deleted[i].Error)
			}
		})
	}
	_ = wait(ctx, during/3)
	if r.amid != nil {
		if err := r.amid(r); err != nil {
			problem("%v", err)
		}
	}
	deleting.Wait()
	_ = wait(ctx, r.maxStale+r.maxStale/2+300*time.Millisecond)
	seen := r.uses.do(command{Do: "unwatch"})
	if seen.Result != ok || len(seen.Watched) != keys+1 {
		return fmt.Errorf("%s, %s: nothing was watched: %s", r.store, r.name, seen.Error)
	}

	for i, w := range seen.Watched {
		r.yes, r.no, r.gone = r.yes+w.Yes, r.no+w.No, r.gone+w.Unavailable
		if w.Error != "" || w.Yes == 0 && w.Unavailable == 0 {
			problem("a key was accepted %d times, with the error %q, want some and none", w.Yes, w.Error)
		}
		if i == keys {
			if w.No > 0 {
				problem("a key that nobody deleted was refused %d times", w.No)
			}
			break
		}
		if r.answers && w.No == 0 {
			problem("a deleted key was never refused")
		}
		lag := time.Duration(w.LastYes - deleted[i].Return)
		if r.lag = append(r.lag, lag); lag > r.maxStale {
			problem("a key was accepted %v after its deletion", lag)
		}
	}
	// A machine under load may take longer than MaxStale for a read: that is not
	// known, and no yes.
	if r.always && r.gone > keys+r.yes/20 {
		problem("%d verifications were unavailable, want hardly any", r.gone)
	}
	if p50 := r.quantile(.5); r.half && p50 > r.maxStale/2 {
		problem("half of the keys were accepted for more than %v, want at most MaxStale/2", p50)
	}
	if r.line != nil {
		r.line.Mend()
	}
	kept := command{Do: "verify", Token: made[keys].Token, Patience: time.Second}
	for deadline := time.Now().Add(20 * time.Second); r.mends && r.uses.do(kept).Result != ok; {
		if time.Now().After(deadline) {
			problem("a good key is not accepted on a line that was mended")
			break
		}
		_ = wait(ctx, 20*time.Millisecond)
	}
	return errors.Join(problems...)
}

// quantile is the lag that a part of the keys did not exceed.
func (r *trial) quantile(part float64) time.Duration {
	sorted := slices.Sorted(slices.Values(r.lag))
	if len(sorted) == 0 {
		return 0
	}
	return max(0, sorted[min(len(sorted)-1, int(part*float64(len(sorted))))])
}

// A key that one process deleted is accepted by another for MaxStale at the
// longest, counted from the return of Delete to the beginning of the last
// verification that said yes; whatever is between the other and its database.
func TestDeleteReachesAnotherProcess(t *testing.T) {
	t.Parallel()
	stores := []struct {
		name string
		open func(testing.TB) database
	}{{"PostgreSQL", onPostgres}, {"SQLite", onSQLite}}
	var (
		rows    []*trial
		running sync.WaitGroup
	)
	// Rows of a short MaxStale come one after the other, because a machine under
	// load would make Delete slow, and with it what is measured short. The
	// others mostly wait.
	run := func(rows ...*trial) {
		for _, r := range rows {
			if err := r.run(t.Context(), *trials); err != nil {
				t.Error(err)
			}
		}
	}
	for _, store := range stores {
		d := store.open(t)
		for _, maxStale := range []time.Duration{200 * time.Millisecond, 2 * time.Second} {
			deletes := startHost(t, hostOrder{Database: d, MaxStale: time.Second, Limit: -1})
			var of []*trial
			for _, c := range conditions() {
				if store.name == "SQLite" && c.noSQLite || store.name == "PostgreSQL" && c.noPostgres {
					continue
				}
				r := &trial{condition: c, store: store.name, maxStale: maxStale, deletes: deletes}
				at := d
				if store.name == "PostgreSQL" {
					r.line, at.Postgres = line.New(t, d.Postgres)
				}
				r.uses = startHost(t, hostOrder{Database: at, MaxStale: maxStale})
				of = append(of, r)
			}
			rows = append(rows, of...)
			if maxStale < time.Second || *trials > 100 {
				running.Go(func() { run(of...) })
				continue
			}
			for _, r := range of {
				running.Go(func() { run(r) })
			}
		}
	}
	running.Wait()

	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "store\tMaxStale\tcondition\tkeys\tp50\tp99\tlongest\tyes\tno\tunavailable")
	for _, r := range rows {
		ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
		fmt.Fprintf(table, "%s\t%v\t%s\t%d\t%v\t%v\t%v\t%d\t%d\t%d\n", r.store, r.maxStale, r.name, len(r.lag),
			ms(r.quantile(.5)), ms(r.quantile(.99)), ms(r.quantile(1)), r.yes, r.no, r.gone)
	}
	_ = table.Flush()
	t.Logf("a deleted key is still accepted by another process for\n%s", text.String())
}
