package crypto

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

const (
	// rewrapBatch is how many owner keys are read at once, and how many a
	// [Rewrapper] is given: Vault takes about as many in one request.
	rewrapBatch = 100

	// rewrapWorkers of a batch are looked at side by side, because a key
	// service is asked about each of them.
	rewrapWorkers = 8

	// rewrapGivesUp after that many answers in a row that a key service is
	// unavailable: it is down, and the others would only wait for it.
	rewrapGivesUp = 3

	// rewrapPauses of breakerRest each, and a key service that still answers
	// nothing ends the run.
	rewrapPauses = 5
)

// RewrapOptions configures [Sealer.Rewrap]. The zero value begins at the
// beginning and says nothing on the way.
type RewrapOptions struct {
	// After goes on behind the owner key of that id, as [Report] names it.
	// Defaults to the beginning.
	After string

	// DryRun opens every owner key and changes none. What would be rewrapped
	// counts as that. Defaults to false.
	DryRun bool

	// Progress, where set, hears the report so far after each batch, from the
	// goroutine that called Rewrap. It must not change it.
	Progress func(Report)
}

// Report is what one run of [Sealer.Rewrap] found and did. Total is the sum of
// Rewrapped, Current, Raced and the length of Failed.
type Report struct {
	Total     int // owner keys looked at
	Rewrapped int // brought under the newest key
	Current   int // were under it already, and open
	Raced     int // moved or erased by somebody else meanwhile

	// Failed names every owner key that stayed as it was, in the order of ids.
	Failed []Failure

	// Done says that the end of the table was reached. Where it was not, After
	// is what [RewrapOptions] wants to go on; what lies behind it may have been
	// looked at already and is then looked at again.
	Done  bool
	After string

	// Keys is how many owner keys there were when the run began.
	Keys int

	// Secrets and KeyVersion say what the newest key is.
	Secrets    string
	KeyVersion string

	// Remaining counts the owner keys that other keys wrapped, when the run
	// ended. It is only set where Done is, and without an error.
	Remaining []store.OwnerKeyCount
}

// Failure is one owner key that could not be rewrapped.
type Failure struct {
	OwnerKeyID string

	// Err is [ErrIntegrity] for one that does not open, [ErrUnknownKey] for one
	// wrapped by a key or key service that is not there, and
	// [lanyard.ErrUnavailable] where the key service did not say.
	// lanyard.ErrConflict means that others kept changing it.
	Err error
}

// Rewrap brings every owner key, the system's included, under the newest key
// of the current key service: from older versions of it, in the service itself
// where it is a [Rewrapper], and from previous key services. Sealed payloads
// are not touched and open all the while. m is a role of the store that the
// Sealer has its owner keys from.
//
// Each owner key is opened once, also one that stays, so a run without
// failures proves that all open. A new ciphertext is written only after it has
// opened, only over the version that was read, and read back. Any number of
// runs may work at once. One that does not open is in the report by its id and
// keeps nobody up.
//
// An error means that the run ended early: the store failed, the key service
// is down, or ctx ended. The report holds what was done until then and where
// to go on. Owner keys that processes with another current key service make
// meanwhile are not brought over; [Report].Remaining counts them.
func (s *Sealer) Rewrap(ctx context.Context, m store.Maintenance, o *RewrapOptions) (report Report, err error) {
	ctx, end := s.telemetry.start(ctx, "crypto.Rewrap")
	defer func() {
		trace.SpanFromContext(ctx).SetAttributes(
			attribute.Int("lanyard.rewrapped", report.Rewrapped), attribute.Int("lanyard.failed", len(report.Failed)))
		end(err)
	}()

	if m == nil {
		return Report{}, errors.New("crypto: rewrap needs the store's Maintenance")
	}
	r := &rewrapping{Sealer: s, store: m}
	if o != nil {
		r.options = *o
	}
	err = r.run(ctx)
	if err != nil {
		err = fmt.Errorf("crypto: rewrap: %w", err)
	}
	return r.report, err
}

// rewrapping is one run of Rewrap.
type rewrapping struct {
	*Sealer
	store   store.Maintenance
	options RewrapOptions
	report  Report

	silent atomic.Int32 // answers in a row that a key service is unavailable
	broken atomic.Bool  // nothing more is to be begun
}

func (r *rewrapping) run(ctx context.Context) error {
	r.report.After, r.report.Secrets = r.options.After, r.current.name
	counts, err := r.store.CountOwnerKeys(ctx)
	if err != nil {
		return fmt.Errorf("count owner keys: %w", err)
	}
	for _, c := range counts {
		r.report.Keys += c.Count
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	for !r.report.Done {
		rows, err := r.store.AllOwnerKeys(ctx, r.report.After, rewrapBatch)
		if err != nil {
			return fmt.Errorf("read owner keys: %w", err)
		}
		err = r.tally(rows, r.patiently(ctx, rows))
		r.report.Done = err == nil && len(rows) < rewrapBatch
		if r.options.Progress != nil {
			r.options.Progress(r.report)
		}
		if err != nil {
			return err
		}
	}
	counts, err = r.store.CountOwnerKeys(ctx)
	if err != nil {
		return fmt.Errorf("count what remains: %w", err)
	}
	for _, c := range counts {
		if c.Secrets != r.report.Secrets || c.KeyVersion != r.report.KeyVersion {
			r.report.Remaining = append(r.report.Remaining, c)
		}
	}
	return nil
}

// begin learns the newest key version, and that the key service honours
// bindings: nothing may be moved to one that does not.
func (r *rewrapping) begin(ctx context.Context) error {
	probe := make([]byte, KeySize)
	_, _ = rand.Read(probe) // never fails: it ends the process instead
	defer clear(probe)
	w, err := r.current.proving().wrapProven(ctx, probe, ownerKeyBinding(system, lanyard.NewID()))
	if err == nil {
		err = r.proveBound(ctx, system, w)
	}
	r.report.KeyVersion = w.KeyVersion
	return err
}

// patiently looks at each row, and again at those that a key service left
// without an answer, after a pause: it may limit how often it is asked, or a
// line may have been cut. It gives up when rewrapPauses brought nothing.
func (r *rewrapping) patiently(ctx context.Context, rows []store.OwnerKey) []rewrapStep {
	steps := r.batch(ctx, rows)
	for pauses := 0; r.broken.Load() && pauses < rewrapPauses && r.pause(ctx, steps); pauses++ {
		var open []store.OwnerKey
		var places []int
		for i, s := range steps {
			if s.outcome == rewrapUntried || s.unavailable() {
				open, places = append(open, rows[i]), append(places, i)
			}
		}
		r.broken.Store(false)
		r.silent.Store(0)
		for n, s := range r.batch(ctx, open) {
			if s.outcome != rewrapUntried && !s.unavailable() {
				pauses = 0
			}
			if s.outcome != rewrapUntried {
				steps[places[n]] = s
			}
		}
	}
	return steps
}

// pause waits before rows are looked at again, and reports whether that makes
// sense: not where the run has to end for another reason.
func (r *rewrapping) pause(ctx context.Context, steps []rewrapStep) bool {
	for _, s := range steps {
		if s.outcome == rewrapStopped || errors.Is(s.err, ErrDenied) {
			return false
		}
	}
	pause := time.NewTimer(breakerRest)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// batch looks at each row, several at once. What it did not get to is left
// at the zero rewrapStep.
func (r *rewrapping) batch(ctx context.Context, rows []store.OwnerKey) []rewrapStep {
	answers := r.askService(ctx, rows)
	steps := make([]rewrapStep, len(rows))
	var (
		next    atomic.Int64
		workers sync.WaitGroup
	)
	for range min(rewrapWorkers, len(rows)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(rows)) && !r.broken.Load(); i = next.Add(1) - 1 {
				steps[i] = r.row(ctx, rows[i], answers[i])
				r.notice(steps[i])
			}
		})
	}
	workers.Wait()
	return steps
}

// askService has the key service itself rewrap what it wrapped, where it can.
// The answer of a row it was not asked about is nil.
func (r *rewrapping) askService(ctx context.Context, rows []store.OwnerKey) []*RewrapResult {
	answers := make([]*RewrapResult, len(rows))
	rewrapper, ok := r.current.secrets.(Rewrapper)
	if !ok {
		return answers
	}
	var (
		items  []RewrapItem
		places []int
	)
	for i, row := range rows {
		if row.Secrets == r.current.name && validKeyID(row.ID) {
			items = append(items, RewrapItem{Wrapped: wrappedOf(row), Binding: ownerKeyBinding(row.Owner, row.ID)})
			places = append(places, i)
		}
	}
	if len(items) == 0 {
		return answers
	}
	for n, answer := range r.current.rewrap(ctx, rewrapper, items) {
		answers[places[n]] = &answer
	}
	return answers
}

// notice decides whether to go on after a row.
func (r *rewrapping) notice(s rewrapStep) {
	switch {
	case s.outcome == rewrapStopped:
		r.broken.Store(true)
	case !s.unavailable():
		r.silent.Store(0)
	case r.silent.Add(1) >= rewrapGivesUp:
		r.broken.Store(true)
	}
}

// tally adds a batch to the report, and moves its cursor up to the first row
// that has to be looked at again. It returns why the run cannot go on.
func (r *rewrapping) tally(rows []store.OwnerKey, steps []rewrapStep) error {
	var stopped, unavailable error
	settled := true
	for i, s := range steps {
		switch s.outcome {
		case rewrapMoved:
			r.report.Rewrapped++
		case rewrapCurrent:
			r.report.Current++
		case rewrapRaced:
			r.report.Raced++
		case rewrapFailed:
			r.report.Failed = append(r.report.Failed, Failure{OwnerKeyID: rows[i].ID, Err: s.err})
			if unavailable == nil && s.unavailable() {
				unavailable = s.err
			}
		case rewrapStopped:
			if stopped == nil {
				stopped = s.err
			}
		}
		if s.version != "" {
			r.report.KeyVersion = s.version
		}
		again := s.outcome == rewrapUntried || s.outcome == rewrapStopped || r.broken.Load() && s.unavailable()
		if settled = settled && !again; settled {
			r.report.After = rows[i].ID
		}
	}
	r.report.Total = r.report.Rewrapped + r.report.Current + r.report.Raced + len(r.report.Failed)
	switch {
	case !r.broken.Load():
		return nil
	case stopped != nil:
		return stopped
	}
	return unavailable
}
