package once_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aichub/lanyard/internal/once"
)

func ExampleFacts() {
	var told once.Facts[string]
	fmt.Println(told.Claim("k1 was used"), told.Claim("k1 was used"))
	told.Release("k1 was used") // the history did not take it
	fmt.Println(told.Claim("k1 was used"))
	// Output:
	// true false
	// true
}

func TestClaimAtOnce(t *testing.T) {
	t.Parallel()
	var (
		told once.Facts[int]
		won  atomic.Int32
		wg   sync.WaitGroup
	)
	for range 50 {
		wg.Go(func() {
			if told.Claim(1) {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || !told.Has(1) || told.Has(2) {
		t.Errorf("%d callers claimed one fact, and Has() of it is %t, of another %t; want 1, true, false", won.Load(), told.Has(1), told.Has(2))
	}
}
