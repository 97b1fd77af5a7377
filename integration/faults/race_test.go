package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
)

// What each of two processes does to one row.
const (
	racers     = 2 // in each
	raceRounds = 60
)

// raced is one operation as a process saw it. Times are nanoseconds of the
// machine's clock.
type raced struct {
	Client   int
	From, To int64
	Write    bool // a write of Value over Version, else a read of both
	Version  int64
	Value    string
	Outcome  outcome
}

// register is what a row is: a value and a version that counts its writes.
type register struct {
	version int64
	value   string
}

// model says which answers a register can give. A write without an answer may
// have happened, at any time after it was asked for.
var model = porcupine.Model{
	Init: func() any { return register{1, "Ana"} },
	Step: func(state, input, output any) (bool, any) {
		was, op := state.(register), input.(raced)
		written := register{op.Version + 1, op.Value}
		switch o := output.(raced); {
		case !op.Write:
			return was == register{o.Version, o.Value}, was
		case o.Outcome == acknowledged:
			return was.version == op.Version, written
		case o.Outcome == refused:
			return was.version != op.Version, was
		case was.version == op.Version:
			return true, written
		}
		return true, was
	},
}

// Two processes that change one row at once: of each version one of them makes
// the next, the other hears of a conflict, and no update is lost, also while
// their connections are taken from them.
func TestProcessesRaceForOneRow(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p place) {
		l := newLedger()
		h := p.host(t, l.hear)
		owner := newOwner()
		if _, err := signIn(t.Context(), h, nil, owner); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var cutting sync.WaitGroup
		if p.Postgres != "" {
			db := p.beside(t)
			cutting.Go(func() {
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				for range 12 {
					select {
					case <-tick.C:
					case <-ctx.Done():
						return
					}
					_, _ = db.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
						WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' LIMIT 2`)
				}
			})
		}
		history := race(t, p, owner)
		stop()
		cutting.Wait()

		counts := map[outcome]int{}
		var operations []porcupine.Operation
		for _, op := range history {
			if op.Write {
				counts[op.Outcome]++
			}
		}
		for _, op := range history {
			until := op.To
			if op.Outcome == unknown {
				until = math.MaxInt64
			}
			operations = append(operations, porcupine.Operation{ClientId: op.Client, Input: op, Output: op, Call: op.From, Return: until})
		}
		if r := porcupine.CheckOperationsTimeout(model, operations, 20*time.Second); r != porcupine.Ok {
			t.Errorf("the history of %d operations is that of no register: %v", len(operations), r)
		}
		if counts[acknowledged] == 0 || counts[refused] == 0 {
			t.Errorf("of the writes were %v, want some won and some lost", counts)
		}
		rows := readTables(t, p.beside(t))
		if got := rows.profiles[0].Version - 1; got < int64(counts[acknowledged]) || got > int64(counts[acknowledged]+counts[unknown]) {
			t.Errorf("the row was written %d times, and %v", got, counts)
		}
		l.check(t, p, h)
		t.Logf("%d operations; of the writes were %v", len(operations), counts)
	})
}

// race has two processes change somebody's profile and returns what they saw.
func race(t *testing.T, p place, owner lanyard.Owner) []raced {
	t.Helper()
	var (
		mu      sync.Mutex
		history []raced
		running sync.WaitGroup
	)
	for i := range 2 {
		order, err := json.Marshal(raceOrder{p, owner, i * racers})
		if err != nil {
			t.Fatal(err)
		}
		c := child(t, "race", string(order))
		running.Go(func() {
			var said strings.Builder
			c.Stderr = &said
			out, err := c.Output()
			if err != nil {
				t.Errorf("another process: %v: %s", err, &said)
			}
			seen := json.NewDecoder(strings.NewReader(string(out)))
			for {
				var op raced
				if err := seen.Decode(&op); err != nil {
					if !errors.Is(err, io.EOF) {
						t.Errorf("another process said what is no operation: %v", err)
					}
					return
				}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return history
}

type raceOrder struct {
	Place  place
	Owner  lanyard.Owner
	Client int // the number of the first
}

// raceChild reads and writes one profile, and says what it saw.
func raceChild(ctx context.Context, order string) error {
	var o raceOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		return err
	}
	st, err := o.Place.open(ctx)
	for errors.Is(err, lanyard.ErrUnavailable) { // the connection was taken already
		st, err = o.Place.open(ctx)
	}
	if err != nil {
		return err
	}
	h, err := newHost(st, o.Place.Ring, nil)
	if err != nil {
		return err
	}
	defer h.close(ctx)
	var (
		mu      sync.Mutex
		out     = json.NewEncoder(os.Stdout)
		errs    []error
		running sync.WaitGroup
	)
	for i := range racers {
		running.Go(func() {
			client, seen := o.Client+i, int64(1)
			for n := range raceRounds {
				op := raced{Client: client, Write: n%3 > 0, Version: seen, Value: fmt.Sprintf("%d-%d", client, n), From: time.Now().UnixNano()}
				err := op.run(ctx, h, o.Owner)
				op.To = time.Now().UnixNano()
				var known bool
				if op.Outcome, known = outcomeOf(err); op.Outcome == acknowledged {
					seen = op.Version
					if op.Write {
						seen++
					}
				}
				mu.Lock()
				if !known {
					errs = append(errs, err)
				}
				if op.Write || err == nil { // a read without an answer says nothing
					errs = append(errs, out.Encode(op))
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func (op *raced) run(ctx context.Context, h *host, owner lanyard.Owner) error {
	if op.Write {
		_, err := h.profiles.Update(ctx, owner, op.Version, profile.Update{GivenName: profile.Set(op.Value)})
		return err
	}
	p, err := h.profiles.Seen(ctx, lanyard.Principal{Owner: owner, Via: lanyard.ViaAPIKey})
	op.Version, op.Value = p.Version, p.GivenName
	return err
}
