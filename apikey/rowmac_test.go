package apikey_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/sqlite"
)

// newSigned returns a bench whose rows are signed, its key service and its log.
func newSigned(t testing.TB) (*bench, *keyService, *bytes.Buffer) {
	t.Helper()
	st := memory.New()
	sealer, ks := newSealer(t, st)
	log := new(bytes.Buffer)
	b := &bench{memory: st, store: &watched{Store: st}, clock: newClock(), heard: new(heard)}
	b.Service = newService(t, b.store, &apikey.Options{
		Prefix: "aic", Scopes: []string{"read", "write"}, Sealer: sealer,
		Now: b.clock.now, OnEvent: b.heard.hear, Logger: slog.New(slog.NewJSONHandler(log, nil)), MaxStale: -1,
	})
	return b, ks, log
}

const alarm = "api key row failed its integrity check"

// Who can write the table cannot mint, widen, move or revive a key. Each column
// that authorises is changed, and each change is refused with one alarm.
func TestChangedRowsAreRefused(t *testing.T) {
	t.Parallel()
	b, _, log := newSigned(t)
	key, token := b.create(t, ana, apikey.CreateRequest{Scopes: []string{"read"}, ExpiresAt: start.AddDate(1, 0, 0)})
	_, other := b.create(t, bob, apikey.CreateRequest{Scopes: []string{"read"}, ExpiresAt: start.Add(time.Hour)})
	var bobs store.APIKey
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		bobs = row.Key
		return row, err
	}
	b.wantGood(t, "the other key", other)

	for what, change := range map[string]func(*store.APIKey){
		"subject":       func(k *store.APIKey) { k.Owner.Subject = "bob" },
		"tenant":        func(k *store.APIKey) { k.Owner.Tenant = "other" },
		"owner shifted": func(k *store.APIKey) { k.Owner = lanyard.Owner{Tenant: "acmea", Subject: "na"} },
		"more scopes":   func(k *store.APIKey) { k.Scopes = []string{"read", "write"} },
		"other scopes":  func(k *store.APIKey) { k.Scopes = []string{"write"} },
		"joined scopes": func(k *store.APIKey) { k.Scopes = []string{"re", "ad"} },
		"no scopes":     func(k *store.APIKey) { k.Scopes = nil },
		"created_at":    func(k *store.APIKey) { k.CreatedAt = k.CreatedAt.Add(time.Microsecond) },
		"later expiry":  func(k *store.APIKey) { k.ExpiresAt = k.ExpiresAt.Add(time.Microsecond) },
		"no expiry":     func(k *store.APIKey) { k.ExpiresAt = time.Time{} },
		"rotated_at":    func(k *store.APIKey) { k.RotatedAt = start },
		"life_ends_at":  func(k *store.APIKey) { k.LifeEndsAt = start.AddDate(9, 0, 0) },
		"no MAC":        func(k *store.APIKey) { k.MAC = nil },
		"empty MAC":     func(k *store.APIKey) { k.MAC = []byte{} },
		"short MAC":     func(k *store.APIKey) { k.MAC = k.MAC[:16] },
		"one bit":       func(k *store.APIKey) { k.MAC = bytes.Clone(k.MAC); k.MAC[31] ^= 1 },
		"another's MAC": func(k *store.APIKey) { k.MAC = bobs.MAC },
		"id":            func(k *store.APIKey) { k.ID = bobs.ID },
		"hash":          func(k *store.APIKey) { k.Hash = bobs.Hash },
	} {
		b.clock.advance(time.Hour) // an alarm is raised once in each
		log.Reset()
		b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
			change(&row.Key)
			return row, err
		}
		b.wantRefused(t, "a row with changed "+what, token)
		text := log.String()
		if strings.Count(text, alarm) != 1 || !strings.Contains(text, `"level":"ERROR"`) || !strings.Contains(text, key.ID) {
			t.Errorf("a row with changed %s logged %q, want one alarm that names the key", what, text)
		}
		if strings.Contains(text, token[14:44]) {
			t.Errorf("the alarm about changed %s shows the secret", what)
		}
	}

	// What authorises nothing may change.
	for what, change := range map[string]func(*store.APIKey){
		"name":         func(k *store.APIKey) { k.Name = "x" },
		"hint":         func(k *store.APIKey) { k.Hint = "x" },
		"version":      func(k *store.APIKey) { k.Version++ },
		"scope order":  func(k *store.APIKey) { k.Scopes = []string{"read"} },
		"last used at": func(k *store.APIKey) { k.LastUsedAt = start },
	} {
		log.Reset()
		b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
			change(&row.Key)
			return row, err
		}
		b.wantGood(t, "a row with another "+what, token)
		if log.Len() > 0 {
			t.Errorf("a row with another %s logged %q", what, log)
		}
	}
}

// A row is signed from creation to grave, and the tombstone's MAC is no good
// for the living.
func TestDeletedRowsStayDeleted(t *testing.T) {
	t.Parallel()
	for name, keyServiceDown := range map[string]bool{"signed tombstone": false, "unsigned tombstone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, ks, log := newSigned(t)
			key, token := b.create(t, ana, apikey.CreateRequest{})
			b.wantGood(t, "a signed key", token)

			// Another process, which has not read the key of the MACs yet.
			sealer, otherKS := newSealer(t, b.memory)
			ks.down.Store(keyServiceDown)
			otherKS.down.Store(keyServiceDown)
			other := newService(t, b.memory, &apikey.Options{Prefix: "aic", Sealer: sealer, Now: b.clock.now})
			if err := other.Delete(t.Context(), ana, key.ID, 0); err != nil {
				t.Fatalf("Delete() = %v, want nil: the key service keeps nobody from deleting", err)
			}
			row, err := b.memory.APIKeyByID(t.Context(), key.ID)
			if err != nil || (len(row.MAC) == 0) != keyServiceDown {
				t.Fatalf("the tombstone has a MAC of %d bytes (%v), key service down: %t", len(row.MAC), err, keyServiceDown)
			}

			b.wantRefused(t, "a deleted key", token)
			if log.Len() > 0 {
				t.Errorf("a deleted key logged %q, want no alarm", log)
			}
			b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
				row.Key.DeletedAt = time.Time{} // as who writes the table would
				return row, err
			}
			b.wantRefused(t, "a revived key", token)
			if strings.Count(log.String(), alarm) != 1 {
				t.Errorf("a revived key logged %q, want one alarm", log)
			}
		})
	}
}

// What an operator deletes after a restore stays deleted, also where somebody
// clears deleted_at in the table.
func TestKeysDeletedByMaintenanceStayDeleted(t *testing.T) {
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
	log := new(bytes.Buffer)
	sealer, _ := newSealer(t, st)
	b := &bench{clock: newClock()}
	b.Service = newService(t, st, &apikey.Options{
		Sealer: sealer, Now: b.clock.now, Logger: slog.New(slog.NewJSONHandler(log, nil)), MaxStale: -1,
	})
	key, byID := b.create(t, ana, apikey.CreateRequest{})
	_, byAge := b.create(t, bob, apikey.CreateRequest{})
	deleted := func(k store.APIKey) lanyard.Event {
		return lanyard.NewEvent(context.Background(), b.clock.now(), k.Owner, apikey.ActionDeleted, k.ID)
	}
	if err := st.DeleteAPIKeyByID(t.Context(), key.ID, b.clock.now(), deleted); err != nil {
		t.Fatal(err)
	}
	if n, err := st.DeleteAPIKeysCreatedBefore(t.Context(), start.Add(time.Second), b.clock.now(), 10, deleted); n != 1 || err != nil {
		t.Fatalf("DeleteAPIKeysCreatedBefore() = %d, %v, want 1", n, err)
	}
	b.wantRefused(t, "deleted by its id", byID)
	b.wantRefused(t, "deleted by its age", byAge)
	if log.Len() > 0 {
		t.Errorf("deleted keys logged %q, want no alarm", log)
	}

	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	res, err := db.ExecContext(t.Context(), "UPDATE lanyard_api_keys SET deleted_at = NULL")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); n != 2 || err != nil {
		t.Fatalf("cleared deleted_at of %d rows (%v), want 2", n, err)
	}
	b.wantRefused(t, "deleted by its id and revived", byID)
	b.wantRefused(t, "deleted by its age and revived", byAge)
	if strings.Count(log.String(), alarm) != 2 {
		t.Errorf("two revived keys logged %q, want two alarms", log)
	}
}

// The order is deleted, MAC, owner, expiry: whatever else is wrong with a row
// that is not ours, the operator hears of it.
func TestAlarmComesBeforeOwnerAndExpiry(t *testing.T) {
	t.Parallel()
	b, _, log := newSigned(t)
	_, token := b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(time.Hour)})
	b.clock.advance(2 * time.Hour)
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		row.Owner.DeactivatedAt = start
		row.Key.MAC = nil
		return row, err
	}
	b.wantRefused(t, "expired, deactivated and forged", token)
	if strings.Count(log.String(), alarm) != 1 {
		t.Errorf("logged %q, want one alarm", log)
	}
}

// A key service that is down is no verdict on a token, and lets no key be made.
func TestKeyServiceDown(t *testing.T) {
	t.Parallel()
	b, ks, log := newSigned(t)
	key, token := b.create(t, ana, apikey.CreateRequest{})
	sealer, otherKS := newSealer(t, b.memory)
	otherKS.down.Store(true)
	other := newService(t, b.memory, &apikey.Options{Prefix: "aic", Sealer: sealer, Now: b.clock.now})

	if _, err := other.Verify(t.Context(), token); !errors.Is(err, lanyard.ErrUnavailable) || errors.Is(err, lanyard.ErrUnauthenticated) {
		t.Errorf("Verify() = %v, want ErrUnavailable", err)
	}
	if err := other.Check(t.Context()); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Check() = %v, want ErrUnavailable", err)
	}
	before := len(b.history(t, ana))
	if _, err := other.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"}); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Create() = %v, want ErrUnavailable", err)
	}
	if _, err := other.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{}); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Rotate() = %v, want ErrUnavailable", err)
	}
	if n := len(b.history(t, ana)); n != before {
		t.Errorf("what failed left %d events", n-before)
	}
	otherKS.down.Store(false)
	if _, err := other.Verify(t.Context(), token); err != nil {
		t.Errorf("Verify() after the key service recovered = %v, want nil", err)
	}

	// Who has the key of the MACs needs the key service no more.
	ks.down.Store(true)
	b.wantGood(t, "while the key service is down", token)
	if log.Len() > 0 {
		t.Errorf("logged %q, want nothing", log)
	}
}

// No change of a key makes a forged row good.
func TestForgedRowsAreNotSigned(t *testing.T) {
	t.Parallel()
	b, _, log := newSigned(t)
	// An unsigned row, as an insider would insert it.
	forger := newService(t, b.memory, &apikey.Options{Prefix: "aic", Scopes: []string{"write"}, Now: b.clock.now})
	forged, err := forger.Create(t.Context(), ana, apikey.CreateRequest{Name: "x", Scopes: []string{"write"}})
	if err != nil {
		t.Fatal(err)
	}
	token := forged.Secret.Reveal()

	if _, err := b.Rotate(t.Context(), ana, forged.Key.ID, apikey.RotateRequest{Grace: time.Hour}); !errors.Is(err, lanyard.ErrForbidden) {
		t.Errorf("Rotate() of a forged row = %v, want ErrForbidden", err)
	}
	if strings.Count(log.String(), alarm) != 1 {
		t.Errorf("Rotate() of a forged row logged %q, want one alarm", log)
	}
	if _, err := b.Rename(t.Context(), ana, forged.Key.ID, 0, "y"); err != nil {
		t.Errorf("Rename() of a forged row = %v, want nil: a name authorises nothing", err)
	}
	b.wantRefused(t, "a forged row that was renamed", token)
	if err := b.Delete(t.Context(), ana, forged.Key.ID, 0); err != nil {
		t.Errorf("Delete() of a forged row = %v, want nil", err)
	}
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		row.Key.DeletedAt = time.Time{}
		return row, err
	}
	b.wantRefused(t, "a forged row that was deleted and revived", token)
}

// Renaming and rotating leave a row that verifies.
func TestChangedKeysStaySigned(t *testing.T) {
	t.Parallel()
	b, _, log := newSigned(t)
	key, token := b.create(t, ana, apikey.CreateRequest{Scopes: []string{"write", "read"}})
	if _, err := b.Rename(t.Context(), ana, key.ID, 0, "y"); err != nil {
		t.Fatal(err)
	}
	b.wantGood(t, "renamed", token)
	rotated, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	b.wantGood(t, "rotated, in its grace", token)
	b.wantGood(t, "the successor", rotated.Secret.Reveal())
	if err := b.Check(t.Context()); err != nil {
		t.Errorf("Check() = %v, want nil", err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %q, want nothing", log)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if err := b.Check(t.Context()); err != nil {
		t.Errorf("Check() = %v, want nil", err)
	}
	if err := b.Refresh(t.Context()); err != nil {
		t.Errorf("Refresh() = %v, want nil", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Check(ctx); !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Check() with a cancelled context = %v, want ErrUnavailable and context.Canceled", err)
	}
	_ = b.memory.Close()
	if err := b.Check(t.Context()); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Check() on a closed store = %v, want ErrUnavailable", err)
	}
}

// Of a rotated key also that is signed which a successor's life depends on.
func TestChangedRowsOfRotatedKeysAreRefused(t *testing.T) {
	t.Parallel()
	b, _, log := newSigned(t)
	key, token := b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(time.Hour)})
	if _, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: time.Minute}); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*store.APIKey){
		"rotated_at":    func(k *store.APIKey) { k.RotatedAt = k.RotatedAt.Add(time.Microsecond) },
		"no rotation":   func(k *store.APIKey) { k.RotatedAt, k.LifeEndsAt = time.Time{}, time.Time{} },
		"a longer life": func(k *store.APIKey) { k.LifeEndsAt = k.LifeEndsAt.Add(time.Microsecond) },
		"no end":        func(k *store.APIKey) { k.LifeEndsAt = time.Time{} },
	} {
		b.clock.advance(time.Hour) // an alarm is raised once in each
		log.Reset()
		b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
			change(&row.Key)
			return row, err
		}
		b.wantRefused(t, "a row with "+what, token)
		if strings.Count(log.String(), alarm) != 1 {
			t.Errorf("a row with %s logged %q, want one alarm", what, log)
		}
	}
}
