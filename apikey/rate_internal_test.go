package apikey

import (
	"math"
	"sync"
	"testing"
	"time"
)

// Of calls that race each one is counted.
func TestRateAtOnce(t *testing.T) {
	t.Parallel()
	const callers, calls = 4, 200_000
	s := &Service{rate: newCallRate(0.01, callers*calls), watch: newStopwatch()}
	v := &verdict{state: new(keyState)}
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			<-begin
			for range calls {
				if err := s.spend(v); err != nil {
					t.Errorf("a call within the burst = %v, want nil", err)
					return
				}
			}
		})
	}
	close(begin)
	wg.Wait()
	if s.spend(v) == nil {
		t.Error("a call beyond the burst = nil, want a RateLimitError")
	}
}

// The largest rate refuses no two calls that come at once.
func TestLargestRate(t *testing.T) {
	t.Parallel()
	opt, err := (&Options{Rate: math.MaxFloat64}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if r := newCallRate(opt.Rate, opt.Burst); r.depth < int64(time.Second) {
		t.Errorf("newCallRate(%g, %d) allows %d ns of calls at once, want a second", opt.Rate, opt.Burst, r.depth)
	}
}
