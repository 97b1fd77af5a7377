package postgres_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/storetest"
)

func TestMain(m *testing.M) {
	if does, ok := children[os.Getenv(childVariable)]; ok {
		if err := does(context.Background(), os.Getenv(urlVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
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

// A host's pool may ask for stricter transactions than ours need.
func TestSharedSerializable(t *testing.T) {
	t.Parallel()
	needServer(t)
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		url := with(t, migrated(t), "default_transaction_isolation", "serializable")
		return open(t, url, nil), open(t, url, nil)
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
