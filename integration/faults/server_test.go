package faults_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// with returns p with one more parameter for the server.
func (p place) with(t testing.TB, key, value string) place {
	t.Helper()
	u, err := url.Parse(p.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	p.Postgres = u.String()
	return p
}

func execute(t testing.TB, db *bun.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.DB.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// An empty pool costs a caller his deadline; and no call needs a second
// connection while it has one, or a pool of one would stand still.
func TestPoolExhausted(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p place) {
		l := newLedger()
		h, _ := p.stepped(t, l.hear)
		h.pool.SetMaxOpenConns(1)
		for _, c := range changes {
			do := c.by(t, h, l, newOwner())
			held, err := h.pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = l.call(t.Context(), t, c.name, 50*time.Millisecond, do)
			if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s without a free connection = %v, want ErrUnavailable and DeadlineExceeded", c.name, err)
			}
			_ = held.Close()
			if err := l.call(t.Context(), t, c.name, 5*time.Second, do); err != nil {
				t.Errorf("%s with one connection = %v", c.name, err)
			}
		}
		l.check(t, p, h)
	})
}

// Who loses a deadlock against the host's own transaction tries again, unseen.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	p := onPostgres(t)
	l := newLedger()
	// It looks for a deadlock sooner than the other, and so it is who loses.
	h, s := p.with(t, "deadlock_timeout", "20ms").stepped(t, l.hear)
	db := p.beside(t)
	owner := newOwner()
	id, err := firstKey(t.Context(), h, l, owner)
	if err != nil {
		t.Fatal(err)
	}
	before := len(history(t, db, owner))
	other, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	if _, err := other.ExecContext(t.Context(), `UPDATE lanyard_api_keys SET hint = hint WHERE id = ?`, id); err != nil {
		t.Fatal(err)
	}
	var begins atomic.Int32
	var once sync.Once
	var waiting sync.WaitGroup
	s.at(func(ctx context.Context, at step) error {
		switch {
		case !isOurs(ctx):
		case at == (step{"before", "BEGIN"}):
			begins.Add(1)
		case at == (step{"before", "UPDATE lanyard_api_keys"}):
			once.Do(func() {
				waiting.Go(func() {
					_, err := other.ExecContext(t.Context(), `UPDATE lanyard_epochs SET epoch = epoch WHERE shard = ?`, store.Shard(owner))
					if err == nil {
						err = other.Commit()
					}
					if err != nil {
						t.Errorf("the host's transaction: %v", err)
					}
				})
				within(t, 5*time.Second, "the other to wait", func() bool {
					return strings.Contains(busy(t.Context(), p, db), "active Lock")
				})
			})
		}
		return nil
	})
	err = l.call(t.Context(), t, "apikey.Rename", 5*time.Second, func(ctx context.Context) error {
		return changeNamed("apikey.Rename").do(ctx, h, l, owner, id)
	})
	s.at(nil)
	waiting.Wait()
	if err != nil || begins.Load() != 2 {
		t.Errorf("Rename() in a deadlock = %v after %d transactions, want nil after 2", err, begins.Load())
	}
	if n := len(history(t, db, owner)) - before; n != 1 {
		t.Errorf("Rename() in a deadlock left %d events, want 1", n)
	}
	l.check(t, p, h)
}

// A transaction that the server ends at COMMIT with a serialization failure is
// run again, five times at most.
func TestSerializationFailureAtCommit(t *testing.T) {
	t.Parallel()
	p := onPostgres(t)
	l := newLedger()
	h, _ := p.stepped(t, l.hear)
	db := p.beside(t)
	execute(t, db, `CREATE SEQUENCE tries`, `CREATE TABLE losses (n bigint)`, `INSERT INTO losses VALUES (0)`,
		`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('tries') <= (SELECT n FROM losses) THEN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END IF;
			RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON lanyard_events DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION lose()`)
	for _, c := range changes {
		owner := newOwner()
		do := c.by(t, h, l, owner)
		lose := func(n string) (tries int) {
			if err := db.NewRaw(`SELECT last_value FROM tries`).Scan(t.Context(), &tries); err != nil {
				t.Fatal(err)
			}
			execute(t, db, `SELECT setval('tries', 1, false)`, `UPDATE losses SET n = `+n)
			return tries
		}
		before := history(t, db, owner)
		lose("1000")
		err := l.call(t.Context(), t, c.name, 5*time.Second, do)
		tries := lose("4")
		if !errors.Is(err, lanyard.ErrUnavailable) || tries != 5 || len(history(t, db, owner)) != len(before) {
			t.Errorf("%s that always loses = %v after %d tries, want ErrUnavailable after 5 and nothing changed", c.name, err, tries)
		}
		if err := l.call(t.Context(), t, c.name, 5*time.Second, do); err != nil {
			t.Errorf("%s that loses four times = %v", c.name, err)
		}
		lose("0")
	}
	l.check(t, p, h)
	t.Log(l)
}

// A host whose pool is serializable by default sees what others see: our
// transactions say what they need.
func TestSerializableByDefault(t *testing.T) {
	t.Parallel()
	p := onPostgres(t)
	l := newLedger()
	h := p.with(t, "default_transaction_isolation", "serializable").host(t, l.hear)
	owner := newOwner()
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 5 {
				id, err := firstKey(t.Context(), h, l, owner)
				if err == nil {
					err = changeNamed("apikey.Rename").do(t.Context(), h, l, owner, id)
				}
				if err == nil {
					_, err = h.keys.Keys(t.Context(), owner)
				}
				if err == nil {
					err = rotateKey(t.Context(), h, l, owner, id)
				}
				if err != nil {
					t.Errorf("one of eight at work in one account: %v", err)
				}
			}
		})
	}
	running.Wait()
	l.check(t, p, h)
}

// After a failover to a server that only reads, keys verify and lists are read;
// changes wait for one that writes.
func TestFailoverToReadOnly(t *testing.T) {
	t.Parallel()
	p := onPostgres(t)
	l := newLedger()
	h := p.host(t, l.hear)
	db := p.with(t, "default_transaction_read_only", "off").beside(t)
	owner := newOwner()
	id, err := firstKey(t.Context(), h, l, owner)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := firstKey(t.Context(), h, l, owner)
	if err == nil {
		err = deleteKey(t.Context(), h, l, owner, gone)
	}
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]call{}
	for _, c := range changes {
		calls[c.name] = c.by(t, h, l, newOwner())
	}
	failOver := func(readOnly string) {
		var name string
		if err := db.NewRaw(`SELECT current_database()`).Scan(t.Context(), &name); err != nil {
			t.Fatal(err)
		}
		execute(t, db, `ALTER DATABASE `+name+` SET default_transaction_read_only = `+readOnly,
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	failOver("on")
	within(t, healTime, "reading after a failover", func() bool {
		_, err := h.keys.Keys(t.Context(), owner)
		return err == nil
	})
	for name, do := range calls {
		before := len(readTables(t, db).events)
		if err := l.call(t.Context(), t, name, 2*time.Second, do); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("%s on a server that only reads = %v, want ErrUnavailable", name, err)
		}
		if after := len(readTables(t, db).events); after != before {
			t.Errorf("%s on a server that only reads left %d events", name, after-before)
		}
	}
	for _, read := range []struct {
		name string
		want error
		do   call
	}{
		{"Verify() of a key", nil, func(ctx context.Context) error { _, err := h.keys.Verify(ctx, l.issued[id].token); return err }},
		{"Verify() of a deleted key", lanyard.ErrUnauthenticated, func(ctx context.Context) error {
			_, err := h.keys.Verify(ctx, l.issued[gone].token)
			return err
		}},
		{"Keys()", nil, func(ctx context.Context) error { _, err := h.keys.Keys(ctx, owner); return err }},
		{"Tokens()", nil, func(ctx context.Context) error { _, err := h.tokens.Tokens(ctx, owner); return err }},
		{"Active()", nil, func(ctx context.Context) error { return h.profiles.Active(ctx, owner) }},
		{"Check()", nil, h.keys.Check},
	} {
		if err := l.call(t.Context(), t, read.name, 2*time.Second, read.do); !errors.Is(err, read.want) {
			t.Errorf("%s on a server that only reads = %v, want %v", read.name, err, read.want)
		}
	}
	failOver("off")
	for name, do := range calls {
		within(t, healTime, name+" on a server that writes", func() bool { return do(t.Context()) == nil })
	}
	l.check(t, p, h)
	t.Log(l)
}
