package providertoken

import "sync"

// maxTold bounds the facts a process remembers.
const maxTold = 10_000

// told knows of facts that the history has, so that telling it again costs
// nothing. The store has each only once all the same. The zero value is ready to
// use.
type told struct {
	mu    sync.Mutex
	facts map[string]struct{}
}

func (t *told) has(fact string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.facts[fact]
	return ok
}

func (t *told) add(fact string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.facts == nil || len(t.facts) >= maxTold {
		t.facts = make(map[string]struct{})
	}
	t.facts[fact] = struct{}{}
}
