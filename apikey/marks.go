package apikey

import (
	"math/bits"
	"sync/atomic"
)

// marks says where in the table of verdicts there are marks that nobody has
// stored: a bit for each few slots. Where a key is in use the bit is set
// already, and setting it costs a look at memory that the processor has at hand.
type marks []atomic.Uint64

const slotsPerBit = 8 // one line of the processor's cache

func newMarks(slots int) marks { return make(marks, (slots+64*slotsPerBit-1)/(64*slotsPerBit)) }

// set says that there is a mark at place. Whoever sets a mark does so before he
// calls set; take works in the other order.
func (m marks) set(place uint32) {
	word, bit := &m[place/(64*slotsPerBit)], uint64(1)<<(place/slotsPerBit%64)
	if word.Load()&bit == 0 {
		word.Or(bit)
	}
}

// take clears the bits of one word and calls fn with the first slot of each that
// was set.
func (m marks) take(word int, fn func(slot int)) {
	if m[word].Load() != 0 {
		each(word, m[word].Swap(0), fn)
	}
}

// look is take that leaves the bits as they are.
func (m marks) look(word int, fn func(slot int)) { each(word, m[word].Load(), fn) }

func each(word int, set uint64, fn func(slot int)) {
	for ; set != 0; set &= set - 1 {
		fn((word*64 + bits.TrailingZeros64(set)) * slotsPerBit)
	}
}
