package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/ory/dockertest/v3"
)

var postgres = kind{
	name:    "postgres",
	address: "LANYARD_TEST_POSTGRES",
	ready:   func(s *server) error { return execute(context.Background(), s.address, "SELECT 1") },
	image: image{
		variable: "LANYARD_TEST_POSTGRES_IMAGE",
		standard: "postgres:17-alpine",
		port:     "5432/tcp",
		options: func(secret string) dockertest.RunOptions {
			return dockertest.RunOptions{
				Env: []string{"POSTGRES_USER=lanyard", "POSTGRES_PASSWORD=" + secret, "POSTGRES_DB=postgres"},
				// Nothing need survive the machine.
				Cmd: []string{
					"postgres", "-c", "fsync=off", "-c", "full_page_writes=off",
					"-c", "synchronous_commit=off", "-c", "max_connections=300",
				},
			}
		},
		address: func(hostPort, secret string) string {
			return fmt.Sprintf("postgres://lanyard:%s@%s/postgres?sslmode=disable", secret, hostPort)
		},
	},
}

var findPostgres = sync.OnceValues(postgres.find)

// Postgres returns the URL of an empty database of the test's own, in UTF-8 and
// C.UTF-8 or what else the server's template0 has. It is dropped when the test
// ends, with connections that are still open.
func Postgres(t testing.TB) string {
	t.Helper()
	s, err := findPostgres()
	s = postgres.need(t, s, err)
	name := "lanyard_test_" + randomText()
	// Copying files takes a fifth of the time of writing them to the log.
	if err := execute(t.Context(), s.address, `CREATE DATABASE `+name+` TEMPLATE template0 STRATEGY FILE_COPY`); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(context.WithoutCancel(t.Context()), s.address, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Errorf("drop a database: %v", err)
		}
	})
	u, err := url.Parse(s.address)
	if err != nil {
		t.Fatalf("%s is no URL", postgres.address)
	}
	u.Path = "/" + name
	return u.String()
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, address, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// randomText is a name nobody else has, and a password.
func randomText() string { return strings.ToLower(rand.Text()) }
