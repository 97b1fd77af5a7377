package apikey_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Scopes: []string{"read", "write"}})
	key, token := b.create(t, ana, apikey.CreateRequest{Scopes: []string{"write"}})
	_, bobs := b.create(t, bob, apikey.CreateRequest{})

	p := b.wantGood(t, "a good token", token)
	want := lanyard.Principal{Owner: ana, Via: lanyard.ViaAPIKey, KeyID: key.ID, Scopes: []string{"write"}}
	if fmt.Sprint(p) != fmt.Sprint(want) {
		t.Errorf("Verify() = %+v, want %+v and nothing else", p, want)
	}
	if p := b.wantGood(t, "another owner's", bobs); p.Owner != bob || p.HasScope("write") {
		t.Errorf("Verify() = %+v, want bob without scopes", p)
	}
}

// Tokens that look right and are not: each costs one query and is refused like
// all others.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, token := b.create(t, ana, apikey.CreateRequest{})
	_, other := b.create(t, bob, apikey.CreateRequest{})
	elsewhere := newBench(t, nil)
	_, foreign := elsewhere.create(t, ana, apikey.CreateRequest{})

	hash := sha256.Sum256([]byte(token))
	for why, text := range map[string]string{
		"a key of another deployment":      foreign,
		"right id, wrong secret":           resum(token[:14] + other[14:44]),
		"right secret, wrong id":           resum(other[:14] + token[14:44]),
		"the stored hash":                  hex.EncodeToString(hash[:]),
		"the stored hash in token's shape": resum("lyd_" + hex.EncodeToString(hash[:])[:40]),
		"the hint":                         key.Hint,
		"the id":                           key.ID,
	} {
		b.wantRefused(t, why, text)
	}
}

// resum completes the first 44 characters of a token with a right checksum.
func resum(body string) string {
	return body + apikey.Checksum(body)
}

func TestVerifyExpiry(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	expires := start.Add(time.Hour)
	_, token := b.create(t, ana, apikey.CreateRequest{ExpiresAt: expires})
	_, forever := b.create(t, ana, apikey.CreateRequest{})

	b.clock.set(expires.Add(-time.Microsecond))
	b.wantGood(t, "a microsecond before its end", token)
	b.clock.set(expires)
	b.wantRefused(t, "at its end", token)
	b.clock.set(expires.Add(time.Hour))
	b.wantRefused(t, "after its end", token)
	b.clock.set(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
	b.wantGood(t, "without end", forever)
	b.clock.set(start)
	b.wantGood(t, "after the clock went back", token)
}

func TestVerifyDeactivated(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, token := b.create(t, ana, apikey.CreateRequest{})
	_, bobs := b.create(t, bob, apikey.CreateRequest{})
	event := func(action string) lanyard.Event { return lanyard.NewEvent(t.Context(), start, ana, action, "") }

	if err := b.memory.Deactivate(t.Context(), ana, start, event("owner.deactivated")); err != nil {
		t.Fatal(err)
	}
	b.wantRefused(t, "of a deactivated owner", token)
	b.wantGood(t, "of another owner", bobs)
	if err := b.memory.Reactivate(t.Context(), ana, event("owner.reactivated")); err != nil {
		t.Fatal(err)
	}
	b.wantGood(t, "of a reactivated owner", token)
	erased := lanyard.NewEvent(t.Context(), start, lanyard.Owner{Tenant: ana.Tenant}, "owner.erased", "")
	if err := b.memory.Erase(t.Context(), ana, erased); err != nil {
		t.Fatal(err)
	}
	b.wantRefused(t, "of an erased owner", token)
}

// A store that fails is never a verdict on the token, whatever it says.
func TestVerifyWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, token := b.create(t, ana, apikey.CreateRequest{})
	for _, failure := range []error{
		lanyard.ErrUnavailable, lanyard.ErrClosed, context.Canceled, context.DeadlineExceeded,
		lanyard.ErrUnauthenticated, lanyard.ErrConflict, &lanyard.InputError{Field: "hash"},
		errors.New("a driver's text"),
	} {
		b.store.onLookup = func(store.KeyLookup, error) (store.KeyLookup, error) {
			return store.KeyLookup{}, fmt.Errorf("wrapped: %w", failure)
		}
		p, err := b.Verify(t.Context(), token)
		if !errors.Is(err, lanyard.ErrUnavailable) || errors.Is(err, lanyard.ErrUnauthenticated) || p.KeyID != "" {
			t.Errorf("Verify() when the store says %v = %+v, %v, want ErrUnavailable", failure, p, err)
		}
		for _, cause := range []error{context.Canceled, context.DeadlineExceeded, lanyard.ErrClosed} {
			if errors.Is(failure, cause) && !errors.Is(err, cause) {
				t.Errorf("Verify() = %v, want it to be %v too", err, cause)
			}
		}
	}
	b.store.onLookup = nil
	b.wantGood(t, "after the store recovered", token)
}

func TestVerifyHonoursItsContext(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, token := b.create(t, ana, apikey.CreateRequest{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Verify(ctx, token)
	if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Verify() with a cancelled context = %v, want ErrUnavailable and context.Canceled", err)
	}
}

// A row that is not the token's is refused, also without a Sealer.
func TestVerifyWrongRow(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, token := b.create(t, ana, apikey.CreateRequest{})
	for what, change := range map[string]func(*store.APIKey){
		"hash":       func(k *store.APIKey) { k.Hash = make([]byte, store.HashSize) },
		"short hash": func(k *store.APIKey) { k.Hash = k.Hash[:31] },
		"no hash":    func(k *store.APIKey) { k.Hash = nil },
		"id":         func(k *store.APIKey) { k.ID = "0000000000" },
	} {
		b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
			change(&row.Key)
			return row, err
		}
		b.wantRefused(t, "a row with another "+what, token)
	}
}

func TestUsedAfterDelete(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, token := b.create(t, ana, apikey.CreateRequest{Name: "ci"})
	if err := b.Delete(t.Context(), ana, key.ID, 0); err != nil {
		t.Fatalf("Delete() = %v, want nil", err)
	}
	late := func() (events []lanyard.Event) {
		for _, e := range b.history(t, ana) {
			if e.Action == apikey.ActionUsedAfterDelete {
				events = append(events, e)
			}
		}
		return events
	}

	// However often, by however many processes: once an hour.
	other := newService(t, b.memory, &apikey.Options{Now: b.clock.now, OnEvent: b.heard.hear})
	atOnce(20, func(int) error {
		b.wantRefused(t, "a deleted key", token)
		_, err := other.Verify(t.Context(), token)
		return err
	})
	b.settle(t)
	if _, err := other.Keys(t.Context(), bob); err != nil {
		t.Fatal(err)
	}
	events := late()
	if len(events) != 1 || b.store.appends.Load() != 1 {
		t.Fatalf("%d events after %d writes of ours, want 1 and 1", len(events), b.store.appends.Load())
	}
	e := events[0]
	if e.Object != key.ID || e.Via != lanyard.ViaAPIKey || e.Detail[apikey.DetailName] != "ci" {
		t.Errorf("event = %+v, want one that names the key", e)
	}
	want := []string{apikey.ActionCreated, apikey.ActionDeleted, apikey.ActionUsedAfterDelete}
	if got := b.heard.actions(); !slices.Equal(got, want) {
		t.Errorf("OnEvent heard %v, want %v", got, want)
	}
	b.clock.advance(time.Hour)
	b.wantRefused(t, "a deleted key an hour later", token)
	b.settle(t)
	if n := len(late()); n != 2 {
		t.Errorf("%d events after an hour, want 2", n)
	}

	// A history that cannot be written changes nothing, and is tried again.
	b.clock.advance(time.Hour)
	b.store.noAppends.Store(true)
	b.wantRefused(t, "while the history is down", token)
	b.settle(t)
	if n := len(late()); n != 2 {
		t.Errorf("%d events while the history is down, want 2", n)
	}
	b.store.noAppends.Store(false)
	b.settle(t)
	if n := len(late()); n != 3 {
		t.Errorf("%d events after the history came back, want 3", n)
	}
}

// Who uses a deleted key cannot keep that out of the history by hanging up.
func TestUsedAfterDeleteByWhoHangsUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, token := b.create(t, ana, apikey.CreateRequest{})
	if err := b.Delete(t.Context(), ana, key.ID, 0); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(time.Minute)
	ctx, hangUp := context.WithCancel(lanyard.WithRequest(t.Context(), lanyard.Request{IP: "203.0.113.7"}))
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		hangUp()
		return row, err
	}
	if _, err := b.Verify(ctx, token); !errors.Is(err, lanyard.ErrUnauthenticated) {
		t.Errorf("Verify() = %v, want ErrUnauthenticated", err)
	}
	b.settle(t)
	if e := b.history(t, ana)[0]; e.Action != apikey.ActionUsedAfterDelete || e.IP != "203.0.113.7" {
		t.Errorf("the newest event is %q from %q, want %q from 203.0.113.7", e.Action, e.IP, apikey.ActionUsedAfterDelete)
	}
}

// A key is no key's, whatever else: an id in the request is never believed.
func TestForeignKeysAreUnknown(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	key, token := b.create(t, ana, apikey.CreateRequest{})
	deleted, _ := b.create(t, bob, apikey.CreateRequest{})
	if err := b.Delete(t.Context(), bob, deleted.ID, 0); err != nil {
		t.Fatal(err)
	}
	before := len(b.history(t, ana))
	swapped := []byte(key.ID)
	for i, c := range swapped {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			swapped[i] = c ^ 0x20
			break
		}
	}
	ids := map[string]string{
		"another's": key.ID, "deleted": deleted.ID, "unknown": "0000000000", "empty": "", "a token": token,
		"NUL": "\x00", "not UTF-8": "\xff", "long": string(make([]byte, 1<<16)), "another case": string(swapped),
	}
	for _, who := range []lanyard.Owner{bob, {Subject: "ana"}, {Tenant: "other", Subject: "ana"}, {Tenant: "acme", Subject: "Ana"}} {
		for why, id := range ids {
			var texts []string
			_, err := b.Key(t.Context(), who, id)
			_, renameErr := b.Rename(t.Context(), who, id, 0, "mine")
			_, rotateErr := b.Rotate(t.Context(), who, id, apikey.RotateRequest{})
			for _, err := range []error{err, renameErr, rotateErr, b.Delete(t.Context(), who, id, 0)} {
				if !errors.Is(err, lanyard.ErrNotFound) {
					t.Errorf("a call of %v with %s id = %v, want ErrNotFound", who, why, err)
					continue
				}
				texts = append(texts, err.Error())
			}
			if slices.ContainsFunc(texts, func(s string) bool { return len(s) > 60 }) {
				t.Errorf("a refusal of %s id repeats it: %q", why, texts)
			}
		}
	}
	if n := len(b.history(t, ana)); n != before {
		t.Errorf("refused calls left %d events", n-before)
	}
	b.wantGood(t, "after all of that", token)
}
