package memory_test

import (
	"testing"

	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store { return memory.New() })
}
