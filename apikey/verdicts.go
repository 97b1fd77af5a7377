package apikey

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
)

// verdicts keeps the verdicts on up to limit tokens, by the hash of the token.
//
// Reading takes no lock: a table that never grows holds chains of verdicts,
// linked by atomic pointers. A reader who meets a change may miss a verdict,
// which costs a read of the store, and finds none that is not in the table.
// The hash is a SHA-256 and needs no other: who wants long chains has to be
// issued the keys for them.
type verdicts struct {
	slots []atomic.Pointer[verdict] // a power of two
	shift int

	mu    sync.Mutex // whoever changes the table
	limit int
	count int
	hand  int // where the next victim is looked for
}

func newVerdicts(limit int) *verdicts {
	width := bits.Len(uint(limit - 1)) // the table has limit slots or up to twice as many
	return &verdicts{slots: make([]atomic.Pointer[verdict], 1<<width), shift: 64 - width, limit: limit}
}

func (vs *verdicts) slot(hash *[sha256.Size]byte) *atomic.Pointer[verdict] {
	return &vs.slots[binary.BigEndian.Uint64(hash[:8])>>vs.shift]
}

// get returns the verdict on the token with that hash, or nil.
func (vs *verdicts) get(hash *[sha256.Size]byte) *verdict {
	for v := vs.slot(hash).Load(); v != nil; v = v.next.Load() {
		if v.hash == *hash {
			return v
		}
	}
	return nil
}

// put keeps v in the place of an older verdict on the same token, whose state
// it takes over, and returns what is kept: of two reads the later one. Where the
// table is full, another verdict goes.
func (vs *verdicts) put(v *verdict) *verdict {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if old := vs.get(&v.hash); old != nil {
		if old.read > v.read {
			return old
		}
		if old.id == v.id && old.owner == v.owner {
			v.state = old.state
			if old.rotated == v.rotated { // else the next use says that it still is used
				v.marked.Store(old.marked.Load())
			}
		}
		vs.unlink(old)
	} else if vs.count >= vs.limit {
		vs.evict()
	}
	if v.state == nil {
		v.state = &keyState{use: use{id: v.id}}
	}
	slot := vs.slot(&v.hash)
	v.next.Store(slot.Load())
	slot.Store(v)
	vs.count++
	return v
}

// forget drops the verdict on a token unless it was read after that time.
func (vs *verdicts) forget(hash *[sha256.Size]byte, read int64) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v := vs.get(hash); v != nil && v.read <= read {
		vs.unlink(v)
	}
}

func (vs *verdicts) empty() bool {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.count == 0
}

// unlink takes v out of its chain. It keeps its own next, for who is reading it.
func (vs *verdicts) unlink(v *verdict) {
	at := vs.slot(&v.hash)
	for w := at.Load(); w != v; w = at.Load() {
		at = &w.next
	}
	at.Store(v.next.Load())
	vs.count--
}

// candidates is among how many verdicts the one goes that was used least
// recently.
const candidates = 8

// evict drops one verdict. The hand goes once around the table before it comes
// back, so what was read in bulk goes before what is in use.
func (vs *verdicts) evict() {
	var victim *verdict
	for seen := 0; seen < candidates; vs.hand = (vs.hand + 1) % len(vs.slots) {
		for v := vs.slots[vs.hand].Load(); v != nil; v = v.next.Load() {
			if seen++; victim == nil || v.marked.Load() < victim.marked.Load() {
				victim = v
			}
		}
		if seen >= vs.count { // fewer than candidates are there
			break
		}
	}
	vs.unlink(victim)
}
