package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/bunstore/migrations"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// A rolling deploy, and one that is taken back: the library of the migration
// before goes on while this one migrates and works beside it.
func TestLibrariesSideBySide(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "lanyard.db")
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)")
		if err != nil {
			t.Fatal(err)
		}
		st := func() migratable {
			st, err := sqlite.Open(t.Context(), path, nil)
			if err != nil {
				t.Fatalf("Open = %v", err)
			}
			return st
		}
		old := newOldLibrary(t, db, goose.DialectSQLite3, migrations.SQLite(), "sqlite")
		old.begin = "BEGIN IMMEDIATE"
		sideBySide(t, old, st)
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		url := newDatabase(t)
		db, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		sideBySide(t, newOldLibrary(t, db, goose.DialectPostgres, migrations.Postgres(), "postgres"), func() migratable {
			st, err := postgres.Open(t.Context(), url, nil)
			if err != nil {
				t.Fatalf("Open = %v", err)
			}
			return st
		})
	})
}

type migratable interface {
	store.Store
	Migrate(ctx context.Context) error
	CheckSchema(ctx context.Context) error
}

func sideBySide(t *testing.T, old *oldLibrary, open func() migratable) {
	t.Helper()
	ctx := t.Context()
	old.run(t)
	st := open()
	t.Cleanup(func() { _ = st.Close() })
	// Too early: this library says what it lacks.
	if err := st.CheckSchema(ctx); !errors.Is(err, bunstore.ErrNotMigrated) {
		t.Errorf("CheckSchema of older tables = %v, want ErrNotMigrated", err)
	}
	if _, err := st.APIKeys(ctx, ana); !errors.Is(err, bunstore.ErrNotMigrated) {
		t.Errorf("APIKeys of older tables = %v, want ErrNotMigrated", err)
	}

	ran, stop := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		one := old.another(t)
		wg.Go(func() {
			for {
				one.run(t)
				select {
				case ran <- struct{}{}:
				case <-stop:
					return
				}
			}
		})
	}
	<-ran
	if err := st.Migrate(ctx); err != nil {
		t.Errorf("Migrate beside an older library = %v", err)
	}
	for i := range 10 {
		k := store.APIKey{ID: fmt.Sprint("new", i), Owner: ana, Hash: randomBytes(store.HashSize), CreatedAt: now}
		if err := st.CreateAPIKey(ctx, k, -1, lanyard.NewEvent(ctx, now, ana, "x", k.ID)); err != nil {
			t.Errorf("CreateAPIKey beside an older library = %v", err)
		}
		if _, err := st.APIKeyByHash(ctx, k.Hash); err != nil {
			t.Errorf("APIKeyByHash beside an older library = %v", err)
		}
		<-ran
	}
	close(stop)
	wg.Wait()
	usesOfBoth(t, old, st)
}

// usesOfBoth has both libraries record uses of the same keys. The older one
// knows the time of the last use alone.
func usesOfBoth(t *testing.T, old *oldLibrary, st store.Store) {
	t.Helper()
	hour := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
	newer := func(n int, from string) func(id string) {
		return func(id string) {
			if err := st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: id, At: hour(n), From: from}}); err != nil {
				t.Errorf("RecordKeyUse = %v", err)
			}
		}
	}
	older := func(n int) func(id string) { return func(id string) { old.use(t, id, hour(n)) } }
	for i, c := range []struct {
		name string
		uses []func(id string)
		want store.KeyUsage
	}{
		{"older alone", []func(string){older(1), older(2)},
			store.KeyUsage{LastUsedAt: hour(2)}},
		{"older first", []func(string){older(1), newer(2, "a")},
			store.KeyUsage{LastUsedAt: hour(2), LastUsedFrom: "a"}},
		{"newer first", []func(string){newer(1, "a"), older(2)},
			store.KeyUsage{FirstUsedAt: hour(1), FirstUsedFrom: "a", LastUsedAt: hour(2)}},
		{"in turn", []func(string){newer(1, "a"), older(2), newer(3, "b"), older(1)},
			store.KeyUsage{FirstUsedAt: hour(1), FirstUsedFrom: "a", LastUsedAt: hour(3), LastUsedFrom: "b"}},
		{"newer late", []func(string){older(2), newer(1, "a")},
			store.KeyUsage{LastUsedAt: hour(2)}},
	} {
		id := fmt.Sprint("new", i)
		for _, use := range c.uses {
			use(id)
		}
		if k, err := st.APIKey(t.Context(), ana, id); err != nil || k.KeyUsage != c.want {
			t.Errorf("%s: KeyUsage = %+v, %v, want %+v", c.name, k.KeyUsage, err, c.want)
		}
	}
}

// oldLibrary is a library of migration 1: the statements that one sent once.
type oldLibrary struct {
	db        *sql.DB
	begin     string
	conn      *sql.Conn
	verify    *sql.Stmt // prepared once, as a library does
	recording []string
}

// newOldLibrary brings a database to migration 1, as that library did.
func newOldLibrary(t *testing.T, db *sql.DB, dialect goose.Dialect, files fs.FS, recording string) *oldLibrary {
	t.Helper()
	t.Cleanup(func() { _ = db.Close() })
	first, err := fs.ReadFile(files, "00001_init.sql")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(dialect, db, fstest.MapFS{"00001_init.sql": {Data: first}},
		goose.WithTableName("lanyard_migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "library1", recording+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	o := &oldLibrary{db: db, begin: "BEGIN", recording: strings.Split(string(text), "\n")}
	return o.another(t)
}

// another is another process with that library.
func (o *oldLibrary) another(t *testing.T) *oldLibrary {
	t.Helper()
	conn, err := o.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &oldLibrary{db: o.db, begin: o.begin, conn: conn, recording: o.recording}
}

// run does all that is written down, for an owner of its own who is erased in
// the end.
func (o *oldLibrary) run(t *testing.T) {
	t.Helper()
	run, hash := lanyard.NewID(), hex.EncodeToString(randomBytes(store.HashSize-1))
	mine := strings.NewReplacer("RUN", run, strings.Repeat("aa", store.HashSize-1), hash)
	method := ""
	for _, line := range o.recording {
		name, comment := strings.CutPrefix(line, "-- ")
		statement, note, statementLine := strings.Cut(mine.Replace(line), "; -- ")
		switch {
		case comment:
			method = name
		case line != "":
			rows, err := o.send(t.Context(), strings.TrimSuffix(statement, ";"), note)
			if want, _ := strconv.Atoi(note); err != nil || statementLine && strings.Contains(line, "RUN") && rows != want {
				t.Errorf("%s of an older library: %d rows, %v, want %s of %s", method, rows, err, note, line)
				return
			}
		}
	}
}

// send runs a statement and returns how many rows it returned or touched.
func (o *oldLibrary) send(ctx context.Context, statement, note string) (int, error) {
	if statement == "BEGIN" {
		statement = o.begin
	}
	var (
		rows *sql.Rows
		err  error
	)
	switch bound, binds := strings.CutPrefix(note, "bind "); {
	case binds:
		hash, err := hex.DecodeString(bound)
		if err != nil {
			return 0, err
		}
		if o.verify == nil {
			if o.verify, err = o.conn.PrepareContext(ctx, statement); err != nil {
				return 0, err
			}
		}
		var found int
		if rows, err = o.verify.QueryContext(ctx, hash); err == nil {
			if found, err = count(rows); found != 1 {
				err = errors.Join(err, errors.New("the key does not verify"))
			}
		}
		return found, err
	case strings.HasPrefix(statement, "SELECT"), strings.Contains(statement, "RETURNING"):
		if rows, err = o.conn.QueryContext(ctx, statement); err != nil {
			return 0, err
		}
		return count(rows)
	}
	result, err := o.conn.ExecContext(ctx, statement)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// recordedUse is when the key of the recording was first used.
const recordedUse = "1773500966000000"

// use records one use of a key, with the statement that is written down.
func (o *oldLibrary) use(t *testing.T, id string, at time.Time) {
	t.Helper()
	for _, line := range o.recording {
		if !strings.HasPrefix(line, `INSERT INTO "lanyard_api_key_usage"`) {
			continue
		}
		statement, _, _ := strings.Cut(strings.NewReplacer("RUN-k", id, recordedUse, fmt.Sprint(at.UnixMicro())).Replace(line), "; -- ")
		if _, err := o.send(t.Context(), statement, ""); err != nil {
			t.Errorf("a use recorded by an older library = %v", err)
		}
		return
	}
}

func count(rows *sql.Rows) (int, error) {
	n := 0
	for rows.Next() {
		n++
	}
	return n, errors.Join(rows.Err(), rows.Close())
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
