package verdicts_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
)

var ana = ownerOf("ana")

// beside is a Service of this process on a pool of its own, whose statements a
// test can hold up.
type beside struct {
	*apikey.Service
	store    *bunstore.Store
	answered *atomic.Pointer[func(statement string)] // called when an answer has come and nobody has it yet
}

func newBeside(t testing.TB, d database, maxStale time.Duration) *beside {
	t.Helper()
	config, err := pgx.ParseConfig(d.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	b := &beside{answered: new(atomic.Pointer[func(string)])}
	config.Tracer = tracer{b.answered}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	db := stdlib.OpenDB(*config)
	b.store, err = bunstore.New(bun.NewDB(db, pgdialect.New()), nil)
	if err == nil {
		b.Service, err = apikey.NewService(b.store, &apikey.Options{MaxStale: maxStale})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.Close(context.WithoutCancel(t.Context())), b.store.Close(), db.Close()); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return b
}

type tracer struct {
	answered *atomic.Pointer[func(string)]
}

type statementKey struct{}

func (tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, statementKey{}, d.SQL)
}

func (tr tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if answered := tr.answered.Load(); answered != nil {
		statement, _ := ctx.Value(statementKey{}).(string)
		(*answered)(statement)
	}
}

// onFirstLookup has do called once, when the row of a key has been read.
func (b *beside) onFirstLookup(do func()) {
	var done atomic.Bool
	answered := func(statement string) {
		if strings.Contains(statement, "lanyard_api_keys") && done.CompareAndSwap(false, true) {
			do()
		}
	}
	b.answered.Store(&answered)
}

func (b *beside) create(t testing.TB) (id, token string) {
	t.Helper()
	made, err := b.Create(t.Context(), ana, apikey.CreateRequest{Name: "key"})
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	return made.Key.ID, made.Secret.Reveal()
}

func (b *beside) want(t testing.TB, when, token string, want result) {
	t.Helper()
	if _, err := b.Verify(t.Context(), token); resultOf(err) != want {
		t.Errorf("%s: Verify() = %v, want %s", when, err, want)
	}
}

// The race that brought deleted keys back in LiteLLM (its issue 25553): a
// verification reads a key from a slow store, the key is deleted meanwhile, and
// what was read goes into the cache. Here neither who asked before nor who joins
// afterwards gets a yes, and the cache holds none.
func TestLitellmRace(t *testing.T) {
	t.Parallel()
	const maxStale = 300 * time.Millisecond
	for name, own := range map[string]bool{"deleted by the process that reads": true, "deleted by another": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := onPostgres(t)
			here, there := newBeside(t, d, maxStale), newBeside(t, d, maxStale)
			id, token := here.create(t)
			read, arrives := make(chan struct{}), make(chan struct{})
			there.onFirstLookup(func() {
				close(read)
				<-arrives
			})
			results := make(chan result, 20)
			verify := func() {
				_, err := there.Verify(t.Context(), token)
				results <- resultOf(err)
			}
			for range 10 {
				go verify()
			}
			<-read
			deleter := here
			if own {
				deleter = there
			}
			if err := deleter.Delete(t.Context(), ana, id, 0); err != nil {
				t.Errorf("Delete() = %v", err)
			}
			if !own {
				_ = wait(t.Context(), maxStale)
			}
			for range 10 {
				go verify()
			}
			_ = wait(t.Context(), 50*time.Millisecond) // so that they join
			close(arrives)
			for range 20 {
				if r := <-results; r != refused {
					t.Errorf("Verify() of a key that is deleted = %s, want refused", r)
				}
			}
			there.want(t, "afterwards", token, refused)
		})
	}
}

// The epoch of a verdict is of the same instant as its row: a deletion that is
// committed just after the row was read is noticed.
func TestEpochIsReadWithTheRow(t *testing.T) {
	t.Parallel()
	const maxStale = time.Second
	d := onPostgres(t)
	here, there := newBeside(t, d, maxStale), newBeside(t, d, maxStale)
	id, token := here.create(t)
	there.onFirstLookup(func() {
		if err := here.Delete(t.Context(), ana, id, 0); err != nil {
			t.Errorf("Delete() = %v", err)
		}
	})
	if _, err := there.Verify(t.Context(), token); resultOf(err) != ok && resultOf(err) != refused { // refused where the deletion was slow
		t.Errorf("Verify() = %v, want an answer", err)
	}
	_ = wait(t.Context(), maxStale)
	there.want(t, "MaxStale after the deletion", token, refused)
}

// The epoch is committed with the change: while the transaction of a deletion
// is held up after it wrote the epoch, nobody sees it. A process that did would
// read the key again, find it live and believe that for as long as polls show
// this epoch.
func TestEpochIsCommittedWithTheChange(t *testing.T) {
	t.Parallel()
	const maxStale = 500 * time.Millisecond
	d := onPostgres(t)
	here, there := newBeside(t, d, maxStale), newBeside(t, d, maxStale)
	id, token := here.create(t)
	there.want(t, "before", token, ok)
	before, err := there.store.Epochs(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	db, err := sql.Open("pgx", d.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	holder, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback() }()
	if _, err := holder.ExecContext(t.Context(), `SELECT 1 FROM lanyard_api_keys WHERE id = $1 FOR UPDATE`, id); err != nil {
		t.Fatal(err)
	}
	deleted := make(chan error, 1)
	go func() { deleted <- here.Delete(t.Context(), ana, id, 0) }()
	waiting := func() (n int) {
		err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%lanyard_api_keys%'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for deadline := time.Now().Add(10 * time.Second); waiting() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the deletion does not wait for the row")
		}
		_ = wait(t.Context(), 5*time.Millisecond)
	}
	if now, err := there.store.Epochs(t.Context()); err != nil || *now != *before {
		t.Errorf("Epochs() while a deletion is not committed = %v, another one: %v, want what it was", err, err == nil)
	}
	for range 4 { // so that polls come in between
		there.want(t, "while the deletion is not committed", token, ok)
		_ = wait(t.Context(), maxStale/2)
	}
	if err := holder.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-deleted; err != nil {
		t.Fatalf("Delete() = %v", err)
	}
	here.want(t, "here, at once", token, refused)
	_ = wait(t.Context(), maxStale)
	there.want(t, "there, after MaxStale", token, refused)
	if now, err := there.store.Epochs(t.Context()); err != nil || now[store.Shard(ana)] == before[store.Shard(ana)] {
		t.Errorf("Epochs() after a deletion = %v, the same: %v, want another one", err, err == nil)
	}
}

// A key that is made is good at once in every process, also where one has asked
// for it before: what is not there is not kept.
func TestCreatedKeysAreGoodEverywhere(t *testing.T) {
	t.Parallel()
	d := onPostgres(t)
	here, there := newBeside(t, d, time.Minute), newBeside(t, d, time.Minute)
	for range 20 {
		_, token := here.create(t)
		there.want(t, "there", token, ok)
		here.want(t, "here", token, ok)
	}
}
