package postgres_test

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

	"github.com/pressly/goose/v3"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/bunstore/migrations"
	"github.com/aichub/lanyard/store/postgres"
)

// starters is how many start at once.
const starters = 8

func TestGoroutinesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := empty(t)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range starters {
		wg.Go(func() {
			<-start
			st, err := postgres.Open(t.Context(), url, nil)
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
	works(t, url)
}

func TestProcessesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := empty(t)
	var wg sync.WaitGroup
	for range starters {
		c := child(t, "migrate", url)
		wg.Go(func() {
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("another process: %v: %s", err, out)
			}
		})
	}
	wg.Wait()
	works(t, url)
}

// A process that dies in the middle of a migration leaves nothing of it, and
// no lock.
func TestMigrateAfterACrash(t *testing.T) {
	t.Parallel()
	url := empty(t)
	for _, at := range []string{
		"CREATE TABLE lanyard_migrations", "CREATE TABLE lanyard_schema", "INSERT INTO lanyard_epochs",
		"CREATE TABLE lanyard_api_keys", "INSERT INTO lanyard_schema", "INSERT INTO lanyard_migrations",
	} {
		c := child(t, "die", url)
		c.Env = append(c.Env, dieVariable+"="+at)
		out, err := c.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("the process that was to die at %q ended with %v: %s", at, err, out)
		}
		if got := strings.TrimPrefix(tables(t, pool(t, url)), "lanyard_migrations"); got != "" {
			t.Errorf("a death at %q left %s", at, got)
		}
	}
	works(t, url)
}

// A migration that fails is not recorded, and goes through once what stood in
// its way is gone.
func TestMigrateAfterAFailure(t *testing.T) {
	t.Parallel()
	url := empty(t)
	db := pool(t, url)
	execute(t, db, `CREATE TABLE lanyard_events (x int)`) // stands near the end of the first migration
	st := open(t, url, nil)
	for range 2 {
		err := st.Migrate(t.Context())
		if !errors.Is(err, lanyard.ErrUnavailable) || !strings.Contains(err.Error(), "migration 1") {
			t.Fatalf("Migrate with a table in its way = %v, want ErrUnavailable for migration 1", err)
		}
		if got, want := tables(t, db), "lanyard_events lanyard_migrations"; got != want {
			t.Errorf("a failed migration left %s, want %s", got, want)
		}
		if needed, err := st.NeedsMigration(t.Context()); !needed || err != nil {
			t.Errorf("NeedsMigration after a failure = %v, %v, want true", needed, err)
		}
	}
	var locks int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&locks); err != nil || locks != 0 {
		t.Errorf("a failed migration left %d locks, %v", locks, err)
	}
	execute(t, db, `DROP TABLE lanyard_events`)
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate with its way clear = %v", err)
	}
	works(t, url)
}

// A caller that gives up waiting for another's migration is told so.
func TestMigrateWaitsNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	url := empty(t)
	conn, err := pool(t, url).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// "lanyard" as bytes, big-endian.
	if _, err := conn.ExecContext(t.Context(), `SELECT pg_advisory_lock(30506424595477092)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = open(t, url, nil).Migrate(ctx)
	if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Migrate while another migrates = %v, want ErrUnavailable and DeadlineExceeded", err)
	}
}

// A transaction that reads for long, as a backup does, keeps a migration waiting
// and nobody else: verification goes on, and the migration goes through in the end.
func TestMigrateBesideALongReader(t *testing.T) {
	t.Parallel()
	url := empty(t)
	db := pool(t, url)
	old, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres(),
		goose.WithTableName("lanyard_migrations"), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	reader, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback() }()
	var n int
	if err := reader.QueryRowContext(t.Context(), `SELECT count(*) FROM lanyard_api_keys`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	st, migrated := open(t, url, nil), make(chan error, 1)
	go func() { migrated <- st.Migrate(t.Context()) }()

	// Others read while the reader does, for longer than they may wait.
	var longest time.Duration
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		asked := time.Now()
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM lanyard_api_keys AS k JOIN lanyard_epochs AS e ON e.shard = k.shard`).Scan(&n)
		cancel()
		if err != nil {
			t.Fatalf("a verification beside a migration that waits = %v after %v", err, time.Since(asked))
		}
		longest = max(longest, time.Since(asked))
		<-time.After(10 * time.Millisecond)
	}
	if longest < time.Second {
		t.Errorf("the longest verification took %v: the migration did not wait beside it", longest)
	}
	select {
	case err := <-migrated:
		t.Fatalf("Migrate beside the reader = %v, want that it waits", err)
	default:
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Errorf("Migrate after the reader = %v", err)
	}
	works(t, url)
}

// Every table is ours by its name, and what a host keeps beside them, goose's
// table of its own included, stays.
func TestMigrateLeavesTheHostAlone(t *testing.T) {
	t.Parallel()
	url := empty(t)
	db := pool(t, url)
	execute(t, db, `CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint, is_applied boolean, tstamp timestamp)`)
	execute(t, db, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (20260101, true)`)
	execute(t, db, `CREATE TABLE api_keys (id text)`)
	works(t, url)
	open(t, url, nil) // and again
	var n, highest int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*), max(version_id) FROM goose_db_version`).Scan(&n, &highest); err != nil {
		t.Fatal(err)
	}
	if n != 2 || highest != 20260101 {
		t.Errorf("the host's goose table holds %d rows up to %d, want 2 up to 20260101", n, highest)
	}
	for name := range strings.FieldsSeq(tables(t, db)) {
		if name != "goose_db_version" && name != "api_keys" && !strings.HasPrefix(name, "lanyard_") {
			t.Errorf("Migrate made the table %s", name)
		}
	}
}

// The tables go where the search path says, and are found there.
func TestMigrateIntoASchema(t *testing.T) {
	t.Parallel()
	url := empty(t)
	db := pool(t, url)
	execute(t, db, `CREATE SCHEMA ours`)
	works(t, with(t, url, "search_path", "ours"))
	if got := tables(t, db); got != "" {
		t.Errorf("outside the schema there are %s", got)
	}
	// The same database, another schema: another store.
	works(t, url)
}

// Old libraries live on with newer tables, until a change comes that they
// cannot live with.
func TestOpenHoldsTheOldestReader(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	db := pool(t, url)
	execute(t, db, `INSERT INTO lanyard_schema (version, min_reader) VALUES (7, 1)`)
	st := open(t, url, nil)
	if err := st.Migrate(t.Context()); err != nil {
		t.Errorf("Migrate of newer tables = %v", err)
	}
	works(t, url)
	k := newKey("k")
	if err := st.CreateAPIKey(t.Context(), k, -1, event(k)); err != nil {
		t.Errorf("CreateAPIKey on newer tables = %v", err)
	}

	execute(t, db, `INSERT INTO lanyard_schema (version, min_reader) VALUES (8, 8)`)
	_, err := postgres.Open(t.Context(), url, nil)
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
}

// A host may run the files with a tool of its own.
func TestMigrationsAsFiles(t *testing.T) {
	t.Parallel()
	url := empty(t)
	db := pool(t, url)
	names, err := fs.Glob(migrations.Postgres(), "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("the files are %v, %v", names, err)
	}
	for _, name := range names { // in order: the names begin with their number
		text, err := fs.ReadFile(migrations.Postgres(), name)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, db, string(text))
	}
	works(t, url)
}

// A role that reads and writes rows is enough once the tables are there.
func TestNarrowRole(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	db := pool(t, url)
	role := "lanyard_test_" + lanyard.NewID()
	execute(t, db, `CREATE ROLE `+role+` LOGIN`)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := db.ExecContext(ctx, `DROP OWNED BY `+role)
		if err == nil {
			_, err = db.ExecContext(ctx, `DROP ROLE `+role)
		}
		if err != nil {
			t.Errorf("drop the role: %v", err)
		}
	})
	execute(t, db, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO `+role)
	as := pool(t, url)
	as.SetMaxOpenConns(1)
	execute(t, as, `SET ROLE `+role)
	host := onPool(t, as, nil)
	if err := host.Migrate(t.Context()); err != nil {
		t.Errorf("Migrate with nothing to do = %v", err)
	}
	k := newKey("k")
	if err := host.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Errorf("CreateAPIKey = %v", err)
	}
	if _, err := host.APIKeyByHash(t.Context(), k.Hash); err != nil {
		t.Errorf("APIKeyByHash = %v", err)
	}
}

func TestBeforeMigrate(t *testing.T) {
	t.Parallel()
	st := open(t, empty(t), nil)
	_, err := st.APIKeys(t.Context(), ana)
	if !errors.Is(err, bunstore.ErrNotMigrated) || !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("APIKeys before Migrate = %v, want ErrNotMigrated", err)
	}
	_, err = st.APIKeyByHash(t.Context(), newKey("k").Hash)
	if !errors.Is(err, bunstore.ErrNotMigrated) {
		t.Errorf("APIKeyByHash before Migrate = %v, want ErrNotMigrated", err)
	}
}

// Keys compare byte for byte, whatever the database's collation is.
func TestKeysCompareByteForByte(t *testing.T) {
	t.Parallel()
	db := pool(t, migrated(t))
	rows, err := db.QueryContext(t.Context(), `
		SELECT c.table_name, c.column_name, coalesce(c.collation_name, '')
		FROM information_schema.columns c
		JOIN information_schema.table_constraints tc ON tc.table_name = c.table_name
		JOIN information_schema.key_column_usage k
			ON k.constraint_name = tc.constraint_name AND k.table_name = c.table_name AND k.column_name = c.column_name
		WHERE c.table_name LIKE 'lanyard\_%' AND c.table_name <> 'lanyard_migrations' AND c.data_type = 'text'
		UNION
		SELECT table_name, column_name, coalesce(collation_name, '') FROM information_schema.columns
		WHERE table_name LIKE 'lanyard\_%' AND table_name <> 'lanyard_migrations' AND column_name IN ('id', 'tenant', 'subject', 'dedupe_key', 'rotated_from')`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for ; rows.Next(); n++ {
		var table, column, collation string
		if err := rows.Scan(&table, &column, &collation); err != nil {
			t.Fatal(err)
		}
		if collation != "C" {
			t.Errorf("%s.%s has the collation %q, want C", table, column, collation)
		}
	}
	if err := rows.Err(); err != nil || n < 15 {
		t.Errorf("saw %d key columns, %v", n, err)
	}
}

// works opens and migrates the database and uses what is there then.
func works(t *testing.T, url string) {
	t.Helper()
	st := open(t, url, nil)
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate = %v", err)
	}
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
	err := pool(t, url).QueryRowContext(t.Context(), `SELECT count(*) FROM lanyard_schema WHERE version = 1`).Scan(&recorded)
	if err != nil || recorded != 1 {
		t.Errorf("migration 1 is recorded %d times, %v, want once", recorded, err)
	}
}

// tables names the tables of the public schema.
func tables(t *testing.T, db *sql.DB) string {
	t.Helper()
	var names sql.NullString
	err := db.QueryRowContext(t.Context(), `SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'`).Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names.String
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
