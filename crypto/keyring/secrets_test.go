package keyring_test

import (
	"context"
	"crypto/fips140"
	"path/filepath"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/crypto/secretstest"
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	secretstest.Run(t, func(t *testing.T) crypto.Secrets { return newRing(t, nil) })
}

func TestSecretsRotated(t *testing.T) {
	t.Parallel()
	secretstest.RunRotation(t, func(t *testing.T) (crypto.Secrets, func(context.Context) error) {
		ring := newRing(t, nil)
		return ring, func(context.Context) error { return ring.Rotate() }
	})
}

// A passphrase locks the file; the ring in memory is the same.
func TestSecretsWithPassphrase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	o := &keyring.Options{Passphrase: lanyard.NewSecret("correct horse battery staple")}
	_, err := keyring.Create(path, o)
	if fips140.Enforced() {
		wantRefusal(t, "FIPS mode", path, err, keyring.ErrFIPS)
		return
	}
	if err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	ring := open(t, path, o)
	secretstest.Run(t, func(*testing.T) crypto.Secrets { return ring })
}

// newRing creates a ring in a folder of its own.
func newRing(t testing.TB, o *keyring.Options) *keyring.Ring {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	ring, err := keyring.Create(path, o)
	if err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	return ring
}
