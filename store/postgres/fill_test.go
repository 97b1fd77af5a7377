package postgres_test

import (
	"crypto/md5"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// fill loads an empty database with that many keys, ten of each owner, and
// what owners have besides, in proportion: a key in ten is a tombstone, an
// owner in five deactivated.
func fill(t testing.TB, db *sql.DB, keys int) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO lanyard_owner_keys SELECT 'ok' || i, 'acme', 'owner' || i, 1, 'keyring', 'v1', sha256(i::text::bytea), :now FROM generate_series(1, :owners) i`,
		`INSERT INTO lanyard_profiles SELECT 'acme', 'owner' || i, 1, i || '@acme.example', true, 'Ana', 'Lima', 'Ana Lima', 'en', '', NULL, NULL, :now, :now FROM generate_series(1, :owners) i`,
		`INSERT INTO lanyard_owner_states SELECT 'acme', 'owner' || i, :now FROM generate_series(5, :owners, 5) i`,
		`INSERT INTO lanyard_api_keys SELECT 'k' || md5(i::text), 'acme', 'owner' || 1 + i % :owners, (:shards)[1 + i % :owners], 1, 'key ' || i, 'aic_xxxx', sha256(i::text::bytea),
			CASE WHEN i % 500 <> 1 THEN sha256('mac') END, '["read","write"]', :now + i * 1000000::bigint,
			CASE WHEN i % 3 = 0 THEN :now + (i * 7919::bigint % 31536000) * 1000000 END, CASE WHEN i % 10 = 9 THEN :now + i * 1000000::bigint END,
			NULL, CASE WHEN i % 2 = 0 THEN sha256(i::text::bytea) END, NULL FROM generate_series(1, :keys) i`,
		`INSERT INTO lanyard_api_key_usage SELECT id, created_at, created_at, NULL, NULL, NULL FROM lanyard_api_keys WHERE hint = 'aic_xxxx' AND shard % 2 = 0`,
		`INSERT INTO lanyard_provider_tokens SELECT 't' || md5(i::text), 'acme', 'owner' || 1 + i % :owners, 1, 'provider' || i / :owners, 'pat', '', '{"site":"acme"}',
			'{"token":{"envelope":"AAAA","version":1}}', 'ok' || 1 + i % :owners, 'https://acme.example', '1', 'Ana', 'ana@acme.example', 'ok', '', :now,
			CASE WHEN i % 2 = 0 THEN :now + (i * 7919::bigint % 31536000) * 1000000 END, :now + i, :now, NULL FROM generate_series(0, 3 * :owners - 1) i`,
		`INSERT INTO lanyard_events SELECT 'e' || md5(i::text), 'acme', 'owner' || 1 + i % :owners, :now + i * 1000000::bigint, 'acme', 'owner' || 1 + i % :owners,
			'session', 'api_key.created', 'key', '', '203.0.113.7', 'curl', CASE WHEN i % 4 = 0 THEN 'fact' || i END, '{"name":"x"}' FROM generate_series(1, 3 * :keys) i`,
	} {
		_, err := db.ExecContext(t.Context(), filled(statement, keys))
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if _, err := db.ExecContext(t.Context(), `VACUUM ANALYZE`); err != nil {
		t.Fatal(err)
	}
}

// filledKey is the i-th key that fill made: its owner, id and hash.
func filledKey(i, keys int) (owner lanyard.Owner, id string, hash []byte) {
	sum := sha256.Sum256(fmt.Append(nil, i))
	return lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("owner", 1+i%(keys/10))}, keyID(i), sum[:]
}

func keyID(i int) string { return fmt.Sprintf("k%x", md5.Sum(fmt.Append(nil, i))) }

func filled(statement string, keys int) string {
	shards := make([]string, keys/10)
	for i := range shards {
		owner, _, _ := filledKey(i, keys)
		shards[i] = strconv.Itoa(store.Shard(owner))
	}
	return strings.NewReplacer(":shards", "'{"+strings.Join(shards, ",")+"}'::int[]", ":owners", fmt.Sprint(keys/10), ":keys", fmt.Sprint(keys), ":now", fmt.Sprint(now.UnixMicro())).Replace(statement)
}
