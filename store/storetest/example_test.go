package storetest_test

import (
	"testing"

	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/storetest"
)

// In the test of a store of your own.
func ExampleRun() {
	_ = func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(*testing.T) store.Store { return memory.New() })
	}
}
