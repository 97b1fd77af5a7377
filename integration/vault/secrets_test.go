package vault_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/secretstest"
	"github.com/aichub/lanyard/store/memory"
)

// The conformance suite, under the documented policy.
func TestSecrets(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	secretstest.Run(t, func(t *testing.T) crypto.Secrets { return e.transit(t, "lanyard") })
}

func TestRotation(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	e.allow(t, e.Mount, `path "`+e.Mount+`/+/own-*" { capabilities = ["update"] }`)
	var n atomic.Int32
	secretstest.RunRotation(t, func(t *testing.T) (crypto.Secrets, func(context.Context) error) {
		key := fmt.Sprint("own-", n.Add(1))
		e.write(t, "keys/"+key, keyOptions(t))
		return e.transit(t, key), func(ctx context.Context) error { return e.rotate(ctx, key) }
	})
}

// Sealer and Vault: what is sealed opens, also in another process, and only in
// its place.
func TestSealer(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	st := memory.New()
	sealer := newSealer(t, e.transit(t, "lanyard"), st)
	if err := sealer.Check(t.Context()); err != nil {
		t.Fatalf("Check() = %v, want nil", err)
	}
	place := binding("ana")
	sealed, err := sealer.Seal(t.Context(), place, lanyard.NewSecret("hunter2"))
	if err != nil {
		t.Fatalf("Seal() = %v", err)
	}
	if err := e.rotate(t.Context(), "lanyard"); err != nil {
		t.Fatal(err)
	}
	other := newSealer(t, e.transit(t, "lanyard"), st)
	if err := other.Check(t.Context()); err != nil {
		t.Errorf("Check() after a rotation = %v, want nil", err)
	}
	if got, err := other.Open(t.Context(), place, sealed.Envelope); err != nil || got.Reveal() != "hunter2" {
		t.Errorf("Open() after a rotation = %v, want what was sealed", err)
	}
	if _, err := other.Open(t.Context(), binding("bob"), sealed.Envelope); err == nil {
		t.Error("Open() for another owner = nil, want an error")
	}
}
