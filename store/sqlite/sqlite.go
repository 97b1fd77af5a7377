// Package sqlite keeps lanyard's records in one SQLite file, in pure Go:
//
//	st, err := sqlite.Open(ctx, "lanyard.db", nil)
//	if err != nil {
//		return err
//	}
//	defer st.Close()
//	err = st.Migrate(ctx)
//
// Several processes of one machine may share the file; not over a network file
// system, whose locks SQLite cannot rely on. Readers do not wait for a writer.
// Beside the file stand those of its write-ahead log, FILE-wal and FILE-shm,
// which belong to it while a process is alive, and FILE-migrate, which is empty
// and only ever locked. A backup is made with SQLite's own means, as VACUUM
// INTO; a plain copy of the file alone lacks what the log still holds.
//
// The tables, the errors and the concurrency are those of package bunstore.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"go.opentelemetry.io/otel/trace"
	driver "modernc.org/sqlite"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
)

const (
	// maxConns bounds the connections of one Store, each with a cache of its
	// own. One of them writes; the others read meanwhile.
	maxConns = 8

	// busyTimeout is how long a statement waits for another process's write.
	busyTimeout = 5 * time.Second

	// migrateTimeout is how long Migrate waits for another process's.
	migrateTimeout = 5 * time.Minute
)

// Options configures a [Store]. The zero value is ready to use.
type Options struct {
	// TracerProvider defaults to OpenTelemetry's global one.
	TracerProvider trace.TracerProvider
}

// Store is a [store.Store] in a SQLite file. Make it with [Open].
type Store struct {
	*bunstore.Store
	db   *sql.DB
	path string
}

var (
	_ store.Store  = (*Store)(nil)
	_ store.Epochs = (*Store)(nil)
)

// Open opens the file at path, which may hold any character but NUL, and
// creates it, readable by its owner only, where there is none. The tables are
// made by Migrate. A file whose tables are beyond this library is refused with
// a [*bunstore.SchemaError]; an in-memory database and an empty path are with
// an [*lanyard.InputError]: package memory is the store without a file.
func Open(ctx context.Context, path string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	if path == "" || strings.Contains(path, ":memory:") || strings.ContainsRune(path, 0) {
		return nil, &lanyard.InputError{Field: "path", Code: lanyard.CodeInvalid, Message: "the path must name a file; for a store without one use package memory"}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	if err := create(path); err != nil {
		return nil, err
	}
	db, err := pool(path, "immediate", busyTimeout, "foreign_keys(1)", "journal_mode(WAL)", "synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	core, err := bunstore.New(bun.NewDB(db, sqlitedialect.New()), &bunstore.Options{TracerProvider: o.TracerProvider})
	if err == nil {
		err = core.CheckSchema(ctx)
	}
	if err != nil && !errors.Is(err, bunstore.ErrNotMigrated) {
		_ = db.Close()
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	return &Store{Store: core, db: db, path: path}, nil
}

// Migrate brings the tables to what this library knows. Any number of
// processes may call it at once: one works, the others wait for it, and where
// it dies its lock dies with it.
func (s *Store) Migrate(ctx context.Context) error {
	needed, err := s.NeedsMigration(ctx)
	if err != nil || !needed {
		return err
	}
	unlock, err := lock(ctx, s.path+"-migrate")
	if err != nil {
		return err
	}
	defer unlock()
	return s.Store.Migrate(ctx)
}

// Close implements [store.Store].
func (s *Store) Close() error {
	if err := s.Store.Close(); err != nil {
		return err
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("sqlite: close: %w", lanyard.ErrUnavailable)
	}
	return nil
}

// lock holds the SQLite lock of a file beside the database, so that goose can
// write to the database meanwhile.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := create(path); err != nil {
		return nil, err
	}
	db, err := pool(path, "exclusive", migrateTimeout)
	if err != nil {
		return nil, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		_ = db.Close()
		return nil, errors.Join(fmt.Errorf("sqlite: wait for another migration: %w", lanyard.ErrUnavailable), ctx.Err())
	}
	return func() {
		_ = tx.Rollback()
		_ = db.Close()
	}, nil
}

// create makes the file where there is none, before SQLite would with the
// permissions of the umask. SQLite gives the files of the log the same ones.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // and not opened: closing it again would drop the locks this process has on it
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) { // the path is not repeated: it may be meant for another database, with a password
			err = at.Err
		}
		return fmt.Errorf("sqlite: create: %w: %w", lanyard.ErrUnavailable, err)
	}
	return nil
}

// pool opens the file at path, an absolute one, with what each connection is
// told first.
func pool(path, txlock string, timeout time.Duration, pragmas ...string) (*sql.DB, error) {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // a drive letter: file:///C:/lanyard.db
		path = "/" + path
	}
	q := url.Values{"_txlock": {txlock}, "_busy_timeout": {fmt.Sprint(timeout.Milliseconds())}, "_pragma": pragmas}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	connector, err := driver.NewConnector(dsn.String())
	if err != nil {
		return nil, &lanyard.InputError{Field: "path", Code: lanyard.CodeInvalid, Message: "the path cannot be written as a SQLite URI"}
	}
	return sql.OpenDB(connector), nil
}
