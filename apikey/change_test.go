package apikey_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if keys, err := b.Keys(t.Context(), ana); err != nil || keys != nil {
		t.Errorf("Keys() of an owner without keys = %v, %v, want none", keys, err)
	}
	var want []string
	for _, life := range []time.Duration{0, time.Hour, 7 * 24 * time.Hour, 7*24*time.Hour + time.Microsecond} {
		r := apikey.CreateRequest{}
		if life > 0 {
			r.ExpiresAt = b.clock.now().Add(life)
		}
		key, _ := b.create(t, ana, r)
		want = append([]string{key.ID}, want...)
		b.clock.advance(time.Microsecond)
	}
	b.create(t, bob, apikey.CreateRequest{})
	b.clock.set(start.Add(3 * time.Microsecond)) // when the last one was made

	keys, err := b.Keys(t.Context(), ana)
	if err != nil {
		t.Fatalf("Keys() = %v, want nil", err)
	}
	var ids []string
	var states []apikey.Status
	for _, k := range keys {
		ids, states = append(ids, k.ID), append(states, k.Status)
	}
	if !slices.Equal(ids, want) {
		t.Errorf("Keys() = %v, want newest first, %v", ids, want)
	}
	wantStates := []apikey.Status{apikey.StatusActive, apikey.StatusExpiring, apikey.StatusExpiring, apikey.StatusActive}
	if !slices.Equal(states, wantStates) {
		t.Errorf("states = %v, want %v", states, wantStates)
	}
	b.clock.set(keys[2].ExpiresAt)
	if k, err := b.Key(t.Context(), ana, keys[2].ID); err != nil || k.Status != apikey.StatusExpired {
		t.Errorf("Key() at its expiry = %v, %v, want expired", k.Status, err)
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, token := b.create(t, ana, apikey.CreateRequest{Name: "old"})
	renamed, err := b.Rename(t.Context(), ana, key.ID, key.Version, " new ")
	if err != nil || renamed.Name != "new" || renamed.Version != 2 {
		t.Fatalf("Rename() = %+v, %v, want the new name and version 2", renamed, err)
	}
	if stored, err := b.Key(t.Context(), ana, key.ID); err != nil || stored.Name != "new" || stored.Version != 2 {
		t.Errorf("Key() = %+v, %v, want what Rename returned", stored, err)
	}
	b.wantGood(t, "renamed", token)

	if _, err := b.Rename(t.Context(), ana, key.ID, 1, "newer"); !errors.Is(err, lanyard.ErrConflict) {
		t.Errorf("Rename() of a stale version = %v, want ErrConflict", err)
	}
	if same, err := b.Rename(t.Context(), ana, key.ID, 2, "new"); err != nil || same.Version != 2 {
		t.Errorf("Rename() to the name it has = %+v, %v, want nothing changed", same, err)
	}
	if _, err := b.Rename(t.Context(), ana, key.ID, 1, "new"); !errors.Is(err, lanyard.ErrConflict) {
		t.Errorf("Rename() of a stale version to the name it has = %v, want ErrConflict", err)
	}
	want := []string{apikey.ActionCreated, apikey.ActionRenamed}
	if got := b.heard.actions(); !slices.Equal(got, want) || len(b.history(t, ana)) != 2 {
		t.Errorf("heard %v and %d events, want %v", got, len(b.history(t, ana)), want)
	}
	if e := b.history(t, ana); !slices.ContainsFunc(e, func(e lanyard.Event) bool {
		return e.Action == apikey.ActionRenamed && e.Object == key.ID && e.Detail[apikey.DetailName] == "new"
	}) {
		t.Errorf("history = %+v, want the new name", e)
	}
}

// Of renames that name a version one wins; without a version all take effect,
// one after the other.
func TestRenameRaces(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, _ := b.create(t, ana, apikey.CreateRequest{})
	errs := atOnce(20, func(i int) error {
		_, err := b.Rename(t.Context(), ana, key.ID, 1, string(rune('a'+i)))
		return err
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, lanyard.ErrConflict) {
			t.Errorf("Rename() = %v, want nil or ErrConflict", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of 20 renames of one version won, want 1", won)
	}
	errs = atOnce(2, func(i int) error {
		_, err := b.Rename(t.Context(), ana, key.ID, 0, string(rune('A'+i)))
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Errorf("Rename() without a version = %v, want nil", err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, token := b.create(t, ana, apikey.CreateRequest{Name: "ci"})
	if err := b.Delete(t.Context(), ana, key.ID, 7); !errors.Is(err, lanyard.ErrConflict) {
		t.Errorf("Delete() of a stale version = %v, want ErrConflict", err)
	}
	b.wantGood(t, "not deleted", token)
	if err := b.Delete(t.Context(), ana, key.ID, key.Version); err != nil {
		t.Fatalf("Delete() = %v, want nil", err)
	}
	b.wantRefused(t, "deleted", token)
	if err := b.Delete(t.Context(), ana, key.ID, 0); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("Delete() again = %v, want ErrNotFound", err)
	}
	if _, err := b.Key(t.Context(), ana, key.ID); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("Key() of a deleted key = %v, want ErrNotFound", err)
	}
	if _, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{}); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("Rotate() of a deleted key = %v, want ErrNotFound", err)
	}
	if keys, err := b.Keys(t.Context(), ana); err != nil || len(keys) != 0 {
		t.Errorf("Keys() = %v, %v, want none", keys, err)
	}
	want := []string{apikey.ActionCreated, apikey.ActionDeleted, apikey.ActionUsedAfterDelete}
	if got := b.heard.actions(); !slices.Equal(got, want) {
		t.Errorf("OnEvent heard %v, want %v", got, want)
	}
}

// Deleting one key ends no other.
func TestDeleteEndsOneKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, _ := b.create(t, ana, apikey.CreateRequest{})
	_, mine := b.create(t, ana, apikey.CreateRequest{})
	_, bobs := b.create(t, bob, apikey.CreateRequest{})
	if err := b.Delete(t.Context(), ana, key.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.wantGood(t, "another key of the owner", mine)
	b.wantGood(t, "a key of another owner", bobs)
}

func TestClosed(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, token := b.create(t, ana, apikey.CreateRequest{})
	if err := b.Close(t.Context()); err != nil {
		t.Fatalf("Close() = %v, want nil", err)
	}
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Verify":            func() error { _, err := b.Verify(ctx, token); return err },
		"Verify, malformed": func() error { _, err := b.Verify(ctx, ""); return err },
		"Create":            func() error { _, err := b.Create(ctx, ana, apikey.CreateRequest{Name: "x"}); return err },
		"Keys":              func() error { _, err := b.Keys(ctx, ana); return err },
		"Key":               func() error { _, err := b.Key(ctx, ana, key.ID); return err },
		"Rename":            func() error { _, err := b.Rename(ctx, ana, key.ID, 0, "x"); return err },
		"Delete":            func() error { return b.Delete(ctx, ana, key.ID, 0) },
		"Rotate":            func() error { _, err := b.Rotate(ctx, ana, key.ID, apikey.RotateRequest{}); return err },
		"Check":             func() error { return b.Check(ctx) },
		"Refresh":           func() error { return b.Refresh(ctx) },
	} {
		if err := call(); !errors.Is(err, lanyard.ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
	if err := b.Close(context.Background()); err != nil {
		t.Errorf("Close() again = %v, want nil", err)
	}
}

func TestNewServiceNeedsAStore(t *testing.T) {
	t.Parallel()
	_, err := apikey.NewService(nil, nil)
	wantInput(t, "NewService(nil, nil)", err, "store", lanyard.CodeRequired)
}

func TestOptionsAreNotChanged(t *testing.T) {
	t.Parallel()
	o := &apikey.Options{OldPrefixes: []string{"old"}, Scopes: []string{"b", "a"}}
	b := newBench(t, nil)
	s := newService(t, b.memory, o)
	if o.Prefix != "" || o.Limit != 0 || o.Now != nil || o.Logger != nil || o.OnEvent != nil {
		t.Errorf("NewService changed the caller's options: %+v", o)
	}
	o.Scopes[0], o.OldPrefixes[0] = "x", "x"
	if !slices.Equal(s.Scopes(), []string{"b", "a"}) || s.IsToken("x_") {
		t.Error("the Service follows what the caller does to his options later")
	}
}
