package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// death is a moment at which a process is killed in the middle of a change.
type death struct {
	change string
	at     step
	nth    int  // of such steps
	after  bool // the change has been made by then
}

var deaths = []death{
	{"apikey.Create", step{"before", "BEGIN"}, 1, false},
	{"apikey.Create", step{"after", "INSERT lanyard_api_keys"}, 1, false},
	{"apikey.Create", step{"before", "COMMIT"}, 1, false},
	{"apikey.Create", step{"after", "COMMIT"}, 1, true},
	{"apikey.Rename", step{"after", "COMMIT"}, 1, true},
	{"apikey.Rotate", step{"after", "UPDATE lanyard_api_keys"}, 1, false},
	{"apikey.Rotate", step{"after", "COMMIT"}, 1, true},
	{"apikey.Delete", step{"before", "COMMIT"}, 1, false},
	{"apikey.Delete", step{"after", "COMMIT"}, 1, true},
	{"providertoken.Create", step{"after", "INSERT lanyard_owner_keys"}, 1, false},
	{"providertoken.Create", step{"after", "COMMIT"}, 1, false}, // the owner key stands, the connection does not
	{"providertoken.Create", step{"before", "COMMIT"}, 2, false},
	{"providertoken.Create", step{"after", "COMMIT"}, 2, true},
	{"profile.Update", step{"after", "COMMIT"}, 1, true},
	{"profile.Deactivate", step{"after", "COMMIT"}, 1, true}, // and no cache was told
	{"profile.Erase", step{"after", "DELETE lanyard_api_keys"}, 1, false},
	{"profile.Erase", step{"after", "COMMIT"}, 1, true},
}

// errand is what a process is sent to do and die at, and what it says before.
type errand struct {
	Place       place
	Owner       lanyard.Owner
	Change      string
	When, What  string
	Nth         int
	ID          string            // of what is changed
	Issued      map[string]string // tokens by key id
	EventsSoFar int
}

// A process that is killed at any moment leaves a change made or not made, as
// the database says; nobody has to be told which. The same call by the next
// process ends it, and makes nothing twice.
func TestKilledAtEachPoint(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p place) {
		l := newLedger()
		h := p.host(t, l.hear)
		// The first change of a deployment makes the system key, in a transaction
		// of its own, before the one that is counted.
		if err := createKey(t.Context(), h, l, newOwner(), apikey.CreateRequest{Name: "first"}); err != nil {
			t.Fatalf("Create() = %v", err)
		}
		t.Run("at", func(t *testing.T) {
			for _, d := range deaths {
				t.Run(fmt.Sprintf("%s %v %d", d.change, d.at, d.nth), func(t *testing.T) {
					t.Parallel()
					killedAt(t, p, h, l, d)
				})
			}
		})
		l.check(t, p, h)
		t.Log(l)
	})
}

func killedAt(t *testing.T, p place, h *host, l *ledger, d death) {
	t.Helper()
	db := p.beside(t)
	order, err := json.Marshal(errand{Place: p, Owner: newOwner(), Change: d.change, When: d.at.when, What: d.at.what, Nth: d.nth})
	if err != nil {
		t.Fatal(err)
	}
	c := child(t, "die", string(order))
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if c.ProcessState == nil || c.ProcessState.Exited() {
		t.Fatalf("the other process was not killed: %v: %s", err, &said)
	}
	var e errand
	if err := json.Unmarshal(out, &e); err != nil {
		t.Fatalf("the other process said %q: %v", out, err)
	}
	for id, token := range e.Issued {
		l.mu.Lock()
		l.issued[id] = &issued{owner: e.Owner, token: token, loose: id == e.ID}
		l.mu.Unlock()
	}
	erased := d.change == "profile.Erase" && d.after
	if events := len(history(t, db, e.Owner)); (events == e.EventsSoFar+1) != (d.after && !erased) && !erased || erased && events != 1 {
		t.Errorf("there are %d events and were %d before, want a change: %v", events, e.EventsSoFar, d.after)
	}

	change := changeNamed(d.change)
	// The killed process's transaction ends when the server notices.
	if err := l.call(t.Context(), t, d.change, 10*time.Second, func(ctx context.Context) error {
		return change.do(ctx, h, l, e.Owner, e.ID)
	}); err != nil {
		t.Errorf("%s in the next process = %v", d.change, err)
	}
	keys, err := h.keys.Keys(t.Context(), e.Owner)
	if want := map[string]int{"apikey.Create": 1, "apikey.Rename": 1, "apikey.Rotate": 2}[d.change]; err != nil || len(keys) != want {
		t.Errorf("there are %d keys, %v, want %d", len(keys), err, want)
	}
	var ownerKeys int
	if err := db.NewRaw(`SELECT COUNT(*) FROM lanyard_owner_keys WHERE tenant = ?`, e.Owner.Tenant).Scan(t.Context(), &ownerKeys); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"providertoken.Create": 1}[d.change]; ownerKeys != want {
		t.Errorf("the owner has %d owner keys, want %d", ownerKeys, want)
	}
}

// die makes a change and is killed in the middle of it.
func die(ctx context.Context, order string) error {
	var e errand
	if err := json.Unmarshal([]byte(order), &e); err != nil {
		return err
	}
	s := &steps{}
	h, err := e.Place.newStepped(s, nil)
	if err != nil {
		return err
	}
	l := newLedger()
	change := changeNamed(e.Change)
	if e.ID, err = change.needed(ctx, h, l, e.Owner); err != nil {
		return err
	}
	e.Issued = map[string]string{}
	for id, k := range l.issued {
		e.Issued[id] = k.token
	}
	db, err := e.Place.pool(nil)
	if err != nil {
		return err
	}
	if err := db.NewRaw(`SELECT COUNT(*) FROM lanyard_events WHERE tenant = ?`, e.Owner.Tenant).Scan(ctx, &e.EventsSoFar); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(e); err != nil {
		return err
	}
	seen := 0
	s.at(func(ctx context.Context, at step) error {
		if isOurs(ctx) && at == (step{e.When, e.What}) {
			if seen++; seen == e.Nth {
				kill()
			}
		}
		return nil
	})
	return errors.Join(errors.New("still alive"), change.do(ours(ctx), h, l, e.Owner, e.ID))
}
