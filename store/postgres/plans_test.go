package postgres_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
)

var update = flag.Bool("update", false, "write testdata/plans.txt")

// plansFile holds the plans as a person reads them.
var plansFile = filepath.Join("testdata", "plans.txt")

// The statements of each call find what they look for by an index, with a
// hundred thousand keys in the table: nothing that is asked for often reads a
// table from end to end.
func TestPlans(t *testing.T) {
	t.Parallel()
	const keys = 100_000
	url := migrated(t)
	db := pool(t, url)
	db.SetMaxOpenConns(1)
	// With every row in the sample, and nobody who takes another one meanwhile, so
	// that the plans are the same each time.
	execute(t, db, `DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT tablename FROM pg_tables WHERE tablename LIKE 'lanyard\_%' LOOP
			EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', name);
		END LOOP; END $$`)
	execute(t, db, `SET default_statistics_target = 3000`)
	fill(t, db, keys)
	said, st := overheard(t, url)

	owner, id, hash := filledKey(42_000, keys)
	var (
		createToken = hash
		uses        []store.KeyUse
		of          = func(k store.APIKey) lanyard.Event { return fixedEvent(k.Owner, "deleted "+k.ID) }
	)
	for i := range 100 {
		uses = append(uses, store.KeyUse{ID: keyID(1000 * (i + 1)), At: now, From: "203.0.113.0/24"})
	}
	k := store.APIKey{ID: "new", Owner: owner, Name: "new", Hash: randomHash(7), CreatedAt: now}
	erased := fixedEvent(lanyard.Owner{Tenant: owner.Tenant}, "erased")
	erased.Actor, erased.Object = lanyard.Owner{}, ""

	var plans strings.Builder
	for _, call := range []struct {
		name    string
		indexes string // that are used, by name
		do      func(ctx context.Context) error
	}{
		{"APIKeyByHash", "lanyard_api_keys_hash_key lanyard_epochs_pkey lanyard_owner_states_pkey", func(ctx context.Context) error { _, err := st.APIKeyByHash(ctx, hash); return err }},
		{"CreateProviderToken", "lanyard_provider_tokens_", func(ctx context.Context) error {
			return st.CreateProviderToken(ctx, store.ProviderToken{ID: "new", Owner: owner, ProviderID: "jira", OwnerKeyID: "ok2001"}, 100, fixedEvent(owner, "connect"))
		}},
		{"Epochs", "", func(ctx context.Context) error { _, err := st.Epochs(ctx); return err }},
		{"APIKey", "lanyard_api_keys_pkey lanyard_api_key_usage_pkey", func(ctx context.Context) error { _, err := st.APIKey(ctx, owner, id); return err }},
		{"APIKeys", "lanyard_api_keys_owner lanyard_api_key_usage_pkey", func(ctx context.Context) error { _, err := st.APIKeys(ctx, owner); return err }},
		{"APIKeyByCreateToken", "lanyard_api_keys_create_token", func(ctx context.Context) error {
			_, err := st.APIKeyByCreateToken(ctx, owner, createToken)
			return err
		}},
		{"RecordKeyUse", "lanyard_api_keys_pkey", func(ctx context.Context) error { return st.RecordKeyUse(ctx, uses) }},
		{"CreateAPIKey", "lanyard_epochs_pkey lanyard_api_keys_owner", func(ctx context.Context) error { return st.CreateAPIKey(ctx, k, 50, fixedEvent(owner, "create")) }},
		{"UpdateAPIKey", "lanyard_api_keys_pkey", func(ctx context.Context) error {
			k.Version = 1
			return st.UpdateAPIKey(ctx, k, fixedEvent(owner, "update"))
		}},
		{"DeleteAPIKey", "lanyard_epochs_pkey lanyard_api_keys_pkey", func(ctx context.Context) error {
			k.DeletedAt, k.Version = now, 0
			return st.DeleteAPIKey(ctx, k, fixedEvent(owner, "delete"))
		}},
		{"APIKeyByID", "lanyard_api_keys_pkey", func(ctx context.Context) error { _, err := st.APIKeyByID(ctx, id); return err }},
		{"OwnerState", "lanyard_owner_states_pkey", func(ctx context.Context) error { _, err := st.OwnerState(ctx, owner); return err }},
		{"OwnerKey", "lanyard_owner_keys_tenant_subject_", func(ctx context.Context) error { _, err := st.OwnerKey(ctx, owner); return err }},
		{"Profile", "lanyard_profiles_pkey", func(ctx context.Context) error { _, err := st.Profile(ctx, owner); return err }},
		{"ProviderToken", "lanyard_provider_tokens_pkey", func(ctx context.Context) error {
			_, err := st.ProviderToken(ctx, owner, "t"+keyID(2000)[1:])
			return err
		}},
		{"ProviderTokens", "lanyard_provider_tokens_owner", func(ctx context.Context) error { _, err := st.ProviderTokens(ctx, owner); return err }},
		{"RecordTokenUse", "lanyard_provider_tokens_pkey", func(ctx context.Context) error { return st.RecordTokenUse(ctx, owner, "t", now) }},
		{"Events", "lanyard_events_owner", func(ctx context.Context) error { _, err := st.Events(ctx, owner, store.EventCursor{}, 51); return err }},
		{"Events after a cursor", "lanyard_events_owner", func(ctx context.Context) error {
			_, err := st.Events(ctx, owner, store.EventCursor{At: now.Add(time.Hour), ID: "e5"}, 51)
			return err
		}},
		{"Append", "", func(ctx context.Context) error { return st.Append(ctx, fixedEvent(owner, "append")) }},
		{"ExpiringAPIKeys", "lanyard_api_keys_", func(ctx context.Context) error {
			_, err := st.ExpiringAPIKeys(ctx, now, now.AddDate(0, 0, 30), "", 100)
			return err
		}},
		{"AllAPIKeys", "lanyard_api_keys_pkey", func(ctx context.Context) error { _, err := st.AllAPIKeys(ctx, keyID(500), 100); return err }},
		{"UnsignedAPIKeys", "lanyard_api_keys_unsigned", func(ctx context.Context) error { _, err := st.UnsignedAPIKeys(ctx, "", 100); return err }},
		{"ExpiringProviderTokens", "lanyard_provider_tokens_", func(ctx context.Context) error {
			_, err := st.ExpiringProviderTokens(ctx, now, now.AddDate(0, 0, 30), "", 100)
			return err
		}},
		{"AllProviderTokens", "lanyard_provider_tokens_pkey", func(ctx context.Context) error { _, err := st.AllProviderTokens(ctx, "t5", 100); return err }},
		{"AllOwnerKeys", "lanyard_owner_keys_pkey", func(ctx context.Context) error { _, err := st.AllOwnerKeys(ctx, "ok5", 100); return err }},
		{"RewrapOwnerKey", "lanyard_owner_keys_", func(ctx context.Context) error {
			return st.RewrapOwnerKey(ctx, store.OwnerKey{ID: "ok2001", Owner: owner, Version: 1, Secrets: "keyring", KeyVersion: "v2", Wrapped: []byte{1}})
		}},
		{"DeleteAPIKeysCreatedBefore", "lanyard_api_keys_owner lanyard_api_keys_pkey", func(ctx context.Context) error {
			_, err := st.DeleteAPIKeysCreatedBefore(ctx, now.AddDate(0, 0, 1), now, 2, of)
			return err
		}},
		{"Purge", "lanyard_events_at lanyard_api_keys_tombstones lanyard_api_key_usage_pkey", func(ctx context.Context) error {
			_, err := st.Purge(ctx, store.Purge{EventsBefore: now.Add(time.Minute), TombstonesBefore: now.Add(time.Minute), UsageBefore: now})
			return err
		}},
		{"Erase", "lanyard_api_keys_owner lanyard_api_keys_owner_tombstones lanyard_provider_tokens_ lanyard_owner_keys_ lanyard_events_owner lanyard_profiles_pkey lanyard_owner_states_pkey",
			func(ctx context.Context) error { return st.Erase(ctx, owner, erased) }},
	} {
		statements := said(t, call.do)
		fmt.Fprintf(&plans, "\n== %s\n", call.name)
		used, seen := "", map[string]bool{}
		for _, s := range statements {
			text := readable(s.text)
			if seen[text] {
				continue
			}
			seen[text] = true
			plan := explain(t, db, s)
			used += plan
			fmt.Fprintf(&plans, "\n%s\n%s", text, readable(indented(plan)))
			if table := grows.FindString(plan); table != "" {
				t.Errorf("%s reads a table from end to end: %s\n%s", call.name, s.text, plan)
			}
		}
		for index := range strings.FieldsSeq(call.indexes) {
			if !strings.Contains(used, index) {
				t.Errorf("%s does not use %s:\n%s", call.name, index, used)
			}
		}
	}
	compare(t, db, plans.String())
}

// grows finds the scan of a table that has more rows the more owners there are.
var grows = regexp.MustCompile(`Seq Scan on lanyard_(profiles|owner_states|owner_keys|api_keys|api_key_usage|provider_tokens|events)\b`)

// compare holds the plans against the file. Another version of the server may
// say the same in other words, so the file names the one that it is of.
func compare(t *testing.T, db *sql.DB, plans string) {
	t.Helper()
	var version int
	if err := db.QueryRowContext(t.Context(), `SELECT current_setting('server_version_num')::int / 10000`).Scan(&version); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("The plans of PostgreSQL %d with 100 000 keys, by call and statement.\nWritten by go test ./store/postgres -run TestPlans -update\n", version)
	if *update {
		if err := os.WriteFile(plansFile, []byte(head+plans), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(plansFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(string(want), head) && string(want) != head+plans {
		got, want := strings.Split(head+plans, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("%s, line %d:\n got %s\nwant %s\nWrite it again with -update where that is better.", plansFile, i+1, got[i], want[i])
			}
		}
		t.Errorf("%s has %d lines, want %d", plansFile, len(want), len(got))
	}
}

// sent is a statement as the store sent it.
type sent struct {
	text string
	hash []byte // what was bound to it
}

// overheard returns a store on a database, and what tells which statements a
// call of it sends.
func overheard(t testing.TB, url string) (said func(testing.TB, func(context.Context) error) []sent, st *bunstore.Store) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	var log []sent
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.Tracer = listener(func(d pgx.TraceQueryStartData) {
		s := sent{text: strings.Join(strings.Fields(d.SQL), " ")}
		for _, arg := range d.Args {
			if b, ok := arg.([]byte); ok {
				s.hash = b
			}
		}
		if verb, _, _ := strings.Cut(s.text, " "); strings.Contains("SELECT INSERT UPDATE DELETE", strings.ToUpper(verb)) {
			log = append(log, s)
		}
	})
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	// Pooled, so that the verification's text comes with its argument.
	st = onPool(t, db, &bunstore.Options{Pooled: true})
	return func(t testing.TB, do func(context.Context) error) []sent {
		t.Helper()
		log = nil
		if err := do(t.Context()); err != nil {
			t.Errorf("%v", err)
		}
		return log
	}, st
}

// explain returns the plan that a statement gets. One with an argument gets
// that of a prepared statement, made once for all arguments.
func explain(t *testing.T, db *sql.DB, s sent) string {
	t.Helper()
	statement := "EXPLAIN (COSTS OFF) " + s.text
	if s.hash != nil {
		execute(t, db, `SET plan_cache_mode = force_generic_plan`)
		execute(t, db, `PREPARE verification AS `+s.text)
		defer execute(t, db, `DEALLOCATE verification`)
		statement = `EXPLAIN (COSTS OFF) EXECUTE verification('\x` + hex.EncodeToString(s.hash) + `')`
	}
	rows, err := db.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

// readable leaves out what is another each time, and most of long lists.
func readable(text string) string {
	text = regexp.MustCompile(`((epoch|shard) = )-?\d+`).ReplaceAllString(text, "${1}1")
	text = regexp.MustCompile(`k[0-9a-f]{32}([^<>]*k[0-9a-f]{32})?`).ReplaceAllString(text, "k…")
	return strings.ReplaceAll(text, "(key_id > '') AND", "(key_id > 'k…') AND")
}

func indented(plan string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(plan), "\n", "\n    ") + "\n"
}

// listener hears each statement, with its arguments, before the server does.
type listener func(pgx.TraceQueryStartData)

func (f listener) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	f(d)
	return ctx
}

func (listener) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// fixedEvent is an event that is the same each time.
func fixedEvent(owner lanyard.Owner, id string) lanyard.Event {
	e := lanyard.NewEvent(context.Background(), now, owner, "x", "object")
	e.ID = id
	return e
}

func randomHash(seed byte) []byte {
	hash := make([]byte, store.HashSize)
	hash[0] = seed
	return hash
}
