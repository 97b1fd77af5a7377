package apikey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

const (
	markEvery    = time.Second // how often a use of one key is noted
	flushEvery   = 15 * time.Second
	flushPause   = time.Second // between two flushes of the goroutine
	flushTimeout = 10 * time.Second
	listTimeout  = 2 * time.Second // how long a list waits for a flush
	maxUses      = 1 << 16         // keys; about 6 MiB
	maxFacts     = 1 << 12
)

// use is what was seen of a key and is not stored yet.
type use struct {
	id string

	mu      sync.Mutex
	first   sighting // zero once one is stored: then later ones are no first use
	last    sighting
	stored  bool // a first use is
	pending bool // in the log's list
}

// fact is a line of the history and the context of the call it tells of.
type fact struct {
	ctx   context.Context //nolint:containedctx // whoever flushes is somebody else
	event lanyard.Event
}

// sighting is one use: when, in microseconds of Unix time, and from where.
type sighting struct {
	at   int64
	from string
}

func (s sighting) record(id string) store.KeyUse {
	return store.KeyUse{ID: id, At: time.UnixMicro(s.at).UTC(), From: s.from}
}

// useLog keeps what verifications saw and stores it in the background: when and
// from where keys were used, and the facts the history is told.
//
// A verification only leaves a mark in memory, at most one a second and key. One
// goroutine stores the marks of all keys together: every 15 seconds, and at once
// when a key is seen for the first time, so that "never used" does not stand
// there while a user tries out his new key; never more than once a second. What
// a store did not take is kept for the next time. A process that is killed loses
// 15 seconds.
type useLog struct {
	store  useStore
	onFact func(context.Context, lanyard.Event)
	logger *slog.Logger

	mu      sync.Mutex
	pending []*use // at most maxUses
	facts   []fact // at most maxFacts

	wake     chan struct{} // something must not wait for 15 seconds
	flushing chan struct{} // holds one token: whoever has it flushes
	stop     context.CancelFunc
	stopped  chan struct{}
}

// useStore is what a useLog needs of a store.
type useStore interface {
	RecordKeyUse(ctx context.Context, uses []store.KeyUse) error
	Append(ctx context.Context, e lanyard.Event) error
}

// newUseLog returns a useLog whose goroutine ends with close. onFact hears each
// fact that this process was the one to store.
func newUseLog(st useStore, onFact func(context.Context, lanyard.Event), logger *slog.Logger) *useLog {
	ctx, stop := context.WithCancel(context.Background())
	u := &useLog{
		store: st, onFact: onFact, logger: logger,
		wake: make(chan struct{}, 1), flushing: make(chan struct{}, 1),
		stop: stop, stopped: make(chan struct{}),
	}
	go u.run(ctx)
	return u
}

// note marks a key as used. It never waits for the store. While the store takes
// nothing and maxUses keys are marked, further keys are passed over.
func (u *useLog) note(k *use, at int64, from string) {
	seen := sighting{at: at, from: from}
	k.mu.Lock()
	unseen := !k.stored && k.first.at == 0
	if unseen || !k.stored && at < k.first.at {
		k.first = seen
	}
	if at > k.last.at {
		k.last = seen
	}
	join := !k.pending
	k.pending = true
	k.mu.Unlock()

	if join && !u.add(k) {
		k.mu.Lock()
		k.pending = false
		k.mu.Unlock()
	}
	if unseen {
		u.hurry()
	}
}

func (u *useLog) add(k *use) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.pending) >= maxUses {
		return false
	}
	u.pending = append(u.pending, k)
	return true
}

// tell has the history told of a fact, by the goroutine: whoever presents a key
// neither waits for that nor can prevent it by hanging up.
func (u *useLog) tell(ctx context.Context, e lanyard.Event) {
	u.mu.Lock()
	if len(u.facts) < maxFacts {
		u.facts = append(u.facts, fact{ctx: context.WithoutCancel(ctx), event: e})
	}
	u.mu.Unlock()
	u.hurry()
}

func (u *useLog) hurry() {
	select {
	case u.wake <- struct{}{}:
	default: // it was woken already
	}
}

// run flushes until ctx ends.
func (u *useLog) run(ctx context.Context) {
	defer close(u.stopped)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-u.wake:
		}
		u.flushWithin(ctx, flushTimeout)
		select {
		case <-ctx.Done():
			return
		case <-time.After(flushPause):
		}
	}
}

// flushSoon stores what is marked before a list is read, so that this process
// sees its own uses. A list is better late by a use than not shown.
func (u *useLog) flushSoon(ctx context.Context) { u.flushWithin(ctx, listTimeout) }

func (u *useLog) flushWithin(ctx context.Context, timeout time.Duration) {
	flushing, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := u.flush(flushing); err != nil && ctx.Err() == nil {
		u.logger.WarnContext(ctx, "uses of api keys were not stored", slog.String("outcome", telemetry.Outcome(err)))
	}
}

// close ends the goroutine and stores what is marked.
func (u *useLog) close(ctx context.Context) error {
	u.stop()
	select {
	case <-u.stopped:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, ctx.Err())
	}
	return u.flush(ctx)
}

// flush stores what is marked. It first waits for a flush that is under way,
// so that everything marked before the call is stored after it.
func (u *useLog) flush(ctx context.Context) error {
	select {
	case u.flushing <- struct{}{}:
		defer func() { <-u.flushing }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, ctx.Err())
	}
	return errors.Join(u.flushUses(ctx), u.flushFacts(ctx))
}

func (u *useLog) flushUses(ctx context.Context) error {
	u.mu.Lock()
	pending := u.pending
	u.pending = nil
	u.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	uses := make([]store.KeyUse, 0, len(pending))
	for _, k := range pending {
		k.mu.Lock()
		if k.first.at != 0 && k.first.at != k.last.at {
			uses = append(uses, k.first.record(k.id))
		}
		uses = append(uses, k.last.record(k.id))
		k.pending = false
		k.mu.Unlock()
	}
	err := u.guard(ctx, func() error { return u.store.RecordKeyUse(ctx, uses) })
	for _, k := range pending {
		k.mu.Lock()
		again := err != nil && !k.pending
		k.pending = k.pending || again
		if err == nil {
			k.stored, k.first = true, sighting{}
		}
		k.mu.Unlock()
		if again && !u.add(k) {
			k.mu.Lock()
			k.pending = false
			k.mu.Unlock()
		}
	}
	return err
}

func (u *useLog) flushFacts(ctx context.Context) error {
	u.mu.Lock()
	facts := u.facts
	u.facts = nil
	u.mu.Unlock()
	for i, f := range facts {
		err := u.guard(ctx, func() error { return u.append(ctx, f) })
		var input *lanyard.InputError
		switch {
		case err == nil:
			_ = u.guard(f.ctx, func() error { u.onFact(f.ctx, f.event); return nil })
		case errors.Is(err, lanyard.ErrExists): // another process told it
		case errors.As(err, &input): // and always will
			u.logger.WarnContext(f.ctx, "a use of an api key cannot be recorded",
				slog.String("action", f.event.Action), slog.String("key_id", f.event.Object))
		default:
			u.mu.Lock()
			u.facts = slices.Concat(facts[i:], u.facts)
			u.facts = u.facts[:min(len(u.facts), maxFacts)]
			u.mu.Unlock()
			return err
		}
	}
	return nil
}

// append stores a fact in the context it belongs to, and gives up with ctx.
func (u *useLog) append(ctx context.Context, f fact) error {
	own, cancel := context.WithCancel(f.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return u.store.Append(own, f.event)
}

// guard calls the store or the host. It may run on a goroutine of ours, where a
// panic of theirs would end the host's process.
func (u *useLog) guard(ctx context.Context, fn func() error) (err error) {
	defer func() {
		if recover() != nil {
			// What it panicked with may hold anything; the stack holds names only.
			u.logger.ErrorContext(ctx, "storing uses of api keys panicked", slog.String("stack", string(debug.Stack())))
			err = lanyard.ErrUnavailable
		}
	}()
	return fn()
}
