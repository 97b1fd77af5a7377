package bunstore_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
)

// coded is an error of a driver, whose text must stay inside.
type coded struct{ state string }

func (coded) Error() string      { return "text of a driver: 0xsecret" }
func (c coded) SQLState() string { return c.state }

// Rule 7: what a verification reads changes after its shard's epoch did, and a
// limit is counted with the shard's row held.
func TestTransactionsBeginWithTheShard(t *testing.T) {
	t.Parallel()
	p, st := newPool(t, nil)
	ctx := t.Context()
	k, gone, old := addKey(t, st, "k"), addKey(t, st, "gone"), addKey(t, st, "old")
	next := newKey("next")
	next.RotatedFrom = k.ID
	ownerKey, err := st.CreateOwnerKey(ctx, store.OwnerKey{ID: "ok", Owner: ana, Secrets: "keyring", KeyVersion: "1", Wrapped: []byte{1}, CreatedAt: now})
	if err != nil {
		t.Fatalf("CreateOwnerKey = %v", err)
	}
	erased := event(ctx, "owner.erased")
	erased.Owner, erased.Actor = lanyard.Owner{Tenant: ana.Tenant}, lanyard.Owner{}
	eventOf := func(store.APIKey) lanyard.Event { return event(ctx, "api_key.deleted") }

	for _, call := range []struct {
		name  string
		write bool
		do    func() error
	}{
		{"CreateAPIKey", false, func() error { return st.CreateAPIKey(ctx, newKey("new"), 10, event(ctx, "x")) }},
		{"CreateProviderToken", false, func() error {
			return st.CreateProviderToken(ctx, store.ProviderToken{ID: "t", Owner: ana, ProviderID: "jira", OwnerKeyID: ownerKey.ID, CreatedAt: now}, 10, event(ctx, "x"))
		}},
		{"UpdateAPIKey", true, func() error { return st.UpdateAPIKey(ctx, k, event(ctx, "x")) }},
		{"RotateAPIKey", true, func() error { k.Version = 2; return st.RotateAPIKey(ctx, k, next, 10, event(ctx, "x")) }},
		{"DeleteAPIKey", true, func() error { k.Version, k.DeletedAt = 3, now; return st.DeleteAPIKey(ctx, k, event(ctx, "x")) }},
		{"DeleteAPIKeyByID", true, func() error { return st.DeleteAPIKeyByID(ctx, gone.ID, now, eventOf) }},
		{"DeleteAPIKeysCreatedBefore", true, func() error {
			n, err := st.DeleteAPIKeysCreatedBefore(ctx, old.CreatedAt.AddDate(1, 0, 0), now, 10, eventOf)
			if n == 0 {
				t.Error("DeleteAPIKeysCreatedBefore deleted nothing")
			}
			return err
		}},
		{"Deactivate", true, func() error { return st.Deactivate(ctx, ana, now, event(ctx, "x")) }},
		{"Reactivate", true, func() error { return st.Reactivate(ctx, ana, event(ctx, "x")) }},
		{"Erase", true, func() error { return st.Erase(ctx, ana, erased) }},
	} {
		p.taken()
		if err := call.do(); err != nil {
			t.Fatalf("%s = %v", call.name, err)
		}
		first, ok := firstOfTransaction(p.taken())
		if !ok || !strings.Contains(first, "lanyard_epochs") {
			t.Errorf("%s begins its transaction with %q, want lanyard_epochs", call.name, first)
		}
		if wrote := !strings.Contains(first, "epoch = epoch"); wrote != call.write {
			t.Errorf("%s begins its transaction with %q, want a write of the epoch: %v", call.name, first, call.write)
		}
	}
}

func firstOfTransaction(log []statement) (text string, ok bool) {
	for i, s := range log {
		if s.text == "BEGIN" && i+1 < len(log) {
			return log[i+1].text, true
		}
	}
	return "", false
}

func TestLostRaceIsRunAgain(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"40001", "40P01"} {
		p, st := newPool(t, nil)
		lost := 0
		p.failOn(func(text string) (before, after error) {
			if text == "COMMIT" && lost < 3 {
				lost++
				return coded{state}, nil
			}
			return nil, nil
		})
		k := addKey(t, st, "k")
		if lost != 3 {
			t.Errorf("SQLSTATE %s: %d transactions lost, want 3", state, lost)
		}
		keys, err := st.APIKeys(t.Context(), ana)
		if err != nil || len(keys) != 1 || keys[0].ID != k.ID {
			t.Errorf("SQLSTATE %s: APIKeys = %v, %v, want the key once", state, keys, err)
		}
	}
}

func TestLostRacesEnd(t *testing.T) {
	t.Parallel()
	p, st := newPool(t, nil)
	p.failOn(func(text string) (before, after error) {
		if text == "COMMIT" {
			return coded{"40001"}, nil
		}
		return nil, nil
	})
	err := st.CreateAPIKey(t.Context(), newKey("k"), -1, event(t.Context(), "x"))
	if !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("CreateAPIKey = %v, want ErrUnavailable", err)
	}
}

// Rule 6: a commit whose answer is lost may have happened.
func TestCommitOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	p, st := newPool(t, nil)
	p.failOn(func(text string) (before, after error) {
		if text == "COMMIT" {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, nil
	})
	k := newKey("k")
	err := st.CreateAPIKey(t.Context(), k, -1, event(t.Context(), "x"))
	if !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("CreateAPIKey = %v, want ErrUnavailable", err)
	}
	p.failOn(nil)
	if _, err := st.APIKey(t.Context(), ana, k.ID); err != nil {
		t.Errorf("APIKey after the lost answer = %v, want the key", err)
	}
}

func TestCancelledDuringCommit(t *testing.T) {
	t.Parallel()
	p, st := newPool(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	p.failOn(func(text string) (before, after error) {
		if text == "COMMIT" {
			cancel()
			return context.Canceled, nil
		}
		return nil, nil
	})
	err := st.CreateAPIKey(ctx, newKey("k"), -1, event(ctx, "x"))
	if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("CreateAPIKey = %v, want ErrUnavailable and context.Canceled", err)
	}
}

// A change whose event cannot be stored does not happen.
func TestEventFailsWithItsChange(t *testing.T) {
	t.Parallel()
	p, st := newPool(t, nil)
	p.failOn(func(text string) (before, after error) {
		if strings.HasPrefix(text, "INSERT") && strings.Contains(text, "lanyard_events") {
			return coded{"53100"}, nil
		}
		return nil, nil
	})
	err := st.CreateAPIKey(t.Context(), newKey("k"), -1, event(t.Context(), "x"))
	if !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("CreateAPIKey = %v, want ErrUnavailable", err)
	}
	if _, err := st.APIKey(t.Context(), ana, "k"); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("APIKey = %v, want ErrNotFound", err)
	}
}

func TestErrorsHoldNoTextOfTheDriver(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"23505", "23503", "42P01", "40001", "57P01", "XX000"} {
		p, st := newPool(t, nil)
		p.failOn(func(string) (before, after error) { return coded{state}, nil })
		for name, call := range map[string]func() error{
			"CreateAPIKey": func() error { return st.CreateAPIKey(t.Context(), newKey("k"), -1, event(t.Context(), "x")) },
			"APIKeyByHash": func() error { _, err := st.APIKeyByHash(t.Context(), newKey("k").Hash); return err },
			"Epochs":       func() error { _, err := st.Epochs(t.Context()); return err },
			"Migrate":      func() error { return st.Migrate(t.Context()) },
		} {
			err := call()
			if err == nil || strings.Contains(err.Error(), "secret") || errors.As(err, new(coded)) {
				t.Errorf("%s after SQLSTATE %s = %v, want an error without the driver's", name, state, err)
			}
		}
	}
}

func TestPooledPreparesNothing(t *testing.T) {
	t.Parallel()
	p, st := newPool(t, &bunstore.Options{Pooled: true})
	k := addKey(t, st, "k")
	p.taken()
	found, err := st.APIKeyByHash(t.Context(), k.Hash)
	if err != nil || found.Key.ID != k.ID {
		t.Fatalf("APIKeyByHash = %+v, %v, want the key", found.Key, err)
	}
	for _, s := range p.taken() {
		if s.prepared || s.args != 1 {
			t.Errorf("statement %+v, want an unprepared one with the hash bound", s)
		}
	}
	var in *lanyard.InputError
	if err := st.Migrate(t.Context()); !errors.As(err, &in) {
		t.Errorf("Migrate = %v, want an *InputError", err)
	}
}

// The hash of a token being verified stands in no statement, and a statement
// is prepared once a connection.
func TestVerificationBindsTheHash(t *testing.T) {
	t.Parallel()
	p, st := newPool(t, nil)
	k := addKey(t, st, "k")
	p.taken()
	for range 3 {
		if _, err := st.APIKeyByHash(t.Context(), k.Hash); err != nil {
			t.Fatalf("APIKeyByHash = %v", err)
		}
	}
	log := p.taken()
	if len(log) != 1 || !log[0].prepared || !strings.HasSuffix(log[0].text, "k.hash = ?") {
		t.Errorf("three verifications asked %+v, want one prepared statement", log)
	}
}
