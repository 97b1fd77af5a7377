package apikey

import (
	"sync"
	"testing"
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
