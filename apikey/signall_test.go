package apikey_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/sqlite"
)

// upgrade is a host that had no Sealer until now.
type upgrade struct {
	st     store.Store
	clock  *clock
	before *apikey.Service // without a Sealer
	after  *apikey.Service // with one
}

func newUpgrade(t *testing.T, st store.Store) *upgrade {
	t.Helper()
	u := &upgrade{st: st, clock: newClock()}
	sealer, _ := newSealer(t, st)
	options := apikey.Options{Prefix: "aic", Scopes: []string{"read", "write"}, Now: u.clock.now, AcceptForeign: sanctum}
	u.before = newService(t, st, &options)
	options.Sealer = sealer
	u.after = newService(t, st, &options)
	return u
}

func (u *upgrade) create(t *testing.T, owner lanyard.Owner) (apikey.Key, string) {
	t.Helper()
	made, err := u.before.Create(t.Context(), owner, apikey.CreateRequest{Name: "x", Scopes: []string{"read"}, ExpiresAt: start.Add(1000 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return made.Key, made.Secret.Reveal()
}

// signAll signs what was made until a second ago.
func (u *upgrade) signAll(t *testing.T, o apikey.SignAllOptions) apikey.SignAllReport {
	t.Helper()
	if o.Before.IsZero() {
		o.Before = u.clock.now()
	}
	report, err := u.after.SignAll(t.Context(), u.st, &o)
	if err != nil {
		t.Fatalf("SignAll(%+v) = %v, want nil", o, err)
	}
	if !report.Done {
		t.Errorf("SignAll(%+v) = %+v, want it done", o, report)
	}
	return report
}

func (u *upgrade) works(t *testing.T, why, token string, want bool) {
	t.Helper()
	if _, err := u.after.Verify(t.Context(), token); (err == nil) != want || !want && !errors.Is(err, lanyard.ErrUnauthenticated) {
		t.Errorf("%s: Verify() = %v, want it good: %t", why, err, want)
	}
}

func refusals(r apikey.SignAllReport) map[string]error {
	m := map[string]error{}
	for _, f := range r.Refused {
		m[f.KeyID] = f.Err
	}
	return m
}

func sorted(ids ...string) []string { return slices.Sorted(slices.Values(ids)) }

func TestSignAll(t *testing.T) {
	t.Parallel()
	forStores(t, func(t *testing.T, open func() store.Store) {
		u := newUpgrade(t, open())
		created, token := u.create(t, ana)
		renamed, other := u.create(t, bob)
		if _, err := u.before.Rename(t.Context(), bob, renamed.ID, 0, "y"); err != nil {
			t.Fatal(err)
		}
		u.clock.advance(time.Hour)
		rotated, err := u.before.Rotate(t.Context(), ana, created.ID, apikey.RotateRequest{Grace: 100 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		imported, err := u.before.Import(t.Context(), []apikey.ImportRequest{{Owner: bob, Name: "old", Hash: hexHash("s"), CreatedAt: start.Add(-time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
		deleted, gone := u.create(t, ana)
		if err := u.before.Delete(t.Context(), ana, deleted.ID, 0); err != nil {
			t.Fatal(err)
		}
		u.clock.advance(time.Second)
		late, lateToken := u.create(t, ana)
		signed, err := u.after.Create(t.Context(), ana, apikey.CreateRequest{Name: "signed"})
		if err != nil {
			t.Fatal(err)
		}

		want := sorted(created.ID, renamed.ID, rotated.Key.ID, imported[0].Key.ID)
		for _, dry := range []bool{true, false} {
			u.works(t, "not signed yet", token, false)
			var progress []apikey.SignAllReport
			report := u.signAll(t, apikey.SignAllOptions{DryRun: dry, Progress: func(r apikey.SignAllReport) { progress = append(progress, r) }})
			if !slices.Equal(report.Signed, want) || len(report.Unwitnessed) > 0 || report.Raced > 0 {
				t.Errorf("dry %t: SignAll() = %+v, want %q signed", dry, report, want)
			}
			if r := refusals(report); len(r) != 1 || !errors.Is(r[late.ID], apikey.ErrMadeLater) {
				t.Errorf("dry %t: refused %v, want the key that was made later", dry, r)
			}
			if len(progress) != 1 || !progress[0].Done {
				t.Errorf("dry %t: progress %+v, want one", dry, progress)
			}
		}
		u.works(t, "created", token, true)
		u.works(t, "renamed", other, true)
		u.works(t, "rotated", rotated.Secret.Reveal(), true)
		u.works(t, "made with a Sealer", signed.Secret.Reveal(), true)
		u.works(t, "deleted", gone, false)
		u.works(t, "made later", lateToken, false)
		if row, err := u.st.APIKeyByID(t.Context(), imported[0].Key.ID); err != nil || len(row.MAC) == 0 {
			t.Errorf("the imported row has a MAC of %d bytes (%v)", len(row.MAC), err)
		}

		// Once more there is nothing to do.
		if report := u.signAll(t, apikey.SignAllOptions{}); len(report.Signed) > 0 || len(report.Refused) != 1 {
			t.Errorf("the second SignAll() = %+v", report)
		}
		if n := len(historyOf(t, u.st, ana, apikey.ActionCreated)); n != 4 {
			t.Errorf("the history tells of %d keys, want 4: SignAll writes none", n)
		}
	})
}

// Who writes the table of keys, and nothing else, cannot have a row of his own
// signed.
func TestSignAllDoesNotBelieveTheTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.db")
	st, err := sqlite.Open(t.Context(), path, nil)
	if err == nil {
		err = st.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	exec := func(query string, args ...any) {
		t.Helper()
		res, err := db.ExecContext(t.Context(), query, args...)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := res.RowsAffected(); n != 1 || err != nil {
			t.Fatalf("%s: %d rows, %v, want 1", query, n, err)
		}
	}
	u := newUpgrade(t, st)

	byOwner, a := u.create(t, ana)
	byOperator, b := u.create(t, ana)
	leaked, c := u.create(t, ana)
	older, d := u.create(t, ana)
	purgedTombstone, e := u.create(t, bob)
	u.clock.advance(time.Minute)
	if err := u.before.Delete(t.Context(), ana, byOwner.ID, 0); err != nil {
		t.Fatal(err)
	}
	// The operator's deletion, of a key that was signed: nothing is left of its MAC.
	if report := u.signAll(t, apikey.SignAllOptions{}); len(report.Signed) != 4 {
		t.Fatalf("SignAll() = %+v, want four signed", report)
	}
	u.clock.advance(time.Minute)
	err = st.DeleteAPIKeyByID(t.Context(), byOperator.ID, u.clock.now(), func(k store.APIKey) lanyard.Event {
		return lanyard.NewEvent(context.Background(), u.clock.now(), k.Owner, apikey.ActionDeleted, k.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.before.ReportLeaks(t.Context(), []apikey.Leak{leak(c)}); err != nil {
		t.Fatal(err)
	}
	u.clock.advance(time.Minute)
	for _, id := range []string{byOwner.ID, byOperator.ID, leaked.ID} {
		exec("UPDATE lanyard_api_keys SET deleted_at = NULL, mac = NULL WHERE id = ?", id)
	}
	// A row of another age, one that was made by SQL, and one of another owner.
	exec("UPDATE lanyard_api_keys SET created_at = created_at - 1000000, mac = NULL WHERE id = ?", older.ID)
	inserted, f := u.create(t, bob)
	exec("DELETE FROM lanyard_events WHERE object = ?", inserted.ID)
	exec("UPDATE lanyard_api_keys SET subject = 'bob', shard = (SELECT shard FROM lanyard_api_keys WHERE id = ?), mac = NULL WHERE id = ?", inserted.ID, purgedTombstone.ID)
	moved, g := u.create(t, ana)
	exec("UPDATE lanyard_api_keys SET subject = 'bob', shard = (SELECT shard FROM lanyard_api_keys WHERE id = ?) WHERE id = ?", inserted.ID, moved.ID)
	u.clock.advance(time.Second)

	report := u.signAll(t, apikey.SignAllOptions{})
	got := refusals(report)
	for id, want := range map[string]error{
		byOwner.ID: apikey.ErrDeleted, byOperator.ID: apikey.ErrDeleted, leaked.ID: apikey.ErrDeleted,
		older.ID: apikey.ErrNoHistory, inserted.ID: apikey.ErrNoHistory, moved.ID: apikey.ErrNoHistory,
	} {
		if !errors.Is(got[id], want) {
			t.Errorf("SignAll() refuses %s with %v, want %v", id, got[id], want)
		}
	}
	if len(got) != 6 || !slices.Equal(report.Signed, []string{purgedTombstone.ID}) {
		t.Errorf("SignAll() = %+v, want six refused and bob's own signed", report)
	}
	for _, token := range []string{a, b, c, d, f, g} {
		u.works(t, "a row that is not to be believed", token, false)
	}
	u.works(t, "bob's own", e, true)

	// Where the history was purged, what is older is believed, and named; a
	// deletion that it tells of still counts.
	exec("DELETE FROM lanyard_events WHERE object = ? AND action = ?", byOwner.ID, apikey.ActionCreated)
	report = u.signAll(t, apikey.SignAllOptions{HistorySince: u.clock.now()})
	if want := []string{inserted.ID, moved.ID}; !slices.Equal(report.Signed, sorted(want...)) || !slices.Equal(report.Unwitnessed, report.Signed) {
		t.Errorf("SignAll() with a purged history = %+v, want %q signed unwitnessed", report, want)
	}
	if got := refusals(report); len(got) != 4 || !errors.Is(got[byOwner.ID], apikey.ErrDeleted) || !errors.Is(got[older.ID], apikey.ErrNoHistory) {
		t.Errorf("SignAll() with a purged history refuses %v", got)
	}
}

// A history of many pages is read to its end.
func TestSignAllReadsAllOfTheHistory(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t, memory.New())
	key, token := u.create(t, ana)
	revived, dead := u.create(t, ana)
	if err := u.before.Delete(t.Context(), ana, revived.ID, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 1203 {
		u.clock.advance(time.Second)
		e := lanyard.NewEvent(t.Context(), u.clock.now(), ana, "test", fmt.Sprint(i))
		if err := u.st.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	u.st = revive{u.st, revived.ID}
	report := u.signAll(t, apikey.SignAllOptions{})
	if !slices.Equal(report.Signed, []string{key.ID}) || !errors.Is(refusals(report)[revived.ID], apikey.ErrDeleted) {
		t.Errorf("SignAll() = %+v, want %s signed and %s refused", report, key.ID, revived.ID)
	}
	u.works(t, "signed", token, true)
	u.works(t, "deleted", dead, false)
}

// revive is a store in which somebody cleared the deleted_at of a key.
type revive struct {
	store.Store
	id string
}

func (r revive) UnsignedAPIKeys(ctx context.Context, after string, limit int) ([]store.APIKey, error) {
	keys, err := r.Store.UnsignedAPIKeys(ctx, after, limit)
	k, other := r.APIKeyByID(ctx, r.id)
	if err != nil || other != nil {
		return nil, errors.Join(err, other)
	}
	k.DeletedAt = time.Time{}
	return append(keys, k), nil
}

// Two runs at once, with a page each, sign each key and fail none; one that is
// stopped goes on where it was.
func TestSignAllAtOnceAndResumed(t *testing.T) {
	t.Parallel()
	forStores(t, func(t *testing.T, open func() store.Store) {
		u := newUpgrade(t, open())
		tokens := map[string]string{}
		for i := range 30 {
			key, token := u.create(t, lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("u", i%7)})
			tokens[key.ID] = token
		}
		u.clock.advance(time.Second)
		options := apikey.SignAllOptions{Before: u.clock.now()}

		// Stopped after ten.
		few := &stopped{Store: u.st, left: 10}
		report, err := u.after.SignAll(t.Context(), few, &options)
		if !errors.Is(err, lanyard.ErrUnavailable) || report.Done || len(report.Signed) != 10 || report.After != report.Signed[9] {
			t.Errorf("SignAll() that was stopped = %+v, %v, want ten signed and where to go on", report, err)
		}
		options.After = report.After
		var wg sync.WaitGroup
		var mu sync.Mutex
		signed := map[string]bool{}
		for range 2 {
			st := open()
			wg.Go(func() {
				report, err := u.after.SignAll(t.Context(), st, &options)
				if err != nil || len(report.Refused) > 0 || !report.Done {
					t.Errorf("SignAll() = %+v, %v", report, err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, id := range report.Signed {
					signed[id] = true
				}
			})
		}
		wg.Wait()
		if len(signed) != 20 {
			t.Errorf("%d were signed, want 20", len(signed))
		}
		for id, token := range tokens {
			u.works(t, id, token, true)
		}
	})
}

// stopped is a store that fails after some signatures.
type stopped struct {
	store.Store
	left int
}

func (s *stopped) SignAPIKey(ctx context.Context, k store.APIKey) error {
	if s.left--; s.left < 0 {
		return lanyard.ErrUnavailable
	}
	return s.Store.SignAPIKey(ctx, k)
}

// raceStore is a store in which something happens before each signature.
type raceStore struct {
	store.Store
	before func(store.APIKey)
}

func (r raceStore) SignAPIKey(ctx context.Context, k store.APIKey) error {
	r.before(k)
	return r.Store.SignAPIKey(ctx, k)
}

// What is deleted or renamed meanwhile is not signed over.
func TestSignAllRaces(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t, memory.New())
	deleted, dead := u.create(t, ana)
	renamed, token := u.create(t, bob)
	u.clock.advance(time.Second)
	base := u.st
	u.st = raceStore{base, func(k store.APIKey) {
		var err error
		switch k.ID {
		case deleted.ID:
			err = u.before.Delete(t.Context(), ana, k.ID, 0)
		case renamed.ID:
			_, err = u.before.Rename(t.Context(), bob, k.ID, 0, "y")
		}
		if err != nil {
			t.Error(err)
		}
	}}
	if report := u.signAll(t, apikey.SignAllOptions{}); report.Raced != 2 || len(report.Signed) > 0 || len(report.Refused) > 0 {
		t.Errorf("SignAll() = %+v, want two raced", report)
	}
	u.st = base
	if report := u.signAll(t, apikey.SignAllOptions{}); !slices.Equal(report.Signed, []string{renamed.ID}) {
		t.Errorf("the second SignAll() = %+v, want the renamed key signed", report)
	}
	u.works(t, "renamed", token, true)
	u.works(t, "deleted", dead, false)
}

func TestSignAllOptions(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t, memory.New())
	_, err := u.before.SignAll(t.Context(), u.st, &apikey.SignAllOptions{Before: start})
	wantInput(t, "SignAll without a Sealer", err, "sealer", "required")
	_, err = u.after.SignAll(t.Context(), u.st, nil)
	wantInput(t, "SignAll without options", err, "before", "required")
	_, err = u.after.SignAll(t.Context(), u.st, &apikey.SignAllOptions{Before: start.Add(time.Second)})
	wantInput(t, "SignAll of the future", err, "before", "invalid")

	// A clock is finer than what stores keep: now is not the future.
	if _, err := u.after.SignAll(t.Context(), u.st, &apikey.SignAllOptions{Before: start.Add(999)}); err != nil {
		t.Errorf("SignAll until now = %v, want nil", err)
	}

	// The key service is down: nothing is signed, nothing is lost.
	_, token := u.create(t, ana)
	u.clock.advance(time.Second)
	sealer, ks := newSealer(t, u.st)
	ks.down.Store(true)
	down := newService(t, u.st, &apikey.Options{Prefix: "aic", Sealer: sealer, Now: u.clock.now})
	report, err := down.SignAll(t.Context(), u.st, &apikey.SignAllOptions{Before: u.clock.now()})
	if !errors.Is(err, lanyard.ErrUnavailable) || report.Done || len(report.Signed)+len(report.Refused) > 0 || strings.Contains(fmt.Sprint(err), token) {
		t.Errorf("SignAll() with the key service down = %+v, %v, want ErrUnavailable", report, err)
	}
	u.signAll(t, apikey.SignAllOptions{})
	u.works(t, "signed once the key service is back", token, true)
}
