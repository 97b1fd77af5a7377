package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// The ways in which a keyring file is refused.
var (
	ErrFile       = errors.New("not a keyring file")
	ErrMode       = errors.New("the keyring file can be read by others; its mode must be 0600")
	ErrPassphrase = errors.New("the passphrase does not open the keyring")
	ErrFIPS       = errors.New("a passphrase needs Argon2id, which GODEBUG=fips140=only rules out")
)

// ErrInUse says that a key which was to be removed is still needed. It is a
// [lanyard.ErrConflict].
var ErrInUse = fmt.Errorf("the key is in use: %w", lanyard.ErrConflict)

const (
	fileFormat = "lanyard-keyring/v1"
	maxFile    = 1 << 20 // bytes
	maxKeys    = 1000
	keyIDLen   = 26 // lanyard.NewID
)

// State says what a key may do.
type State string

// The states of a key.
const (
	StatePrimary  State = "primary"  // wraps and unwraps; there is one
	StateDecrypt  State = "decrypt"  // unwraps
	StateDisabled State = "disabled" // neither
)

// file is the keyring as it is stored.
type file struct {
	Format string    `json:"format"`
	KDF    *kdf      `json:"kdf,omitempty"` // with a passphrase
	Keys   []fileKey `json:"keys"`
}

type fileKey struct {
	ID    string `json:"id"`
	State State  `json:"state"`
	Key   []byte `json:"key"`   // plain, or nonce and ciphertext with a passphrase
	Check []byte `json:"check"` // derived from the plain key
}

// kdf holds the parameters of Argon2id.
type kdf struct {
	Salt      []byte `json:"salt"`
	Time      uint32 `json:"time"`
	MemoryKiB uint32 `json:"memory_kib"`
	Threads   uint8  `json:"threads"`
}

// newKDF returns the second recommended choice of RFC 9106 section 4: 3
// passes over 64 MiB in 4 lanes.
func newKDF() *kdf {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	return &kdf{Salt: salt, Time: 3, MemoryKiB: 64 << 10, Threads: 4}
}

// sane bounds what a hostile file may make us compute.
func (k *kdf) sane() bool {
	return len(k.Salt) >= 8 && len(k.Salt) <= 64 && k.Time >= 1 && k.Time <= 16 &&
		k.MemoryKiB >= 8<<10 && k.MemoryKiB <= 1<<20 && k.Threads >= 1 && k.Threads <= 16
}

// lock returns the cipher of the keys in the file. Argon2id is not part of
// Go's FIPS 140-3 module and would run outside it without a word.
func (k *kdf) lock(passphrase lanyard.Secret) (cipher.AEAD, error) {
	if fips140.Enforced() {
		return nil, ErrFIPS
	}
	key := argon2.IDKey([]byte(passphrase.Reveal()), k.Salt, k.Time, k.MemoryKiB, k.Threads, crypto.KeySize)
	defer clear(key)
	return newAEAD(key)
}

// checkOf proves that a key was read as it was written, and says nothing about
// it.
func checkOf(key []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, key, nil, "lanyard/keyring/check/v1", 16)
}

// readFile refuses what is not a regular file of this user alone; a link is
// none. Type and mode are those of the file that was opened, whatever the name
// stands for by then.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	named, err := os.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	if !named.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%w: it is no regular file", ErrFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%w: it is no regular file", ErrFile)
	case exposed(info):
		return nil, nil, ErrMode
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(raw) > maxFile {
		return nil, nil, fmt.Errorf("%w: it is too long", ErrFile)
	}
	return raw, info, nil
}

// parse makes keys of a file's bytes. It never says what it read.
func parse(raw []byte, passphrase lanyard.Secret) ([]ringKey, error) {
	var f file
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if d.Decode(&f) != nil || f.Format != fileFormat || len(f.Keys) == 0 || len(f.Keys) > maxKeys {
		return nil, ErrFile
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrFile
	}
	var unlock cipher.AEAD
	switch {
	case f.KDF == nil && !passphrase.IsZero():
		return nil, fmt.Errorf("%w: it has none", ErrPassphrase)
	case f.KDF != nil && !f.KDF.sane():
		return nil, ErrFile
	case f.KDF != nil && passphrase.IsZero():
		return nil, fmt.Errorf("%w: it has one and none was given", ErrPassphrase)
	case f.KDF != nil:
		var err error
		if unlock, err = f.KDF.lock(passphrase); err != nil {
			return nil, err
		}
	}
	keys := make([]ringKey, 0, len(f.Keys))
	seen, primaries := map[string]bool{}, 0
	for _, k := range f.Keys {
		if !validID(k.ID) || seen[k.ID] || !validState(k.State) {
			return nil, ErrFile
		}
		seen[k.ID] = true
		if k.State == StatePrimary {
			primaries++
		}
		plain := k.Key
		if unlock != nil {
			var err error
			if plain, err = unlock.Open(nil, nil, k.Key, keyData(k.ID)); err != nil {
				return nil, ErrPassphrase
			}
		}
		if len(plain) != crypto.KeySize {
			return nil, ErrFile
		}
		check, err := checkOf(plain)
		if err != nil {
			return nil, err
		}
		if subtle.ConstantTimeCompare(check, k.Check) != 1 {
			return nil, fmt.Errorf("%w: key %s was damaged", ErrFile, k.ID)
		}
		key, err := newRingKey(k.ID, k.State, plain)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if primaries != 1 {
		return nil, fmt.Errorf("%w: it has %d primary keys", ErrFile, primaries)
	}
	return keys, nil
}

// format makes a file's bytes of keys.
func format(keys []ringKey, passphrase lanyard.Secret) ([]byte, error) {
	if len(keys) > maxKeys {
		return nil, lanyard.ErrLimit
	}
	f := file{Format: fileFormat}
	var lock cipher.AEAD
	if !passphrase.IsZero() {
		f.KDF = newKDF()
		var err error
		if lock, err = f.KDF.lock(passphrase); err != nil {
			return nil, err
		}
	}
	for _, k := range keys {
		stored := k.plain()
		check, err := checkOf(stored)
		if err != nil {
			return nil, err
		}
		if lock != nil {
			stored = lock.Seal(nil, nil, stored, keyData(k.id))
		}
		f.Keys = append(f.Keys, fileKey{ID: k.id, State: k.state, Key: stored, Check: check})
	}
	raw, err := json.MarshalIndent(f, "", "  ")
	return append(raw, '\n'), err
}

// writeTemp writes a finished, synced file beside path and returns its name.
func writeTemp(path string, raw []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".keyring-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// create links a finished file into place; fs.ErrExist if there is one.
func create(path string, raw []byte) error {
	temp, err := writeTemp(path, raw)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	if err := os.Link(temp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fs.ErrExist
		}
		return err
	}
	return syncDir(path)
}

// replace puts a finished file in the place of path.
func replace(path string, raw []byte) error {
	temp, err := writeTemp(path, raw)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return syncDir(path)
}

// validID reports whether id can come from lanyard.NewID.
func validID(id string) bool {
	return len(id) == keyIDLen && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func validState(s State) bool {
	return s == StatePrimary || s == StateDecrypt || s == StateDisabled
}

// keyData binds a locked key to its id.
func keyData(id string) []byte { return []byte("lanyard/keyring/key/v1\x00" + id) }

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
