package postgres_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/postgres"
)

// serverVariable names a server where databases may be created, by a URL.
const serverVariable = "LANYARD_TEST_POSTGRES"

// template makes, once, a migrated database that the others are copied from,
// and returns its name.
var template = sync.OnceValues(func() (string, error) {
	ctx := context.Background()
	name, err := create(ctx, "")
	if err != nil {
		return "", err
	}
	st, err := postgres.Open(ctx, urlOf(name), nil)
	if err != nil {
		return name, err
	}
	if err := st.Migrate(ctx); err != nil {
		return name, err
	}
	return name, st.Close() // a database in use cannot be copied
})

// databases are those that exist, the template among them.
var databases sync.Map

// migrated returns the URL of a new database with lanyard's tables.
func migrated(t testing.TB) string {
	t.Helper()
	needServer(t)
	from, err := template()
	if err != nil {
		t.Fatalf("make a template database: %v", err)
	}
	return database(t, from)
}

// empty returns the URL of a new database without tables.
func empty(t testing.TB) string {
	t.Helper()
	needServer(t)
	return database(t, "")
}

func needServer(t testing.TB) {
	t.Helper()
	if os.Getenv(serverVariable) == "" {
		t.Skipf("needs PostgreSQL: run it under `scripts/postgres run`, or let %s name a server", serverVariable)
	}
}

func database(t testing.TB, from string) string {
	t.Helper()
	name, err := create(t.Context(), from)
	if err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := drop(context.WithoutCancel(t.Context()), name); err != nil {
			t.Errorf("drop a database: %v", err)
		}
	})
	return urlOf(name)
}

func create(ctx context.Context, from string) (string, error) {
	if from == "" {
		from = "template0"
	}
	name := "lanyard_test_" + lanyard.NewID()
	// Copying files takes a fifth of the time of writing them to the log. The
	// choice came with PostgreSQL 15.
	err := atServer(ctx, `CREATE DATABASE `+name+` TEMPLATE `+from+` STRATEGY FILE_COPY`)
	if err == nil {
		databases.Store(name, true)
	}
	return name, err
}

func drop(ctx context.Context, name string) error {
	err := atServer(ctx, `DROP DATABASE `+name+` WITH (FORCE)`)
	if err == nil {
		databases.Delete(name)
	}
	return err
}

// dropAll removes what is left when all tests are done.
func dropAll() {
	databases.Range(func(name, _ any) bool {
		_ = drop(context.Background(), name.(string))
		return true
	})
}

func atServer(ctx context.Context, statement string) error {
	db, err := sql.Open("pgx", os.Getenv(serverVariable))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// urlOf names another database of the server.
func urlOf(name string) string {
	u, err := url.Parse(os.Getenv(serverVariable))
	if err != nil {
		return "" // which Open refuses
	}
	u.Path = "/" + name
	return u.String()
}

// with returns a URL with one more parameter.
func with(t testing.TB, database, key, value string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// pool opens the database that a URL names, beside any store.
func pool(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// open returns a store on a database, closed when the test ends.
func open(t testing.TB, url string, o *postgres.Options) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(t.Context(), url, o)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// onPool returns a store on a host's own pool.
func onPool(t testing.TB, db *sql.DB, o *bunstore.Options) *bunstore.Store {
	t.Helper()
	st, err := bunstore.New(bun.NewDB(db, pgdialect.New()), o)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}
