package servers_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/jackc/pgx/v5"

	"github.com/aichub/lanyard/integration/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }

// Every test has a database of its own, on one server.
func TestDatabases(t *testing.T) {
	t.Parallel()
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		var at [2]string
		for i := range at {
			conn, err := pgx.Connect(t.Context(), servers.Postgres(t))
			if err != nil {
				t.Fatalf("Connect() = %v", err)
			}
			t.Cleanup(func() { _ = conn.Close(t.Context()) })
			if _, err := conn.Exec(t.Context(), `CREATE TABLE mine (id int)`); err != nil {
				t.Errorf("database %d is not empty: %v", i, err)
			}
			if err := conn.QueryRow(t.Context(), `SELECT pg_postmaster_start_time()::text`).Scan(&at[i]); err != nil {
				t.Fatal(err)
			}
		}
		if at[0] != at[1] {
			t.Errorf("two databases are on servers started at %v, want one server", at)
		}
	})
}

// Every test has a transit engine of its own, on one server.
func TestEngines(t *testing.T) {
	t.Parallel()
	t.Run("Vault", func(t *testing.T) {
		t.Parallel()
		first, second := servers.Vault(t), servers.Vault(t)
		if first.Root.Address() != second.Root.Address() {
			t.Errorf("two engines are at %s and %s, want one server", first.Root.Address(), second.Root.Address())
		}
		for _, transit := range []*servers.Transit{first, second} {
			keys, err := transit.Root.Logical().ListWithContext(t.Context(), transit.Mount+"/keys")
			if err != nil || keys != nil {
				t.Errorf("an engine has keys %v, %v, want none", keys, err)
			}
			if _, err := transit.Root.Logical().WriteWithContext(t.Context(), transit.Mount+"/keys/lanyard", nil); err != nil {
				t.Errorf("make a key: %v", err)
			}
		}
	})
}

// A server of one's own can be sealed, and is gone with its test.
func TestOwn(t *testing.T) {
	t.Parallel()
	t.Run("Vault", func(t *testing.T) {
		t.Parallel()
		shared := servers.Vault(t)
		var gone *api.Client
		t.Run("sealed", func(t *testing.T) { // not in parallel: what follows waits for it
			own := servers.OwnVault(t)
			if err := own.Root.Sys().SealWithContext(t.Context()); err != nil {
				t.Fatalf("Seal() = %v", err)
			}
			if status, err := own.Root.Sys().SealStatusWithContext(t.Context()); err != nil || !status.Sealed {
				t.Errorf("SealStatus() = %v, %v, want it sealed", status, err)
			}
			own.Unseal(t)
			gone = own.Root
		})
		if gone == nil {
			return
		}
		gone.SetMaxRetries(0)
		if _, err := gone.Sys().SealStatusWithContext(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("SealStatus() of a stopped server = %v, want ECONNREFUSED", err)
		}
		if status, err := shared.Root.Sys().SealStatusWithContext(t.Context()); err != nil || status.Sealed {
			t.Errorf("SealStatus() of the shared server = %v, %v, want it open", status, err)
		}
	})
}

// childVariable makes this binary another process, which waits to be killed.
const childVariable = "LANYARD_TEST_CHILD"

// A server of a test's own keeps what it was told across a stop, also one that
// is a crash.
func TestOwnPostgres(t *testing.T) {
	t.Parallel()
	server := servers.OwnPostgres(t)
	ask := func(statement string) (n int, err error) {
		conn, err := pgx.Connect(t.Context(), server.URL)
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close(t.Context()) }()
		err = conn.QueryRow(t.Context(), statement).Scan(&n)
		return n, err
	}
	for _, mode := range []servers.Mode{servers.Fast, servers.Immediate} {
		if _, err := ask(`SELECT lo_create(0)::bigint`); err != nil {
			t.Errorf("write before a stop: %v", err)
		}
		server.Stop(t, mode)
		if _, err := ask(`SELECT 1`); err == nil {
			t.Errorf("the server answers after Stop(%s)", mode)
		}
		server.Start(t)
	}
	if n, err := ask(`SELECT count(*) FROM pg_largeobject_metadata`); err != nil || n != 2 {
		t.Errorf("the server kept %d things, %v, want 2", n, err)
	}
}

// A test binary that is killed leaves no process behind.
func TestKilled(t *testing.T) {
	t.Parallel()
	t.Run("Vault", func(t *testing.T) {
		t.Parallel()
		if os.Getenv(childVariable) != "" {
			fmt.Println("at", servers.OwnVault(t).Root.Address()) //nolint:forbidigo // to the parent
			select {}
		}
		address := killed(t)
		if address == "" {
			t.Skip("needs binaries of Vault, see scripts/vault")
		}
		for tick := time.Tick(50 * time.Millisecond); ; <-tick {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "http://"))
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	})
}

// killed has another process start a server, kills it and returns where the
// server was. A container is not meant, so Docker is hidden.
func killed(t *testing.T) (address string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilled$", "-test.v")
	cmd.Env = append(os.Environ(), childVariable+"=1", "DOCKER_HOST=tcp://127.0.0.1:1", "LANYARD_TEST_DOCKER=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for address == "" && lines.Scan() {
		address, _ = strings.CutPrefix(lines.Text(), "at ")
		if address == lines.Text() {
			address = ""
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return address
}
