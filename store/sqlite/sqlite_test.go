package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/sqlite"
	"github.com/aichub/lanyard/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, file(t)) })
}

// Two handles on one file behave as one store.
func TestShared(t *testing.T) {
	t.Parallel()
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		path := file(t)
		return open(t, path), open(t, path)
	})
}

// file names a database that does not exist yet.
func file(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "lanyard.db")
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
