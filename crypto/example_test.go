package crypto_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/store/memory"
)

// A value that was sealed for one place opens there and nowhere else.
func Example() {
	dir, err := os.MkdirTemp("", "lanyard")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ring, err := keyring.Create(filepath.Join(dir, "lanyard.keys"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	st := memory.New()
	defer func() { _ = st.Close() }()
	sealer, err := crypto.NewSealer(ring, st, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	place := crypto.Binding{
		Purpose: "provider-token", Owner: lanyard.Owner{Tenant: "acme", Subject: "ana"},
		Record: "r1", Field: "api_token", SecretVersion: 1,
	}
	sealed, err := sealer.Seal(ctx, place, lanyard.NewSecret("hunter2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	secret, err := sealer.Open(ctx, place, sealed.Envelope)
	fmt.Println(secret, secret.Reveal(), err)

	place.Record = "r2"
	_, err = sealer.Open(ctx, place, sealed.Envelope)
	fmt.Println("elsewhere:", errors.Is(err, crypto.ErrIntegrity))

	place.Owner.Subject = "bob"
	_, err = sealer.Open(ctx, place, sealed.Envelope)
	fmt.Println("somebody else:", errors.Is(err, crypto.ErrUnknownKey))
	// Output:
	// [redacted] hunter2 <nil>
	// elsewhere: true
	// somebody else: true
}

// A host checks its key service at start and from its readiness endpoint.
func ExampleSealer_Check() {
	vault := newVault("vault")
	st := memory.New()
	defer func() { _ = st.Close() }()
	sealer, err := crypto.NewSealer(vault, st, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sealer.Check(context.Background()))

	vault.unbound = true // as a Vault key that was not created with derived=true
	err = sealer.Check(context.Background())
	fmt.Println(errors.Is(err, crypto.ErrUnbound), errors.Is(err, lanyard.ErrUnavailable))
	// Output:
	// <nil>
	// true true
}

// After the master key was rotated, or another key service took over, Rewrap
// brings the owner keys along. What was sealed stays as it is.
func ExampleSealer_Rewrap() {
	dir, err := os.MkdirTemp("", "lanyard")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ring, err := keyring.Create(filepath.Join(dir, "lanyard.keys"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	st := memory.New()
	defer func() { _ = st.Close() }()
	ctx := context.Background()
	before, err := crypto.NewSealer(ring, st, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	place := crypto.Binding{Purpose: "provider-token", Owner: lanyard.Owner{Tenant: "acme", Subject: "ana"}, Record: "r1"}
	sealed, err := before.Seal(ctx, place, lanyard.NewSecret("hunter2"))
	if err != nil {
		fmt.Println(err)
		return
	}

	vault := newVault("vault") // from now on
	sealer, err := crypto.NewSealer(vault, st, &crypto.SealerOptions{Previous: []crypto.Secrets{ring}})
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := sealer.Rewrap(ctx, st, nil)
	if err != nil {
		fmt.Println("begin again after", report.After, err)
		return
	}
	for _, f := range report.Failed {
		fmt.Println(f.OwnerKeyID, f.Err)
	}
	fmt.Println(report.Rewrapped, "moved,", len(report.Remaining), "kinds remain")

	after, err := crypto.NewSealer(vault, st, nil) // the ring is not needed any more
	if err != nil {
		fmt.Println(err)
		return
	}
	secret, err := after.Open(ctx, place, sealed.Envelope)
	fmt.Println(secret.Reveal(), err)
	// Output:
	// 1 moved, 0 kinds remain
	// hunter2 <nil>
}
