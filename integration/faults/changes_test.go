package faults_test

import (
	"context"
	"errors"
	"slices"
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

	// need makes what the call changes and returns its id; nil = nothing.
	need func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (id string, err error)

	// do makes the call. Made again after an answer that was lost, it does what
	// is still to do.
	do func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner, id string) error
}

type call func(ctx context.Context) error

// newOwner returns somebody in a tenant of his own, so that what is left of him
// can be told from what is left of others.
func newOwner() lanyard.Owner { return lanyard.Owner{Tenant: lanyard.NewID(), Subject: "ana"} }

// changes are all of them.
var changes = []change{
	{"apikey.Create", nil, func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner, _ string) error {
		return createKey(ctx, h, l, owner, apikey.CreateRequest{Name: "one", IdempotencyKey: "form"})
	}},
	{"apikey.Create without an idempotency key", nil, func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner, _ string) error {
		return createKey(ctx, h, l, owner, apikey.CreateRequest{Name: "any"})
	}},
	{"apikey.Rename", firstKey, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, id string) error {
		_, err := h.keys.Rename(ctx, owner, id, 0, "renamed")
		return err
	}},
	{"apikey.Rotate", firstKey, rotateKey},
	{"apikey.Delete", firstKey, deleteKey},
	{"providertoken.Create", nil, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, _ string) error {
		_, err := connect(ctx, h, nil, owner)
		return settled(err, lanyard.ErrExists)
	}},
	{"providertoken.Update", connect, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, id string) error {
		label := "other"
		_, err := h.tokens.Update(ctx, owner, id, providertoken.UpdateRequest{
			Label: &label, Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(newSecret)},
		})
		return err
	}},
	{"providertoken.Verify", connect, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, id string) error {
		_, err := h.tokens.Verify(ctx, owner, id)
		return err
	}},
	{"providertoken.Delete", connect, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, id string) error {
		return settled(h.tokens.Delete(ctx, owner, id, 0), lanyard.ErrNotFound)
	}},
	{"profile.Seen", nil, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, _ string) error {
		_, err := signIn(ctx, h, nil, owner)
		return err
	}},
	{"profile.Update", signIn, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, _ string) error {
		_, err := h.profiles.Update(ctx, owner, 0, profile.Update{GivenName: profile.Set("Anita")})
		return err
	}},
	{"profile.Deactivate", nil, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, _ string) error {
		return h.profiles.Deactivate(ctx, owner)
	}},
	{"profile.Reactivate", func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner) (string, error) {
		return "", h.profiles.Deactivate(ctx, owner)
	}, func(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner, _ string) error {
		return h.profiles.Reactivate(ctx, owner)
	}},
	{"profile.Erase", func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (string, error) {
		id, err1 := firstKey(ctx, h, l, owner)
		_, err2 := connect(ctx, h, l, owner)
		_, err3 := signIn(ctx, h, l, owner)
		return id, errors.Join(err1, err2, err3)
	}, func(ctx context.Context, h *host, l *ledger, owner lanyard.Owner, id string) error {
		err := h.profiles.Erase(ctx, owner)
		l.ends(id, err)
		return err
	}},
}

// changeNamed returns one of changes.
func changeNamed(name string) change {
	return changes[slices.IndexFunc(changes, func(c change) bool { return c.name == name })]
}

// needed makes what the call changes.
func (c change) needed(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (id string, err error) {
	if c.need == nil {
		return "", nil
	}
	return c.need(ctx, h, l, owner)
}

// by returns the call, made by owner for what he has now.
func (c change) by(t testing.TB, h *host, l *ledger, owner lanyard.Owner) call {
	t.Helper()
	id, err := c.needed(t.Context(), h, l, owner)
	if err != nil {
		t.Fatalf("prepare %s: %v", c.name, err)
	}
	return func(ctx context.Context) error { return c.do(ctx, h, l, owner, id) }
}

// sealFirst makes somebody's owner key, which is a change of its own.
func sealFirst(ctx context.Context, h *host, owner lanyard.Owner) error {
	_, err := h.sealer.Seal(ctx, crypto.Binding{Purpose: "test", Owner: owner}, lanyard.NewSecret("x"))
	return err
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

// firstKey makes a key and uses it, so that its row is known and its MAC was
// looked at.
func firstKey(ctx context.Context, h *host, l *ledger, owner lanyard.Owner) (id string, err error) {
	created, err := h.keys.Create(ctx, owner, apikey.CreateRequest{Name: "first"})
	if err == nil {
		l.gave(owner, created.Key, created.Secret)
		_, err = h.keys.Verify(ctx, created.Secret.Reveal())
	}
	return created.Key.ID, err
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

func connect(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner) (id string, err error) {
	c, err := h.tokens.Create(ctx, owner, connectRequest("work"))
	return c.ID, err
}

func signIn(ctx context.Context, h *host, _ *ledger, owner lanyard.Owner) (id string, err error) {
	_, err = h.profiles.Seen(ctx, lanyard.Principal{Owner: owner, GivenName: "Ana"})
	return "", err
}
