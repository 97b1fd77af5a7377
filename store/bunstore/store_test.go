package bunstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
)

// hook is a host's query hook, as one that logs every statement.
type hook struct{ heard atomic.Int64 }

func (h *hook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	h.heard.Add(1)
	return ctx
}

func (*hook) AfterQuery(context.Context, *bun.QueryEvent) {}

// A host lends its pool and gets it back: no transaction or connection is kept
// between two calls, no hook of its hears an argument, and Close is not its
// pool's.
func TestHostsPool(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := "file:" + filepath.Join(t.TempDir(), "host.db") + "?_txlock=immediate&_busy_timeout=5000&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)"
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	h := &hook{}
	hosts := bun.NewDB(pool, sqlitedialect.New())
	hosts = hosts.WithQueryHook(h)
	st, err := bunstore.New(hosts, nil)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	if err := st.Migrate(ctx); err != nil {
		t.Fatalf("Migrate = %v", err)
	}
	k := addKey(t, st, "k")
	for name, call := range map[string]func() error{
		"APIKeyByHash":  func() error { _, err := st.APIKeyByHash(ctx, k.Hash); return err },
		"APIKeys":       func() error { _, err := st.APIKeys(ctx, ana); return err },
		"a stale key":   func() error { return st.UpdateAPIKey(ctx, newKey("k"), event(ctx, "x")) },
		"UpdateAPIKey":  func() error { return st.UpdateAPIKey(ctx, k, event(ctx, "x")) },
		"no input":      func() error { return st.CreateAPIKey(ctx, store.APIKey{}, 1, event(ctx, "x")) },
		"Epochs":        func() error { _, err := st.Epochs(ctx); return err },
		"Purge":         func() error { _, err := st.Purge(ctx, store.Purge{EventsBefore: now}); return err },
		"no such owner": func() error { _, err := st.Profile(ctx, ana); return err },
	} {
		_ = call()
		if n := pool.Stats().InUse; n != 0 {
			t.Errorf("%s keeps %d connections", name, n)
		}
	}
	if n := h.heard.Load(); n != 0 {
		t.Errorf("the host's hook heard %d statements", n)
	}
	for range 2 {
		if err := st.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	if _, err := st.APIKeys(ctx, ana); !errors.Is(err, lanyard.ErrClosed) {
		t.Errorf("APIKeys after Close = %v, want ErrClosed", err)
	}
	if err := pool.PingContext(ctx); err != nil {
		t.Errorf("the host's pool after Close: %v", err)
	}
}

// foreign is a dialect of a database we do not know.
type foreign struct{ schema.Dialect }

func (foreign) Name() dialect.Name { return dialect.Invalid }

func TestUnknownDialect(t *testing.T) {
	t.Parallel()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	_, err = bunstore.New(bun.NewDB(pool, foreign{sqlitedialect.New()}), nil)
	var in *lanyard.InputError
	if !errors.As(err, &in) || in.Field != "db" {
		t.Errorf("New = %v, want an InputError for db", err)
	}
}

// Rows that belong to a row go with it, whoever removes it.
func TestCascades(t *testing.T) {
	t.Parallel()
	p, st := newPool(t, nil)
	ctx := t.Context()
	k := addKey(t, st, "k")
	if err := st.RecordKeyUse(ctx, []store.KeyUse{{ID: k.ID, At: now}}); err != nil {
		t.Fatalf("RecordKeyUse = %v", err)
	}
	ok, err := st.CreateOwnerKey(ctx, store.OwnerKey{ID: "ok", Owner: ana, Secrets: "keyring", KeyVersion: "1", Wrapped: []byte{1}})
	if err != nil {
		t.Fatalf("CreateOwnerKey = %v", err)
	}
	tok := store.ProviderToken{ID: "t", Owner: ana, ProviderID: "jira", OwnerKeyID: ok.ID}
	if err := st.CreateProviderToken(ctx, tok, 10, event(ctx, "x")); err != nil {
		t.Fatalf("CreateProviderToken = %v", err)
	}
	db := sql.OpenDB(p)
	t.Cleanup(func() { _ = db.Close() })
	for _, c := range []struct{ from, gone string }{
		{"lanyard_owner_keys", "lanyard_provider_tokens"}, {"lanyard_api_keys", "lanyard_api_key_usage"},
	} {
		var before, after int
		count := `SELECT count(*) FROM ` + c.gone
		if err := db.QueryRowContext(ctx, count).Scan(&before); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(ctx, `DELETE FROM `+c.from); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRowContext(ctx, count).Scan(&after); err != nil {
			t.Fatal(err)
		}
		if before != 1 || after != 0 {
			t.Errorf("%s held %d rows, and %d after %s was emptied, want 1 and 0", c.gone, before, after, c.from)
		}
	}
}

// result is an error of SQLite.
type result int

func (result) Error() string { return "text of a driver: 0xsecret" }
func (r result) Code() int   { return int(r) }

// What a driver says is told apart by its code, and a database that cannot
// answer never makes a record unknown.
func TestErrorsAreClassifiedByCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says error
		want error
	}{
		{coded{"23505"}, lanyard.ErrExists},
		{coded{"23503"}, store.ErrOwnerKeyGone},
		{coded{"23514"}, lanyard.ErrUnavailable},
		{coded{"25006"}, lanyard.ErrUnavailable}, // read_only_sql_transaction
		{coded{"42501"}, lanyard.ErrUnavailable}, // insufficient_privilege
		{coded{"53300"}, lanyard.ErrUnavailable}, // too_many_connections
		{coded{"57014"}, lanyard.ErrUnavailable}, // query_canceled
		{coded{"57P01"}, lanyard.ErrUnavailable}, // admin_shutdown
		{result(2067), lanyard.ErrExists},
		{result(1555), lanyard.ErrExists},
		{result(787), store.ErrOwnerKeyGone},
		{result(5), lanyard.ErrUnavailable},  // SQLITE_BUSY
		{result(8), lanyard.ErrUnavailable},  // SQLITE_READONLY
		{result(10), lanyard.ErrUnavailable}, // SQLITE_IOERR
		{result(11), lanyard.ErrUnavailable}, // SQLITE_CORRUPT
		{result(13), lanyard.ErrUnavailable}, // SQLITE_FULL
		{result(26), lanyard.ErrUnavailable}, // SQLITE_NOTADB
		{errors.New("duplicate key value, no rows in result set: secret"), lanyard.ErrUnavailable},
	} {
		p, st := newPool(t, nil)
		p.failOn(func(string) (before, after error) { return c.says, nil })
		for name, call := range map[string]func() error{
			"APIKeyByHash": func() error { _, err := st.APIKeyByHash(t.Context(), newKey("k").Hash); return err },
			"APIKey":       func() error { _, err := st.APIKey(t.Context(), ana, "k"); return err },
			"CreateAPIKey": func() error { return st.CreateAPIKey(t.Context(), newKey("k"), -1, event(t.Context(), "x")) },
			"Append":       func() error { return st.Append(t.Context(), event(t.Context(), "x")) },
		} {
			err := call()
			if !errors.Is(err, c.want) || errors.Is(err, lanyard.ErrNotFound) {
				t.Errorf("%s after %#v = %v, want %v", name, c.says, err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%s repeats the text of the driver: %v", name, err)
			}
		}
	}
}

// A span a call, named after it, with how it ended and nothing of what it was
// given.
func TestSpans(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	p, st := newPool(t, &bunstore.Options{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))})
	ctx := t.Context()
	k := newKey("canary")
	canaries := []string{"canary", string(k.Hash), ana.Subject}
	steps := []struct {
		span, outcome string
		failed        bool
		do            func() error
	}{
		{"store.CreateAPIKey", "ok", false, func() error { return st.CreateAPIKey(ctx, k, 1, event(ctx, "x")) }},
		{"store.CreateAPIKey", "exists", false, func() error { return st.CreateAPIKey(ctx, k, 1, event(ctx, "x")) }},
		{"store.CreateAPIKey", "limit", false, func() error { return st.CreateAPIKey(ctx, newKey("other"), 1, event(ctx, "x")) }},
		{"store.CreateAPIKey", "invalid", false, func() error { return st.CreateAPIKey(ctx, store.APIKey{}, 1, event(ctx, "x")) }},
		{"store.UpdateAPIKey", "conflict", false, func() error { return st.UpdateAPIKey(ctx, k, event(ctx, "x")) }},
		{"store.APIKeyByHash", "ok", false, func() error { _, err := st.APIKeyByHash(ctx, k.Hash); return err }},
		{"store.APIKey", "not_found", false, func() error { _, err := st.APIKey(ctx, ana, "canary2"); return err }},
		{"store.Epochs", "ok", false, func() error { _, err := st.Epochs(ctx); return err }},
		{"store.APIKeys", "unavailable", true, func() error {
			p.failOn(func(string) (before, after error) { return coded{"57P01"}, nil })
			_, err := st.APIKeys(ctx, ana)
			return err
		}},
		{"store.APIKeys", "closed", false, func() error { _ = st.Close(); _, err := st.APIKeys(ctx, ana); return err }},
	}
	for _, s := range steps {
		_ = s.do()
	}
	ended := recorder.Ended()
	if len(ended) != len(steps) {
		t.Fatalf("%d spans ended, want %d", len(ended), len(steps))
	}
	for i, s := range steps {
		span := ended[i]
		attrs := map[string]string{}
		for _, a := range span.Attributes() {
			attrs[string(a.Key)] = a.Value.String()
		}
		if span.Name() != s.span || attrs["lanyard.outcome"] != s.outcome || attrs["db.system.name"] != "sqlite" || len(attrs) != 2 {
			t.Errorf("step %d: span %s with %v, want %s with the outcome %s", i, span.Name(), attrs, s.span, s.outcome)
		}
		if failed := span.Status().Code == codes.Error; failed != s.failed {
			t.Errorf("step %d: the span of %s failed: %v, want %v", i, s.span, failed, s.failed)
		}
		for _, c := range canaries {
			for _, v := range attrs {
				if strings.Contains(v, c) {
					t.Errorf("step %d: an attribute holds %q", i, v)
				}
			}
			if strings.Contains(span.Status().Description, c) || len(span.Events()) != 0 {
				t.Errorf("step %d: the span says %q and holds %d events", i, span.Status().Description, len(span.Events()))
			}
		}
	}
}

// Purge takes all that is old, however much there is.
func TestPurgeInBatches(t *testing.T) {
	t.Parallel()
	const old = 2500
	p, st := newPool(t, nil)
	db := sql.OpenDB(p)
	t.Cleanup(func() { _ = db.Close() })
	kept := addKey(t, st, "kept")
	for _, statement := range []string{
		`INSERT INTO lanyard_api_keys (id, tenant, subject, shard, version, name, hint, hash, created_at, deleted_at)
			SELECT 'k' || i, 'acme', 'ana', 0, 1, '', '', CAST('hash' || i AS BLOB), ?, ?`,
		`INSERT INTO lanyard_api_key_usage (key_id, last_used_at) SELECT 'k' || i, ?`,
		`INSERT INTO lanyard_events (id, tenant, subject, at, actor_tenant, actor_subject, via, action, object, request_id, ip, user_agent)
			SELECT 'e' || i, 'acme', 'ana', ?, '', '', '', '', '', '', '', ''`,
	} {
		statement = strings.ReplaceAll(statement, "?", fmt.Sprint(now.AddDate(-1, 0, 0).UnixMicro()))
		if _, err := db.ExecContext(t.Context(), strings.Replace(statement, "SELECT", "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT", 1)+` FROM n`, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: kept.ID, At: now}}); err != nil {
		t.Fatalf("RecordKeyUse = %v", err)
	}
	p.taken()
	done, err := st.Purge(t.Context(), store.Purge{EventsBefore: now, UsageBefore: now, TombstonesBefore: now})
	if want := (store.Purged{Events: old, Usage: old, Tombstones: old}); err != nil || done != want {
		t.Errorf("Purge = %+v, %v, want %+v", done, err, want)
	}
	commits := 0
	for _, s := range p.taken() {
		if s.text == "COMMIT" {
			commits++
		}
	}
	if commits < 9 {
		t.Errorf("Purge worked in %d transactions, want one for each thousand rows", commits)
	}
	if k, err := st.APIKey(t.Context(), ana, kept.ID); err != nil || !k.LastUsedAt.Equal(now) {
		t.Errorf("APIKey after Purge = %+v, %v, want it with its use", k, err)
	}
}
