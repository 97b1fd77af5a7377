package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/bunstore/migrations"
	"github.com/aichub/lanyard/store/sqlite"
)

// starters is how many start at once.
const starters = 8

func TestGoroutinesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	path := file(t)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range starters {
		wg.Go(func() {
			<-start
			st, err := sqlite.Open(t.Context(), path, nil)
			if err != nil {
				t.Errorf("Open = %v", err)
				return
			}
			if err := st.Migrate(t.Context()); err != nil {
				t.Errorf("Migrate = %v", err)
			}
			if err := st.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	}
	close(start)
	wg.Wait()
	works(t, path)
}

func TestProcessesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	path := file(t)
	var wg sync.WaitGroup
	for range starters {
		c := child(t, "migrate", path)
		wg.Go(func() {
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("another process: %v: %s", err, out)
			}
		})
	}
	wg.Wait()
	works(t, path)
}

// A process that dies in the middle of a migration leaves nothing of it, and
// no lock.
func TestMigrateAfterACrash(t *testing.T) {
	t.Parallel()
	path := file(t)
	for range 2 {
		err := child(t, "die", path).Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("the other process ended with %v, want a kill", err)
		}
		if got := tables(t, path); strings.Contains(got, "lanyard_epochs") || strings.Contains(got, "lanyard_schema") {
			t.Errorf("half a migration left %s", got)
		}
	}
	works(t, path)
}

// A migration that fails is not recorded, and goes through once what stood in
// its way is gone.
func TestMigrateAfterAFailure(t *testing.T) {
	t.Parallel()
	path := file(t)
	db := raw(t, path)
	execute(t, db, `CREATE TABLE lanyard_events (x)`) // stands near the end of the first migration
	st, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	for range 2 {
		err = st.Migrate(t.Context())
		if !errors.Is(err, lanyard.ErrUnavailable) || !strings.Contains(err.Error(), "migration 1") {
			t.Fatalf("Migrate with a table in its way = %v, want ErrUnavailable for migration 1", err)
		}
		if got, want := tables(t, path), "lanyard_events lanyard_migrations"; got != want {
			t.Errorf("a failed migration left %s, want %s", got, want)
		}
		if needed, err := st.NeedsMigration(t.Context()); !needed || err != nil {
			t.Errorf("NeedsMigration after a failure = %v, %v, want true", needed, err)
		}
	}
	execute(t, db, `DROP TABLE lanyard_events`)
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate with its way clear = %v", err)
	}
	works(t, path)
}

func TestMigrateTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	path := file(t)
	st := open(t, path)
	k := newKey("kept")
	if err := st.CreateAPIKey(t.Context(), k, -1, event(k)); err != nil {
		t.Fatalf("CreateAPIKey = %v", err)
	}
	before := tables(t, path)
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatalf("a second Migrate = %v", err)
	}
	if after := tables(t, path); after != before {
		t.Errorf("a second Migrate left the tables %s, want %s", after, before)
	}
	if _, err := st.APIKey(t.Context(), ana, k.ID); err != nil {
		t.Errorf("APIKey after a second Migrate = %v", err)
	}
}

// A caller that gives up waiting for another's migration is told so, and the
// other's lock is not his.
func TestMigrateWaitsNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	path := file(t)
	st, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	other, err := raw(t, path+"-migrate").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if _, err := other.ExecContext(t.Context(), `BEGIN EXCLUSIVE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = st.Migrate(ctx)
	if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Migrate while another migrates = %v, want ErrUnavailable and DeadlineExceeded", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Migrate took %v, although its caller waited 100ms", took)
	}
	if got := tables(t, path); got != "" {
		t.Errorf("a Migrate that gave up made %s", got)
	}
	if _, err := other.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	works(t, path)
}

// Every table is ours by its name, and what a host keeps beside them, goose's
// table of its own included, stays.
func TestMigrateLeavesTheHostAlone(t *testing.T) {
	t.Parallel()
	path := file(t)
	db := raw(t, path)
	execute(t, db, `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id INTEGER, is_applied INTEGER, tstamp TEXT)`)
	execute(t, db, `INSERT INTO goose_db_version VALUES (1, 0, 1, 'x'), (2, 20260101, 1, 'y')`)
	execute(t, db, `CREATE TABLE api_keys (id TEXT)`)
	works(t, path)
	var n, highest int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*), max(version_id) FROM goose_db_version`).Scan(&n, &highest); err != nil {
		t.Fatal(err)
	}
	if n != 2 || highest != 20260101 {
		t.Errorf("the host's goose table holds %d rows up to %d, want 2 up to 20260101", n, highest)
	}
	for name := range strings.FieldsSeq(tables(t, path)) {
		if name != "goose_db_version" && name != "api_keys" && !strings.HasPrefix(name, "lanyard_") {
			t.Errorf("Migrate made the table %s", name)
		}
	}
}

// Old libraries live on with newer tables, until a change comes that they
// cannot live with.
func TestOpenHoldsTheOldestReader(t *testing.T) {
	t.Parallel()
	path := file(t)
	works(t, path)
	db := raw(t, path)

	execute(t, db, `INSERT INTO lanyard_schema (version, min_reader) VALUES (7, 1)`)
	st, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatalf("Open of newer tables that we can read = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Errorf("Migrate of newer tables = %v", err)
	}
	k := newKey("new")
	if err := st.CreateAPIKey(t.Context(), k, -1, event(k)); err != nil {
		t.Errorf("CreateAPIKey on newer tables = %v", err)
	}

	execute(t, db, `INSERT INTO lanyard_schema (version, min_reader) VALUES (8, 8)`)
	_, err = sqlite.Open(t.Context(), path, nil)
	var schema *bunstore.SchemaError
	if !errors.As(err, &schema) || schema.MinReader != 8 || schema.Library != 3 {
		t.Errorf("Open of tables beyond us = %v, want a SchemaError with 8 and 3", err)
	}
	if !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Open of tables beyond us = %v, want ErrUnavailable", err)
	}
	if _, err := st.APIKeyByHash(t.Context(), k.Hash); err != nil {
		t.Errorf("APIKeyByHash of who opened it before = %v", err)
	}
	k.DeletedAt = now
	if err := st.DeleteAPIKey(t.Context(), k, event(k)); err != nil {
		t.Errorf("DeleteAPIKey of who opened it before = %v", err)
	}
	// A later migration that asks for less takes nothing back.
	execute(t, db, `INSERT INTO lanyard_schema (version, min_reader) VALUES (9, 1)`)
	if _, err := sqlite.Open(t.Context(), path, nil); !errors.As(err, &schema) {
		t.Errorf("Open after a later migration = %v, want a SchemaError still", err)
	}
}

// A host may run the files with a tool of its own.
func TestMigrationsAsFiles(t *testing.T) {
	t.Parallel()
	path := file(t)
	db := raw(t, path)
	names, err := fs.Glob(migrations.SQLite(), "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("the files are %v, %v", names, err)
	}
	for _, name := range names { // in order: the names begin with their number
		text, err := fs.ReadFile(migrations.SQLite(), name)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, db, string(text))
	}
	st, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if needed, err := st.NeedsMigration(t.Context()); needed || err != nil {
		t.Errorf("NeedsMigration = %v, %v, want false", needed, err)
	}
	works(t, path)
}

func TestBeforeMigrate(t *testing.T) {
	t.Parallel()
	st, err := sqlite.Open(t.Context(), file(t), nil)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	_, err = st.APIKeys(t.Context(), ana)
	if !errors.Is(err, bunstore.ErrNotMigrated) || !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("APIKeys before Migrate = %v, want ErrNotMigrated", err)
	}
	_, err = st.APIKeyByHash(t.Context(), newKey("k").Hash)
	if !errors.Is(err, bunstore.ErrNotMigrated) {
		t.Errorf("APIKeyByHash before Migrate = %v, want ErrNotMigrated", err)
	}
}

// works opens and migrates the file and uses what is there then.
func works(t *testing.T, path string) {
	t.Helper()
	st := open(t, path)
	k := newKey(lanyard.NewID())
	if err := st.CreateAPIKey(t.Context(), k, -1, event(k)); err != nil {
		t.Errorf("CreateAPIKey = %v", err)
	}
	if _, err := st.APIKeyByHash(t.Context(), k.Hash); err != nil {
		t.Errorf("APIKeyByHash = %v", err)
	}
	if _, err := st.Epochs(t.Context()); err != nil {
		t.Errorf("Epochs = %v", err)
	}
	var recorded int
	err := raw(t, path).QueryRowContext(t.Context(), `SELECT count(*) FROM lanyard_schema WHERE version = 1`).Scan(&recorded)
	if err != nil || recorded != 1 {
		t.Errorf("migration 1 is recorded %d times, %v, want once", recorded, err)
	}
}

// tables names the tables in the file.
func tables(t *testing.T, path string) string {
	t.Helper()
	var names sql.NullString
	err := raw(t, path).QueryRowContext(t.Context(), `SELECT group_concat(name, ' ') FROM
		(SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name)`).Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names.String
}

// raw opens the file beside any store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
