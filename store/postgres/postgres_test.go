package postgres_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		dropAll()
		os.Exit(code)
	}))
}

func TestStore(t *testing.T) {
	t.Parallel()
	needServer(t)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, migrated(t), nil) })
}

// With a pooler in transaction mode between, nothing may be kept on a
// connection from one transaction to the next.
func TestStorePooled(t *testing.T) {
	t.Parallel()
	needServer(t)
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, migrated(t), &postgres.Options{Pooled: true})
	})
}

// Two handles on one database behave as one store.
func TestShared(t *testing.T) {
	t.Parallel()
	needServer(t)
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		url := migrated(t)
		return open(t, url, nil), open(t, url, nil)
	})
}
