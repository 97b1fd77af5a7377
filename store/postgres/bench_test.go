package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/postgres"
)

// These want a server and a quiet machine:
//
//	scripts/postgres run go test -run '^$' -bench . -benchtime 20000x ./store/postgres
//
// Filling in a million keys takes a minute or more.

// What a call costs does not grow with the table: the median of each with a
// thousand keys, a hundred thousand and a million, asked in turn so that a busy
// machine is as busy for all, and the last by the first.
func BenchmarkStoreGrowth(b *testing.B) {
	sizes := []int{1_000, 100_000, 1_000_000}
	stores := make([]*postgres.Store, len(sizes))
	for i, keys := range sizes {
		url := migrated(b)
		fill(b, pool(b, url), keys)
		stores[i] = open(b, url, nil)
	}
	for name, call := range map[string]func(ctx context.Context, st *postgres.Store, i, keys int) error{
		"verify": func(ctx context.Context, st *postgres.Store, i, keys int) error {
			_, _, hash := filledKey(i, keys)
			_, err := st.APIKeyByHash(ctx, hash)
			return err
		},
		"list": func(ctx context.Context, st *postgres.Store, i, keys int) error {
			owner, _, _ := filledKey(i, keys)
			_, err := st.APIKeys(ctx, owner)
			return err
		},
		"touch": func(ctx context.Context, st *postgres.Store, i, _ int) error {
			return st.RecordKeyUse(ctx, []store.KeyUse{{ID: keyID(i), At: time.Now(), From: "203.0.113.0/24"}})
		},
	} {
		b.Run(name, func(b *testing.B) {
			calls := make([]func() error, len(sizes))
			for s, keys := range sizes {
				calls[s] = func() error { return call(b.Context(), stores[s], 1+rand.N(keys), keys) }
			}
			medians := inTurn(b, calls...)
			for s, keys := range sizes {
				b.ReportMetric(medians[s], fmt.Sprintf("µs/%dk-keys", keys/1000))
			}
			b.ReportMetric(medians[len(sizes)-1]/medians[0], "ratio")
		})
	}
}

// What a verification costs by what the database takes: its median by that of the
// same statement, and by that of the row of the key alone, both prepared on a
// pool of pgx and nothing else.
func BenchmarkStoreVerify(b *testing.B) {
	const keys = 100_000
	url := migrated(b)
	fill(b, pool(b, url), keys)
	st := open(b, url, nil)
	bare, err := pgxpool.New(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bare.Close)
	said, pooled := overheard(b, url)
	_, _, some := filledKey(1, keys)
	statements := said(b, func(ctx context.Context) error { _, err := pooled.APIKeyByHash(ctx, some); return err })
	if len(statements) != 1 {
		b.Fatalf("a verification sends %q, want one statement", statements)
	}
	asked := func(statement string) func() error {
		return func() error {
			_, _, hash := filledKey(1+rand.N(keys), keys)
			rows, err := bare.Query(b.Context(), statement, hash)
			if err != nil {
				return err
			}
			n := 0
			for rows.Next() {
				if _, err := rows.Values(); err != nil {
					return err
				}
				n++
			}
			if n != 1 {
				return errors.Join(fmt.Errorf("%d rows", n), rows.Err())
			}
			return rows.Err()
		}
	}
	alone := ofTheKeyAlone.ReplaceAllString(statements[0].text, "$1\n$2")
	medians := inTurn(b,
		func() error {
			_, _, hash := filledKey(1+rand.N(keys), keys)
			_, err := st.APIKeyByHash(b.Context(), hash)
			return err
		},
		asked(statements[0].text), asked(alone),
	)
	b.ReportMetric(medians[0], "µs/verify")
	b.ReportMetric(medians[1], "µs/same")
	b.ReportMetric(medians[2], "µs/row")
	b.ReportMetric(medians[0]/medians[1], "×same")
	b.ReportMetric(medians[0]/medians[2], "×row")
}

// ofTheKeyAlone is the statement of a verification around what it asks of other
// tables.
var ofTheKeyAlone = regexp.MustCompile(`(?s)^(.*?),\s*\(SELECT.*\)\s*(FROM lanyard_api_keys AS k.*)$`)

// inTurn runs the calls one after the other, again and again, and returns the
// median of each in microseconds.
func inTurn(b *testing.B, calls ...func() error) []float64 {
	b.Helper()
	took := make([][]time.Duration, len(calls))
	run := func(keep bool) {
		for i, call := range calls {
			began := time.Now()
			if err := call(); err != nil {
				b.Fatal(err)
			}
			if keep {
				took[i] = append(took[i], time.Since(began))
			}
		}
	}
	for range 1000 { // until plans are made and pages are read
		run(false)
	}
	for b.Loop() {
		run(true)
	}
	medians := make([]float64, len(calls))
	for i := range took {
		slices.Sort(took[i])
		medians[i] = float64(took[i][len(took[i])/2]) / float64(time.Microsecond)
	}
	return medians
}
