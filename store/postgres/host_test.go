package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/storetest"
)

// hostsPool returns a pool as a host might have it, in pgx's own default mode,
// with what is set for its connections.
func hostsPool(t *testing.T, url string, settings ...string) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		config.RuntimeParams[name] = value
	}
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A host's pool has other settings than ours: what the contract promises holds
// on it, and its own transactions are left alone.
func TestSharedHostsPool(t *testing.T) {
	t.Parallel()
	needServer(t)
	storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
		url := empty(t)
		execute(t, pool(t, url), `CREATE SCHEMA "Host's own"`)
		host := func() *bunstore.Store {
			return onPool(t, hostsPool(t, url, "default_transaction_isolation=repeatable read", `search_path="Host's own"`,
				"timezone=Asia/Kathmandu", "datestyle=German", "bytea_output=escape", "intervalstyle=sql_standard", "extra_float_digits=0"), nil)
		}
		first := host()
		if err := first.Migrate(t.Context()); err != nil {
			t.Fatalf("Migrate = %v", err)
		}
		return first, host()
	})
}

// A transaction of the host's neither holds ours up nor takes them along.
func TestHostsTransaction(t *testing.T) {
	t.Parallel()
	db := hostsPool(t, migrated(t))
	st := onPool(t, db, nil)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	keys := func() (n int) {
		t.Helper()
		if err := tx.QueryRowContext(t.Context(), `SELECT count(*) FROM lanyard_api_keys`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := keys(); n != 0 {
		t.Fatalf("the host sees %d keys, want none", n)
	}
	k := newKey("k")
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Errorf("CreateAPIKey beside a transaction of the host's = %v", err)
	}
	if n := keys(); n != 0 {
		t.Errorf("the host's snapshot sees %d keys, want none", n)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.APIKeyByHash(t.Context(), k.Hash); err != nil {
		t.Errorf("APIKeyByHash after the host's rollback = %v", err)
	}
}

// However the host's driver sends arguments, the store works, and the hash of a
// token being verified is bound; the one mode that writes arguments into the
// text is not for a pooled store.
func TestHostsDriver(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		for name, o := range map[string]*bunstore.Options{"prepared": nil, "pooled": {Pooled: true}} {
			t.Run(mode.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				config, err := pgx.ParseConfig(url)
				if err != nil {
					t.Fatal(err)
				}
				config.DefaultQueryExecMode = mode
				log := &heard{}
				config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { log.hear(n.Message + "\n" + n.Detail) }
				config.RuntimeParams["client_min_messages"] = "log"
				config.RuntimeParams["log_statement"] = "all"
				config.RuntimeParams["log_parameter_max_length"] = "0"
				db := stdlib.OpenDB(*config)
				t.Cleanup(func() { _ = db.Close() })
				st := onPool(t, db, o)
				k := newKey(lanyard.NewID())
				if err := st.CreateAPIKey(t.Context(), k, -1, event(k)); err != nil {
					t.Fatalf("CreateAPIKey = %v", err)
				}
				log.taken()
				for range 7 { // a plan for all arguments comes with the sixth
					if found, err := st.APIKeyByHash(t.Context(), k.Hash); err != nil || found.Key.ID != k.ID {
						t.Fatalf("APIKeyByHash = %+v, %v", found.Key, err)
					}
				}
				said := log.taken()
				if !strings.Contains(said, "lanyard_api_keys") {
					t.Errorf("the server's log says %q, want the verification", said)
				}
				if strings.Contains(said, fmt.Sprintf("%x", k.Hash)) != (mode == pgx.QueryExecModeSimpleProtocol && o != nil) {
					t.Errorf("the server's log says %q of verifications", said)
				}
				if keys, err := st.APIKeys(t.Context(), ana); err != nil || len(keys) == 0 {
					t.Errorf("APIKeys = %d keys, %v", len(keys), err)
				}
			})
		}
	}
}

// heard collects what a server says.
type heard struct {
	mu   sync.Mutex
	said strings.Builder
}

func (h *heard) hear(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said.WriteString(text + "\n")
}

func (h *heard) taken() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	said := h.said.String()
	h.said.Reset()
	return said
}

// Where the host's pool has nothing to give, a call ends with its caller's
// patience, and what has a connection wants no second one.
func TestPoolExhausted(t *testing.T) {
	t.Parallel()
	db := hostsPool(t, migrated(t))
	db.SetMaxOpenConns(1)
	st := onPool(t, db, nil)
	k := newKey("k")
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Fatalf("CreateAPIKey = %v", err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for name, call := range map[string]func(context.Context) error{
		"APIKeyByHash": func(ctx context.Context) error { _, err := st.APIKeyByHash(ctx, k.Hash); return err },
		"APIKeys":      func(ctx context.Context) error { _, err := st.APIKeys(ctx, ana); return err },
		"Epochs":       func(ctx context.Context) error { _, err := st.Epochs(ctx); return err },
		"UpdateAPIKey": func(ctx context.Context) error { k.Version = 1; return st.UpdateAPIKey(ctx, k, event(k)) },
		"CheckSchema":  st.CheckSchema,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		err := call(ctx)
		cancel()
		if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s without a connection = %v, want ErrUnavailable and DeadlineExceeded", name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v, although its caller waited 50ms", name, took)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	k.Version = 1
	if err := st.UpdateAPIKey(t.Context(), k, event(k)); err != nil {
		t.Errorf("UpdateAPIKey on the one connection = %v", err)
	}
}

// Where the server ends our transaction because it waits in a circle with one
// of the host's, it runs again and is done.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	l, db := lineTo(t, with(t, url, "deadlock_timeout", "10ms"))
	st := onPool(t, db, nil)
	k := newKey("k")
	if err := st.CreateAPIKey(t.Context(), k, 5, event(k)); err != nil {
		t.Fatalf("CreateAPIKey = %v", err)
	}
	// The host takes the key's row, and wants the shard's when we have it.
	host := hostsPool(t, url, "deadlock_timeout=1h")
	tx, err := host.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `SELECT FROM lanyard_api_keys FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	tried := 0
	hosts := make(chan error, 1)
	hear := func(statement string) {
		if !strings.HasPrefix(statement, `UPDATE "lanyard_api_keys"`) {
			return
		}
		tried++
		once.Do(func() {
			go func() {
				_, err := tx.ExecContext(t.Context(), `SELECT FROM lanyard_epochs FOR UPDATE`)
				hosts <- errors.Join(err, tx.Commit())
			}()
		})
	}
	l.before.Store(&hear)
	k.Version = 1
	err = st.UpdateAPIKey(t.Context(), k, event(k))
	if hostErr := <-hosts; err != nil || hostErr != nil {
		t.Errorf("UpdateAPIKey in a circle = %v, and the host's transaction %v, want both done", err, hostErr)
	}
	if tried < 2 {
		t.Errorf("UpdateAPIKey tried %d times: there was no deadlock", tried)
	}
	if got, err := st.APIKey(t.Context(), ana, k.ID); err != nil || got.Version != 2 {
		t.Errorf("APIKey = version %d, %v, want 2", got.Version, err)
	}
}

// What the server gives up on for its own reasons is unavailable, not wrong.
func TestTimeoutsOfTheServer(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	holder := hostsPool(t, url)
	tx, err := holder.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `SELECT FROM lanyard_epochs FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	for setting, state := range map[string]string{"lock_timeout=20ms": "55P03", "statement_timeout=20ms": "57014"} {
		st := onPool(t, hostsPool(t, url, setting), nil)
		k := newKey("k")
		err := st.CreateAPIKey(t.Context(), k, 5, event(k))
		if !errors.Is(err, lanyard.ErrUnavailable) || !strings.Contains(err.Error(), state) {
			t.Errorf("CreateAPIKey with %s = %v, want ErrUnavailable with %s", setting, err, state)
		}
	}
}
