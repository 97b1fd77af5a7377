package faults_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
)

// hold takes SQLite's write lock, says so and keeps it until it is killed.
func hold(ctx context.Context, order string) error {
	var p place
	if err := json.Unmarshal([]byte(order), &p); err != nil {
		return err
	}
	db, err := p.pool(nil)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE lanyard_epochs SET epoch = epoch + 1`); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, "held"); err != nil {
		return err
	}
	select {}
}

// Another process that holds the file's write lock costs a caller his deadline,
// or five seconds where he has none; who only reads does not wait. When the
// other is killed, in the middle of its transaction, all goes on at once.
func TestSQLiteLocked(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	l := newLedger()
	h := p.host(t, l.hear)
	owner := newOwner()
	id, err := firstKey(t.Context(), h, l, owner)
	if err != nil {
		t.Fatal(err)
	}
	var calls []call
	for _, c := range changes {
		calls = append(calls, c.by(t, h, l, newOwner()))
	}
	if _, err := h.keys.Keys(t.Context(), owner); err != nil { // stores the uses, for which a caller would wait in turn
		t.Fatal(err)
	}
	order, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	other := child(t, "hold", string(order))
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the other process: %v", err)
	}
	began := time.Now()
	err = l.call(t.Context(), t, changes[0].name, 20*time.Second, calls[0])
	if took := time.Since(began); !errors.Is(err, lanyard.ErrUnavailable) || took < 4*time.Second || took > 8*time.Second {
		t.Errorf("%s without a deadline = %v after %v, want ErrUnavailable after 5 s", changes[0].name, err, took)
	}
	// Nor does a crowd of them wait for each other in turn.
	var crowd sync.WaitGroup
	began = time.Now()
	for range 8 {
		crowd.Go(func() {
			_ = l.call(t.Context(), t, "one of a crowd", time.Minute, func(ctx context.Context) error {
				return changes[1].do(ctx, h, l, newOwner(), "")
			})
		})
	}
	crowd.Wait()
	if took := time.Since(began); took > 13*time.Second {
		t.Errorf("a crowd without a deadline waited for %v, want 10 s at most", took)
	}
	for i, do := range calls {
		err := l.call(t.Context(), t, changes[i].name, 50*time.Millisecond, do)
		if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s while another writes = %v, want ErrUnavailable and DeadlineExceeded", changes[i].name, err)
		}
	}
	if err := l.call(t.Context(), t, "apikey.Verify", time.Second, func(ctx context.Context) error {
		_, err := h.keys.Verify(ctx, l.issued[id].token)
		return err
	}); err != nil {
		t.Errorf("Verify() while another writes = %v", err)
	}
	_ = other.Process.Kill()
	_ = other.Wait()
	for i, do := range calls {
		if err := l.call(t.Context(), t, changes[i].name, 2*time.Second, do); err != nil {
			t.Errorf("%s after the other was killed = %v", changes[i].name, err)
		}
	}
	l.check(t, p, h)
	t.Log(l)
}

// A file that was damaged is an outage, and nobody is told that his key is
// unknown.
func TestSQLiteDamaged(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	l := newLedger()
	h := p.host(t, l.hear)
	owner := newOwner()
	id, err := firstKey(t.Context(), h, l, owner)
	if err != nil {
		t.Fatal(err)
	}
	h.close(t.Context()) // which brings the log home
	whole, err := os.ReadFile(p.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	damaged := 0
	for from := page; from < len(whole); from += page {
		bad := bytes.Clone(whole)
		for i := range bad[from : from+page] {
			bad[from+i] = 0xa5
		}
		if err := os.WriteFile(p.SQLite, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := p.open(t.Context())
		if err != nil {
			l.note(t, "sqlite.Open", err)
			damaged++
			continue
		}
		h, err := newHost(st, p.Ring, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.keys.Verify(t.Context(), l.issued[id].token)
		if err != nil && !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("Verify() with page %d damaged = %v, want nil or ErrUnavailable", from/page, err)
		}
		if err != nil {
			damaged++
		}
		h.close(t.Context())
	}
	if damaged < 2 {
		t.Errorf("%d damaged pages were noticed, want those of the keys and of the schema", damaged)
	}
	if err := os.WriteFile(p.SQLite, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	l.check(t, p)
	t.Logf("of %d pages %d stand in the way of a verification", len(whole)/page, damaged)
}

// A backup takes the place of a file when all processes have stopped and the
// log of the old one is gone. It is whole, and as it was.
func TestSQLiteRestored(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	l := newLedger()
	h := p.host(t, l.hear)
	for _, c := range changes {
		if err := c.by(t, h, l, newOwner())(t.Context()); err != nil {
			t.Fatalf("%s = %v", c.name, err)
		}
	}
	backup := p.SQLite + ".backup"
	if _, err := p.beside(t).ExecContext(t.Context(), `VACUUM INTO ?`, backup); err != nil {
		t.Fatal(err)
	}
	later := newOwner()
	other := p.host(t, nil)
	if _, err := firstKey(t.Context(), other, newLedger(), later); err != nil {
		t.Fatal(err)
	}
	h.close(t.Context())
	other.close(t.Context())
	for _, log := range []string{"-wal", "-shm"} {
		if err := os.Remove(p.SQLite + log); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(backup, p.SQLite); err != nil {
		t.Fatal(err)
	}
	again := p.host(t, l.hear)
	if keys, err := again.keys.Keys(t.Context(), later); err != nil || len(keys) != 0 {
		t.Errorf("Keys() of who came after the backup = %v, %v, want none", keys, err)
	}
	l.check(t, p, again)
}
