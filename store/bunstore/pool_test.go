package bunstore_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
)

var (
	ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
)

// statement is what a pool was asked: text, or BEGIN, COMMIT, ROLLBACK, and
// how many arguments came with it.
type statement struct {
	text     string
	args     int
	prepared bool // the text was prepared, not run
}

// pool is a SQLite pool that writes down what it is asked and fails where it
// is told to.
type pool struct {
	driver.Connector

	mu   sync.Mutex
	log  []statement
	fail func(text string) (before, after error)
}

// newPool returns a pool on a new file and a store on that pool, migrated.
func newPool(t *testing.T, o *bunstore.Options) (*pool, *bunstore.Store) {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "lanyard.db") + "?_txlock=immediate&_busy_timeout=5000&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)"
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &pool{Connector: c}
	db := sql.OpenDB(p)
	t.Cleanup(func() { _ = db.Close() })
	st, err := bunstore.New(bun.NewDB(db, sqlitedialect.New()), o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	direct, err := bunstore.New(bun.NewDB(db, sqlitedialect.New()), nil)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := direct.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate: %v", err)
	}
	p.taken()
	return p, st
}

// taken returns what was asked since it was last called.
func (p *pool) taken() []statement {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := p.log
	p.log = nil
	return log
}

// failOn makes statements fail: before they run, or after, with their answer
// lost on the way back.
func (p *pool) failOn(fail func(text string) (before, after error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = fail
}

// ask notes a statement, runs it unless it is to fail, and may lose its answer.
func (p *pool) ask(s statement, run func() error) error {
	p.mu.Lock()
	p.log = append(p.log, s)
	var before, after error
	if p.fail != nil {
		before, after = p.fail(s.text)
	}
	p.mu.Unlock()
	if before != nil {
		return before
	}
	if err := run(); err != nil {
		return err
	}
	return after
}

func (p *pool) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, pool: p}, nil
}

type conn struct {
	driver.Conn
	pool *pool
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.pool.ask(statement{text: query, args: len(args)}, func() (err error) {
		res, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.pool.ask(statement{text: query, args: len(args)}, func() (err error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

func (c *conn) PrepareContext(ctx context.Context, query string) (stmt driver.Stmt, err error) {
	err = c.pool.ask(statement{text: query, prepared: true}, func() (err error) {
		stmt, err = c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		return err
	})
	return stmt, err
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (t driver.Tx, err error) {
	err = c.pool.ask(statement{text: "BEGIN"}, func() (err error) {
		t, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &tx{Tx: t, pool: c.pool}, nil
}

type tx struct {
	driver.Tx
	pool *pool
}

func (t *tx) Commit() error {
	err := t.pool.ask(statement{text: "COMMIT"}, t.Tx.Commit)
	if err != nil {
		_ = t.Tx.Rollback() // what a server does with a connection that is gone
	}
	return err
}

func (t *tx) Rollback() error {
	return t.pool.ask(statement{text: "ROLLBACK"}, t.Tx.Rollback)
}

// newKey returns a key of ana's.
func newKey(id string) store.APIKey {
	hash := sha256.Sum256([]byte(id))
	return store.APIKey{ID: id, Owner: ana, Name: id, Hint: "aic_", Hash: hash[:], Scopes: []string{"read"}, CreatedAt: now}
}

func event(ctx context.Context, action string) lanyard.Event {
	return lanyard.NewEvent(ctx, now, ana, action, "object")
}

// addKey stores a key of ana's and returns it as it is stored.
func addKey(t *testing.T, st store.Store, id string) store.APIKey {
	t.Helper()
	k := newKey(id)
	if err := st.CreateAPIKey(t.Context(), k, -1, event(t.Context(), "api_key.created")); err != nil {
		t.Fatalf("CreateAPIKey(%q) = %v", id, err)
	}
	k.Version = 1
	return k
}
