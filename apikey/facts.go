package apikey

import (
	"context"
	"sync"

	"github.com/aichub/lanyard"
)

const maxTold = 10_000

// told knows which facts this process has told the history, so that a tool
// nobody told of the deletion costs one write an hour. The zero value is ready
// to use.
type told[K comparable] struct {
	mu    sync.Mutex
	facts map[K]struct{}
}

// claim reports whether nobody here has told of it yet, and lets the caller.
func (t *told[K]) claim(fact K) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.facts[fact]; ok {
		return false
	}
	if t.facts == nil || len(t.facts) >= maxTold {
		t.facts = make(map[K]struct{}) // the store still has each only once
	}
	t.facts[fact] = struct{}{}
	return true
}

// release takes a claim back.
func (t *told[K]) release(fact K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.facts, fact)
}

// factKey names a fact, or an alarm, that is told once an hour and key.
type factKey struct {
	action string
	id     string
	hour   int64
}

// note tells the owner of what somebody does with his key, once an hour. It
// changes nothing for who does it.
func (s *Service) note(ctx context.Context, action string, v *verdict, c *Call) {
	now := s.now()
	told := factKey{action: action, id: v.id, hour: now.Unix() / 3600}
	if !s.told.claim(told) {
		return
	}
	e := lanyard.NewEvent(lanyard.WithRequest(ctx, c.from(ctx)), now, v.owner, action, v.id).With(DetailName, v.name)
	e.Via, e.DedupeKey = lanyard.ViaAPIKey, action+"/"+v.id+"/"+now.Format("2006-01-02T15")
	if !s.uses.tell(ctx, e) {
		s.told.release(told)
	}
}
