package main

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store/bunstore/migrations"
)

// serverVariable names a server where databases may be created, by a URL.
const serverVariable = "LANYARD_TEST_POSTGRES"

// postgresDatabase returns the URL of an empty database.
func postgresDatabase(t *testing.T) string {
	t.Helper()
	server := os.Getenv(serverVariable)
	if server == "" {
		t.Skipf("needs PostgreSQL: run it under `scripts/postgres run`, or let %s name a server", serverVariable)
	}
	name := "lanyard_test_" + lanyard.NewID()
	execPostgres(t.Context(), t, server, `CREATE DATABASE `+name+` TEMPLATE template0`)
	t.Cleanup(func() {
		execPostgres(context.WithoutCancel(t.Context()), t, server, `DROP DATABASE `+name+` WITH (FORCE)`)
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func execPostgres(ctx context.Context, t *testing.T, database, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestDoctorOnPostgres(t *testing.T) {
	t.Parallel()
	s := &site{database: postgresDatabase(t), keyring: filepath.Join(t.TempDir(), "lanyard.keys")}
	wantProblem(t, status(t, s, exitProblem), "migrations")
	call(t, "migrate", "-database", s.database).want(t, "migrate", exitOK, "the tables were migrated")
	call(t, "keyring", "create", "-keyring", s.keyring).want(t, "keyring create", exitOK)
	healthy := status(t, s, exitOK, "-keyring", s.keyring)
	for _, name := range []string{"database", "migrations", "indexes", "constraints", "epochs", "rows", "collation", "clock", "key service", "owner keys", "key versions", "connections", "signatures"} {
		if healthy[name].Status != statusOK {
			t.Errorf("%s of a healthy database: %+v, want ok", name, healthy[name])
		}
	}
	execPostgres(t.Context(), t, s.database, `DROP INDEX lanyard_events_at`)
	wantProblem(t, status(t, s, exitProblem), "indexes", "lanyard_events_at")
	execPostgres(t.Context(), t, s.database, `CREATE INDEX lanyard_events_at ON lanyard_events (at)`)
	execPostgres(t.Context(), t, s.database, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'lanyard_events_at'::regclass`)
	wantProblem(t, status(t, s, exitProblem), "indexes", "lanyard_events_at")
	execPostgres(t.Context(), t, s.database, `REINDEX INDEX lanyard_events_at`)
	for _, rule := range []struct{ drop, add, name string }{
		{
			"ALTER TABLE lanyard_api_keys DROP CONSTRAINT lanyard_api_keys_hash_key", "ALTER TABLE lanyard_api_keys ADD UNIQUE (hash)",
			"lanyard_api_keys UNIQUE (hash)",
		}, {
			"ALTER TABLE lanyard_owner_keys DROP CONSTRAINT lanyard_owner_keys_tenant_subject_key", "ALTER TABLE lanyard_owner_keys ADD UNIQUE (tenant, subject)",
			"lanyard_owner_keys UNIQUE (tenant, subject)",
		}, {
			"ALTER TABLE lanyard_provider_tokens DROP CONSTRAINT lanyard_provider_tokens_tenant_subject_owner_key_id_fkey",
			"ALTER TABLE lanyard_provider_tokens ADD FOREIGN KEY (tenant, subject, owner_key_id) REFERENCES lanyard_owner_keys (tenant, subject, id) ON DELETE CASCADE",
			"lanyard_provider_tokens FOREIGN KEY (tenant, subject, owner_key_id) REFERENCES lanyard_owner_keys(tenant, subject, id) ON DELETE CASCADE",
		}, {
			"ALTER TABLE lanyard_epochs DROP CONSTRAINT lanyard_epochs_pkey", "ALTER TABLE lanyard_epochs ADD PRIMARY KEY (shard)", "lanyard_epochs PRIMARY KEY (shard)",
		},
	} {
		execPostgres(t.Context(), t, s.database, rule.drop)
		wantProblem(t, status(t, s, exitProblem), "constraints", rule.name)
		execPostgres(t.Context(), t, s.database, rule.add)
	}
	execPostgres(t.Context(), t, s.database, `DELETE FROM lanyard_epochs WHERE shard = 77`)
	wantProblem(t, status(t, s, exitProblem), "epochs", "77")
	execPostgres(t.Context(), t, s.database, `INSERT INTO lanyard_epochs VALUES (77, 0)`)
	execPostgres(t.Context(), t, s.database, `INSERT INTO lanyard_owner_keys VALUES ('ok', '', 'u', 1, 'keyring', 'v1', 'x', 0)`)
	execPostgres(t.Context(), t, s.database, `INSERT INTO lanyard_provider_tokens SELECT 'tok', '', 'u', 1, 'p', 'm', 'l', '{', NULL, 'ok', '', '', '', '', '', ''`)
	wantProblem(t, status(t, s, exitProblem), "rows", `lanyard_provider_tokens "tok"`)
	execPostgres(t.Context(), t, s.database, `DELETE FROM lanyard_owner_keys WHERE id = 'ok'`)
	wantProblem(t, status(t, s, exitOK), "")
	execPostgres(t.Context(), t, s.database, `ALTER TABLE lanyard_provider_tokens ALTER label TYPE text COLLATE "default"`)
	wantProblem(t, status(t, s, exitProblem), "collation", "lanyard_provider_tokens.label")
	missing, err := url.Parse(s.database)
	if err != nil {
		t.Fatal(err)
	}
	missing.Path += "x"
	call(t, "doctor", "-database", missing.String()).want(t, "doctor of no database", exitProblem, "SQLSTATE 3D000")
}

func TestClockSkew(t *testing.T) {
	t.Parallel()
	d := &database{flag: postgresDatabase(t)}
	db, _, err := d.pool()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for off, want := range map[time.Duration]string{0: statusOK, time.Minute: statusProblem, -time.Minute: statusProblem} {
		if got := clock(t.Context(), db, func() time.Time { return time.Now().Add(off) }); got.Status != want {
			t.Errorf("a clock that is %s off: %+v, want %s", off, got, want)
		}
	}
}

// What the doctor expects is what the migrations make.
func TestExpected(t *testing.T) {
	t.Parallel()
	indexes, columns, err := expected(migrations.Postgres())
	if err != nil || len(indexes) < 12 || len(columns) < 20 {
		t.Errorf("expected() of PostgreSQL = %q and %q, %v, want at least 12 and 20", indexes, columns, err)
	}
	lite, none, err := expected(migrations.SQLite())
	if err != nil || len(lite) < 12 || len(none) != 0 {
		t.Errorf("expected() of SQLite = %q and %q, %v, want at least 12 and none", lite, none, err)
	}
}
