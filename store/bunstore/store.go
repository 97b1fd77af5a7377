package bunstore

import (
	"database/sql"
	"sync/atomic"

	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Options configures a [Store]. The zero value is ready to use.
type Options struct {
	// Pooled says that a pooler in transaction mode, as PgBouncer's, stands
	// between: nothing is prepared on a connection then. The driver must not
	// prepare by itself either (pgx: QueryExecModeExec), and Migrate is
	// refused, because its lock needs a direct connection. Defaults to false.
	Pooled bool

	// TracerProvider defaults to OpenTelemetry's global one.
	TracerProvider trace.TracerProvider
}

// Store keeps lanyard's records in a SQL database. See the package
// documentation.
type Store struct {
	db      *bun.DB
	dialect *dialect
	pooled  bool
	tracer  trace.Tracer
	writers chan struct{} // where the database has one writer: holds whose turn it is
	closed  atomic.Bool
	byHash  atomic.Pointer[sql.Stmt] // APIKeyByHash, prepared at its first use
}

var (
	_ store.Store  = (*Store)(nil)
	_ store.Epochs = (*Store)(nil)
)

// New returns a Store on the host's own pool, which it neither configures nor
// closes. It asks the database nothing; a host that does not call Migrate
// calls CheckSchema once. A dialect other than PostgreSQL's or SQLite's is
// refused with an [*lanyard.InputError].
func New(db *bun.DB, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	d, ok := dialectOf(db)
	if !ok {
		return nil, &lanyard.InputError{Field: "db", Code: lanyard.CodeInvalid, Message: "the dialect is neither PostgreSQL nor SQLite"}
	}
	provider := o.TracerProvider
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	s := &Store{
		// A bun.DB of our own on the same pool: no hook of the host's sees our
		// arguments, no resolver sends a read to a replica.
		db:      bun.NewDB(db.DB, d.bun),
		dialect: d,
		pooled:  o.Pooled,
		tracer:  provider.Tracer("github.com/aichub/lanyard/store/bunstore"),
	}
	if d.oneWriter {
		s.writers = make(chan struct{}, 1)
	}
	return s, nil
}

// Close makes later calls answer [lanyard.ErrClosed]. The pool stays open: it
// is the host's.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if stmt := s.byHash.Load(); stmt != nil {
		_ = stmt.Close() // the connections it is prepared on may be gone
	}
	return nil
}
