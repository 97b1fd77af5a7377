package verdicts_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// generations is how many keys an owner may have: those he created and their
// successors by rotation.
const generations = 12

// The states of a key.
const (
	absent  = iota
	live    // also one that was rotated, within its grace
	over    // it was rotated and the grace is over, or it had an end from the beginning
	deleted // for good
)

// lineage is the state of the model: each key of an owner, and which of them
// succeeded it last.
type lineage struct {
	keys [generations]struct {
		state     int
		rotated   bool
		successor int
	}
}

// step is an operation on a lineage: of a service, or "grace ends" and "life
// ends", which happen by themselves.
type step struct {
	process int
	do      string
	key     int // which one
	next    int // the successor of a rotation that succeeded
	grace   time.Duration
	left    time.Duration // of the grace, when the rotation returned
	result  result
}

func (s step) String() string {
	return fmt.Sprintf("process %d: %s key %d -> %s (successor %d, grace %v)", s.process, s.do, s.key, s.result, s.next, s.grace)
}

// model is what a lineage does where nothing is ever late.
//
// A conflict is a refusal that changes nothing, and always allowed: it also
// says that somebody else was faster three times.
var model = porcupine.Model{
	Init: func() any { return lineage{} },
	Step: func(state, input, _ any) (bool, any) {
		l, s := state.(lineage), input.(step)
		k := &l.keys[s.key]
		switch s.do + " " + string(s.result) {
		case "create ok":
			possible := k.state == absent
			k.state = live
			return possible, l
		case "verify ok":
			return k.state == live, state
		case "verify refused":
			return k.state == over || k.state == deleted, state
		case "rotate ok":
			succeeded := k.rotated && l.keys[k.successor].state != deleted
			possible := k.state == live && !succeeded && l.keys[s.next].state == absent
			k.rotated, k.successor = true, s.next
			if s.grace == 0 {
				k.state = over
			}
			l.keys[s.next].state = live
			return possible, l
		case "rotate expired":
			return k.state == over, state
		case "delete ok":
			possible := k.state == live || k.state == over
			k.state = deleted
			return possible, l
		case "rotate not found", "delete not found":
			return k.state == deleted, state
		case "rotate conflict":
			return true, state
		case "grace ends", "life ends":
			possible := k.rotated || s.do == "life" && k.state != absent
			if k.state == live {
				k.state = over
			}
			return possible, l
		}
		return false, state
	},
	DescribeOperation: func(input, _ any) string { return input.(step).String() },
}

// bound widens the operations by what is promised, so that the widened history
// is linearizable exactly if the promise was kept:
//
// A verification that says yes may have been true up to maxStale before it was
// begun, if another process ended the key, or this one is about to; counted from
// the end of the grace, it is less by what was left of that. Where the process
// that verifies had ended the key itself, and had returned from that, nothing is
// widened: there the answer is true now, as it is where a verification says no,
// and in every other call.
//
// Of the verifications of a key it keeps those that say most: the yes that
// begins last and the one that ends first, and the no that ends first. A key is
// live once and never again, so where these have their place the others have
// one too, and the checker need not try all of their orders.
func bound(history []porcupine.Operation, maxStale time.Duration) []porcupine.Operation {
	type tells struct {
		key  int
		what string
	}
	var (
		widened []porcupine.Operation
		most    = make(map[tells]porcupine.Operation)
		keep    = func(what string, op porcupine.Operation, more func(a, b porcupine.Operation) bool) {
			t := tells{op.Input.(step).key, what}
			if than, there := most[t]; !there || more(op, than) {
				most[t] = op
			}
		}
		later   = func(a, b porcupine.Operation) bool { return a.Call > b.Call }
		earlier = func(a, b porcupine.Operation) bool { return a.Return < b.Return }
	)
	for _, op := range history {
		switch s := op.Input.(step); {
		case s.do != "verify":
			widened = append(widened, op)
		case s.result == ok:
			op.Call -= int64(allowance(history, op, maxStale))
			keep("the last yes", op, later)
			keep("the first yes", op, earlier)
		default:
			keep("the first no", op, earlier)
		}
	}
	return slices.AppendSeq(widened, maps.Values(most))
}

// allowance is how much the verification may be behind.
func allowance(history []porcupine.Operation, verification porcupine.Operation, maxStale time.Duration) (allowed time.Duration) {
	v := verification.Input.(step)
	for _, op := range history {
		s := op.Input.(step)
		ends := s.result == ok && s.key == v.key && (s.do == "delete" || s.do == "rotate")
		switch {
		case !ends:
		case s.process == v.process && op.Return < verification.Call:
			if s.left == 0 {
				return 0
			}
		default:
			allowed = max(allowed, maxStale-s.left)
		}
	}
	return allowed
}
