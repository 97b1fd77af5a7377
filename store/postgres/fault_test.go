package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/postgres"
)

// line is a network that can be cut: what the server answers is lost then, and
// nobody new gets through.
type line struct {
	cut    atomic.Bool
	before atomic.Pointer[func(statement string)] // hears each statement first
}

var errCut = errors.New("the network is down: secret of a driver")

type wire struct {
	net.Conn
	line *line
}

func (w wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if w.line.cut.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// newLine returns a host's pool over a line of its own, and its store.
func newLine(t *testing.T, o *bunstore.Options) (*line, *sql.DB, *bunstore.Store) {
	t.Helper()
	l, db := lineTo(t, migrated(t))
	return l, db, onPool(t, db, o)
}

// lineTo returns a pool of a database over a line of its own.
func lineTo(t *testing.T, url string) (*line, *sql.DB) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{}
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if l.cut.Load() {
			return nil, errCut
		}
		c, err := dial(ctx, network, addr)
		return wire{c, l}, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.Tracer = tracer(func(statement string) {
		if f := l.before.Load(); f != nil {
			(*f)(statement)
		}
	})
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() })
	return l, db
}

// A commit whose answer is lost may have happened, and here it did: the caller
// reads again by the id it chose.
func TestConnectionLostDuringCommit(t *testing.T) {
	t.Parallel()
	l, _, st := newLine(t, nil)
	onCommit := func(statement string) {
		if strings.EqualFold(statement, "commit") {
			l.cut.Store(true)
		}
	}
	l.before.Store(&onCommit)
	k := newKey("k")
	err := st.CreateAPIKey(t.Context(), k, 5, event(k))
	if !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("CreateAPIKey whose commit is not answered = %v, want ErrUnavailable", err)
	}
	l.before.Store(nil)
	l.cut.Store(false)
	if got, err := st.APIKey(t.Context(), ana, k.ID); err != nil || got.Version != 1 {
		t.Errorf("APIKey afterwards = %+v, %v, want the key, once", got, err)
	}
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); !errors.Is(err, lanyard.ErrExists) {
		t.Errorf("the same CreateAPIKey again = %v, want ErrExists", err)
	}
}

// A server that is away makes nobody's key unknown.
func TestServerAway(t *testing.T) {
	t.Parallel()
	l, _, st := newLine(t, nil)
	k := newKey("k")
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Fatalf("CreateAPIKey = %v", err)
	}
	if _, err := st.APIKeyByHash(t.Context(), k.Hash); err != nil {
		t.Fatalf("APIKeyByHash = %v", err)
	}
	l.cut.Store(true)
	for name, call := range map[string]func() error{
		"APIKeyByHash":   func() error { _, err := st.APIKeyByHash(t.Context(), k.Hash); return err },
		"APIKey":         func() error { _, err := st.APIKey(t.Context(), ana, k.ID); return err },
		"APIKeys":        func() error { _, err := st.APIKeys(t.Context(), ana); return err },
		"Profile":        func() error { _, err := st.Profile(t.Context(), ana); return err },
		"ProviderToken":  func() error { _, err := st.ProviderToken(t.Context(), ana, "x"); return err },
		"OwnerKey":       func() error { _, err := st.OwnerKey(t.Context(), ana); return err },
		"OwnerState":     func() error { _, err := st.OwnerState(t.Context(), ana); return err },
		"Epochs":         func() error { _, err := st.Epochs(t.Context()); return err },
		"Events":         func() error { _, err := st.Events(t.Context(), ana, store.EventCursor{}, 1); return err },
		"UpdateAPIKey":   func() error { return st.UpdateAPIKey(t.Context(), k, event(k)) },
		"DeleteAPIKey":   func() error { return st.DeleteAPIKey(t.Context(), k, event(k)) },
		"CreateOwnerKey": func() error { _, err := st.CreateOwnerKey(t.Context(), ownerKey()); return err },
		"CheckSchema":    func() error { return st.CheckSchema(t.Context()) },
		"Migrate":        func() error { return st.Migrate(t.Context()) },
	} {
		k.DeletedAt = now
		err := call()
		if !errors.Is(err, lanyard.ErrUnavailable) || errors.Is(err, lanyard.ErrNotFound) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s while the server is away = %v, want ErrUnavailable alone", name, err)
		}
	}
	l.cut.Store(false)
	if _, err := st.APIKeyByHash(t.Context(), k.Hash); err != nil {
		t.Errorf("APIKeyByHash when the server is back = %v", err)
	}
}

func TestOpenWhereNobodyListens(t *testing.T) {
	t.Parallel()
	needServer(t)
	for _, url := range []string{
		"postgres://lanyard:hunter2@127.0.0.1:1/none?sslmode=disable",
		"postgres://lanyard:hunter2@/none?host=" + t.TempDir(),
		with(t, urlOf("lanyard_test_none"), "password", "hunter2"),
	} {
		_, err := postgres.Open(t.Context(), url, nil)
		if !errors.Is(err, lanyard.ErrUnavailable) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("Open = %v, want ErrUnavailable without the password", err)
		}
	}
}

func TestOpenMalformed(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://a:hunter2@[", "hunter2", "postgres://hunter2@localhost/x?sslmode=sometimes", "host=a port=hunter2"} {
		_, err := postgres.Open(t.Context(), url, nil)
		var in *lanyard.InputError
		if !errors.As(err, &in) || in.Field != "url" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q) = %v, want an InputError for url that does not repeat it", url, err)
		}
	}
}

// A backend that dies between two calls is replaced; one that dies inside of a
// transaction takes all of it along.
func TestBackendsKilled(t *testing.T) {
	t.Parallel()
	l, db, st := newLine(t, nil)
	killOthers := func() {
		execute(t, db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	k := newKey("k")
	onEvent := func(statement string) {
		if strings.HasPrefix(statement, `INSERT INTO "lanyard_events"`) {
			l.before.Store(nil)
			killOthers()
		}
	}
	l.before.Store(&onEvent)
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("CreateAPIKey whose backend is killed = %v, want ErrUnavailable", err)
	}
	if _, err := st.APIKey(t.Context(), ana, k.ID); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("APIKey after half a transaction = %v, want ErrNotFound", err)
	}
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Errorf("CreateAPIKey on a new backend = %v", err)
	}
}

// A caller that gives up while another holds the shard writes nothing and
// leaves nothing behind.
func TestGivenUpWhileWaiting(t *testing.T) {
	t.Parallel()
	_, db, st := newLine(t, nil)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `SELECT epoch FROM lanyard_epochs FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	k := newKey("k")
	began := time.Now()
	err = st.CreateAPIKey(ctx, k, 5, event(k))
	if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("CreateAPIKey behind a lock = %v, want ErrUnavailable and DeadlineExceeded", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("CreateAPIKey took %v, although its caller waited 50ms", took)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.APIKey(t.Context(), ana, k.ID); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("APIKey of the key nobody waited for = %v, want ErrNotFound", err)
	}
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Errorf("CreateAPIKey after the lock = %v", err)
	}
}

// After a failover to a standby keys verify and nothing can be changed.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	k := newKey("k")
	if err := open(t, url, nil).CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Fatalf("CreateAPIKey = %v", err)
	}
	standby := open(t, with(t, url, "default_transaction_read_only", "on"), nil)
	if _, err := standby.APIKeyByHash(t.Context(), k.Hash); err != nil {
		t.Errorf("APIKeyByHash on a standby = %v", err)
	}
	if _, err := standby.Epochs(t.Context()); err != nil {
		t.Errorf("Epochs on a standby = %v", err)
	}
	if keys, err := standby.APIKeys(t.Context(), ana); err != nil || len(keys) != 1 {
		t.Errorf("APIKeys on a standby = %d keys, %v, want one", len(keys), err)
	}
	other := newKey("other")
	k.DeletedAt = now
	for name, err := range map[string]error{
		"CreateAPIKey": standby.CreateAPIKey(t.Context(), other, 5, event(other)),
		"DeleteAPIKey": standby.DeleteAPIKey(t.Context(), k, event(k)),
		"Deactivate":   standby.Deactivate(t.Context(), ana, now, event(k)),
		"RecordKeyUse": standby.RecordKeyUse(t.Context(), []store.KeyUse{{ID: k.ID, At: now}}),
	} {
		if !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("%s on a standby = %v, want ErrUnavailable", name, err)
		}
	}
}

// No nested query takes a second connection, or one would be waited for here
// for ever.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st := open(t, url, &postgres.Options{MaxConns: 1})
	if err := st.Migrate(ctx); err != nil {
		t.Errorf("Migrate = %v", err)
	}
	k := newKey("k")
	if err := st.CreateAPIKey(ctx, k, 5, event(k)); err != nil {
		t.Errorf("CreateAPIKey = %v", err)
	}
	if err := st.DeleteAPIKeyByID(ctx, k.ID, now, event); err != nil {
		t.Errorf("DeleteAPIKeyByID = %v", err)
	}
	if _, err := st.Purge(ctx, store.Purge{TombstonesBefore: now.Add(time.Second)}); err != nil {
		t.Errorf("Purge = %v", err)
	}
	if _, err := st.CreateOwnerKey(ctx, ownerKey()); err != nil {
		t.Errorf("CreateOwnerKey = %v", err)
	}
}

// The hash of a token being verified is bound: the server never sees it in a
// statement.
func TestVerificationBindsTheHash(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*bunstore.Options{"prepared": nil, "pooled": {Pooled: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, db, st := newLine(t, o)
			db.SetMaxOpenConns(1)
			k := newKey("k")
			if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
				t.Fatalf("CreateAPIKey = %v", err)
			}
			beside := pool(t, dsnOf(t, db))
			var said []string
			hear := func(statement string) { said = append(said, statement) }
			l.before.Store(&hear)
			for range 2 {
				if _, err := st.APIKeyByHash(t.Context(), k.Hash); err != nil {
					t.Fatalf("APIKeyByHash = %v", err)
				}
			}
			l.before.Store(nil)
			if len(said) != 2 {
				t.Errorf("two verifications ran %q", said)
			}
			for _, statement := range said {
				if strings.Contains(statement, fmt.Sprintf("%x", k.Hash)) {
					t.Errorf("the hash stands in %q", statement)
				}
			}
			var last string
			if err := beside.QueryRowContext(t.Context(), `SELECT query FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%lanyard_api_keys%'`).Scan(&last); err != nil {
				t.Fatalf("what the server shows: %v", err)
			}
			if strings.Contains(last, fmt.Sprintf("%x", k.Hash)) || !strings.Contains(last, "k.hash = $1") {
				t.Errorf("the server shows %q, want the statement with a placeholder", last)
			}
			var prepared int
			if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_prepared_statements`).Scan(&prepared); err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: 0, false: 1}[o != nil]; prepared != want {
				t.Errorf("%d statements are prepared on the connection, want %d", prepared, want)
			}
		})
	}
}

// Whatever the server's default, text comes back as it went in.
func TestBackslashes(t *testing.T) {
	t.Parallel()
	st := open(t, with(t, migrated(t), "standard_conforming_strings", "off"), nil)
	k := newKey(`\`)
	k.Name = `\'; DROP TABLE lanyard_api_keys; --\`
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Fatalf("CreateAPIKey = %v", err)
	}
	got, err := st.APIKey(t.Context(), ana, `\`)
	if err != nil || got.Name != k.Name {
		t.Errorf("APIKey = %q, %v, want %q", got.Name, err, k.Name)
	}
}

func TestPooledRefusesToMigrate(t *testing.T) {
	t.Parallel()
	st := open(t, migrated(t), &postgres.Options{Pooled: true})
	var in *lanyard.InputError
	if err := st.Migrate(t.Context()); !errors.As(err, &in) {
		t.Errorf("Migrate through a pooler = %v, want an InputError", err)
	}
}

// dsnOf names the database that a pool is connected to.
func dsnOf(t *testing.T, db *sql.DB) string {
	t.Helper()
	var name string
	if err := db.QueryRowContext(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return urlOf(name)
}

func ownerKey() store.OwnerKey {
	return store.OwnerKey{ID: "ok", Owner: ana, Secrets: "keyring", KeyVersion: "1", Wrapped: []byte{1}, CreatedAt: now}
}
