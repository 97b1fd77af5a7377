package main

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/aichub/lanyard"
)

// onEachDatabase runs a test on a SQLite file and on PostgreSQL.
func onEachDatabase(t *testing.T, test func(t *testing.T, env map[string]string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, nil)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, map[string]string{"DATABASE_URL": newDatabase(t)})
	})
}

// newDatabase returns the URL of an empty PostgreSQL database.
func newDatabase(t *testing.T) string {
	t.Helper()
	server := os.Getenv("LANYARD_TEST_POSTGRES")
	if server == "" {
		t.Skip("needs PostgreSQL: run it under `scripts/postgres run`, or let LANYARD_TEST_POSTGRES name a server")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("LANYARD_TEST_POSTGRES is no URL")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	name := "lanyard_aichub_" + lanyard.NewID()
	if _, err := db.ExecContext(t.Context(), `CREATE DATABASE `+name+` TEMPLATE template0`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), `DROP DATABASE `+name+` WITH (FORCE)`)
		if err != nil {
			t.Errorf("drop the database: %v", err)
		}
		_ = db.Close()
	})
	u.Path = "/" + name
	return u.String()
}
