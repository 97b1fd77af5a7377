package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store/postgres"
)

// newest and oldest are what Vault calls the versions of a key rotated once.
const oldest, newest = "v1", "v2"

// rotationOptions says how large a rotation is.
type rotationOptions struct {
	owners int
	rate   int // uses per second and process
}

func prepareRotation(flags *flag.FlagSet) func(context.Context, io.Writer) error {
	var o rotationOptions
	flags.IntVar(&o.owners, "owners", 100_000, "how many owners have a key")
	flags.IntVar(&o.rate, "rate", 100, "uses of owner keys per second in each of the two processes")
	return func(ctx context.Context, out io.Writer) error {
		p, clean, err := newPlace(ctx)
		if err != nil {
			return err
		}
		r, err := rotation(ctx, p, o)
		if err := errors.Join(err, clean()); err != nil {
			return err
		}
		r.print(out)
		return r.promised()
	}
}

// rotated is what a rotation showed.
type rotated struct {
	owners  int
	seeding time.Duration

	loads   [2]loadAnswer
	runners [3]runAnswer // the one that was killed, the other, the one begun anew

	killedAfter time.Duration // since the rotation
	atKill      int           // owner keys under the old version then
	gone        time.Duration // until none was under the old version
	took        time.Duration // until all runners had ended
	remaining   int           // owner keys under the old version at the end
	total       int           // owner keys at the end
}

// promised is nil where what was shown is what the documentation says.
func (r rotated) promised() error {
	switch {
	case r.loads[0].Failed+r.loads[1].Failed > 0, r.remaining > 0, len(r.runners[1].Failed)+len(r.runners[2].Failed) > 0,
		r.runners[0].Done, !r.runners[1].Done, !r.runners[2].Done:
		return errPromise
	}
	return nil
}

// rotation rotates the Vault key and rewraps all owner keys, while two other
// processes use them. Two runners rewrap; one is killed in the middle and
// begun anew.
func rotation(ctx context.Context, p place, o rotationOptions) (r rotated, err error) {
	r.owners = o.owners
	if err := p.prepare(ctx); err != nil {
		return r, err
	}
	st, sealer, err := p.open(ctx, 0, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	dir, err := os.MkdirTemp("", "lanyard-measure")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	began := time.Now()
	envelopes, err := seed(ctx, sealer, o.owners)
	if err != nil {
		return r, err
	}
	file := filepath.Join(dir, "envelopes")
	if err := writeEnvelopes(file, envelopes); err != nil {
		return r, err
	}
	r.seeding = time.Since(began)

	stop, err := r.startLoad(ctx, loadOrder{Place: p, Envelopes: file, Rate: o.rate})
	if err != nil {
		return r, err
	}
	err = r.rewrapAll(ctx, p, st)
	if err := errors.Join(err, stop()); err != nil {
		return r, err
	}
	r.remaining, r.total, err = count(ctx, st)
	return r, err
}

// startLoad starts two processes and waits until both have used a key. stop
// ends them and takes their last answers.
func (r *rotated) startLoad(ctx context.Context, order loadOrder) (stop func() error, err error) {
	var (
		children [2]*child
		uses     sync.WaitGroup
	)
	for i := range children {
		uses.Add(1)
		first := sync.OnceFunc(uses.Done)
		children[i], err = spawn(ctx, "load", order, func(v json.RawMessage) {
			_ = json.Unmarshal(v, &r.loads[i])
			first()
		})
		if err != nil {
			return nil, err
		}
		go func() { // one that fails says nothing
			<-children[i].heard
			first()
		}()
	}
	uses.Wait()
	return func() error { return errors.Join(children[0].stop(), children[1].stop()) }, nil
}

// rewrapAll rotates the key in Vault and has two runners bring all under it.
func (r *rotated) rewrapAll(ctx context.Context, p place, st *postgres.Store) error {
	began := time.Now()
	if err := p.rotate(ctx); err != nil {
		return err
	}
	enough := make(chan struct{}) // the first runner has done a quarter
	var quarter sync.Once
	run := func(n int) (*child, error) {
		return spawn(ctx, "rewrap", runOrder{Place: p}, func(v json.RawMessage) {
			_ = json.Unmarshal(v, &r.runners[n])
			if n == 0 && r.runners[n].Total >= r.owners/4 {
				quarter.Do(func() { close(enough) })
			}
		})
	}
	victim, err := run(0)
	if err != nil {
		return err
	}
	other, err := run(1)
	if err != nil {
		return errors.Join(err, victim.kill())
	}
	select {
	case <-enough:
	case <-victim.heard:
	}
	if err := victim.kill(); err != nil {
		return errors.Join(err, other.kill())
	}
	r.killedAfter = time.Since(began)
	r.atKill, _, err = count(ctx, st)
	if err != nil {
		return errors.Join(err, other.kill())
	}
	again, err := run(2)
	if err != nil {
		return errors.Join(err, other.kill())
	}
	watching := watch(ctx, st, began)
	err = errors.Join(other.wait(), again.wait())
	r.took = time.Since(began)
	r.gone = min(watching(), r.took)
	return err
}

// watch asks until no owner key is under the old version. The function it
// returns ends it and says when that was.
func watch(ctx context.Context, st *postgres.Store, began time.Time) func() time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	var gone atomic.Int64
	gone.Store(int64(time.Hour))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.Tick(250 * time.Millisecond); ; {
			if old, _, err := count(ctx, st); err == nil && old == 0 {
				gone.Store(int64(time.Since(began)))
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick:
			}
		}
	}()
	return func() time.Duration {
		cancel()
		<-done
		return time.Duration(gone.Load())
	}
}

// count counts the owner keys under another version than the newest, and all.
func count(ctx context.Context, st *postgres.Store) (old, all int, err error) {
	counts, err := st.CountOwnerKeys(ctx)
	for _, c := range counts {
		all += c.Count
		if c.KeyVersion != newest {
			old += c.Count
		}
	}
	return old, all, err
}

func (r rotated) print(w io.Writer) {
	opened, created := r.loads[0].Opened+r.loads[1].Opened, r.loads[0].Created+r.loads[1].Created
	rewrapped := 0
	var vault requests
	for _, run := range r.runners {
		rewrapped += run.Rewrapped
		vault = vault.plus(run.Vault)
	}
	table(w,
		row("owners", r.owners, fmt.Sprintf("and %d made during the rotation; seeded in %v", created, rounded(r.seeding))),
		row("opens in two processes", opened, fmt.Sprintf("failed: %d", r.loads[0].Failed+r.loads[1].Failed)),
		row("p50 / p99 of a use", "", fmt.Sprintf("%v / %v and %v / %v", rounded(r.loads[0].P50), rounded(r.loads[0].P99), rounded(r.loads[1].P50), rounded(r.loads[1].P99))),
		row("runner A killed after", r.killedAfter, fmt.Sprintf("of %d owner keys it had looked at, %d were under %s when it died", r.runners[0].Total, r.atKill, oldest)),
		row("none under "+oldest+" after", r.gone, fmt.Sprintf("%.0f rows rewrapped per second", float64(r.owners)/r.gone.Seconds())),
		row("all runners done after", r.took, "each of them opens every row"),
		row("under "+oldest+" at the end", r.remaining, fmt.Sprintf("of %d", r.total)),
	)
	fmt.Fprintln(w)
	rows := [][]string{row("process", "looked at", "rewrapped", "current", "by others", "failed", "requests to Vault")}
	for i, name := range []string{"runner A, killed", "runner B", "runner A, anew"} {
		run := r.runners[i]
		rows = append(rows, row(name, run.Total, run.Rewrapped, run.Current, run.Raced, len(run.Failed), run.Vault))
	}
	rows = append(rows, row("all runners", "", rewrapped, "", "", "", vault))
	for i, l := range r.loads {
		rows = append(rows, row(fmt.Sprintf("load %d", i+1), "", "", "", "", l.Failed, l.Vault))
	}
	table(w, rows...)
	for _, l := range r.loads {
		if l.Failed > 0 {
			fmt.Fprintln(w, "first failure:", l.Error)
		}
	}
}

// runOrder tells a process to rewrap.
type runOrder struct{ Place place }

// runAnswer is given after each batch, and at the end.
type runAnswer struct {
	Done      bool
	Total     int
	Rewrapped int
	Current   int
	Raced     int
	Failed    []string
	Vault     requests
}

// rewrap is an operator's "lanyard rewrap".
func rewrap(ctx context.Context, order []byte, answer func(any)) error {
	var o runOrder
	if err := json.Unmarshal(order, &o); err != nil {
		return err
	}
	var vault calls
	st, sealer, err := o.Place.open(ctx, 0, &vault)
	if err != nil {
		return err
	}
	tell := func(r crypto.Report, done bool) {
		a := runAnswer{Done: done, Total: r.Total, Rewrapped: r.Rewrapped, Current: r.Current, Raced: r.Raced, Vault: vault.counted()}
		for _, f := range r.Failed {
			a.Failed = append(a.Failed, f.OwnerKeyID+": "+f.Err.Error())
		}
		answer(a)
	}
	report, err := sealer.Rewrap(ctx, st, &crypto.RewrapOptions{Progress: func(r crypto.Report) { tell(r, false) }})
	tell(report, err == nil && report.Done)
	return errors.Join(err, st.Close())
}
