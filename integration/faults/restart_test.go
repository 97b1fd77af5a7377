package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/integration/servers"
)

// onOwnServer returns a migrated database on a server that may be stopped.
func onOwnServer(t testing.TB) (*servers.Cluster, place) {
	t.Helper()
	c := servers.OwnPostgres(t)
	return c, newPlace(t, place{Postgres: c.URL})
}

// healTime is how long after a server takes connections again every caller is
// served.
const healTime = 2 * time.Second

// A server that stops takes nothing along that it acknowledged, and every host
// goes on by itself when it is back.
func TestServerStops(t *testing.T) { //nolint:tparallel // one server, in turn
	t.Parallel()
	server, p := onOwnServer(t)
	for _, mode := range []servers.Mode{servers.Fast, servers.Immediate} {
		t.Run(string(mode)+" in a transaction", func(t *testing.T) { stopInTransaction(t, server, p, mode) })
		t.Run(string(mode)+" under load", func(t *testing.T) { restartUnderLoad(t, server, p, mode) })
	}
}

// stopInTransaction stops the server before a transaction's COMMIT, and when
// it is done: the transaction is absent or whole.
func stopInTransaction(t *testing.T, server *servers.Cluster, p place, mode servers.Mode) {
	t.Helper()
	l := newLedger()
	h, s := p.stepped(t, l.hear)
	for _, at := range []step{{"before", "INSERT lanyard_events"}, {"before", "COMMIT"}, {"after", "COMMIT"}} {
		c := changeNamed("apikey.Rotate") // two rows and an event
		do := c.by(t, h, l, newOwner())
		var once sync.Once
		s.at(func(ctx context.Context, now step) error {
			if now == at && isOurs(ctx) {
				once.Do(func() { server.Stop(t, mode) })
			}
			return nil
		})
		began := time.Now()
		err := do(ours(t.Context()))
		s.at(nil)
		l.note(t, c.name, err)
		if (at.when == "after") != (err == nil) {
			t.Errorf("%s while the server stops %v = %v", c.name, at, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
		server.Start(t)
		within(t, healTime, c.name+" after a start", func() bool { return do(t.Context()) == nil })
	}
	l.check(t, p, h)
	t.Log(l)
}

// restartUnderLoad restarts the server in the middle of load.
func restartUnderLoad(t *testing.T, server *servers.Cluster, p place, mode servers.Mode) {
	t.Helper()
	const workers = 8
	l := newLedger()
	h := p.host(t, l.hear)
	var (
		rounds, started, healed atomic.Int64 // started: when, in nanoseconds
		working                 sync.WaitGroup
	)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range workers {
		working.Go(func() {
			served := false
			for ctx.Err() == nil {
				asked := time.Now()
				err := work(t, h, l)
				if err == nil {
					rounds.Add(1)
				} else {
					<-time.After(10 * time.Millisecond)
				}
				since := started.Load()
				if !served && since > 0 && err == nil && asked.UnixNano() > since {
					served = true
					healed.Add(1)
				}
			}
		})
	}
	some := func() bool { return rounds.Load() >= workers*3 }
	within(t, 20*time.Second, "load", some)
	server.Stop(t, mode)
	rounds.Store(0)
	server.Start(t)
	began := time.Now()
	started.Store(began.UnixNano())
	within(t, healTime, "service for every caller", func() bool { return healed.Load() == workers })
	took := time.Since(began)
	within(t, 20*time.Second, "load", some)
	stop()
	working.Wait()
	l.check(t, p, h)
	t.Logf("every caller was served %v after the start; %v; %d tokens tried", took.Round(time.Millisecond), l, len(l.issued))
}

// work is one round of somebody: any change at all, and the life of a key:
// create with retries, verify, rename, rotate or delete. It returns the first
// answer that was no success.
func work(t *testing.T, h *host, l *ledger) error {
	t.Helper()
	const limit = 2 * time.Second
	owner := newOwner()
	var first error
	try := func(what string, do call) error {
		err := l.call(context.WithoutCancel(t.Context()), t, what, limit, do)
		if first == nil {
			first = err
		}
		return err
	}
	c := changes[rand.N(len(changes))]
	var id string
	other := newOwner()
	if try("what "+c.name+" needs", func(ctx context.Context) (err error) {
		id, err = c.needed(ctx, h, l, other)
		return err
	}) == nil {
		_ = try(c.name, func(ctx context.Context) error { return c.do(ctx, h, l, other, id) })
	}
	var created apikey.Created
	r := apikey.CreateRequest{Name: "load", IdempotencyKey: "form"}
	for range 3 {
		err := try("apikey.Create", func(ctx context.Context) (err error) {
			created, err = h.keys.Create(ctx, owner, r)
			return err
		})
		if err == nil {
			break
		}
	}
	if created.Key.ID == "" || created.Replayed {
		return first
	}
	l.gave(owner, created.Key, created.Secret)
	err := try("apikey.Verify", func(ctx context.Context) error {
		_, err := h.keys.Verify(ctx, created.Secret.Reveal())
		return err
	})
	if errors.Is(err, lanyard.ErrUnauthenticated) {
		t.Errorf("Verify() of a key that was just made = %v", err)
	}
	_ = try("apikey.Rename", func(ctx context.Context) error {
		_, err := h.keys.Rename(ctx, owner, created.Key.ID, 0, fmt.Sprint(time.Now().UnixNano()))
		return err
	})
	if rand.N(2) == 0 {
		_ = try("apikey.Rotate", func(ctx context.Context) error { return rotateKey(ctx, h, l, owner, created.Key.ID) })
		return first
	}
	_ = try("apikey.Delete", func(ctx context.Context) error { return deleteKey(ctx, h, l, owner, created.Key.ID) })
	return first
}
