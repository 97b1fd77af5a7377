// Package postgres keeps lanyard's records in PostgreSQL:
//
//	st, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), nil)
//	if err != nil {
//		return err
//	}
//	defer st.Close()
//	err = st.Migrate(ctx)
//
// Any number of processes may share the database. The tables begin with
// lanyard_ and go to the first schema of the search path; a role that may
// select, insert, update and delete there is enough once they are migrated.
// A connection over a network wants sslmode=verify-full in the URL.
//
// The tables, the errors and the concurrency are those of package bunstore,
// which also works on a pool that a host has already.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
)

// Options configures a [Store]. The zero value is ready to use.
type Options struct {
	// MaxConns bounds the connections to the server. Defaults to 16; negative
	// means no bound.
	MaxConns int

	// Pooled says that a pooler in transaction mode, as PgBouncer's, stands
	// between. Migrate is refused then; it needs a direct connection.
	// Defaults to false.
	Pooled bool

	// TracerProvider defaults to OpenTelemetry's global one.
	TracerProvider trace.TracerProvider
}

// Store is a [store.Store] in PostgreSQL. Make it with [Open].
type Store struct {
	*bunstore.Store
	db *sql.DB
}

var (
	_ store.Store  = (*Store)(nil)
	_ store.Epochs = (*Store)(nil)
)

const (
	defaultMaxConns = 16
	connectTimeout  = 5 * time.Second  // unless the URL says connect_timeout
	connMaxIdle     = 5 * time.Minute  // a quiet process gives its connections back
	connMaxLife     = 30 * time.Minute // so that a failover or new DNS is followed
)

// Open opens the database that url names, in the form of a URL or of
// key=value pairs (PostgreSQL's manual, section 34.1.1), and asks it once. The
// tables are made by Migrate. A database whose tables are beyond this library
// is refused with a [*bunstore.SchemaError], a malformed url with an
// [*lanyard.InputError] that does not repeat it.
func Open(ctx context.Context, url string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, &lanyard.InputError{Field: "url", Code: lanyard.CodeInvalid, Message: "not the URL or the key=value pairs of a PostgreSQL database"}
	}
	// bun writes arguments into the text: a prepared statement for each would
	// be one for each value. Its quoting relies on standard strings.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.RuntimeParams["standard_conforming_strings"] = "on"
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	db := stdlib.OpenDB(*config)
	limit := o.MaxConns
	if limit == 0 {
		limit = defaultMaxConns
	}
	db.SetMaxOpenConns(limit) // negative is no bound here too
	db.SetMaxIdleConns(max(limit, defaultMaxConns))
	db.SetConnMaxIdleTime(connMaxIdle)
	db.SetConnMaxLifetime(connMaxLife)

	core, err := bunstore.New(bun.NewDB(db, pgdialect.New()), &bunstore.Options{Pooled: o.Pooled, TracerProvider: o.TracerProvider})
	if err == nil {
		err = core.CheckSchema(ctx)
	}
	if err != nil && !errors.Is(err, bunstore.ErrNotMigrated) {
		_ = db.Close()
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	return &Store{Store: core, db: db}, nil
}

// Close implements [store.Store].
func (s *Store) Close() error {
	if err := s.Store.Close(); err != nil {
		return err
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("postgres: close: %w", lanyard.ErrUnavailable)
	}
	return nil
}
