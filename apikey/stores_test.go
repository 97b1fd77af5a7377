package apikey_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// forStores runs test over every store that is there. open returns the same
// data each time, as another process has it.
func forStores(t *testing.T, test func(t *testing.T, open func() store.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		st := memory.New()
		test(t, func() store.Store { return st })
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "lanyard.db")
		test(t, func() store.Store {
			st, err := sqlite.Open(t.Context(), path, nil)
			if err == nil {
				err = st.Migrate(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = st.Close() })
			return st
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := os.Getenv("LANYARD_TEST_POSTGRES")
		if server == "" {
			t.Skip("needs PostgreSQL: run it under `scripts/postgres run`")
		}
		database := newSchema(t, server)
		test(t, func() store.Store {
			st, err := postgres.Open(t.Context(), database, nil)
			if err == nil {
				err = st.Migrate(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = st.Close() })
			return st
		})
	})
}

// forDatabases runs test over every store that is there and whose tables others
// can write: exec is one who does.
func forDatabases(t *testing.T, test func(t *testing.T, st store.Store, exec func(statement string))) {
	t.Helper()
	run := func(t *testing.T, st store.Store, driver, database string) {
		t.Cleanup(func() { _ = st.Close() })
		db, err := sql.Open(driver, database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		test(t, st, func(statement string) {
			t.Helper()
			res, err := db.ExecContext(t.Context(), statement)
			if err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
			if n, err := res.RowsAffected(); n != 1 || err != nil {
				t.Fatalf("%s changed %d rows (%v), want one", statement, n, err)
			}
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "lanyard.db")
		st, err := sqlite.Open(t.Context(), path, nil)
		if err == nil {
			err = st.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		run(t, st, "sqlite", path+"?_pragma=busy_timeout(10000)")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := os.Getenv("LANYARD_TEST_POSTGRES")
		if server == "" {
			t.Skip("needs PostgreSQL: run it under `scripts/postgres run`")
		}
		database := newSchema(t, server)
		st, err := postgres.Open(t.Context(), database, nil)
		if err == nil {
			err = st.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		run(t, st, "pgx", database)
	})
}

// newSchema returns the URL of a schema of its own.
func newSchema(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	schema := "lanyard_keys_" + lanyard.NewID()
	admin, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.Background(), `DROP SCHEMA `+schema+` CASCADE`)
		_ = admin.Close()
		if err != nil {
			t.Errorf("drop %s: %v", schema, err)
		}
	})
	if _, err := admin.ExecContext(t.Context(), `CREATE SCHEMA `+schema); err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// historyOf returns an owner's events of that action, newest first.
func historyOf(t testing.TB, st store.Events, owner lanyard.Owner, action string) []lanyard.Event {
	t.Helper()
	events, err := st.Events(t.Context(), owner, store.EventCursor{}, 100_000)
	if err != nil {
		t.Fatalf("Events() = %v", err)
	}
	var found []lanyard.Event
	for _, e := range events {
		if e.Action == action {
			found = append(found, e)
		}
	}
	return found
}
