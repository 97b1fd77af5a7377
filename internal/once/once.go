// Package once remembers what a process has told the history, so that telling it
// again costs nothing. Each fact stands there once all the same: the history
// refuses the second.
//
//	if !told.Claim(fact) {
//		return
//	}
//	if err := write(fact); err != nil {
//		told.Release(fact)
//	}
package once

import "sync"

// Max is how many facts are remembered. One more, and all are forgotten.
const Max = 10_000

// Facts are the facts that were told. The zero value knows none. It is safe for
// concurrent use.
type Facts[K comparable] struct {
	mu    sync.Mutex
	facts map[K]struct{}
}

// Claim reports whether nobody has claimed the fact yet, and lets the caller
// tell it.
func (f *Facts[K]) Claim(fact K) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.facts[fact]; ok {
		return false
	}
	if f.facts == nil || len(f.facts) >= Max {
		f.facts = make(map[K]struct{})
	}
	f.facts[fact] = struct{}{}
	return true
}

// Release takes a claim back.
func (f *Facts[K]) Release(fact K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.facts, fact)
}

// Has reports whether the fact is claimed.
func (f *Facts[K]) Has(fact K) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.facts[fact]
	return ok
}
