package vaulttransit

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// A ciphertext of the transit engine reads "vault:v3:" and base64; OpenBao
// writes the same prefix.
const ciphertextPrefix = "vault:v"

// minSealed is a 12-byte nonce, a key and a 16-byte tag: every AEAD that a
// derived transit key can have.
const minSealed = 12 + crypto.KeySize + 16

// parseCiphertext returns the version of the transit key that text names. The
// server takes version 0 for 1 and other spellings of base64; here a
// ciphertext has one spelling.
func parseCiphertext(text string) (version int, ok bool) {
	rest, ok := strings.CutPrefix(text, ciphertextPrefix)
	if !ok || len(text) > crypto.MaxWrapped {
		return 0, false
	}
	digits, encoded, ok := strings.Cut(rest, ":")
	if !ok {
		return 0, false
	}
	version, err := strconv.Atoi(digits)
	if err != nil || version < 1 || strconv.Itoa(version) != digits {
		return 0, false
	}
	sealed, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return version, err == nil && len(sealed) >= minSealed && !strings.ContainsAny(encoded, "\r\n")
}

func versionName(version int) string { return "v" + strconv.Itoa(version) }

// check returns the version of a w that a transit key may have wrapped for
// binding. Nothing else is sent to the server: it refuses a whole batch for one
// item without a context.
func check(w crypto.Wrapped, binding []byte) (int, error) {
	version, ok := parseCiphertext(string(w.Ciphertext))
	if !ok || w.KeyVersion != versionName(version) {
		return 0, fmt.Errorf("not a ciphertext of a transit key and its version: %w", crypto.ErrIntegrity)
	}
	if len(binding) == 0 {
		return 0, fmt.Errorf("nothing is wrapped for no place: %w", crypto.ErrIntegrity)
	}
	return version, nil
}

// wrapped returns the ciphertext of a result that should hold one.
func (r result) wrapped() (w crypto.Wrapped, version int, err error) {
	version, ok := parseCiphertext(r.Ciphertext)
	if !ok || r.Error != "" {
		return crypto.Wrapped{}, 0, fmt.Errorf("the answer holds no ciphertext: %w", lanyard.ErrUnavailable)
	}
	return crypto.Wrapped{KeyVersion: versionName(version), Ciphertext: []byte(r.Ciphertext)}, version, nil
}
