package faults_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
)

// change is one call of a service that writes.
type change struct {
	name string

	// prepare makes what the call needs and returns the call. Called again after
	// an answer that was lost, the call does what is still to do.
	prepare func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (call, error)
}

type call func(ctx context.Context) error

// newOwner returns somebody in a tenant of his own, so that what is left of him
// can be told from what is left of others.
func newOwner() lanyard.Owner { return lanyard.Owner{Tenant: lanyard.NewID(), Subject: "ana"} }

// changes are all of them.
var changes = []change{
	{"apikey.Create", func(_ context.Context, h *host, l *ledger, owner lanyard.Owner) (call, error) {
		r := apikey.CreateRequest{Name: "one", IdempotencyKey: "form"}
		return func(ctx context.Context) error { return createKey(ctx, h, l, owner, r) }, nil
	}},
	{"apikey.Create without an idempotency key", func(_ context.Context, h *host, l *ledger, owner lanyard.Owner) (call, error) {
		return func(ctx context.Context) error { return createKey(ctx, h, l, owner, apikey.CreateRequest{Name: "any"}) }, nil
	}},
	{"apikey.Rename", func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (call, error) {
		k, err := firstKey(ctx, h, l, owner)
		return func(ctx context.Context) error {
			_, err := h.keys.Rename(ctx, owner, k.ID, 0, "renamed")
			return err
		}, err
	}},
	{"apikey.Rotate", func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (call, error) {
		k, err := firstKey(ctx, h, l, owner)
		return func(ctx context.Context) error { return rotateKey(ctx, h, l, owner, k.ID) }, err
	}},
	{"apikey.Delete", func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (call, error) {
		k, err := firstKey(ctx, h, l, owner)
		return func(ctx context.Context) error { return deleteKey(ctx, h, l, owner, k.ID) }, err
	}},
	{"providertoken.Create", func(_ context.Context, h *host, _ *ledger, owner lanyard.Owner) (call, error) {
		return func(ctx context.Context) error {
			_, err := h.tokens.Create(ctx, owner, connectRequest("work"))
			return settled(err, lanyard.ErrExists)
		}, nil
	}},
	{"providertoken.Update", func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner) (call, error) {
		c, err := h.tokens.Create(ctx, owner, connectRequest("work"))
		label := "other"
		return func(ctx context.Context) error {
			_, err := h.tokens.Update(ctx, owner, c.ID, providertoken.UpdateRequest{
				Label: &label, Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(newSecret)},
			})
			return err
		}, err
	}},
	{"providertoken.Verify", func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner) (call, error) {
		c, err := h.tokens.Create(ctx, owner, connectRequest("work"))
		return func(ctx context.Context) error {
			_, err := h.tokens.Verify(ctx, owner, c.ID)
			return err
		}, err
	}},
	{"providertoken.Delete", func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner) (call, error) {
		c, err := h.tokens.Create(ctx, owner, connectRequest("work"))
		return func(ctx context.Context) error {
			return settled(h.tokens.Delete(ctx, owner, c.ID, 0), lanyard.ErrNotFound)
		}, err
	}},
	{"profile.Seen", func(_ context.Context, h *host, _ *ledger, owner lanyard.Owner) (call, error) {
		return func(ctx context.Context) error {
			_, err := h.profiles.Seen(ctx, lanyard.Principal{Owner: owner, GivenName: "Ana"})
			return err
		}, nil
	}},
	{"profile.Update", func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner) (call, error) {
		_, err := h.profiles.Seen(ctx, lanyard.Principal{Owner: owner, GivenName: "Ana"})
		return func(ctx context.Context) error {
			_, err := h.profiles.Update(ctx, owner, 0, profile.Update{GivenName: profile.Set("Anita")})
			return err
		}, err
	}},
	{"profile.Deactivate", func(_ context.Context, h *host, _ *ledger, owner lanyard.Owner) (call, error) {
		return func(ctx context.Context) error { return h.profiles.Deactivate(ctx, owner) }, nil
	}},
	{"profile.Reactivate", func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner) (call, error) {
		err := h.profiles.Deactivate(ctx, owner)
		return func(ctx context.Context) error { return h.profiles.Reactivate(ctx, owner) }, err
	}},
	{"profile.Erase", func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (call, error) {
		k, err := firstKey(ctx, h, l, owner)
		if err == nil {
			_, err = h.tokens.Create(ctx, owner, connectRequest("work"))
		}
		if err == nil {
			_, err = h.profiles.Seen(ctx, lanyard.Principal{Owner: owner, GivenName: "Ana"})
		}
		return func(ctx context.Context) error {
			err := h.profiles.Erase(ctx, owner)
			l.ends(k.ID, err)
			return err
		}, err
	}},
}

// sealFirst makes somebody's owner key, which is a change of its own.
func sealFirst(ctx context.Context, h *host, owner lanyard.Owner) error {
	_, err := h.sealer.Seal(ctx, crypto.Binding{Purpose: "test", Owner: owner}, lanyard.NewSecret("x"))
	return err
}

// changeNamed returns one of changes.
func changeNamed(name string) (change, error) {
	for _, c := range changes {
		if c.name == name {
			return c, nil
		}
	}
	return change{}, fmt.Errorf("there is no change %q", name)
}

// mustCall prepares a change for somebody new.
func (c change) mustCall(t testing.TB, h *host, l *ledger) call {
	t.Helper()
	do, err := c.prepare(t.Context(), h, l, newOwner())
	if err != nil {
		t.Fatalf("prepare %s: %v", c.name, err)
	}
	return do
}

// settled forgives an error that says the change was made before.
func settled(err, before error) error {
	if errors.Is(err, before) {
		return nil
	}
	return err
}

func createKey(ctx context.Context, h *host, l *ledger, owner lanyard.Owner, r apikey.CreateRequest) error {
	created, err := h.keys.Create(ctx, owner, r)
	if err == nil && !created.Replayed {
		l.gave(owner, created.Key, created.Secret)
	}
	return err
}

// firstKey makes a key that was used, so that its row is known and its MAC was
// looked at.
func firstKey(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (apikey.Key, error) {
	created, err := h.keys.Create(ctx, owner, apikey.CreateRequest{Name: "first"})
	if err == nil {
		l.gave(owner, created.Key, created.Secret)
		_, err = h.keys.Verify(ctx, created.Secret.Reveal())
	}
	return created.Key, err
}

// rotateKey rotates a key without grace. One that was rotated before, with the
// answer lost, has a successor or has expired.
func rotateKey(ctx context.Context, h *host, l *ledger, owner lanyard.Owner, id string) error {
	rotated, err := h.keys.Rotate(ctx, owner, id, apikey.RotateRequest{})
	l.ends(id, err)
	if err == nil {
		l.gave(owner, rotated.Key, rotated.Secret)
	}
	return settled(err, lanyard.ErrConflict)
}

func deleteKey(ctx context.Context, h *host, l *ledger, owner lanyard.Owner, id string) error {
	err := h.keys.Delete(ctx, owner, id, 0)
	l.ends(id, err)
	return settled(err, lanyard.ErrNotFound)
}
