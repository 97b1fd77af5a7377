package verdicts_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

// ailing is a store that counts what a verification asks it, and ails as it is
// told.
type ailing struct {
	apikey.Store
	epochs store.Epochs

	ails atomic.Pointer[ailment]

	polls   atomic.Int64
	lookups atomic.Int64
	mu      sync.Mutex
	byHash  map[string]int
}

// ailment is what is wrong with a store. The zero value is nothing.
type ailment struct {
	NoPolls bool          // every poll fails
	Nothing bool          // and every lookup
	Late    time.Duration // answers come that much later than they were given
	Jitter  time.Duration // and up to that much more, those of lookups
}

func newAiling(st interface {
	apikey.Store
	store.Epochs
},
) *ailing {
	a := &ailing{Store: st, epochs: st, byHash: make(map[string]int)}
	a.ail(ailment{})
	return a
}

func (a *ailing) ail(as ailment) { a.ails.Store(&as) }

func (a *ailing) APIKeyByHash(ctx context.Context, hash []byte) (store.KeyLookup, error) {
	a.lookups.Add(1)
	a.mu.Lock()
	if a.byHash != nil {
		a.byHash[string(hash)]++
	}
	a.mu.Unlock()
	if a.ails.Load().Nothing {
		return store.KeyLookup{}, lanyard.ErrUnavailable
	}
	row, err := a.Store.APIKeyByHash(ctx, hash)
	late := a.ails.Load().Late
	if jitter := a.ails.Load().Jitter; jitter > 0 {
		late += rand.N(jitter)
	}
	if gone := wait(ctx, late); gone != nil {
		return store.KeyLookup{}, gone
	}
	return row, err
}

func (a *ailing) Epochs(ctx context.Context) (*[store.Shards]int64, error) {
	a.polls.Add(1)
	if as := a.ails.Load(); as.NoPolls || as.Nothing {
		return nil, lanyard.ErrUnavailable
	}
	now, err := a.epochs.Epochs(ctx)
	if gone := wait(ctx, a.ails.Load().Late); gone != nil {
		return nil, gone
	}
	return now, err
}

// most is how often the hash that was asked for most was asked for.
func (a *ailing) most() (most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.byHash {
		most = max(most, n)
	}
	return most
}

// wait waits, unless ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, ctx.Err())
	}
}
