package providertoken_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
)

// recheck asks for want connections, and expects that so many requests went to
// the fake Jira.
func (w *world) recheck(t *testing.T, when string, want, requests int) {
	t.Helper()
	before := len(w.fakes["jira-data-center"].Requests())
	if n, err := w.tokens.Recheck(t.Context(), w.store, nil); n != want || err != nil {
		t.Errorf("%s: Recheck() = %d, %v, want %d", when, n, err, want)
	}
	if n := len(w.fakes["jira-data-center"].Requests()) - before; n != requests {
		t.Errorf("%s: %d requests went out, want %d", when, n, requests)
	}
}

// A connection is asked about a week after anybody did, and what is found is in
// the row and in the history, as the system's doing.
func TestRecheckAfterAWeek(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	w.clock.Add(7*day - time.Microsecond)
	w.recheck(t, "before the week is over", 0, 0)
	w.clock.Add(time.Microsecond)
	heard := len(w.actions())
	w.recheck(t, "after a week", 1, 1)
	if got := w.actions()[heard:]; !slices.Equal(got, []string{providertoken.ActionChecking, providertoken.ActionVerified}) {
		t.Errorf("heard %q, want that it was asked and proven", got)
	}
	if e := w.events[heard]; e.Object != token.ID || e.Via != lanyard.ViaSystem || e.Owner != ana {
		t.Errorf("the event is %+v, want the system's about ana's connection", e)
	}
	if row := w.row(t, token.ID); !row.CheckedAt.Equal(w.clock.Now()) {
		t.Errorf("checked at %v, want %v", row.CheckedAt, w.clock.Now())
	}
	w.recheck(t, "again", 0, 0)

	// Who asks himself puts it off.
	w.clock.Add(6 * day)
	_, err := w.tokens.Verify(t.Context(), ana, token.ID)
	ok(t, err)
	w.clock.Add(6 * day)
	w.recheck(t, "six days after its owner asked", 0, 0)
}

// What the platform rejects is told to its owner, and never asked about again.
func TestRecheckNeverRetriesARejection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	w.fakes["jira-data-center"].Tell(providertest.Revoked)
	w.clock.Add(7 * day)
	w.recheck(t, "revoked", 1, 1)
	if row := w.row(t, token.ID); row.Verdict != string(providertoken.VerdictInvalid) {
		t.Errorf("the verdict is %q, want invalid", row.Verdict)
	}
	if got := w.actions(); got[len(got)-1] != providertoken.ActionNeedsAttention {
		t.Errorf("heard %q, want needs_attention at last", got)
	}
	for range 30 {
		w.clock.Add(day)
		w.recheck(t, "rejected", 0, 0)
	}
}

// A platform that is away decides nothing, and is asked again on another day.
func TestRecheckWhileAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	w.fakes["jira-data-center"].Tell(providertest.Broken)
	w.clock.Add(7 * day)
	w.recheck(t, "away", 1, 1)
	w.clock.Add(time.Hour)
	w.recheck(t, "an hour later", 0, 0)
	over := newWorldOver(t, w, w.store)
	over.recheck(t, "by another process", 0, 0)
	w.clock.Add(day)
	w.recheck(t, "a day later", 1, 1)
	if row := w.row(t, token.ID); row.Verdict != string(providertoken.VerdictOK) || row.Version != token.Version {
		t.Errorf("the row says %q in version %d, want what it was", row.Verdict, row.Version)
	}
}

// What was stored while the platform was away becomes connected by itself.
func TestRecheckProvesTheUnverified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fakes["jira-data-center"].Tell(providertest.Broken)
	r := request("jira-data-center", anaSecret)
	r.AllowUnverified = true
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	w.fakes["jira-data-center"].Tell(providertest.Truth)
	w.recheck(t, "back again", 1, 1)
	token, err = w.tokens.Token(t.Context(), ana, token.ID)
	ok(t, err)
	if token.Status != providertoken.StatusConnected || token.Account == nil || token.Account.ID != "ana" {
		t.Errorf("the connection is %q of %v, want connected", token.Status, token.Account)
	}
}

// Nobody is asked where it could do harm or nothing could come of it.
func TestRecheckLeavesOut(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world, providertoken.Token) *world{
		"deleted": func(w *world, token providertoken.Token) *world {
			ok(t, w.tokens.Delete(t.Context(), ana, token.ID, 0))
			return w
		},
		"not offered": func(w *world, _ providertoken.Token) *world {
			w.options.Providers, w.options.Instances = nil, nil
			return newWorldOver(t, w, w.store)
		},
		"deactivated": func(w *world, _ providertoken.Token) *world {
			ok(t, w.store.Deactivate(t.Context(), ana, w.clock.Now(), lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "off", "")))
			return w
		},
		"expired": func(w *world, token providertoken.Token) *world {
			soon := w.clock.Now().Add(time.Hour)
			_, err := w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{ExpiresAt: &soon})
			ok(t, err)
			w.clock.Add(time.Hour)
			return w
		},
		"just asked": func(w *world, token providertoken.Token) *world {
			_, err := w.tokens.Verify(t.Context(), ana, token.ID)
			ok(t, err)
			return w
		},
		"busy for agents": func(w *world, _ providertoken.Token) *world {
			w.options.Providers = slices.Clone(w.options.Providers)
			for i := range w.options.Providers {
				w.options.Providers[i].Limits = providertoken.Limits{PerHour: 1}
			}
			over := newWorldOver(t, w, w.store)
			client, err := over.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "jira-data-center-x"}, nil)
			ok(t, err)
			ok(t, get(t, client, http.MethodGet, w.urls["jira-data-center"]+"/rest/api/2/myself"))
			return over
		},
		"locks accounts": func(w *world, _ providertoken.Token) *world {
			w.options.Providers = slices.Clone(w.options.Providers)
			for i := range w.options.Providers {
				d := &w.options.Providers[i]
				d.Methods = slices.Clone(d.Methods)
				for j := range d.Methods {
					d.Methods[j].Lockout = true
				}
			}
			return newWorldOver(t, w, w.store)
		},
	} {
		w := newWorld(t, nil)
		token := w.connect(t)
		w.clock.Add(20 * day)
		stale, err := w.store.AllProviderTokens(t.Context(), "", 10)
		ok(t, err)
		over := change(w, token)
		before, events := len(w.fakes["jira-data-center"].Requests()), len(over.actions())
		// The page may be from before.
		for _, m := range []store.Maintenance{w.store, oldRows{w.store, stale}} {
			if n, err := over.tokens.Recheck(t.Context(), m, nil); n != 0 || err != nil {
				t.Errorf("%s: Recheck() = %d, %v, want 0", name, n, err)
			}
		}
		if n := len(w.fakes["jira-data-center"].Requests()) - before; n != 0 || len(over.actions()) != events {
			t.Errorf("%s: %d requests went out and %q was heard, want nothing", name, n, over.actions()[events:])
		}
	}
}

// oldRows is what a page was.
type oldRows struct {
	store.Maintenance
	rows []store.ProviderToken
}

func (p oldRows) AllProviderTokens(context.Context, string, int) ([]store.ProviderToken, error) {
	return p.rows, nil
}

// A call asks about so many and no more, and the next goes on.
func TestRecheckMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.connections(t, 7)
	w.clock.Add(7 * day)
	for i, want := range []int{3, 3, 1, 0} {
		if n, err := w.tokens.Recheck(t.Context(), w.store, &providertoken.RecheckOptions{Most: 3}); n != want || err != nil {
			t.Errorf("call %d: Recheck() = %d, %v, want %d", i, n, err, want)
		}
	}
	w.clock.Add(2 * day)
	if n, err := w.tokens.Recheck(t.Context(), w.store, &providertoken.RecheckOptions{After: day, Most: -1}); n != 7 || err != nil {
		t.Errorf("without a limit: Recheck() = %d, %v, want 7", n, err)
	}
}

// connections makes n connections of ana to the fake Jira.
func (w *world) connections(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		r := request("jira-data-center", anaSecret)
		r.Label = fmt.Sprint(i)
		_, err := w.tokens.Create(t.Context(), ana, r)
		ok(t, err)
	}
}

// Processes that ask at once ask about each connection once. Where nobody can
// note that he asks, nobody asks.
func TestRecheckAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const connections = 20
	w.connections(t, connections)
	w.clock.Add(7 * day)
	w.fakes["jira-data-center"].Tell(providertest.Broken) // so that no row tells the others
	before := len(w.fakes["jira-data-center"].Requests())
	failing := newWorldOver(t, w, noHistory{w.store})
	if n, err := failing.tokens.Recheck(t.Context(), w.store, nil); n != 0 || !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Recheck() without history = %d, %v, want ErrUnavailable", n, err)
	}
	if n := len(w.fakes["jira-data-center"].Requests()) - before; n != 0 {
		t.Errorf("%d requests went out without history, want none", n)
	}
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		asked int
	)
	for range 3 {
		over := newWorldOver(t, w, w.store)
		for range 2 {
			group.Go(func() {
				n, err := over.tokens.Recheck(t.Context(), w.store, nil)
				if err != nil {
					t.Errorf("Recheck() = %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				asked += n
			})
		}
	}
	group.Wait()
	if n := len(w.fakes["jira-data-center"].Requests()) - before; n != connections || asked != connections {
		t.Errorf("%d requests went out, %d by Recheck's count, want %d", n, asked, connections)
	}
}

// A row that does not open stops no other, and a caller who goes ends it.
func TestRecheckGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.connections(t, 3)
	rows, err := w.store.AllProviderTokens(t.Context(), "", 10)
	ok(t, err)
	swapped := rows[0]
	swapped.Secrets = rows[1].Secrets // another row's
	ok(t, w.store.UpdateProviderToken(t.Context(), swapped, lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "swapped", swapped.ID)))
	w.clock.Add(7 * day)
	w.recheck(t, "one does not open", 3, 2)

	w.clock.Add(7 * day)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := w.tokens.Recheck(ctx, w.store, nil); n != 0 || err == nil {
		t.Errorf("Recheck() for somebody who is gone = %d, %v, want an error", n, err)
	}
}
