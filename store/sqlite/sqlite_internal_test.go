package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// Each connection is told what SQLite forgets between them: foreign keys are
// off by default, and a transaction takes its lock only when it first writes.
func TestEveryConnectionIsConfigured(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	st, err := Open(ctx, filepath.Join(t.TempDir(), "lanyard.db"), nil)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	conns := make([]*sql.Conn, maxConns)
	for i := range conns {
		if conns[i], err = st.db.Conn(ctx); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer func() { _ = conns[i].Close() }()
		for pragma, want := range map[string]string{
			"foreign_keys": "1", "journal_mode": "wal", "busy_timeout": "5000", "synchronous": "2",
		} {
			var got string
			if err := conns[i].QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("connection %d: %s = %q, %v, want %s", i, pragma, got, err, want)
			}
		}
	}
	tx, err := conns[0].BeginTx(ctx, nil)
	if err != nil {
		t.Fatalf("BeginTx = %v", err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := conns[1].ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	if _, err := conns[1].ExecContext(ctx, "BEGIN IMMEDIATE"); err == nil {
		t.Error("a transaction that did nothing yet holds no lock")
	}
}
