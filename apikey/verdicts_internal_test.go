package apikey

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"github.com/aichub/lanyard"
)

// verdictOn is a verdict for the table vs.
func verdictOn(vs *verdicts, key string, read int64) *verdict {
	v := &verdict{hash: sha256.Sum256([]byte(key)), place: vs.place(key), read: read, id: key, owner: lanyard.Owner{Subject: "ana"}}
	v.marked.Store(neverMarked)
	return v
}

// keep puts v into the table and returns what is kept.
func (vs *verdicts) keep(v *verdict) *verdict {
	kept, _ := vs.put(v)
	return kept
}

// Of two reads of one key the later stays, in whichever order they arrive.
func TestOlderReadsDoNotStay(t *testing.T) {
	t.Parallel()
	vs := newVerdicts(10)
	newer, older := verdictOn(vs, "a", 2), verdictOn(vs, "a", 1)
	if got := vs.keep(newer); got != newer {
		t.Errorf("put() of the first = %p, want it", got)
	}
	if got := vs.keep(older); got != newer {
		t.Errorf("put() of an older read = %p, want the newer", got)
	}
	newest := verdictOn(vs, "a", 3)
	if vs.keep(newest); vs.get(newest.place, &newest.hash) != newest || vs.count != 1 {
		t.Errorf("after a newer read get() = %p of %d, want that one alone", vs.get(newest.place, &newest.hash), vs.count)
	}
	if newest.state != newer.state {
		t.Error("what is known of a key's use was lost with an older verdict")
	}
	moved := verdictOn(vs, "a", 4)
	moved.owner.Subject = "bob"
	if vs.keep(moved); moved.state == newest.state {
		t.Error("another owner's key goes on with the state of the first")
	}
}

func TestForgottenWhenUnknown(t *testing.T) {
	t.Parallel()
	vs := newVerdicts(10)
	a := vs.keep(verdictOn(vs, "a", 5))
	if vs.forget(a.place, &a.hash, 4); vs.get(a.place, &a.hash) != a {
		t.Error("a verdict was forgotten for an older read")
	}
	if vs.forget(a.place, &a.hash, 5); vs.get(a.place, &a.hash) != nil || !vs.empty() {
		t.Error("a key that is not there any more is still known")
	}
}

// Readers take no lock: what they find is always what they looked for.
func TestVerdictsUnderLoad(t *testing.T) {
	t.Parallel()
	const keys, limit = 300, 100
	vs := newVerdicts(limit)
	var running sync.WaitGroup
	for worker := range 8 {
		running.Go(func() {
			for i := range 20_000 {
				key := fmt.Sprint((i*7 + worker*13) % keys)
				hash := sha256.Sum256([]byte(key))
				place := vs.place(key)
				switch v := vs.get(place, &hash); {
				case v != nil && v.id != key:
					t.Errorf("get(%s) = the verdict on %s", key, v.id)
					return
				case v == nil || i%3 == 0:
					vs.keep(verdictOn(vs, key, int64(i)))
				case i%100 == 0:
					vs.forget(place, &hash, int64(i))
				}
			}
		})
	}
	running.Wait()
	var linked int
	for i := range vs.slots {
		for v := vs.slots[i].Load(); v != nil; v = v.next.Load() {
			linked++
		}
	}
	if linked != vs.count || linked > limit {
		t.Errorf("%d verdicts are linked and %d counted, want the same and at most %d", linked, vs.count, limit)
	}
}
