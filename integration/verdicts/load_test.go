package verdicts_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/aichub/lanyard/apikey"
)

// newLoaded returns a Service whose reads of the store are counted, and keys.
func newLoaded(t testing.TB, d database, o *apikey.Options, keys int) (*apikey.Service, *ailing, []string) {
	t.Helper()
	st, err := d.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := newAiling(st)
	s, err := apikey.NewService(a, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(context.WithoutCancel(t.Context())), st.Close()); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	tokens := make([]string, keys)
	for i := range tokens {
		made, err := s.Create(t.Context(), ownerOf(fmt.Sprint("user-", i)), apikey.CreateRequest{Name: "key"})
		if err != nil {
			t.Fatal(err)
		}
		tokens[i] = made.Secret.Reveal()
		verify(t, s, tokens[i])
	}
	return s, a, tokens
}

func verify(t testing.TB, s *apikey.Service, token string) {
	t.Helper()
	if _, err := s.Verify(t.Context(), token); err != nil {
		t.Errorf("Verify() of a good key = %v, want nil", err)
	}
}

// Polls that stop for a second, at a MaxStale of 200 ms and under all the load
// there can be, cost a key a read per MaxStale, and no caller an error.
func TestPollsThatStopUnderLoad(t *testing.T) {
	t.Parallel()
	for store, open := range map[string]func(testing.TB) database{"PostgreSQL": onPostgres, "SQLite": onSQLite} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s, a, tokens := newLoaded(t, open(t), &apikey.Options{MaxStale: 200 * time.Millisecond}, 50)
			var (
				calls   atomic.Int64
				stopped atomic.Bool
				load    sync.WaitGroup
			)
			for range 2 * runtime.GOMAXPROCS(0) {
				load.Go(func() {
					for !stopped.Load() {
						verify(t, s, tokens[rand.N(len(tokens))])
						calls.Add(1)
					}
				})
			}
			_ = wait(t.Context(), 300*time.Millisecond)
			a.mu.Lock()
			clear(a.byHash)
			a.mu.Unlock()
			lookups, before := a.lookups.Load(), calls.Load()
			a.ail(ailment{NoPolls: true})
			_ = wait(t.Context(), time.Second)
			most, reads, n := a.most(), a.lookups.Load()-lookups, calls.Load()-before
			a.ail(ailment{})
			stopped.Store(true)
			load.Wait()
			if most > 10 || most == 0 {
				t.Errorf("a key was read %d times in a second without polls, want 1 to 10", most)
			}
			t.Logf("in a second without polls %d verifications of %d keys read the store %d times, one key %d times at most",
				n, len(tokens), reads, most)
		})
	}
}

// Ten thousand verifications of a key between two flushes write one row.
func TestOneWriteForTenThousandUses(t *testing.T) {
	t.Parallel()
	d := onPostgres(t)
	s, _, tokens := newLoaded(t, d, nil, 1)
	db, err := sql.Open("pgx", d.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	flush := func() {
		if _, err := s.Keys(t.Context(), ownerOf("user-0")); err != nil {
			t.Fatal(err)
		}
	}
	flush() // of the first use, which does not wait
	if _, err := db.ExecContext(t.Context(), `
		CREATE TABLE writes (at timestamptz DEFAULT clock_timestamp());
		CREATE FUNCTION written() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO writes DEFAULT VALUES; RETURN NULL; END';
		CREATE TRIGGER written AFTER INSERT OR UPDATE OR DELETE ON lanyard_api_key_usage FOR EACH ROW EXECUTE FUNCTION written();
		CREATE TRIGGER written AFTER INSERT OR UPDATE OR DELETE ON lanyard_api_keys FOR EACH ROW EXECUTE FUNCTION written()`); err != nil {
		t.Fatal(err)
	}
	for range 10 { // over some seconds, so that the use is marked several times
		for range 1000 {
			verify(t, s, tokens[0])
		}
		_ = wait(t.Context(), 250*time.Millisecond)
	}
	flush()
	flush()
	var writes int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM writes`).Scan(&writes); err != nil || writes != 1 {
		t.Errorf("%d row writes (%v) for 10 000 verifications, want 1", writes, err)
	}
}

// Tokens that look right and are nobody's cost the store a read each and the
// process no memory, and keys in use stay in the cache. With "-args -unknown
// 1000000" it takes minutes and says what a million do.
func TestUnknownTokens(t *testing.T) {
	t.Parallel()
	s, a, tokens := newLoaded(t, onPostgres(t), nil, 100)
	a.mu.Lock()
	a.byHash = nil // which would grow
	a.mu.Unlock()
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before, lookups, began := heap(), a.lookups.Load(), time.Now()
	var (
		presented atomic.Int64
		flood     sync.WaitGroup
	)
	for range 8 {
		flood.Go(func() {
			for n := presented.Add(1); n <= int64(*unknown); n = presented.Add(1) {
				if _, err := s.Verify(t.Context(), unknownToken(n)); resultOf(err) != refused {
					t.Errorf("Verify() of an unknown token = %v, want a refusal", err)
					return
				}
			}
		})
	}
	flood.Wait()
	took, asked := time.Since(began), a.lookups.Load()-lookups
	after, warm := heap(), a.lookups.Load()
	for _, token := range tokens {
		verify(t, s, token)
	}
	// A verdict grows no older than a minute, whatever is in the cache besides.
	if n := a.lookups.Load() - warm; n != 0 && took < 50*time.Second {
		t.Errorf("%d of %d keys had to be read again, want none", n, len(tokens))
	}
	if asked != int64(*unknown) {
		t.Errorf("%d reads of the store, want one for each of %d tokens", asked, *unknown)
	}
	if after-before > 32 { // tests beside this one have their share
		t.Errorf("the heap grew from %.1f MiB to %.1f MiB", before, after)
	}
	t.Logf("%d unknown tokens: %d reads of the store in %v, heap %.1f MiB before and %.1f MiB after", *unknown, asked, took.Round(time.Millisecond), before, after)
}

// unknownToken is a token that is well-formed.
func unknownToken(n int64) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := fmt.Sprintf("lyd_%010d%030d", n, n)
	sum := [6]byte{}
	for crc, i := crc32.ChecksumIEEE([]byte(text)), len(sum)-1; i >= 0; i-- {
		sum[i] = digits[crc%62]
		crc /= 62
	}
	return text + string(sum[:])
}

// Two processes that create keys for one owner at once keep to his limit.
func TestLimitOfTwoProcesses(t *testing.T) {
	t.Parallel()
	const limit = 10
	for store, open := range map[string]func(testing.TB) database{"PostgreSQL": onPostgres, "SQLite": onSQLite} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			order := hostOrder{Database: open(t), MaxStale: time.Second, Limit: limit}
			processes := []*process{startHost(t, order), startHost(t, order)}
			create := command{Do: "create", Subject: "ana"}
			for range limit - 1 {
				processes[0].must(create)
			}
			var (
				creating sync.WaitGroup
				results  = make(chan result, 50)
			)
			for i := range cap(results) {
				creating.Go(func() { results <- processes[i%2].do(create).Result })
			}
			creating.Wait()
			close(results)
			counts := make(map[result]int)
			for r := range results {
				counts[r]++
			}
			if counts[ok] != 1 || counts[limited] != 49 {
				t.Errorf("50 creations at one below the limit = %v, want 1 ok and 49 at the limit", counts)
			}
			if keys := processes[1].must(command{Do: "list", Subject: "ana"}).Keys; len(keys) != limit {
				t.Errorf("%d keys, want %d", len(keys), limit)
			}
		})
	}
}

// Processes that store the uses of the same keys in opposite orders do not
// deadlock, and neither a use nor a new name is lost.
func TestUsesFromTwoProcesses(t *testing.T) {
	t.Parallel()
	for store, open := range map[string]func(testing.TB) database{"PostgreSQL": onPostgres, "SQLite": onSQLite} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			order := hostOrder{Database: d, MaxStale: time.Second, Limit: -1}
			processes := [2]*process{startHost(t, order), startHost(t, order)}
			keys, rounds := 600, 20 // more than a store takes in one statement
			if store == "SQLite" {  // where there is one writer at a time
				keys, rounds = 50, 5
			}
			var ids [2][]string
			for range keys {
				id := processes[0].must(command{Do: "create", Subject: "ana"}).ID
				ids[0], ids[1] = append(ids[0], id), append([]string{id}, ids[1]...)
			}
			var working sync.WaitGroup
			began := time.Now()
			for i, p := range processes {
				working.Go(func() {
					for range rounds {
						if a := p.insist(command{Do: "record", Tokens: ids[i]}); a.Result != ok {
							t.Errorf("RecordKeyUse() = %s (%s), want ok", a.Result, a.Error)
						}
					}
				})
				working.Go(func() {
					for n := range rounds {
						a := p.insist(command{Do: "rename", Subject: "ana", ID: ids[i][n], Token: fmt.Sprint("renamed by ", i)})
						if a.Result != ok {
							t.Errorf("Rename() = %s (%s), want ok", a.Result, a.Error)
						}
					}
				})
			}
			working.Wait()
			listed := processes[0].must(command{Do: "list", Subject: "ana"}).Keys
			names := make(map[string]int)
			for _, k := range listed {
				names[k.Name]++
				if k.LastUsedAt.Before(began) || k.FirstUsedAt.After(k.LastUsedAt) {
					t.Errorf("a key was used from %v to %v, want until the last round", k.FirstUsedAt, k.LastUsedAt)
				}
			}
			if len(listed) != keys || names["renamed by 0"] != rounds || names["renamed by 1"] != rounds {
				t.Errorf("%d keys with names %v, want %d renamed by each", len(listed), names, rounds)
			}
			if store == "PostgreSQL" {
				wantNoDeadlocks(t, d)
			}
		})
	}
}

// wantNoDeadlocks asks the server, which counts also those after which a
// transaction ran again and nobody else heard of it.
func wantNoDeadlocks(t *testing.T, d database) {
	t.Helper()
	db, err := sql.Open("pgx", d.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var deadlocks int
	err = db.QueryRowContext(t.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks)
	if err != nil || deadlocks != 0 {
		t.Errorf("%d deadlocks (%v), want none", deadlocks, err)
	}
}
