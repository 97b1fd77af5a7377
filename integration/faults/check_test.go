package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
)

// staleness is how long a key that was deleted in one process may go on in
// another.
const staleness = 2 * time.Second

// check holds the database of p to what callers were told and to itself. hosts
// are those that went through the fault: they must know no more than a new one.
func (l *ledger) check(t *testing.T, p place, hosts ...*host) {
	t.Helper()
	db := p.beside(t)
	defer func() { _ = db.Close() }()
	rows := readTables(t, db)
	rows.checkEvents(t)
	l.checkHeard(t, rows)
	fresh := p.host(t, nil)
	defer fresh.close(t.Context())
	l.checkTokens(t, append(hosts, fresh))
	checkSealed(t, fresh, rows)
	quiet(t, p, db, hosts...)
}

// tables is all that a change leaves behind.
type tables struct {
	keys       []keyRow
	tokens     []tokenRow
	profiles   []profileRow
	states     []stateRow
	ownerKeys  int
	events     map[string]eventRow
	happenings map[happening]int // events counted
}

type keyRow struct {
	ID, Tenant, Subject, Name string
	Version                   int64
	Deleted                   int
	RotatedFrom               *string
	CreateToken               []byte
}

type tokenRow struct {
	ID, Tenant, Subject, Label string
	Version                    int64
}

type profileRow struct {
	Tenant, Subject string
	Version         int64
}

type stateRow struct{ Tenant, Subject string }

type eventRow struct{ ID, Tenant, Subject, Action, Object, Detail string }

// happening is what an event says happened to what.
type happening struct{ tenant, subject, action, object string }

func readTables(t testing.TB, db *bun.DB) *tables {
	t.Helper()
	rows := &tables{events: map[string]eventRow{}, happenings: map[happening]int{}}
	var events []eventRow
	for _, query := range []struct {
		into any
		text string
	}{
		{&rows.keys, `SELECT id, tenant, subject, name, version, CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END AS deleted, rotated_from, create_token FROM lanyard_api_keys`},
		{&rows.tokens, `SELECT id, tenant, subject, label, version FROM lanyard_provider_tokens`},
		{&rows.profiles, `SELECT tenant, subject, version FROM lanyard_profiles`},
		{&rows.states, `SELECT tenant, subject FROM lanyard_owner_states`},
		{&events, `SELECT id, tenant, subject, action, object, COALESCE(detail, '{}') AS detail FROM lanyard_events`},
		{&rows.ownerKeys, `SELECT COUNT(*) FROM lanyard_owner_keys`},
	} {
		if err := db.NewRaw(query.text).Scan(t.Context(), query.into); err != nil {
			t.Fatalf("read the tables: %v", err)
		}
	}
	for _, e := range events {
		rows.events[e.ID] = e
		rows.happenings[happening{e.Tenant, e.Subject, e.Action, e.Object}]++
		if e.Action == apikey.ActionRotated {
			var detail map[string]string
			if err := json.Unmarshal([]byte(e.Detail), &detail); err != nil {
				t.Errorf("the detail of event %s: %v", e.ID, err)
			}
			rows.happenings[happening{e.Tenant, e.Subject, "made by rotation", detail[apikey.DetailSuccessor]}]++
		}
	}
	return rows
}

func (r *tables) count(tenant, subject, object string, actions ...string) int64 {
	n := 0
	for _, action := range actions {
		n += r.happenings[happening{tenant, subject, action, object}]
	}
	return int64(n)
}

// checkEvents compares what is there with what the history says: each record
// was made once and changed as often as its version says, what is gone was
// deleted once, and of who was erased nothing is left.
func (r *tables) checkEvents(t testing.TB) {
	t.Helper()
	found := map[happening]bool{}
	want := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d events, and the tables say %d", what, got, want)
		}
	}
	for _, k := range r.keys {
		found[happening{k.Tenant, k.Subject, apikey.ActionCreated, k.ID}] = true
		what := fmt.Sprintf("key %s %q", k.ID, k.Name)
		made, other := apikey.ActionCreated, "made by rotation"
		if k.RotatedFrom != nil {
			made, other = other, made
		}
		want(what+" was made", r.count(k.Tenant, k.Subject, k.ID, made), 1)
		want(what+" was made otherwise", r.count(k.Tenant, k.Subject, k.ID, other), 0)
		want(what+" was changed", r.count(k.Tenant, k.Subject, k.ID, apikey.ActionRenamed, apikey.ActionRotated, apikey.ActionDeleted), k.Version-1)
		want(what+" was deleted", r.count(k.Tenant, k.Subject, k.ID, apikey.ActionDeleted), int64(k.Deleted))
	}
	for _, k := range r.tokens {
		found[happening{k.Tenant, k.Subject, providertoken.ActionCreated, k.ID}] = true
		what := fmt.Sprintf("connection %s %q", k.ID, k.Label)
		want(what+" was made", r.count(k.Tenant, k.Subject, k.ID, providertoken.ActionCreated), 1)
		want(what+" was changed", r.count(k.Tenant, k.Subject, k.ID,
			providertoken.ActionUpdated, providertoken.ActionVerified, providertoken.ActionNeedsAttention), k.Version-1)
		want(what+" was deleted", r.count(k.Tenant, k.Subject, k.ID, providertoken.ActionDeleted), 0)
	}
	for _, p := range r.profiles {
		found[happening{p.Tenant, p.Subject, profile.ActionCreated, ""}] = true
		what := "the profile of " + p.Tenant
		want(what+" was made", r.count(p.Tenant, p.Subject, "", profile.ActionCreated), 1)
		want(what+" was changed", r.count(p.Tenant, p.Subject, "", profile.ActionUpdated, profile.ActionRefreshed), p.Version-1)
	}
	barred := map[stateRow]int64{}
	for _, s := range r.states {
		barred[s] = 1
	}
	for h, n := range r.happenings {
		switch h.action {
		case apikey.ActionCreated, profile.ActionCreated:
			if !found[h] {
				t.Errorf("%s of %s happened to %q, and there is none", h.action, h.tenant, h.object)
			}
		case providertoken.ActionCreated:
			if !found[h] {
				want(h.object+", which is gone, was deleted", r.count(h.tenant, h.subject, h.object, providertoken.ActionDeleted), 1)
			}
		case profile.ActionDeactivated, profile.ActionReactivated:
			want(h.tenant+" was deactivated", r.count(h.tenant, h.subject, "", profile.ActionDeactivated)-
				r.count(h.tenant, h.subject, "", profile.ActionReactivated), barred[stateRow{h.tenant, h.subject}])
		case profile.ActionErased:
			if r.anyOf(h.tenant) {
				t.Errorf("%s was erased (%d), and something is left", h.tenant, n)
			}
		}
	}
	for s := range barred {
		if r.count(s.Tenant, s.Subject, "", profile.ActionDeactivated) == 0 {
			t.Errorf("%s is deactivated without an event", s.Tenant)
		}
	}
}

// anyOf reports whether a tenant of one person has anything but the event of
// an erasure.
func (r *tables) anyOf(tenant string) bool {
	for h := range r.happenings {
		if h.tenant == tenant && h.action != profile.ActionErased {
			return true
		}
	}
	return slices.ContainsFunc(r.keys, func(k keyRow) bool { return k.Tenant == tenant }) ||
		slices.ContainsFunc(r.tokens, func(k tokenRow) bool { return k.Tenant == tenant }) ||
		slices.ContainsFunc(r.profiles, func(p profileRow) bool { return p.Tenant == tenant }) ||
		slices.ContainsFunc(r.states, func(s stateRow) bool { return s.Tenant == tenant })
}

// checkHeard looks for every event that was told as committed, once.
func (l *ledger) checkHeard(t testing.TB, rows *tables) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.heard {
		erased := rows.count(e.Owner.Tenant, "", "", profile.ActionErased) > 0
		if _, ok := rows.events[id]; !ok && !erased {
			t.Errorf("an acknowledged write is lost: %s of %s", e.Action, e.Owner.Tenant)
		}
	}
}

// checkTokens tries every token that was given out, at every host.
func (l *ledger) checkTokens(t testing.TB, hosts []*host) {
	t.Helper()
	l.mu.Lock()
	given := maps.Clone(l.issued)
	l.mu.Unlock() // a use of a deleted key is an event, which we hear
	for id, k := range given {
		for _, h := range hosts {
			_, err := h.keys.Verify(t.Context(), k.token)
			switch {
			case k.ended.IsZero() && !k.loose && err != nil:
				t.Errorf("the acknowledged key %s does not verify: %v", id, err)
			case !k.ended.IsZero():
				within(t, time.Until(k.ended.Add(staleness)), "the end of deleted key "+id, func() bool {
					_, err := h.keys.Verify(t.Context(), k.token)
					return errors.Is(err, lanyard.ErrUnauthenticated)
				})
			case err != nil && !errors.Is(err, lanyard.ErrUnauthenticated):
				t.Errorf("Verify() of key %s = %v, want a verdict", id, err)
			}
		}
	}
}

// checkSealed opens every owner key and every connection.
func checkSealed(t testing.TB, h *host, rows *tables) {
	t.Helper()
	report, err := h.sealer.Rewrap(t.Context(), h.store, &crypto.RewrapOptions{DryRun: true})
	if err != nil || len(report.Failed) > 0 || report.Total != rows.ownerKeys {
		t.Errorf("of %d owner keys %d were looked at, and these do not open: %v, %v", rows.ownerKeys, report.Total, report.Failed, err)
	}
	for _, k := range rows.tokens {
		owner := lanyard.Owner{Tenant: k.Tenant, Subject: k.Subject}
		if slices.Contains(rows.states, stateRow{k.Tenant, k.Subject}) {
			continue // nothing speaks for him
		}
		if err := h.opens(t.Context(), owner, k.Label); err != nil {
			t.Errorf("connection %s does not open: %v", k.ID, err)
		}
	}
}

// quiet waits until nobody is in a transaction, holds a lock or a connection:
// a server notices within moments that a client is gone.
func quiet(t testing.TB, p place, db *bun.DB, hosts ...*host) {
	t.Helper()
	var left string
	within(t, 3*time.Second, "rest", func() bool {
		left = busy(t.Context(), p, db)
		for _, h := range hosts {
			if h.pool != nil && h.pool.Stats().InUse > 0 {
				left += fmt.Sprintf("; %d connections of a pool", h.pool.Stats().InUse)
			}
		}
		return left == ""
	}, func() { t.Errorf("what is left behind: %s", left) })
}

// busy says what goes on in the database besides us.
func busy(ctx context.Context, p place, db *bun.DB) string {
	if p.SQLite != "" {
		tx, err := db.BeginTx(ctx, nil) // it has the write lock at once, or waits
		if err != nil {
			return "the write lock: " + err.Error()
		}
		_ = tx.Rollback()
		return ""
	}
	var at []string
	err := db.NewRaw(`SELECT concat_ws(' ', state, wait_event_type, wait_event, left(query, 200)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'
		UNION ALL SELECT concat_ws(' ', mode, locktype, relation::regclass::text) FROM pg_locks
		WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()`).Scan(ctx, &at)
	if err != nil {
		return err.Error()
	}
	if len(at) > 0 {
		return fmt.Sprintf("%q", at)
	}
	return ""
}

// within waits until done says so, and else fails with what late adds.
func within(t testing.TB, limit time.Duration, what string, done func() bool, late ...func()) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		asked := time.Now()
		if done() {
			return
		}
		if asked.Sub(began) > limit {
			for _, say := range late {
				say()
			}
			t.Errorf("%s did not come within %v", what, limit)
			return
		}
		<-tick.C
	}
}
