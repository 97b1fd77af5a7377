package apikey_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

func TestRotate(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Prefix: "aic", Scopes: []string{"read", "write"}})
	old, oldToken := b.create(t, ana, apikey.CreateRequest{
		Name: "ci", Scopes: []string{"read"}, ExpiresAt: start.Add(30 * time.Hour),
	})
	b.clock.advance(10 * time.Hour)
	now := b.clock.now()
	rotated, err := b.Rotate(t.Context(), ana, old.ID, apikey.RotateRequest{Grace: time.Hour, Version: 1})
	if err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	k, token := rotated.Key, rotated.Secret.Reveal()
	if k.Name != "ci" || !slices.Equal(k.Scopes, []string{"read"}) || k.RotatedFrom != old.ID || k.Version != 1 || k.ID == old.ID {
		t.Errorf("Rotate() = %+v, want a successor with the same name and scopes", k)
	}
	if !k.CreatedAt.Equal(now) || !k.ExpiresAt.Equal(now.Add(30*time.Hour)) {
		t.Errorf("the successor lives from %v to %v, want as long as the old key, from now", k.CreatedAt, k.ExpiresAt)
	}
	if !rotated.OldExpiresAt.Equal(now.Add(time.Hour)) {
		t.Errorf("OldExpiresAt = %v, want the end of the grace", rotated.OldExpiresAt)
	}
	if stored, err := b.Key(t.Context(), ana, old.ID); err != nil || !stored.ExpiresAt.Equal(rotated.OldExpiresAt) || stored.Version != 2 {
		t.Errorf("the old key is %+v, %v, want it to end with the grace", stored, err)
	}

	if p := b.wantGood(t, "the successor", token); p.KeyID != k.ID || p.Owner != ana || !p.HasScope("read") || p.HasScope("write") {
		t.Errorf("the successor speaks for %+v", p)
	}
	b.wantGood(t, "the old key in its grace", oldToken)
	b.clock.set(rotated.OldExpiresAt)
	b.wantRefused(t, "the old key after its grace", oldToken)
	b.wantGood(t, "the successor after the grace", token)

	want := []string{apikey.ActionCreated, apikey.ActionRotated}
	if got := b.heard.actions(); !slices.Equal(got, want) {
		t.Errorf("OnEvent heard %v, want %v", got, want)
	}
	e := b.heard.events[1]
	if e.Object != old.ID || e.Detail[apikey.DetailName] != "ci" || e.Detail[apikey.DetailSuccessor] != k.ID {
		t.Errorf("event = %+v, want old key, name and successor", e)
	}
}

func TestRotateEndsTheOldKey(t *testing.T) {
	t.Parallel()
	const month = 30 * 24 * time.Hour
	for name, c := range map[string]struct {
		life, grace, want time.Duration // from now; a life of 0 is no end
	}{
		"no grace":                        {0, 0, 0},
		"no grace, with an end":           {time.Hour, 0, 0},
		"grace":                           {0, time.Hour, time.Hour},
		"grace before its end":            {2 * time.Hour, time.Hour, time.Hour},
		"grace beyond its end":            {time.Hour, 2 * time.Hour, time.Hour},
		"the longest grace":               {0, month, month},
		"a grace finer than a store is":   {0, time.Hour + time.Nanosecond, time.Hour},
		"the longest grace beyond an end": {time.Microsecond, month, time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			r := apikey.CreateRequest{}
			if c.life > 0 {
				r.ExpiresAt = start.Add(c.life)
			}
			old, token := b.create(t, ana, r)
			rotated, err := b.Rotate(t.Context(), ana, old.ID, apikey.RotateRequest{Grace: c.grace})
			if err != nil || !rotated.OldExpiresAt.Equal(start.Add(c.want)) {
				t.Fatalf("Rotate() = %v, %v, want the old key to end after %v", rotated.OldExpiresAt, err, c.want)
			}
			if c.life == 0 && !rotated.Key.ExpiresAt.IsZero() {
				t.Errorf("the successor of a key without end ends at %v", rotated.Key.ExpiresAt)
			}
			if c.want > 0 {
				b.clock.set(start.Add(c.want - time.Microsecond))
				b.wantGood(t, "just before", token)
			}
			b.clock.set(start.Add(c.want))
			b.wantRefused(t, "from then on", token)
		})
	}
}

func TestRotateRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Limit: 3})
	key, token := b.create(t, ana, apikey.CreateRequest{ExpiresAt: start.Add(time.Hour)})
	for _, grace := range []time.Duration{-1, -time.Hour, 30*24*time.Hour + 1, 1<<63 - 1, -1 << 63} {
		_, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: grace})
		wantInput(t, "Rotate with grace "+grace.String(), err, "grace_seconds", lanyard.CodeInvalid)
	}
	if _, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Version: 2}); !errors.Is(err, lanyard.ErrConflict) {
		t.Errorf("Rotate() of a stale version = %v, want ErrConflict", err)
	}
	b.wantGood(t, "after refused rotations", token)

	first, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []int64{0, 2} {
		if _, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: time.Minute, Version: version}); !errors.Is(err, lanyard.ErrConflict) {
			t.Errorf("Rotate() of a key with a live successor = %v, want ErrConflict", err)
		}
	}
	b.wantGood(t, "the successor", first.Secret.Reveal())

	// A lost answer is mended by deleting the successor.
	if err := b.Delete(t.Context(), ana, first.Key.ID, 0); err != nil {
		t.Fatal(err)
	}
	second, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: time.Minute})
	if err != nil {
		t.Fatalf("Rotate() after the successor was deleted = %v, want nil", err)
	}
	// A successor can be rotated itself, until the limit.
	if _, err := b.Rotate(t.Context(), ana, second.Key.ID, apikey.RotateRequest{Grace: time.Minute}); err != nil {
		t.Errorf("Rotate() of a successor = %v, want nil", err)
	}
	third, err := b.Keys(t.Context(), ana)
	if err != nil || len(third) != 3 {
		t.Fatalf("Keys() = %d keys, %v, want 3", len(third), err)
	}
	newest := third[slices.IndexFunc(third, func(k apikey.Key) bool { return k.RotatedFrom == second.Key.ID })]
	if _, err := b.Rotate(t.Context(), ana, newest.ID, apikey.RotateRequest{}); !errors.Is(err, lanyard.ErrLimit) {
		t.Errorf("Rotate() at the limit = %v, want ErrLimit", err)
	}

	b.clock.advance(time.Minute)
	_, err = b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{})
	if !errors.Is(err, apikey.ErrExpired) || !errors.Is(err, lanyard.ErrConflict) {
		t.Errorf("Rotate() of a key at its expiry = %v, want ErrExpired", err)
	}
}

func TestRotateOnce(t *testing.T) {
	t.Parallel()
	for _, grace := range []time.Duration{0, time.Hour} {
		b := newBench(t, nil)
		key, _ := b.create(t, ana, apikey.CreateRequest{})
		won := 0
		for _, err := range atOnce(20, func(int) error {
			_, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: grace})
			return err
		}) {
			if err == nil {
				won++
			} else if !errors.Is(err, lanyard.ErrConflict) {
				t.Errorf("Rotate() = %v, want nil or ErrConflict", err)
			}
		}
		keys, err := b.Keys(t.Context(), ana)
		if won != 1 || err != nil || len(keys) != 2 {
			t.Errorf("20 rotations with grace %v: %d won and %d keys, %v, want 1 and 2", grace, won, len(keys), err)
		}
	}
}

// A rename that comes in between does not fail a rotation that named no version.
func TestRotateAndRename(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, _ := b.create(t, ana, apikey.CreateRequest{})
	other := newService(t, b.memory, &apikey.Options{Now: b.clock.now})
	raced := false
	b.store.onRotate = func(err error) error {
		if raced {
			return err
		}
		// The store saw the version of before the rename.
		raced = true
		if keys, err := b.memory.APIKeys(t.Context(), ana); err == nil {
			for _, k := range keys {
				if k.RotatedFrom != "" {
					_ = other.Delete(t.Context(), ana, k.ID, 0)
				}
			}
		}
		return lanyard.ErrConflict
	}
	if _, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: time.Hour}); err != nil {
		t.Errorf("Rotate() after losing a race = %v, want nil", err)
	}
}

func TestRotateAfterAnUnknownCommit(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, _ := b.create(t, ana, apikey.CreateRequest{})
	b.store.onRotate = func(error) error { return lanyard.ErrUnavailable }
	rotated, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{})
	if err != nil {
		t.Fatalf("Rotate() whose commit arrived = %v, want nil", err)
	}
	b.wantGood(t, "the successor", rotated.Secret.Reveal())
}

// A life of centuries is kept, and ends with the last year a time can have.
func TestRotateLongLives(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for expires, want := range map[time.Time]time.Time{
		start.AddDate(1000, 0, 0):                        start.AddDate(1000, 0, 1),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC): time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	} {
		b.clock.set(start)
		key, _ := b.create(t, ana, apikey.CreateRequest{ExpiresAt: expires})
		b.clock.advance(24 * time.Hour)
		rotated, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{})
		if err != nil || !rotated.Key.ExpiresAt.Equal(want) {
			t.Errorf("Rotate() of a key until %v ends at %v, %v, want %v", expires, rotated.Key.ExpiresAt, err, want)
		}
	}
}

// A lost answer is mended by deleting the successor and rotating again: that
// shortens no life.
func TestRotateAgainKeepsTheLife(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for name, life := range map[string]time.Duration{"for ever": 0, "a year": year} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _, _ := newSigned(t)
			r := apikey.CreateRequest{}
			if life > 0 {
				r.ExpiresAt = start.Add(life)
			}
			key, token := b.create(t, ana, r)
			for range 3 {
				b.clock.advance(time.Hour)
				rotated, err := b.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{Grace: 48 * time.Hour})
				if err != nil {
					t.Fatalf("Rotate() = %v, want nil", err)
				}
				var want time.Time
				if life > 0 {
					want = b.clock.now().Add(life)
				}
				if !rotated.Key.ExpiresAt.Equal(want) || !rotated.OldExpiresAt.Equal(start.Add(49*time.Hour)) {
					t.Errorf("Rotate() = a successor until %v, the old one until %v, want %v and %v",
						rotated.Key.ExpiresAt, rotated.OldExpiresAt, want, start.Add(49*time.Hour))
				}
				b.wantGood(t, "the old key in its grace", token)
				b.wantGood(t, "its successor", rotated.Secret.Reveal())
				b.delete(t, rotated.Key.ID)
			}
		})
	}
}
