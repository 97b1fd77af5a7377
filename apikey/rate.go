package apikey

import (
	"sync/atomic"
	"time"
)

// callRate is how often one key may be used. The zero value is no limit.
type callRate struct {
	every int64 // nanoseconds that one call takes to come back
	depth int64 // of them, how many may be missing for one call more
}

// maxSpan bounds both, so that their sum and the time of a process fit: 36 years.
const maxSpan = 1 << 60

func newCallRate(perSecond float64, burst int) callRate {
	if perSecond <= 0 {
		return callRate{}
	}
	every := min(max(float64(time.Second)/perSecond, 1), maxSpan)
	return callRate{every: int64(every), depth: int64(min(every*float64(max(burst, 1)-1), maxSpan))}
}

// limiter is what a key has spent of its rate, as the time when all of it is back.
// It needs no more than that: the generic cell rate algorithm of ITU-T
// Recommendation I.371.
//
// It lives as long as the verdict on the key, and a key of which that was
// forgotten may be used as often as one that was never used. Only verdicts on keys
// that work can push it out: an unknown token leaves none, and one of a deleted or
// expired key takes the place of no other.
type limiter struct{ full atomic.Int64 }

// spend takes one call from what the key may make.
func (s *Service) spend(v *verdict) error {
	if s.rate.every == 0 {
		return nil
	}
	now := s.watch.now()
	for {
		full := v.state.rate.full.Load()
		missing := max(full-now, 0)
		if missing > s.rate.depth {
			return &RateLimitError{RetryAfter: time.Duration(missing - s.rate.depth)}
		}
		if v.state.rate.full.CompareAndSwap(full, now+missing+s.rate.every) {
			return nil
		}
	}
}
