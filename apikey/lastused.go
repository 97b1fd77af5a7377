package apikey

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

const (
	flushEvery   = 15 * time.Second
	flushPause   = time.Second // between two flushes of the goroutine
	flushTimeout = 10 * time.Second
	listTimeout  = 2 * time.Second // how long a list waits for a flush
	maxUses      = 1 << 16         // keys; about 6 MiB
)

// useLog notes when keys were last used and stores it in the background.
//
// A verification only leaves a mark in memory. One goroutine stores the marks
// of all keys together: every 15 seconds, and at once when a key is seen for
// the first time, so that "never used" does not stand there while a user tries
// out his new key; never more than once a second. What a store did not take is
// kept for the next time. A process that is killed loses 15 seconds.
type useLog struct {
	store  useStore
	logger *slog.Logger

	mu    sync.Mutex
	marks map[string]time.Time // what is not stored yet, at most maxUses
	seen  map[string]struct{}  // keys that were used before, at most maxUses

	wake     chan struct{} // a key was used for the first time
	flushing chan struct{} // holds one token: whoever has it flushes
	stop     context.CancelFunc
	stopped  chan struct{}
}

// useStore is what a useLog needs of a store.
type useStore interface {
	RecordKeyUse(ctx context.Context, uses []store.KeyUse) error
}

// newUseLog returns a useLog whose goroutine ends with close.
func newUseLog(st useStore, logger *slog.Logger) *useLog {
	ctx, stop := context.WithCancel(context.Background())
	u := &useLog{
		store: st, logger: logger,
		marks: make(map[string]time.Time), seen: make(map[string]struct{}),
		wake: make(chan struct{}, 1), flushing: make(chan struct{}, 1),
		stop: stop, stopped: make(chan struct{}),
	}
	go u.run(ctx)
	return u
}

// note marks a key as used. It never waits for the store. While the store takes
// nothing and maxUses keys are marked, further keys are passed over.
func (u *useLog) note(id string, at time.Time) {
	if u.mark(id, at) {
		select {
		case u.wake <- struct{}{}:
		default: // it was woken already
		}
	}
}

// mark reports whether it sees the key for the first time.
func (u *useLog) mark(id string, at time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	last, marked := u.marks[id]
	if !marked && len(u.marks) >= maxUses {
		return false
	}
	if at.After(last) {
		u.marks[id] = at
	}
	if _, ok := u.seen[id]; ok {
		return false
	}
	if len(u.seen) >= maxUses {
		clear(u.seen) // costs an early flush and nothing else
	}
	u.seen[id] = struct{}{}
	return true
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
	marks := u.take()
	if len(marks) == 0 {
		return nil
	}
	uses := make([]store.KeyUse, 0, len(marks))
	for id, at := range marks {
		uses = append(uses, store.KeyUse{ID: id, At: at})
	}
	err := u.record(ctx, uses)
	if err != nil {
		u.putBack(uses)
	}
	return err
}

// record calls the store. It may run on a goroutine of ours, where a panic of
// the store would end the host's process.
func (u *useLog) record(ctx context.Context, uses []store.KeyUse) (err error) {
	defer func() {
		if recover() != nil {
			// What it panicked with may hold anything; the stack holds names only.
			u.logger.ErrorContext(ctx, "storing uses of api keys panicked", slog.String("stack", string(debug.Stack())))
			err = lanyard.ErrUnavailable
		}
	}()
	return u.store.RecordKeyUse(ctx, uses)
}

func (u *useLog) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.marks) == 0 {
		return nil
	}
	marks := u.marks
	u.marks = make(map[string]time.Time)
	return marks
}

// putBack keeps what could not be stored, unless the key was used again since.
func (u *useLog) putBack(uses []store.KeyUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, use := range uses {
		last, marked := u.marks[use.ID]
		if !marked && len(u.marks) >= maxUses {
			continue
		}
		if use.At.After(last) {
			u.marks[use.ID] = use.At
		}
	}
}
