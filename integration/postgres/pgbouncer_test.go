// Package postgres_test runs the store in PostgreSQL behind a pooler.
package postgres_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/integration/servers"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/storetest"
)

func TestMain(m *testing.M) { servers.Main(m) }

// poolSize is how many connections to a database a pooler has: fewer than the
// clients here, so that they share them.
const poolSize = 3

// The whole suite, with PgBouncer between that gives each transaction whatever
// connection is free.
func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("PgBouncer", func(t *testing.T) {
		t.Parallel()
		p := newPooler(t)
		storetest.Run(t, func(t *testing.T) store.Store { return p.open(t, p.database(t)) })
	})
}

// Two handles behind one pooler are one store.
func TestShared(t *testing.T) {
	t.Parallel()
	t.Run("PgBouncer", func(t *testing.T) {
		t.Parallel()
		p := newPooler(t)
		storetest.RunShared(t, func(t *testing.T) (a, b store.Store) {
			database := p.database(t)
			return p.open(t, database), p.open(t, database)
		})
	})
}

// Nothing stays on a connection to the server that its next user would meet,
// and the server hears of the hash of a token nowhere but in its place.
func TestLeavesNothing(t *testing.T) {
	t.Parallel()
	t.Run("PgBouncer", func(t *testing.T) {
		t.Parallel()
		p := newPooler(t)
		database := p.database(t)
		// The server tells its clients what it writes to its log.
		for _, setting := range []string{`log_statement = 'all'`, `log_parameter_max_length = 0`, `client_min_messages = 'log'`} {
			p.atServer(t, `ALTER DATABASE `+database+` SET `+setting)
		}
		st, log := p.listening(t, database)
		hash := bytes.Repeat([]byte{0xca, 0x5e}, store.HashSize/2)
		k := store.APIKey{ID: "k", Owner: ana, Hash: hash, CreatedAt: now}
		if err := st.CreateAPIKey(t.Context(), k, 10, lanyard.NewEvent(t.Context(), now, ana, "x", "k")); err != nil {
			t.Fatalf("CreateAPIKey = %v", err)
		}
		log.taken()
		var wg sync.WaitGroup
		for range 4 * poolSize {
			wg.Go(func() {
				for range 20 {
					if _, err := st.APIKeyByHash(t.Context(), hash); err != nil {
						t.Errorf("APIKeyByHash = %v", err)
					}
					if _, err := st.APIKeys(t.Context(), ana); err != nil {
						t.Errorf("APIKeys = %v", err)
					}
				}
			})
		}
		wg.Wait()
		if said := log.taken(); !strings.Contains(said, "k.hash = $1") || strings.Contains(said, "ca5eca5e") {
			t.Errorf("the server's log says %.2000q of verifications, want their statement without the hash", said)
		}

		seen := map[int32]bool{}
		for range poolSize { // each holds a connection until all are held
			tx, err := p.pool(t, database, nil).BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = tx.Rollback() })
			var pid, prepared int32
			var last string
			err = tx.QueryRowContext(t.Context(), `SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements),
				(SELECT string_agg(query, '; ') FROM pg_stat_activity WHERE datname = current_database())`).Scan(&pid, &prepared, &last)
			if err != nil {
				t.Fatal(err)
			}
			if prepared != 0 {
				t.Errorf("%d statements are prepared on a connection of the pooler's", prepared)
			}
			if strings.Contains(last, "ca5eca5e") {
				t.Errorf("the server shows a hash: %s", last)
			}
			seen[pid] = true
		}
		if len(seen) != poolSize {
			t.Errorf("saw %d connections of the pooler's, want %d", len(seen), poolSize)
		}
	})
}

// Migrations need a connection of their own: through a pooler they are refused,
// beside it they work while the pooler serves.
func TestMigrate(t *testing.T) {
	t.Parallel()
	t.Run("PgBouncer", func(t *testing.T) {
		t.Parallel()
		p := newPooler(t)
		direct := servers.Postgres(t)
		pooled := p.open(t, databaseOf(t, direct))
		var in *lanyard.InputError
		if err := pooled.Migrate(t.Context()); !errors.As(err, &in) || in.Field != "pooled" {
			t.Errorf("Migrate through a pooler = %v, want an InputError for pooled", err)
		}
		if needed, err := pooled.NeedsMigration(t.Context()); err != nil || !needed {
			t.Errorf("NeedsMigration = %v, %v, want true", needed, err)
		}
		migrate(t, direct)
		if err := pooled.CheckSchema(t.Context()); err != nil {
			t.Errorf("CheckSchema once migrated = %v", err)
		}
		if _, err := pooled.Epochs(t.Context()); err != nil {
			t.Errorf("Epochs once migrated = %v", err)
		}
	})
}

// A pooler that restarts costs the calls under way and nothing else.
func TestRestart(t *testing.T) {
	t.Parallel()
	t.Run("PgBouncer", func(t *testing.T) {
		t.Parallel()
		p := newPooler(t)
		st := p.open(t, p.database(t))
		if _, err := st.APIKeys(t.Context(), ana); err != nil {
			t.Fatalf("APIKeys = %v", err)
		}
		p.stop(t)
		if _, err := st.APIKeys(t.Context(), ana); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("APIKeys without the pooler = %v, want ErrUnavailable", err)
		}
		p.start(t)
		if _, err := st.APIKeys(t.Context(), ana); err != nil {
			t.Errorf("APIKeys when the pooler is back = %v", err)
		}
	})
}

var (
	ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
)

// pooler is a PgBouncer in transaction mode before the test server.
type pooler struct {
	server   *url.URL // the test server, with any database
	address  string
	config   string
	template string // a migrated database
	process  *exec.Cmd
	said     *bytes.Buffer
}

// newPooler starts a pooler that ends with the test. It runs as the user the
// server runs as, whose socket it connects to: as root it refuses.
func newPooler(t *testing.T) *pooler {
	t.Helper()
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		binary, err = exec.LookPath("/usr/sbin/pgbouncer") // where Debian has it, not on everybody's PATH
	}
	if err != nil {
		t.Skip("needs PgBouncer: install Debian's pgbouncer")
	}
	template := servers.Postgres(t)
	migrate(t, template)
	server, err := url.Parse(template)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lanyard-pgbouncer") //nolint:usetesting // only its owner may enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the user it runs as reads the file
		t.Fatal(err)
	}
	p := &pooler{server: server, address: freeAddress(t), config: filepath.Join(dir, "pgbouncer.ini"), template: databaseOf(t, template)}
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := server.User.Password()
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s user=%s %s

[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
max_client_conn = 1000
`, cmp.Or(server.Query().Get("host"), server.Hostname()), cmp.Or(server.Port(), "5432"), server.User.Username(),
		strings.TrimSuffix("password="+password, "password="), host, port, poolSize)
	if err := os.WriteFile(p.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.process = exec.Command(binary, p.config) //nolint:noctx // ended by stop
	p.start(t)
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *pooler) start(t *testing.T) {
	t.Helper()
	p.said = new(bytes.Buffer)
	p.process = &exec.Cmd{Path: p.process.Path, Args: p.process.Args, Stderr: p.said, Stdout: p.said, SysProcAttr: unprivileged(t)}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.Tick(20 * time.Millisecond); ; <-tick {
		conn, err := net.Dial("tcp", p.address) //nolint:noctx // to this machine
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			p.stop(t)
			t.Fatalf("PgBouncer does not answer: %v\n%s", err, p.said)
		}
	}
}

// stop ends the pooler at once, and with it every connection through it.
func (p *pooler) stop(t *testing.T) {
	t.Helper()
	if p.process.ProcessState != nil {
		return
	}
	_ = p.process.Process.Signal(syscall.SIGTERM)
	_ = p.process.Wait()
	if t.Failed() {
		t.Logf("PgBouncer said:\n%s", p.said)
	}
}

// unprivileged makes a process of root's another user's.
func unprivileged(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		return attributes
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attributes
}

// freeAddress is where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // on this machine
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// database makes a database with lanyard's tables and returns its name.
func (p *pooler) database(t *testing.T) string {
	t.Helper()
	name := "lanyard_test_" + lanyard.NewID()
	p.atServer(t, `CREATE DATABASE `+name+` TEMPLATE `+p.template+` STRATEGY FILE_COPY`)
	t.Cleanup(func() { p.atServer(t, `DROP DATABASE `+name+` WITH (FORCE)`) })
	return name
}

// url names a database through the pooler.
func (p *pooler) url(database string) string {
	return (&url.URL{Scheme: "postgres", User: url.User("whoever"), Host: p.address, Path: "/" + database, RawQuery: "sslmode=disable"}).String()
}

// open returns a store behind the pooler.
func (p *pooler) open(t *testing.T, database string) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(t.Context(), p.url(database), &postgres.Options{Pooled: true})
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// pool returns connections through the pooler that hear what the server says.
func (p *pooler) pool(t *testing.T, database string, log *serverLog) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(p.url(database))
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if log != nil {
		config.OnNotice = log.hear
	}
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// listening returns a store behind the pooler, and what the server says to it.
func (p *pooler) listening(t *testing.T, database string) (*bunstore.Store, *serverLog) {
	t.Helper()
	log := &serverLog{}
	st, err := bunstore.New(bun.NewDB(p.pool(t, database, log), pgdialect.New()), &bunstore.Options{Pooled: true})
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st, log
}

// serverLog is what a server told its clients.
type serverLog struct {
	mu   sync.Mutex
	said strings.Builder
}

func (l *serverLog) hear(_ *pgconn.PgConn, n *pgconn.Notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said.WriteString(n.Message + "\n" + n.Detail + "\n")
}

// taken returns what was said since it was last called.
func (l *serverLog) taken() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	said := l.said.String()
	l.said.Reset()
	return said
}

// atServer runs a statement beside the pooler.
func (p *pooler) atServer(t *testing.T, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	there := *p.server
	there.Path = "/postgres"
	conn, err := pgx.Connect(ctx, there.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}

func migrate(t *testing.T, url string) {
	t.Helper()
	st, err := postgres.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	defer func() { _ = st.Close() }()
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate = %v", err)
	}
}

func databaseOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
