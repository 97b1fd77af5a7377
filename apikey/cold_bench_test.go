package apikey_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store/postgres"
)

// BenchmarkVerifyColdPostgres is a verification of a key that this process does
// not remember, by what PostgreSQL takes to find its row: the median of the
// ratios to a prepared SELECT of that row alone, through pgx and nothing else,
// asked for the same key just before or just after.
//
//	scripts/postgres run go test -run '^$' -bench VerifyColdPostgres -benchtime 10000x ./apikey
func BenchmarkVerifyColdPostgres(b *testing.B) {
	server := os.Getenv("LANYARD_TEST_POSTGRES")
	if server == "" {
		b.Skip("needs PostgreSQL: run it under `scripts/postgres run`")
	}
	const keys = 1000
	database := newSchema(b, server)
	st, err := postgres.Open(b.Context(), database, nil)
	if err == nil {
		err = st.Migrate(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	bare, err := pgxpool.New(b.Context(), database)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bare.Close)
	// What was verified a while ago is forgotten.
	s := newService(b, st, &apikey.Options{MaxCached: keys / 10})
	tokens := make([]string, keys)
	for i := range tokens {
		made, err := s.Create(b.Context(), lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("owner", i)}, apikey.CreateRequest{Name: "laptop"})
		if err != nil {
			b.Fatal(err)
		}
		tokens[i] = made.Secret.Reveal()
	}
	if _, err := bare.Exec(b.Context(), `VACUUM ANALYZE lanyard_api_keys, lanyard_epochs, lanyard_owner_states`); err != nil {
		b.Fatal(err)
	}

	verify := func(token string) error {
		_, err := s.Verify(b.Context(), token)
		return err
	}
	row := func(token string) error {
		hash := sha256.Sum256([]byte(token))
		var row bareRow
		return row.read(b.Context(), bare, hash[:])
	}
	timed := func(call func(string) error, token string) time.Duration {
		began := time.Now()
		if err := call(token); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	var cold, floor []time.Duration
	var ratios []float64
	for i := 0; b.Loop(); i++ {
		token := tokens[i%keys]
		var c, f time.Duration
		if i%2 == 0 {
			c, f = timed(verify, token), timed(row, token)
		} else {
			f, c = timed(row, token), timed(verify, token)
		}
		cold, floor, ratios = append(cold, c), append(floor, f), append(ratios, float64(c)/float64(f))
	}
	b.ReportMetric(float64(median(cold))/1e3, "µs/cold")
	b.ReportMetric(float64(median(floor))/1e3, "µs/row")
	b.ReportMetric(median(ratios), "×row")
}

func median[T time.Duration | float64](of []T) T {
	slices.Sort(of)
	return of[len(of)/2]
}

// bareRow is the row of a key as pgx reads it.
type bareRow struct {
	id, tenant, subject, name, hint                        string
	hash, mac, createToken, createDigest                   []byte
	shard                                                  int
	version                                                int64
	scopes, rotatedFrom                                    *string
	createdAt, expiresAt, deletedAt, rotatedAt, lifeEndsAt *int64
}

func (r *bareRow) read(ctx context.Context, db *pgxpool.Pool, hash []byte) error {
	return db.QueryRow(ctx, `SELECT id, tenant, subject, shard, version, name, hint, hash, mac, scopes, created_at, expires_at,
		deleted_at, rotated_from, rotated_at, life_ends_at, create_token, create_digest FROM lanyard_api_keys WHERE hash = $1`, hash).
		Scan(&r.id, &r.tenant, &r.subject, &r.shard, &r.version, &r.name, &r.hint, &r.hash, &r.mac, &r.scopes, &r.createdAt, &r.expiresAt,
			&r.deletedAt, &r.rotatedFrom, &r.rotatedAt, &r.lifeEndsAt, &r.createToken, &r.createDigest)
}
