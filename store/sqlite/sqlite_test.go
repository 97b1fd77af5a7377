package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/sqlite"
	"github.com/aichub/lanyard/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, migrated(t)) })
}

// Two handles on one file behave as one store.
func TestShared(t *testing.T) {
	t.Parallel()
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		path := migrated(t)
		return open(t, path), open(t, path)
	})
}

// file names a database that does not exist yet.
func file(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "lanyard.db")
}

// template makes, once, the content of a migrated database.
var template = sync.OnceValues(func() ([]byte, error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "lanyard")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "lanyard.db")
	st, err := sqlite.Open(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(st.Migrate(ctx), st.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // all of it: the last to close moves the log into it
})

// migrated names a new database with lanyard's tables.
func migrated(t *testing.T) string {
	t.Helper()
	content, err := template()
	if err != nil {
		t.Fatalf("make a template database: %v", err)
	}
	path := file(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open returns a migrated store, closed when the test ends.
func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate = %v", err)
	}
	return st
}
