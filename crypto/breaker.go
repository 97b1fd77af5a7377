package crypto

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aichub/lanyard"
)

// What a key service that is slow, hung or down may cost the others. None of
// it is an option: the values suit a service that answers in milliseconds and
// is asked once an owner and minute.
const (
	// breakerCalls are under way at once, and no more.
	breakerCalls = 32

	// breakerCall bounds one of them, however long its caller would wait.
	breakerCall = 10 * time.Second

	// breakerWait is how long a call waits in line while none of them is
	// answered. A service that is slow and answers is worth waiting for.
	breakerWait = time.Second

	// breakerTries in a row without an answer, and the service is asked once
	// every breakerRest from then on, until it answers.
	breakerTries = 10
	breakerRest  = time.Second

	// breakerLongestRest bounds what the service asks for itself.
	breakerLongestRest = 5 * time.Second

	// breakerPatience: who gives a call less time learns little from having
	// had no answer.
	breakerPatience = time.Second
)

// errResting: the service was not asked, because it did not answer just now,
// or has as many calls under way as it may.
var errResting = fmt.Errorf("not asked, the key service is %w", lanyard.ErrUnavailable)

// breaker stands before one key service. It bounds how many calls are under
// way, and once the service has failed to answer several times in a row it
// lets only one call in every breakerRest through; everybody else is told at
// once. The first answer of whatever kind ends that, so a service that is back
// is noticed within breakerRest by who asks for it: nothing runs in the
// background.
//
// Time is the process's own, which no change of the clock moves.
type breaker struct {
	slots  chan struct{}
	logger *slog.Logger // knows which service it is

	mu       sync.Mutex
	last     time.Time // when the service answered last
	failures int       // in a row; the service rests from breakerTries on
	next     time.Time // when the next call is let through while it rests
}

func newBreaker(logger *slog.Logger) *breaker {
	return &breaker{slots: make(chan struct{}, breakerCalls), logger: logger}
}

// do calls the service by means of fn, unless it rests. A proof is made also
// then. A call that panics has had no answer.
func (b *breaker) do(ctx context.Context, proof bool, fn func(context.Context) error) (err error) {
	if !proof && b.resting() {
		return errResting
	}
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer func() { <-b.slots }()
	ctx, cancel := context.WithTimeout(ctx, breakerCall)
	defer cancel()
	if !proof && !b.admit() {
		return errResting
	}
	began := time.Now()
	err = lanyard.ErrUnavailable
	defer func() {
		switch {
		case isAnswer(err):
			b.answered(ctx)
		case refusesItem(err):
			// So says the service, or the plug-in without asking it.
		case errors.Is(ctx.Err(), context.Canceled), ctx.Err() != nil && time.Since(began) < breakerPatience:
			// It was the caller who had no time.
		default:
			b.failed(ctx, err)
		}
	}()
	return fn(ctx)
}

// isAnswer reports whether a call that ended in err was answered, if only by a
// refusal.
func isAnswer(err error) bool {
	if err == nil {
		return true
	}
	err = reduce(err)
	return errors.Is(err, ErrDenied) || errors.Is(err, ErrUnbound)
}

// refusesItem reports whether err is about what was asked. It says nothing of
// the service: a plug-in sees without asking that a row is garbage.
func refusesItem(err error) bool {
	return !errors.Is(reduce(err), lanyard.ErrUnavailable)
}

// enter waits for one of the calls under way to end, if they are too many.
func (b *breaker) enter(ctx context.Context) error {
	select {
	case b.slots <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, breakerCall)
	defer cancel()
	look := time.NewTicker(breakerWait)
	defer look.Stop()
	for {
		select {
		case b.slots <- struct{}{}:
			return nil
		case <-ctx.Done():
			return gaveUp(ctx.Err())
		case <-look.C:
			if b.silent() {
				return errResting
			}
		}
	}
}

// silent reports whether the service has answered nobody for breakerWait.
func (b *breaker) silent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.last) >= breakerWait
}

func (b *breaker) resting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= breakerTries && time.Now().Before(b.next)
}

// admit reports whether a call may be made. While the service rests that is so
// once, and again after another rest.
func (b *breaker) admit() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case b.failures < breakerTries:
		return true
	case now.Before(b.next):
		return false
	}
	b.next = now.Add(breakerRest)
	return true
}

func (b *breaker) answered(ctx context.Context) {
	b.mu.Lock()
	rested := b.failures >= breakerTries
	b.last, b.failures = time.Now(), 0
	b.mu.Unlock()
	if rested {
		b.logger.InfoContext(ctx, "key service answers again")
	}
}

// failed counts a call without an answer. A service that says when it wants to
// be asked again rests until then.
func (b *breaker) failed(ctx context.Context, err error) {
	rest := breakerRest
	var busy *BusyError
	asked := errors.As(err, &busy) && busy.RetryAfter > 0
	if asked {
		rest = min(busy.RetryAfter, breakerLongestRest)
	}

	b.mu.Lock()
	rested := b.failures >= breakerTries
	b.failures++
	if asked {
		b.failures = max(b.failures, breakerTries)
	}
	begins := b.failures >= breakerTries && !rested
	if begins || asked {
		b.next = time.Now().Add(rest)
	}
	b.mu.Unlock()
	if begins {
		b.logger.WarnContext(ctx, "key service does not answer and is asked less often")
	}
}
