package postgres_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/postgres"
)

// childVariable tells this binary to be another process: what to do, with the
// database that urlVariable names; dieVariable holds the beginning of the
// statement it dies at.
const (
	childVariable = "LANYARD_TEST_CHILD"
	urlVariable   = "LANYARD_TEST_URL"
	dieVariable   = "LANYARD_TEST_DIE_AT"
)

// children are what the other processes do.
var children = map[string]func(ctx context.Context, url string) error{
	// migrate opens the database and migrates it.
	"migrate": func(ctx context.Context, url string) error {
		st, err := postgres.Open(ctx, url, nil)
		if err != nil {
			return err
		}
		defer func() { _ = st.Close() }()
		return st.Migrate(ctx)
	},
	// die migrates and kills itself when it comes to a statement.
	"die": func(ctx context.Context, url string) error {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			return err
		}
		config.Tracer = tracer(func(statement string) {
			if strings.HasPrefix(strings.TrimSpace(statement), os.Getenv(dieVariable)) {
				kill()
			}
		})
		st, err := bunstore.New(bun.NewDB(stdlib.OpenDB(*config), pgdialect.New()), nil)
		if err != nil {
			return err
		}
		return errors.Join(errors.New("still alive after Migrate"), st.Migrate(ctx))
	},
}

// tracer hears each statement before the server does.
type tracer func(statement string)

func (f tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	f(d.SQL)
	return ctx
}

func (tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// kill ends this process at once, as a crash does.
func kill() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// child prepares another process.
func child(t *testing.T, does, url string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+does, urlVariable+"="+url)
	return c
}

var ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func newKey(id string) store.APIKey {
	hash := make([]byte, store.HashSize)
	copy(hash, id)
	return store.APIKey{ID: id, Owner: ana, Name: id, Hash: hash, CreatedAt: now}
}

func event(k store.APIKey) lanyard.Event {
	return lanyard.NewEvent(context.Background(), now, k.Owner, "api_key.created", k.ID)
}
