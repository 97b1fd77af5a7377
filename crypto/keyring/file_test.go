package keyring_test

import (
	"bytes"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
)

// ringFile is a keyring file as a test edits it.
type ringFile struct {
	Format string         `json:"format"`
	KDF    map[string]any `json:"kdf,omitempty"`
	Keys   []ringFileKey  `json:"keys"`
}

type ringFileKey struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Key   []byte `json:"key"`
	Check []byte `json:"check"`
}

func readRing(t testing.TB, path string) ringFile {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f ringFile
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatalf("%s is no JSON: %v", path, err)
	}
	return f
}

func (f ringFile) bytes(t testing.TB) []byte {
	t.Helper()
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (f ringFile) write(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, f.bytes(t), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newFileKey returns a key as it stands in a file without a passphrase.
func newFileKey(t testing.TB, state keyring.State, plain []byte) ringFileKey {
	t.Helper()
	check, err := hkdf.Key(sha256.New, plain, nil, "lanyard/keyring/check/v1", 16)
	if err != nil {
		t.Fatal(err)
	}
	return ringFileKey{ID: lanyard.NewID(), State: string(state), Key: plain, Check: check}
}

func newFile(t testing.TB, states ...keyring.State) ringFile {
	t.Helper()
	f := ringFile{Format: "lanyard-keyring/v1"}
	for i, state := range states {
		f.Keys = append(f.Keys, newFileKey(t, state, bytes.Repeat([]byte{byte(0x80 + i)}, crypto.KeySize)))
	}
	return f
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	const (
		primary  = keyring.StatePrimary
		decrypt  = keyring.StateDecrypt
		disabled = keyring.StateDisabled
	)
	edited := func(edit func(f *ringFile)) []byte {
		f := newFile(t, decrypt, primary)
		edit(&f)
		return f.bytes(t)
	}
	good := edited(func(*ringFile) {})
	kdf := func(member string, value any) []byte {
		return edited(func(f *ringFile) {
			f.KDF = map[string]any{"salt": "c2FsdHNhbHRzYWx0c2FsdA==", "time": 3, "memory_kib": 65536, "threads": 4}
			f.KDF[member] = value
		})
	}
	tests := map[string][]byte{
		"empty":                  {},
		"a space":                []byte(" "),
		"a zero":                 {0},
		"text":                   []byte("secret: hunter2\n"),
		"null":                   []byte("null"),
		"a list":                 []byte("[]"),
		"an empty object":        []byte("{}"),
		"UTF-16":                 append([]byte{0xff, 0xfe}, good...),
		"two documents":          slices.Concat(good, good),
		"something after it":     append(bytes.Clone(good), " x"...),
		"another format":         edited(func(f *ringFile) { f.Format = "lanyard-keyring/v2" }),
		"no format":              edited(func(f *ringFile) { f.Format = "" }),
		"an unknown member":      bytes.Replace(good, []byte(`"format"`), []byte(`"color":"red","format"`), 1),
		"a number for a key":     bytes.Replace(good, []byte(`"key":"`), []byte(`"key":7,"x":"`), 1),
		"base64 that is none":    bytes.Replace(good, []byte(`"key":"`), []byte(`"key":"!!`), 1),
		"no keys":                edited(func(f *ringFile) { f.Keys = nil }),
		"no primary key":         edited(func(f *ringFile) { f.Keys[1].State = string(decrypt) }),
		"only disabled keys":     edited(func(f *ringFile) { f.Keys[0].State, f.Keys[1].State = string(disabled), string(disabled) }),
		"two primary keys":       edited(func(f *ringFile) { f.Keys[0].State = string(primary) }),
		"an unknown state":       edited(func(f *ringFile) { f.Keys[0].State = "retired" }),
		"no state":               edited(func(f *ringFile) { f.Keys[0].State = "" }),
		"one id twice":           edited(func(f *ringFile) { f.Keys[0].ID = f.Keys[1].ID }),
		"no id":                  edited(func(f *ringFile) { f.Keys[0].ID = "" }),
		"a short id":             edited(func(f *ringFile) { f.Keys[0].ID = f.Keys[0].ID[1:] }),
		"an id in capitals":      edited(func(f *ringFile) { f.Keys[0].ID = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" }),
		"an id with a newline":   edited(func(f *ringFile) { f.Keys[0].ID = "abcdefghijklmnopqrstuvwxy\n" }),
		"a short key":            edited(func(f *ringFile) { f.Keys[0] = newFileKey(t, decrypt, f.Keys[0].Key[:16]) }),
		"a long key":             edited(func(f *ringFile) { f.Keys[0] = newFileKey(t, decrypt, append(f.Keys[0].Key, 1)) }),
		"no key bytes":           edited(func(f *ringFile) { f.Keys[0].Key = nil }),
		"a damaged key":          edited(func(f *ringFile) { f.Keys[0].Key[31] ^= 1 }),
		"a damaged primary key":  edited(func(f *ringFile) { f.Keys[1].Key[0] ^= 0x80 }),
		"a damaged check value":  edited(func(f *ringFile) { f.Keys[0].Check[0] ^= 1 }),
		"a short check value":    edited(func(f *ringFile) { f.Keys[0].Check = f.Keys[0].Check[:15] }),
		"no check value":         edited(func(f *ringFile) { f.Keys[0].Check = nil }),
		"two keys exchanged":     edited(func(f *ringFile) { f.Keys[0].Key, f.Keys[1].Key = f.Keys[1].Key, f.Keys[0].Key }),
		"too many keys":          newFile(t, append(slices.Repeat([]keyring.State{decrypt}, 1000), primary)...).bytes(t),
		"too long":               append(bytes.Clone(good), bytes.Repeat([]byte{' '}, 1<<20)...),
		"Argon2id without salt":  kdf("salt", ""),
		"Argon2id of no passes":  kdf("time", 0),
		"Argon2id for hours":     kdf("time", 1<<31),
		"Argon2id in 4 TiB":      kdf("memory_kib", uint32(1<<32-1)),
		"Argon2id in no memory":  kdf("memory_kib", 8),
		"Argon2id of no threads": kdf("threads", 0),
		"Argon2id of a million":  kdf("threads", 1_000_000),
	}
	for n := range good {
		tests[fmt.Sprintf("the first %d bytes", n)] = good[:n]
	}
	secrets := newFile(t, decrypt, primary).Keys
	dir := t.TempDir()
	path := filepath.Join(dir, "lanyard.keys")
	for name, raw := range tests {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keyring.Open(path, nil)
		wantRefusal(t, name, path, err, keyring.ErrFile)
		for _, k := range secrets {
			if err != nil {
				wantNotIn(t, "the error of "+name, err.Error(), k.Key)
			}
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if keys := open(t, path, nil).Keys(); len(keys) != 2 {
		t.Errorf("Open() of what the others were made from gives the keys %v, want 2", keys)
	}
}

func TestOpenRefusesThePath(t *testing.T) {
	t.Parallel()
	ring := newRingFile(t, nil)
	for name, test := range map[string]struct {
		make func(path string) error
		want error
	}{
		"missing":                  {func(string) error { return nil }, fs.ErrNotExist},
		"a folder":                 {func(path string) error { return os.Mkdir(path, 0o700) }, keyring.ErrFile},
		"a link to a keyring":      {func(path string) error { return os.Symlink(ring, path) }, keyring.ErrFile},
		"a link to nowhere":        {func(path string) error { return os.Symlink(path+"-else", path) }, keyring.ErrFile},
		"a pipe":                   {func(path string) error { return syscall.Mkfifo(path, 0o600) }, keyring.ErrFile},
		"readable by the group":    {mode(ring, 0o640), keyring.ErrMode},
		"readable by all":          {mode(ring, 0o644), keyring.ErrMode},
		"writable by the group":    {mode(ring, 0o620), keyring.ErrMode},
		"executable by all":        {mode(ring, 0o701), keyring.ErrMode},
		"readable by all, no ring": {func(path string) error { return os.WriteFile(path, []byte("?"), 0o644) }, keyring.ErrMode},
	} {
		path := filepath.Join(t.TempDir(), "lanyard.keys")
		if err := test.make(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err := keyring.Open(path, nil)
		wantRefusal(t, name, path, err, test.want)
	}
	for _, m := range []fs.FileMode{0o600, 0o400, 0o700} {
		path := filepath.Join(t.TempDir(), "lanyard.keys")
		if err := mode(ring, m)(path); err != nil {
			t.Fatal(err)
		}
		open(t, path, nil)
	}
}

// mode returns a function that copies a file and gives the copy a mode.
func mode(from string, m fs.FileMode) func(string) error {
	return func(path string) error {
		raw, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(path, raw, 0o600)
		}
		return errors.Join(err, os.Chmod(path, m))
	}
}

// A full ring stays as it is, and opens.
func TestRotateFullRing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	newFile(t, append(slices.Repeat([]keyring.State{keyring.StateDecrypt}, 999), keyring.StatePrimary)...).write(t, path)
	ring := open(t, path, nil)
	if err := ring.Rotate(); !errors.Is(err, lanyard.ErrLimit) {
		t.Errorf("Rotate() of a full ring = %v, want ErrLimit", err)
	}
	if got := len(open(t, path, nil).Keys()); got != 1000 || len(ring.Keys()) != 1000 {
		t.Errorf("the file has %d keys and the ring %d after that, want 1000", got, len(ring.Keys()))
	}
	if state := ring.Keys()[999].State; state != keyring.StatePrimary {
		t.Errorf("the last key is %q after that, want it to be primary still", state)
	}
}

// Files of this version open for ever, and so does what their keys wrapped.
// What is in testdata was written once and is never written again.
func TestFilesV1(t *testing.T) {
	t.Parallel()
	const want = "30313233343536373839616263646566303132333435363738396162636465ff"
	for _, tt := range []struct {
		file       string
		passphrase lanyard.Secret
		versions   map[string]string // what each key wrapped, in base64
	}{
		{"plain_v1.json", lanyard.Secret{}, plainV1},
		{"passphrase_v1.json", lanyard.NewSecret("correct horse battery staple"), passphraseV1},
	} {
		path := filepath.Join(t.TempDir(), tt.file)
		if err := mode(filepath.Join("testdata", tt.file), 0o600)(path); err != nil {
			t.Fatal(err)
		}
		o := &keyring.Options{Passphrase: tt.passphrase}
		if fips140.Enforced() && !tt.passphrase.IsZero() {
			_, err := keyring.Open(path, o)
			wantRefusal(t, "FIPS mode", path, err, keyring.ErrFIPS)
			continue
		}
		ring := open(t, path, o)
		if got := len(ring.Keys()); got != len(tt.versions) {
			t.Errorf("%s has %d keys, want %d", tt.file, got, len(tt.versions))
		}
		for id, wrapped := range tt.versions {
			ciphertext, err := base64.StdEncoding.DecodeString(wrapped)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ring.Unwrap(t.Context(), crypto.Wrapped{KeyVersion: id, Ciphertext: ciphertext}, []byte("a binding"))
			if hex.EncodeToString(got) != want {
				t.Errorf("%s: Unwrap() under %s = %x, %v, want %s", tt.file, id, got, err, want)
			}
		}
	}
}
