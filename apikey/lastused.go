package apikey

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

// What the mark of a verdict is whose key was not used: neverMarked, and noGood
// where it could not be either.
const (
	neverMarked = -int64(markEvery)
	noGood      = neverMarked - 1
)

const (
	markEvery    = time.Second // how often a use of one key is noted
	flushEvery   = 15 * time.Second
	flushPause   = time.Second // between two flushes of the goroutine
	flushTimeout = 10 * time.Second
	listTimeout  = 2 * time.Second // how long a list waits for a flush
	flushSize    = 4096            // verdicts whose marks one call of the store takes
	maxLeft      = 1 << 16         // uses; about 6 MiB
	maxFacts     = 1 << 12
)

// use is what was seen of a key and is not stored yet. The first use of it in
// this process, and the first from each other address, is noted here; of the
// others there is only the mark on its verdict.
type use struct {
	mu     sync.Mutex
	first  *sighting // nil once one is stored: then later ones are no first use
	last   sighting  // as of the last note
	noted  int64     // when that was, by the stopwatch
	stored int64     // the latest mark that is
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
// A verification only leaves a mark on its verdict, at most one a second. One
// goroutine stores the marks of all keys together every 15 seconds, and what cannot
// wait, those of keys that are seen for the first time, within a second, so that
// "never used" does not stand there while a user tries out his new key. What a
// store did not take is kept for the next time. A process that is killed loses
// 15 seconds.
type useLog struct {
	store  useStore
	onFact func(context.Context, lanyard.Event)
	logger *slog.Logger

	table *verdicts
	watch *stopwatch
	clock func() time.Time
	seed  maphash.Seed // of the hashes of addresses
	next  int          // word of the marks where the next flush begins

	mu    sync.Mutex
	left  []store.KeyUse // at most maxLeft, of verdicts that are gone
	fresh []*verdict     // at most maxLeft, on keys that were used for the first time
	facts []fact         // at most maxFacts

	wake     chan struct{} // what of these must not wait for 15 seconds
	flushing chan struct{} // holds one token: whoever has it flushes
	stop     context.CancelFunc
	stopped  chan struct{}
}

// useStore is what a useLog needs of a store.
type useStore interface {
	RecordKeyUse(ctx context.Context, uses []store.KeyUse) error
	Append(ctx context.Context, e lanyard.Event) error
}

// newUseLog returns the useLog of the keys in table, whose goroutine ends with
// close. onFact hears each fact that this process was the one to store.
func newUseLog(st useStore, table *verdicts, watch *stopwatch, clock func() time.Time,
	onFact func(context.Context, lanyard.Event), logger *slog.Logger) *useLog {
	ctx, stop := context.WithCancel(context.Background())
	u := &useLog{
		store: st, onFact: onFact, logger: logger,
		table: table, watch: watch, clock: clock, seed: maphash.MakeSeed(),
		wake: make(chan struct{}, 1), flushing: make(chan struct{}, 1),
		stop: stop, stopped: make(chan struct{}),
	}
	go u.run(ctx)
	return u
}

// mark says that a key is used now, by the stopwatch, from that address. It
// never waits for the store.
func (u *useLog) mark(v *verdict, now int64, address string) {
	from := uint32(maphash.String(u.seed, address)) | 1
	unseen := v.from.Load() != from && u.note(v, now, from, network(address))
	for last := v.marked.Load(); last < now && !v.marked.CompareAndSwap(last, now); {
		last = v.marked.Load() // whoever was held up moves nothing back
	}
	if v.gone.Load() { // so who took it out of the table may have missed the mark
		u.leave(v)
	}
	u.table.marks.set(v.place)
	if unseen {
		u.mu.Lock()
		if len(u.fresh) < maxLeft { // the others have their marks
			u.fresh = append(u.fresh, v)
		}
		u.mu.Unlock()
		u.hurry()
	}
}

// note keeps more of a use than a mark can say, and reports whether it is the
// first of the key in this process.
func (u *useLog) note(v *verdict, now int64, from uint32, network string) (unseen bool) {
	k := &v.state.use
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := sighting{at: u.clock().UnixMicro(), from: network}
	if unseen = k.stored == 0 && k.first == nil; unseen {
		first := seen
		k.first = &first
	}
	if now >= k.noted {
		k.last, k.noted = seen, now
		v.from.Store(from)
	}
	return unseen
}

// seen returns what is to be stored of a key, up to the mark on v.
func (u *useLog) seen(v *verdict) (marked int64, uses []store.KeyUse) {
	k := &v.state.use
	k.mu.Lock()
	defer k.mu.Unlock()
	marked = v.marked.Load()
	if k.last.at == 0 || marked <= k.stored {
		return marked, nil
	}
	last := k.last
	if marked != k.noted {
		last.at = u.clock().UnixMicro() - (u.watch.now()-marked)/int64(time.Microsecond)
	}
	if k.first != nil && *k.first != last {
		uses = append(uses, k.first.record(v.id))
	}
	return marked, append(uses, last.record(v.id))
}

// leave keeps what was seen of a key whose verdict is gone. While the store
// takes nothing and maxLeft uses wait, further ones are passed over.
func (u *useLog) leave(v *verdict) {
	if v == nil {
		return
	}
	_, uses := u.seen(v)
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.left)+len(uses) <= maxLeft {
		u.left = append(u.left, uses...)
	}
}

// tell has the history told of a fact, by the goroutine: whoever presents a key
// neither waits for that nor can prevent it by hanging up. It reports whether
// there was room for it.
func (u *useLog) tell(ctx context.Context, e lanyard.Event) bool {
	defer u.hurry()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.facts) >= maxFacts {
		return false
	}
	u.facts = append(u.facts, fact{ctx: context.WithoutCancel(ctx), event: e})
	return true
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
		marks := u.flushAll
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-u.wake:
			marks = u.flushFresh
		}
		u.flushWithin(ctx, flushTimeout, marks)
		select {
		case <-ctx.Done():
			return
		case <-time.After(flushPause):
		}
	}
}

// flushOwner stores what is marked on an owner's keys before they are listed, so
// that this process sees its own uses, and leaves the marks of all others for
// their time. A list is better late by a use than not shown.
func (u *useLog) flushOwner(ctx context.Context, owner lanyard.Owner) {
	u.flushWithin(ctx, listTimeout, func(ctx context.Context) error {
		var marked []*verdict
		for word := range u.table.marks {
			marked = u.table.markedOf(marked, word, owner)
		}
		return u.flushMarks(ctx, marked)
	})
}

// flushWithin is flush that logs its error.
func (u *useLog) flushWithin(ctx context.Context, timeout time.Duration, marks func(context.Context) error) {
	flushing, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := u.flush(flushing, marks); err != nil && ctx.Err() == nil {
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
	return u.flush(ctx, u.flushAll)
}

// flush stores what was seen: of keys whose verdicts are gone, then what marks
// does, then facts. It first waits for a flush that is under way, so that
// everything marked before the call is stored after it.
func (u *useLog) flush(ctx context.Context, marks func(context.Context) error) error {
	select {
	case u.flushing <- struct{}{}:
		defer func() { <-u.flushing }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, ctx.Err())
	}
	err := u.flushLeft(ctx)
	if err == nil {
		err = marks(ctx)
	}
	return errors.Join(err, u.flushFacts(ctx))
}

// flushAll goes once around the table. Where the store fails, the next flush
// goes on from there.
func (u *useLog) flushAll(ctx context.Context) error {
	var batch []*verdict
	for range u.table.marks {
		batch = u.table.marked(batch, u.next)
		u.next = (u.next + 1) % len(u.table.marks)
		if len(batch) >= flushSize {
			if err := u.flushMarks(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return u.flushMarks(ctx, batch)
}

// flushFresh stores what keys were used for the first time. Where the store
// fails, their marks are still there.
func (u *useLog) flushFresh(ctx context.Context) error {
	u.mu.Lock()
	fresh := u.fresh
	u.fresh = nil
	u.mu.Unlock()
	for some := range slices.Chunk(fresh, flushSize) {
		if err := u.flushMarks(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// flushMarks stores the marks on some verdicts, or says where they are.
func (u *useLog) flushMarks(ctx context.Context, verdicts []*verdict) error {
	marked := make([]int64, len(verdicts))
	var uses []store.KeyUse
	for i, v := range verdicts {
		at, seen := u.seen(v)
		marked[i], uses = at, append(uses, seen...)
	}
	err := u.record(ctx, uses)
	for i, v := range verdicts {
		if err != nil {
			u.table.marks.set(v.place)
			continue
		}
		k := &v.state.use
		k.mu.Lock()
		if marked[i] > k.stored { // else nothing of it was among the uses, and the first may have come since
			k.stored, k.first = marked[i], nil
		}
		k.mu.Unlock()
	}
	return err
}

// flushLeft stores what was seen of keys whose verdicts are gone, in parts as the
// marks are: all of it may be more than a store takes in time.
func (u *useLog) flushLeft(ctx context.Context) error {
	u.mu.Lock()
	left := u.left
	u.left = nil
	u.mu.Unlock()
	for len(left) > 0 {
		some := min(len(left), flushSize)
		if err := u.record(ctx, left[:some]); err != nil {
			u.mu.Lock()
			u.left = append(left, u.left[:min(len(u.left), maxLeft-len(left))]...)
			u.mu.Unlock()
			return err
		}
		left = left[some:]
	}
	return nil
}

func (u *useLog) record(ctx context.Context, uses []store.KeyUse) error {
	if len(uses) == 0 {
		return nil
	}
	return u.guard(ctx, func() error { return u.store.RecordKeyUse(ctx, uses) })
}

func (u *useLog) flushFacts(ctx context.Context) error {
	for {
		f, more := u.oldestFact()
		if !more {
			return nil
		}
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
			return err
		}
		u.mu.Lock()
		u.facts[0], u.facts = fact{}, u.facts[1:] // only who flushes takes one away
		u.mu.Unlock()
	}
}

func (u *useLog) oldestFact() (f fact, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.facts) == 0 {
		return fact{}, false
	}
	return u.facts[0], true
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
