package vault_test

import (
	"bytes"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

func newSealer(t *testing.T, secrets crypto.Secrets, st store.OwnerKeys) *crypto.Sealer {
	t.Helper()
	sealer, err := crypto.NewSealer(secrets, st, nil)
	if err != nil {
		t.Fatalf("NewSealer() = %v", err)
	}
	return sealer
}

func binding(subject string) crypto.Binding {
	return crypto.Binding{Purpose: "test", Owner: lanyard.Owner{Subject: subject}, Record: "r1"}
}

// asRoot is a key of the engine under a token that may do anything.
func (e *engine) asRoot(t *testing.T, key string) *vaulttransit.Transit {
	t.Helper()
	return e.with(t, e.client(t, e.Root.Token()), key)
}

// Every type of a derived key binds. One that is not derived ignores the
// binding in silence, and the Sealer refuses it.
func TestKeyTypes(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	for name, tt := range map[string]struct {
		options map[string]any
		want    error
	}{
		"aes256":      {map[string]any{"type": "aes256-gcm96", "derived": true}, nil},
		"aes128":      {map[string]any{"type": "aes128-gcm96", "derived": true}, nil},
		"chacha":      {map[string]any{"type": "chacha20-poly1305", "derived": true}, nil},
		"convergent":  {map[string]any{"type": "aes256-gcm96", "derived": true, "convergent_encryption": true}, nil},
		"plain":       {map[string]any{"type": "aes256-gcm96"}, crypto.ErrUnbound},
		"exportable":  {map[string]any{"derived": true, "exportable": true, "allow_plaintext_backup": true}, nil},
		"rsa":         {map[string]any{"type": "rsa-2048"}, crypto.ErrUnbound},
		"signs-only":  {map[string]any{"type": "ed25519"}, lanyard.ErrUnavailable},
		"signs-bound": {map[string]any{"type": "ed25519", "derived": true}, lanyard.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e.write(t, "keys/"+name, tt.options)
			sealer := newSealer(t, e.asRoot(t, name), memory.New())
			e.wantError(t, "Check()", sealer.Check(t.Context()), tt.want, nil)
			_, err := sealer.Seal(t.Context(), binding("ana"), lanyard.NewSecret("hunter2"))
			e.wantError(t, "Seal()", err, tt.want, []byte("hunter2"))
		})
	}
}

// Vault makes a key for who encrypts with one that is not there and has the
// capability create. The documented policy does not give it: a typo is refused.
func TestUpsert(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	x := newSample(t, e.transit(t, "lanyard"), "place")
	e.allow(t, e.Mount, documented(t, e.Mount)+`path "`+e.Mount+`/+/typo" { capabilities = ["update"] }`)
	e.refuses(t, e.transit(t, "typo"), "with a key that is not there", x, crypto.ErrDenied, crypto.ErrUnknownKey)
	if key, err := e.Root.Logical().ReadWithContext(t.Context(), e.Mount+"/keys/typo"); err != nil || key != nil {
		t.Errorf("a key was made by using it: %v, %v", key, err)
	}

	// For who may create, a key springs up. It binds, because it is made as a
	// derived one where a context is given.
	upserted := e.asRoot(t, "upserted")
	if err := newSealer(t, upserted, memory.New()).Check(t.Context()); err != nil {
		t.Errorf("Check() of a key that was not there = %v, want nil", err)
	}
	y := newSample(t, upserted, "place")
	_, err := upserted.Unwrap(t.Context(), y.wrapped, []byte("elsewhere"))
	e.wantError(t, "Unwrap() elsewhere with an upserted key", err, crypto.ErrIntegrity, y.key)
}

// What was wrapped before a rotation opens after it; what is wrapped after it
// names the new version.
func TestVersions(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	secrets := e.transit(t, "lanyard")
	first := newSample(t, secrets, "place")
	for range 10 {
		if err := e.rotate(t.Context(), "lanyard"); err != nil {
			t.Fatal(err)
		}
	}
	newest := newSample(t, secrets, "place")
	if first.wrapped.KeyVersion != "v1" || newest.wrapped.KeyVersion != "v11" {
		t.Errorf("Wrap() names %q, and %q after ten rotations, want v1 and v11", first.wrapped.KeyVersion, newest.wrapped.KeyVersion)
	}
	first.opens(t, secrets, "of version 1", first.wrapped)

	above := crypto.Wrapped{KeyVersion: "v12", Ciphertext: bytes.Replace(newest.wrapped.Ciphertext, []byte("vault:v11:"), []byte("vault:v12:"), 1)}
	_, err := secrets.Unwrap(t.Context(), above, newest.place)
	e.wantError(t, "Unwrap() of a version above all", err, crypto.ErrUnknownKey, newest.key)
	other := crypto.Wrapped{KeyVersion: "v2", Ciphertext: bytes.Replace(newest.wrapped.Ciphertext, []byte("vault:v11:"), []byte("vault:v2:"), 1)}
	_, err = secrets.Unwrap(t.Context(), other, newest.place)
	e.wantError(t, "Unwrap() under another version", err, crypto.ErrIntegrity, newest.key)

	moved := secrets.Rewrap(t.Context(), []crypto.RewrapItem{first.item()})[0]
	if moved.Err != nil || moved.Wrapped.KeyVersion != "v11" {
		t.Fatalf("Rewrap() = version %q, %v, want v11", moved.Wrapped.KeyVersion, moved.Err)
	}
	e.write(t, "keys/lanyard/config", map[string]any{"min_decryption_version": 11})
	_, err = secrets.Unwrap(t.Context(), first.wrapped, first.place)
	e.wantError(t, "Unwrap() below min_decryption_version", err, crypto.ErrIntegrity, first.key)
	answer := secrets.Rewrap(t.Context(), []crypto.RewrapItem{first.item(), newest.item()})
	e.wantError(t, "Rewrap() below min_decryption_version", answer[0].Err, crypto.ErrIntegrity, first.key)
	e.wantError(t, "Rewrap() beside it", answer[1].Err, nil, newest.key)
	first.opens(t, secrets, "after Rewrap", moved.Wrapped)

	// Versions that are gone for good say the same.
	e.write(t, "keys/lanyard/config", map[string]any{"min_encryption_version": 11})
	e.write(t, "keys/lanyard/trim", map[string]any{"min_available_version": 11})
	_, err = secrets.Unwrap(t.Context(), first.wrapped, first.place)
	e.wantError(t, "Unwrap() of a trimmed version", err, crypto.ErrIntegrity, first.key)
	first.opens(t, secrets, "after the trim", moved.Wrapped)
}

// Vault's rewrap of a derived key goes by the context: an item moves in its
// place and opens in no other.
func TestRewrapKeepsTheBinding(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	secrets := e.transit(t, "lanyard")
	x, y := newSample(t, secrets, "place"), newSample(t, secrets, "another")
	if err := e.rotate(t.Context(), "lanyard"); err != nil {
		t.Fatal(err)
	}
	stolen := crypto.RewrapItem{Wrapped: x.wrapped, Binding: y.place}
	answers := secrets.Rewrap(t.Context(), []crypto.RewrapItem{x.item(), stolen, y.item()})
	e.wantError(t, "Rewrap() for another place", answers[1].Err, crypto.ErrIntegrity, x.key)
	for i, s := range []sample{0: x, 2: y} {
		if s.key == nil {
			continue
		}
		if answers[i].Err != nil || answers[i].Wrapped.KeyVersion != "v2" {
			t.Errorf("Rewrap() of item %d = version %q, %v, want v2", i, answers[i].Wrapped.KeyVersion, answers[i].Err)
			continue
		}
		s.opens(t, secrets, "after Rewrap", answers[i].Wrapped)
		_, err := secrets.Unwrap(t.Context(), answers[i].Wrapped, []byte("elsewhere"))
		e.wantError(t, "Unwrap() elsewhere after Rewrap", err, crypto.ErrIntegrity, s.key)
	}

	// A second Rewrap changes nothing and writes nothing.
	again := secrets.Rewrap(t.Context(), []crypto.RewrapItem{{Wrapped: answers[0].Wrapped, Binding: x.place}})[0]
	if again.Err != nil || !bytes.Equal(again.Wrapped.Ciphertext, answers[0].Wrapped.Ciphertext) {
		t.Errorf("Rewrap() of the newest = %q, %v, want it as it was", again.Wrapped.Ciphertext, again.Err)
	}
}

// A key that was deleted and made again under its name is another key, and the
// Sealer says so before anything is sealed with it.
func TestKeyMadeAnew(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	st := memory.New()
	sealer := newSealer(t, e.transit(t, "lanyard"), st)
	if err := sealer.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.MAC(t.Context()); err != nil { // makes the key that Check opens
		t.Fatal(err)
	}
	place := binding("ana")
	sealed, err := sealer.Seal(t.Context(), place, lanyard.NewSecret("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	x := newSample(t, e.transit(t, "lanyard"), "place")

	e.write(t, "keys/lanyard/config", map[string]any{"deletion_allowed": true})
	if _, err := e.Root.Logical().DeleteWithContext(t.Context(), e.Mount+"/keys/lanyard"); err != nil {
		t.Fatal(err)
	}
	e.refuses(t, e.transit(t, "lanyard"), "with a deleted key", x, crypto.ErrDenied, crypto.ErrUnknownKey)
	e.write(t, "keys/lanyard", keyOptions(t))
	e.refuses(t, e.transit(t, "lanyard"), "with a key made anew", x, nil, crypto.ErrIntegrity)

	later := newSealer(t, e.transit(t, "lanyard"), st)
	e.wantError(t, "Check() with a key made anew", later.Check(t.Context()), crypto.ErrIntegrity, nil)
	_, err = later.Open(t.Context(), place, sealed.Envelope)
	e.wantError(t, "Open() with a key made anew", err, crypto.ErrIntegrity, nil)
	_, err = newSealer(t, e.transit(t, "lanyard"), st).Seal(t.Context(), binding("new"), lanyard.NewSecret("hunter2"))
	e.wantError(t, "Seal() for a new owner with a key made anew", err, crypto.ErrIntegrity, nil)
}
