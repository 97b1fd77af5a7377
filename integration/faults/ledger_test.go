package faults_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// slack is how far past its deadline a call may end. A call ends within a few
// milliseconds of it; the race detector on two busy cores wants more.
const slack = 500 * time.Millisecond

// ledger writes down what callers were told, so that the tables can be held to
// it. It is safe for concurrent use.
type ledger struct {
	mu     sync.Mutex
	heard  map[string]lanyard.Event // every event that a service told after its commit
	issued map[string]*issued       // every token that a caller was given, by its key's id
	counts map[outcome]int
}

// issued is one token that somebody holds.
type issued struct {
	owner lanyard.Owner
	token string
	ended time.Time // when a call that ends it had returned; zero = it goes on
	loose bool      // a call that may have ended it had no answer
}

// outcome is what a caller knows of a change.
type outcome string

const (
	acknowledged outcome = "acknowledged"
	refused      outcome = "refused" // nothing happened
	unknown      outcome = "unknown" // it happened whole or not at all
)

func newLedger() *ledger {
	return &ledger{heard: map[string]lanyard.Event{}, issued: map[string]*issued{}, counts: map[outcome]int{}}
}

// hear is Options.OnEvent of every service.
func (l *ledger) hear(_ context.Context, e lanyard.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[e.ID] = e
}

// call runs one call within limit and holds its answer to the rules: it comes
// in time, and an error is one of lanyard's.
func (l *ledger) call(ctx context.Context, t testing.TB, what string, limit time.Duration, do func(context.Context) error) error {
	t.Helper()
	limited, cancel := context.WithTimeout(ours(ctx), limit)
	defer cancel()
	began := time.Now()
	err := do(limited)
	if took := time.Since(began); took > limit+slack {
		t.Errorf("%s took %v, and had %v", what, took, limit)
	}
	l.note(t, what, err)
	return err
}

// note counts an answer and refuses one that a caller cannot act on.
func (l *ledger) note(t testing.TB, what string, err error) {
	t.Helper()
	o, known := outcomeOf(err)
	if !known {
		t.Errorf("%s = %v, which is none of lanyard's errors", what, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[o]++
}

func outcomeOf(err error) (o outcome, known bool) {
	var input *lanyard.InputError
	switch {
	case err == nil:
		return acknowledged, true
	case errors.Is(err, lanyard.ErrUnavailable), errors.Is(err, lanyard.ErrClosed):
		return unknown, true
	case errors.As(err, &input), slices.ContainsFunc([]error{
		lanyard.ErrNotFound, lanyard.ErrExists, lanyard.ErrConflict, lanyard.ErrLimit, lanyard.ErrUnauthenticated, lanyard.ErrForbidden,
	}, func(known error) bool { return errors.Is(err, known) }):
		return refused, true
	}
	return unknown, false
}

// gave writes down a token that a caller was given.
func (l *ledger) gave(owner lanyard.Owner, k apikey.Key, secret lanyard.Secret) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.issued[k.ID] = &issued{owner: owner, token: secret.Reveal()}
}

// ends writes down that a call was to end a key, with its answer: a refused
// one ends nothing, except that a key which is not there has ended.
func (l *ledger) ends(id string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.issued[id]
	if !ok {
		return
	}
	o, _ := outcomeOf(err)
	switch {
	case err == nil, errors.Is(err, lanyard.ErrNotFound) && k.loose:
		k.ended = time.Now()
	case o == unknown:
		k.loose = true
	}
}

// String says how many answers of each kind there were.
func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d acknowledged, %d refused, %d unknown", l.counts[acknowledged], l.counts[refused], l.counts[unknown])
}
