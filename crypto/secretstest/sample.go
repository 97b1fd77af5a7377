package secretstest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aichub/lanyard/crypto"
)

// sample is a key that was wrapped for one place.
type sample struct {
	key     []byte
	binding []byte
	wrapped crypto.Wrapped
}

// newKey returns a random key.
func newKey() []byte {
	key := make([]byte, crypto.KeySize)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	return key
}

// newSample wraps a fresh key for a place of that name.
func newSample(t *testing.T, s crypto.Secrets, place string) sample {
	t.Helper()
	x := sample{key: newKey(), binding: []byte("lanyard/secretstest/" + place)}
	x.wrapped = wrap(t, s, x.key, x.binding)
	return x
}

// wrap wraps a key, which must succeed with a well-formed answer. What it
// returns shares no memory with the key service.
func wrap(t *testing.T, s crypto.Secrets, key, binding []byte) crypto.Wrapped {
	t.Helper()
	w, err := s.Wrap(t.Context(), key, binding)
	if err != nil {
		t.Fatalf("Wrap() = %v, want nil", err)
	}
	wantWellFormed(t, "Wrap()", w, key)
	return cloned(w)
}

// unwrap unwraps a key, which must succeed.
func unwrap(t *testing.T, s crypto.Secrets, w crypto.Wrapped, binding []byte) []byte {
	t.Helper()
	key, err := s.Unwrap(t.Context(), w, binding)
	if err != nil {
		t.Fatalf("Unwrap() = %v, want nil", err)
	}
	return key
}

// wantOpens fails the test unless w gives the key of x back.
func (x sample) wantOpens(t *testing.T, s crypto.Secrets, what string, w crypto.Wrapped) {
	t.Helper()
	key, err := s.Unwrap(t.Context(), w, x.binding)
	if err != nil {
		t.Errorf("%s: Unwrap() = %v, want nil", what, err)
	} else if !bytes.Equal(key, x.key) {
		t.Errorf("%s: Unwrap() gave another key than was wrapped", what)
	}
}

// wantRefused fails the test unless w does not open with binding, for one of
// the reasons given.
func (x sample) wantRefused(t *testing.T, s crypto.Secrets, what string, w crypto.Wrapped, binding []byte, reasons ...error) {
	t.Helper()
	key, err := s.Unwrap(t.Context(), w, binding)
	switch {
	case err == nil:
		t.Errorf("%s: Unwrap() = nil, want %v", what, reasons)
	case !slices.ContainsFunc(reasons, func(r error) bool { return errors.Is(err, r) }):
		t.Errorf("%s: Unwrap() = %v, want %v", what, err, reasons)
	}
	if err != nil && len(key) > 0 {
		t.Errorf("%s: Unwrap() returned a key together with an error", what)
	}
	wantSilent(t, what, err, x.key)
}

// wantWellFormed fails the test unless w is an answer that a Sealer accepts.
func wantWellFormed(t *testing.T, what string, w crypto.Wrapped, key []byte) {
	t.Helper()
	if len(w.Ciphertext) == 0 || len(w.Ciphertext) > crypto.MaxWrapped {
		t.Errorf("%s has a ciphertext of %d bytes, want 1 to %d", what, len(w.Ciphertext), crypto.MaxWrapped)
	}
	if !printable(w.KeyVersion) {
		t.Errorf("%s has key version %q, want 1 to 255 bytes of printable ASCII without space", what, w.KeyVersion)
	}
	if holds(string(w.Ciphertext), key) || holds(w.KeyVersion, key) {
		t.Errorf("%s shows the key it wrapped", what)
	}
}

// wantSilent fails the test if err says what a key is.
func wantSilent(t *testing.T, what string, err error, key []byte) {
	t.Helper()
	if err != nil && holds(err.Error(), key) {
		t.Errorf("%s: the error shows the key", what)
	}
}

// holds reports whether text has secret in it, as it is or in an encoding.
func holds(text string, secret []byte) bool {
	lower := strings.ToLower(text)
	return len(secret) > 0 && (strings.Contains(text, string(secret)) ||
		strings.Contains(lower, hex.EncodeToString(secret)) ||
		strings.Contains(text, base64.RawStdEncoding.EncodeToString(secret)) ||
		strings.Contains(text, base64.RawURLEncoding.EncodeToString(secret)))
}

// printable reports whether text may name a key service or a key version.
func printable(text string) bool {
	return len(text) >= 1 && len(text) <= 255 &&
		!strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' })
}

func cloned(w crypto.Wrapped) crypto.Wrapped {
	return crypto.Wrapped{KeyVersion: w.KeyVersion, Ciphertext: bytes.Clone(w.Ciphertext)}
}

func same(a, b crypto.Wrapped) bool {
	return a.KeyVersion == b.KeyVersion && bytes.Equal(a.Ciphertext, b.Ciphertext)
}

// with returns w with another ciphertext.
func with(w crypto.Wrapped, ciphertext []byte) crypto.Wrapped {
	return crypto.Wrapped{KeyVersion: w.KeyVersion, Ciphertext: ciphertext}
}
