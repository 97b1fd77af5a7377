package apikey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

const (
	// maxAge is how old a verdict gets that every poll confirms. It bounds what
	// changes no epoch: a database restored to an earlier point, a row written
	// by hand.
	maxAge = time.Minute

	// A poll may take as long as MaxStale, within these bounds: ending one that is
	// under way costs its connection, and who deletes waits for it.
	minPollTimeout = 2 * time.Second
	maxPollTimeout = 10 * time.Second
)

// poll is what a process knows of the epochs. Its times, as those of a verdict,
// come from one stopwatch and were taken before the store was asked: what it
// answered was true then or later.
type poll struct {
	sent   int64
	since  int64 // when the last one that failed was over: what was read before is no good
	known  bool  // false: nothing but that verdicts read before are no good
	epochs [store.Shards]int64
}

// epochs polls the epochs and judges by them how long a verdict can be
// believed.
type epochs struct {
	store    store.Epochs  // nil: there are none to poll
	maxStale time.Duration // below 0: no verdict is believed twice
	watch    *stopwatch
	logger   *slog.Logger

	last   atomic.Pointer[poll]
	floors [store.Shards]atomic.Int64 // verdicts of a shard read before are no good
	turn   chan struct{}              // holds one token: polls do not overlap
	broken bool                       // the last poll failed; whoever has the turn
}

func newEpochs(st any, maxStale time.Duration, watch *stopwatch, logger *slog.Logger) *epochs {
	e := &epochs{maxStale: maxStale, watch: watch, logger: logger, turn: make(chan struct{}, 1)}
	if maxStale > 0 {
		e.store, _ = st.(store.Epochs)
	}
	e.last.Store(&poll{})
	return e
}

// age says how old what is known of the epochs is, if anything is.
func (e *epochs) age() (time.Duration, bool) {
	p := e.last.Load()
	return time.Duration(e.watch.now() - p.sent), p.known
}

// good reports whether v can be believed at time t. Either it was read since
// the last poll and since t-maxStale, or the last poll was sent since
// t-maxStale and shows the epoch v was read with.
func (e *epochs) good(v *verdict, t int64) bool {
	if v.read <= e.floors[v.shard].Load() {
		return false
	}
	oldest := t - int64(e.maxStale)
	p := e.last.Load()
	if v.read > p.sent {
		return v.read >= oldest
	}
	return p.known && p.sent >= oldest && p.epochs[v.shard] == v.epoch &&
		v.read >= p.since && v.read >= t-int64(maxAge)
}

// poll asks the store for the epochs, after a poll that is under way: that one
// may have been sent too early for the caller. When it fails, what was known
// stays known.
func (e *epochs) poll(ctx context.Context) error {
	if e.store == nil {
		e.distrust()
		return nil
	}
	asking := ctx
	ctx, cancel := context.WithTimeout(ctx, min(max(e.maxStale, minPollTimeout), maxPollTimeout))
	defer cancel()
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, ctx.Err())
	}
	sent := e.watch.next()
	now, err := e.ask(ctx)
	if err != nil {
		if asking.Err() == nil { // otherwise the caller gave up
			e.fail(ctx, err)
		}
		return err
	}
	next := &poll{sent: sent, since: e.last.Load().since, known: true, epochs: *now}
	if e.broken {
		next.since = sent
	}
	e.heal(ctx)
	e.publish(next)
	return nil
}

// publish makes p what is known, unless what is known was asked for later.
func (e *epochs) publish(p *poll) {
	for {
		last := e.last.Load()
		if last.sent > p.sent || e.last.CompareAndSwap(last, p) {
			return
		}
	}
}

// distrust makes every verdict that was read before now no good.
func (e *epochs) distrust() {
	now := e.watch.next()
	e.publish(&poll{sent: now, since: now})
}

// distrustShard does so for the keys of one shard. Floors only rise.
func (e *epochs) distrustShard(shard int) {
	floor := &e.floors[shard]
	for now := e.watch.next(); ; {
		last := floor.Load()
		if last >= now || floor.CompareAndSwap(last, now) {
			return
		}
	}
}

// ask calls the store, which may run on a goroutine of ours, where its panic
// would end the host's process.
func (e *epochs) ask(ctx context.Context) (now *[store.Shards]int64, err error) {
	defer func() {
		if recover() != nil {
			// What it panicked with may hold anything; the stack holds names only.
			e.logger.ErrorContext(ctx, "reading the epochs of api keys panicked", slog.String("stack", string(debug.Stack())))
			now, err = nil, lanyard.ErrUnavailable
		}
	}()
	now, err = e.store.Epochs(ctx)
	if err == nil && now == nil {
		err = errors.New("no epochs")
	}
	return now, err
}

// fail and heal tell the operator once.
func (e *epochs) fail(ctx context.Context, err error) {
	if !e.broken {
		e.logger.WarnContext(ctx, "epochs of api keys cannot be read: each key costs one query per MaxStale",
			slog.String("outcome", telemetry.Outcome(err)))
	}
	e.broken = true
}

func (e *epochs) heal(ctx context.Context) {
	if e.broken {
		e.logger.InfoContext(ctx, "epochs of api keys can be read again")
	}
	e.broken = false
}

// run polls every maxStale/2 until ctx ends, while there is a verdict to judge.
func (e *epochs) run(ctx context.Context, idle func() bool) {
	if e.store == nil {
		return
	}
	tick := time.NewTicker(e.maxStale / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !idle() {
				_ = e.poll(ctx) // it was logged
			}
		}
	}
}
