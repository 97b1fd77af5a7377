package apikey

import (
	"crypto/sha256"
	"hash/maphash"
	"iter"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/aichub/lanyard"
)

// verdicts keeps the verdicts on up to limit tokens.
//
// Reading takes no lock: a table that never grows holds chains of verdicts,
// linked by atomic pointers. A reader who meets a change may miss a verdict,
// which costs a read of the store, and finds none that left the table before he
// began.
//
// The place of a token depends on the text that is hashed and a seed of this table, so that
// nobody can have tokens imported that make long chains, and so that the
// processor can fetch a verdict while it still computes the token's SHA-256,
// which alone decides.
type verdicts struct {
	seed  maphash.Seed
	slots []atomic.Pointer[verdict] // a power of two
	shift int

	mu    sync.Mutex // whoever changes the table
	limit int
	count int
	hand  int // where the next victim is looked for

	marks marks
}

func newVerdicts(limit int) *verdicts {
	width := bits.Len(uint(limit + limit/2)) // the table has 1.5 to 3 times limit slots: chains are short
	return &verdicts{
		seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[verdict], 1<<width), shift: 64 - width, limit: limit,
		marks: newMarks(1 << width),
	}
}

// place returns where verdicts on token are, and has the processor fetch them.
func (vs *verdicts) place(token string) uint32 {
	place := uint32(maphash.String(vs.seed, token) >> vs.shift)
	if v := vs.slots[place].Load(); v != nil { // of what an atomic load reads, the compiler drops nothing
		v.next.Load()
		v.marked.Load()
	}
	return place
}

// get returns the verdict on the token with that hash at its place, or nil.
func (vs *verdicts) get(place uint32, hash *[sha256.Size]byte) *verdict {
	for v := vs.slots[place].Load(); v != nil; v = v.next.Load() {
		if v.hash == *hash {
			return v
		}
	}
	return nil
}

// put keeps v in the place of an older verdict on the same token, whose state
// it takes over, and returns what is kept: of two reads the later one. Where the
// table is full, another verdict goes; for one on a key that is no good only
// another such, or it is not kept. left is one that went and whose mark none has
// taken over.
func (vs *verdicts) put(v *verdict) (kept, left *verdict) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if old := vs.get(v.place, &v.hash); old != nil {
		if old.read > v.read {
			return old, nil
		}
		vs.unlink(old)
		left = old
		if old.id == v.id && old.owner == v.owner {
			v.state = old.state
			if old.rotated == v.rotated { // else the next use says that it still is used
				v.marked.Store(max(old.marked.Load(), v.marked.Load()))
				v.from.Store(old.from.Load())
				left = nil
			}
		}
	}
	if v.state == nil {
		v.state = new(keyState)
	}
	if vs.count >= vs.limit {
		victim := vs.victim()
		if v.marked.Load() == noGood && victim.marked.Load() != noGood {
			v.gone.Store(true)
			return v, nil
		}
		vs.unlink(victim)
		left = victim
	}
	slot := &vs.slots[v.place]
	v.next.Store(slot.Load())
	slot.Store(v)
	vs.count++
	return v, left
}

// forget drops the verdict on a token unless it was read after that time, and
// returns it.
func (vs *verdicts) forget(place uint32, hash *[sha256.Size]byte, read int64) (left *verdict) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v := vs.get(place, hash)
	if v == nil || v.read > read {
		return nil
	}
	vs.unlink(v)
	return v
}

func (vs *verdicts) empty() bool {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.count == 0
}

// unlink takes v out of its chain. It keeps its own next, for who is reading it.
func (vs *verdicts) unlink(v *verdict) {
	at := &vs.slots[v.place]
	for w := at.Load(); w != v; w = at.Load() {
		at = &w.next
	}
	at.Store(v.next.Load())
	v.gone.Store(true)
	vs.count--
}

// candidates is among how many verdicts the one goes that was used least
// recently.
const candidates = 8

// victim chooses the verdict to drop. The hand goes once around the table before
// it comes back, so what was read in bulk goes before what is in use.
func (vs *verdicts) victim() (victim *verdict) {
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
	return victim
}

// marked takes the marks of one word of the bitmap: it adds to batch the
// verdicts there may be marks on.
func (vs *verdicts) marked(batch []*verdict, word int) []*verdict {
	vs.marks.take(word, func(slot int) { batch = slices.AppendSeq(batch, vs.from(slot)) })
	return batch
}

// markedOf adds to batch the verdicts on keys of owner that there may be marks
// on, and leaves all marks where they are.
func (vs *verdicts) markedOf(batch []*verdict, word int, owner lanyard.Owner) []*verdict {
	vs.marks.look(word, func(slot int) {
		for v := range vs.from(slot) {
			if v.owner == owner {
				batch = append(batch, v)
			}
		}
	})
	return batch
}

// from are the verdicts that share a bit of the bitmap.
func (vs *verdicts) from(slot int) iter.Seq[*verdict] {
	return func(yield func(*verdict) bool) {
		vs.mu.Lock()
		defer vs.mu.Unlock()
		for i := slot; i < min(slot+slotsPerBit, len(vs.slots)); i++ {
			for v := vs.slots[i].Load(); v != nil; v = v.next.Load() {
				if !yield(v) {
					return
				}
			}
		}
	}
}
