package apikey

import (
	"sync/atomic"
	"time"
)

// stopwatch is the clock by which verdicts and polls are put in order. It only
// goes forward, whatever is done to the clock of the machine.
type stopwatch struct {
	start time.Time
	last  atomic.Int64
}

func newStopwatch() *stopwatch { return &stopwatch{start: time.Now()} }

// now is the present, in nanoseconds since just before the start: never 0.
func (w *stopwatch) now() int64 { return int64(time.Since(w.start)) + 1 }

// next is the present, and later than every earlier answer: of two readers of
// the store the one that asked second can be told also where the clock is too
// coarse for that.
func (w *stopwatch) next() int64 {
	for {
		last := w.last.Load()
		now := max(w.now(), last+1)
		if w.last.CompareAndSwap(last, now) {
			return now
		}
	}
}
