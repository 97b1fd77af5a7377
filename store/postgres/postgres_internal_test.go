package postgres

import (
	"os"
	"testing"
)

// bun writes arguments into the text of a statement: were each text prepared,
// a connection would fill with statements that nobody runs again.
func TestPreparesNoText(t *testing.T) {
	t.Parallel()
	url := os.Getenv("LANYARD_TEST_POSTGRES")
	if url == "" {
		t.Skip("needs PostgreSQL: run it under `scripts/postgres run`, or let LANYARD_TEST_POSTGRES name a server")
	}
	st, err := Open(t.Context(), url, &Options{MaxConns: 1})
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	for _, text := range []string{`SELECT 1`, `SELECT 2`, `SELECT 3`} {
		if _, err := st.db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := st.db.QueryRowContext(t.Context(), text+` WHERE $1 > 0`, 1).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	var prepared int
	if err := st.db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_prepared_statements`).Scan(&prepared); err != nil || prepared != 0 {
		t.Errorf("%d statements are prepared on the connection, %v, want none", prepared, err)
	}
}
