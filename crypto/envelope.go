package crypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// The envelope, version 1:
//
//	"LYD" | 0x01 | length of key id | key id | nonce | ciphertext | tag
//	  3      1            1          1…255 ASCII  12                 16
//
// AES-256-GCM with a random nonce. The associated data is everything before
// the nonce, then the parts of the binding, each after its length in four
// bytes, big-endian. The envelope names its key, so nothing is ever decrypted
// on trial. testdata/vectors_v1.json pins it; a change is a new version.
const (
	envelopeMagic   = "LYD"
	envelopeVersion = 1

	fixedHeader  = len(envelopeMagic) + 2
	maxKeyIDLen  = 255
	gcmOverhead  = 12 + 16 // nonce and tag
	maxEnvelope  = fixedHeader + maxKeyIDLen + gcmOverhead + MaxPlaintext
	minEnvelope  = fixedHeader + 1 + gcmOverhead
	maxBinding   = 64 << 10
	firstKeyChar = '!' // a key id is printable ASCII without space
	lastKeyChar  = '~'
)

// MaxPlaintext is the longest plaintext that can be sealed, in bytes.
const MaxPlaintext = 64 << 10

// newAEAD returns AES-256-GCM that makes its own nonces, which is the only
// form of GCM that FIPS 140-3 lets a program seal with. A random nonce is good
// for 2^32 messages under one key (NIST SP 800-38D section 8.3); an owner's
// secrets are far fewer.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// sealEnvelope encrypts plaintext for the place that b names.
func sealEnvelope(aead cipher.AEAD, keyID string, b Binding, plaintext []byte) []byte {
	header := make([]byte, 0, fixedHeader+len(keyID)+gcmOverhead+len(plaintext))
	header = append(header, envelopeMagic...)
	header = append(header, envelopeVersion, byte(len(keyID)))
	header = append(header, keyID...)
	return aead.Seal(header, nil, plaintext, associatedData(header, b))
}

// openEnvelope is the inverse of sealEnvelope for an envelope that was parsed
// and names the key behind aead.
func openEnvelope(aead cipher.AEAD, e envelope, b Binding) ([]byte, error) {
	plaintext, err := aead.Open(nil, nil, e.sealed, associatedData(e.header, b))
	if err != nil {
		return nil, ErrIntegrity
	}
	return plaintext, nil
}

func associatedData(header []byte, b Binding) []byte {
	return append(appendParts(nil, header), b.encode()...)
}

// envelope is a parsed one. Its slices alias what was parsed.
type envelope struct {
	keyID  string
	header []byte // everything before the nonce
	sealed []byte // nonce, ciphertext and tag
}

// parseEnvelope takes an envelope apart without opening it. Whatever is not
// one is an ErrIntegrity.
func parseEnvelope(raw []byte) (envelope, error) {
	if len(raw) < minEnvelope || len(raw) > maxEnvelope || !bytes.HasPrefix(raw, []byte(envelopeMagic)) {
		return envelope{}, fmt.Errorf("not an envelope: %w", ErrIntegrity)
	}
	if raw[len(envelopeMagic)] != envelopeVersion {
		return envelope{}, fmt.Errorf("envelope of another version: %w", ErrIntegrity)
	}
	end := fixedHeader + int(raw[fixedHeader-1])
	if len(raw) < end+gcmOverhead {
		return envelope{}, fmt.Errorf("envelope is cut short: %w", ErrIntegrity)
	}
	e := envelope{keyID: string(raw[fixedHeader:end]), header: raw[:end:end], sealed: raw[end:]}
	if !validKeyID(e.keyID) {
		return envelope{}, fmt.Errorf("envelope names no key: %w", ErrIntegrity)
	}
	return e, nil
}

func validKeyID(id string) bool {
	if id == "" || len(id) > maxKeyIDLen {
		return false
	}
	for _, c := range []byte(id) {
		if c < firstKeyChar || c > lastKeyChar {
			return false
		}
	}
	return true
}
