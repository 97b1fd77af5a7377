package keyring_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	key     = []byte("an owner key that has 32 bytes.\x00")
	binding = []byte("where the key belongs")
)

func TestCreate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	created, err := keyring.Create(path, nil)
	if err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("Create(%q) made a file of mode %v, %v, want a regular one of mode 0600", path, info.Mode(), err)
	}
	w := wrap(t, created)

	opened := open(t, path, nil)
	if got, want := opened.Keys(), created.Keys(); !slices.Equal(got, want) || len(want) != 1 || want[0].State != keyring.StatePrimary {
		t.Errorf("Keys() = %v after Open, %v after Create, want one primary key", got, want)
	}
	if w.KeyVersion != opened.Keys()[0].ID {
		t.Errorf("Wrap() names key version %q, want the key's id %q", w.KeyVersion, opened.Keys()[0].ID)
	}
	wantOpens(t, "after Open", opened, w)
	if name := opened.Name(); name != "keyring" {
		t.Errorf("Name() = %q, want keyring", name)
	}
	wantOnly(t, path)

	if _, err := keyring.Create(path, nil); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Create(%q) where there is one = %v, want fs.ErrExist that names it", path, err)
	}
	wantOpens(t, "after a second Create", open(t, path, nil), w)
	wantOnly(t, path)
}

func TestCreateWhereNobodyMay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "no", "such", "folder")
	if _, err := keyring.Create(path, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Create(%q) = %v, want fs.ErrNotExist that names it", path, err)
	}
}

// A link to nowhere is something that exists, and is not followed.
func TestCreateOverLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "lanyard.keys")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), path); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Create(path, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create() over a link = %v, want fs.ErrExist", err)
	}
	wantOnly(t, path)
}

// Of many that create at once one succeeds, and the others find its ring.
func TestCreateRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	const n = 16
	rings, errs := make([]*keyring.Ring, n), make([]error, n)
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			rings[i], errs[i] = keyring.Create(path, nil)
			if errors.Is(errs[i], fs.ErrExist) {
				rings[i] = open(t, path, nil)
			}
		})
	}
	close(begin)
	all.Wait()

	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, fs.ErrExist):
			t.Fatalf("Create() of caller %d = %v, want nil or fs.ErrExist", i, err)
		}
		if got, want := rings[i].Keys(), rings[0].Keys(); !slices.Equal(got, want) {
			t.Errorf("caller %d has the keys %v, caller 0 has %v", i, got, want)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d calls of Create succeeded, want 1", won, n)
	}
	wantOnly(t, path)
}

func TestRotate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	ring, err := keyring.Create(path, nil)
	if err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	first := wrap(t, ring)
	if err := ring.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	second := wrap(t, ring)
	keys := ring.Keys()
	want := []keyring.KeyInfo{{ID: first.KeyVersion, State: keyring.StateDecrypt}, {ID: second.KeyVersion, State: keyring.StatePrimary}}
	if !slices.Equal(keys, want) {
		t.Fatalf("Keys() after Rotate = %v, want %v", keys, want)
	}
	reopened := open(t, path, nil)
	if got := reopened.Keys(); !slices.Equal(got, want) {
		t.Errorf("Keys() after Rotate and Open = %v, want %v", got, want)
	}
	wantOpens(t, "wrapped before", reopened, first)
	wantOpens(t, "wrapped after", reopened, second)
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("Rotate() left a file of mode %v, %v, want 0600", info.Mode(), err)
	}
	wantOnly(t, path, path+".lock")
}

func TestDisable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	ring, err := keyring.Create(path, nil)
	if err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	old := wrap(t, ring)
	for what, change := range map[string]func(string) error{"Disable": ring.Disable, "Enable": ring.Enable} {
		if err := change(old.KeyVersion); !errors.Is(err, lanyard.ErrConflict) {
			t.Errorf("%s() of the primary key = %v, want ErrConflict", what, err)
		}
		if err := change(lanyard.NewID()); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("%s() of an unknown key = %v, want ErrNotFound", what, err)
		}
		if err := change(""); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("%s() of no key = %v, want ErrNotFound", what, err)
		}
	}
	wantOpens(t, "after what was refused", ring, old)
	if err := ring.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	if err := ring.Disable(old.KeyVersion); err != nil {
		t.Fatalf("Disable() = %v, want nil", err)
	}
	for name, r := range map[string]*keyring.Ring{"the ring": ring, "one opened since": open(t, path, nil)} {
		wantUnknown(t, name+" with the key disabled", r, old)
		answers := r.Rewrap(t.Context(), []crypto.RewrapItem{{Wrapped: old, Binding: binding}, {Wrapped: wrap(t, r), Binding: binding}})
		if !errors.Is(answers[0].Err, crypto.ErrUnknownKey) || answers[1].Err != nil {
			t.Errorf("Rewrap() in %s = %v and %v, want ErrUnknownKey for the disabled key only", name, answers[0].Err, answers[1].Err)
		}
	}
	if err := ring.Enable(old.KeyVersion); err != nil {
		t.Fatalf("Enable() = %v, want nil", err)
	}
	wantOpens(t, "enabled again", ring, old)
	if got := ring.Keys()[0].State; got != keyring.StateDecrypt {
		t.Errorf("an enabled key is %q, want %q", got, keyring.StateDecrypt)
	}
}

// A ring notices by itself that another process rotated.
func TestRotatedElsewhere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	here, err := keyring.Create(path, nil)
	if err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	old := wrap(t, here)
	there := open(t, path, nil)
	if err := there.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	fresh := wrap(t, there)
	moved := here.Rewrap(t.Context(), []crypto.RewrapItem{{Wrapped: old, Binding: binding}})[0]
	if moved.Err != nil || moved.Wrapped.KeyVersion != fresh.KeyVersion {
		t.Errorf("Rewrap() after a rotation elsewhere = key %q, %v, want key %q", moved.Wrapped.KeyVersion, moved.Err, fresh.KeyVersion)
	}
	if err := there.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	fresh = wrap(t, there)
	if w := wrap(t, here); w.KeyVersion != fresh.KeyVersion {
		t.Errorf("Wrap() after a rotation elsewhere uses key %q, want %q", w.KeyVersion, fresh.KeyVersion)
	}
	if err := there.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	fresh = wrap(t, there)
	wantOpens(t, "wrapped under the new key", here, fresh)
	wantOpens(t, "wrapped under the old key", here, old)
	if w := wrap(t, here); w.KeyVersion != fresh.KeyVersion {
		t.Errorf("Wrap() uses key %q after the ring has seen %q", w.KeyVersion, fresh.KeyVersion)
	}
	// Its own changes build on the others'.
	if err := there.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	if err := here.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	if got := len(here.Keys()); got != 6 {
		t.Errorf("the ring has %d keys after 5 rotations in two places, want 6", got)
	}
}

// Rings on one file rotate at once, while others open it: no key is lost and
// nobody sees half a file.
func TestRotateRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	first, err := keyring.Create(path, nil)
	if err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	old := wrap(t, first)
	const rotators, rounds = 4, 8
	var rotating, reading sync.WaitGroup
	done := make(chan struct{})
	for range rotators {
		ring := open(t, path, nil)
		rotating.Go(func() {
			for range rounds {
				if err := ring.Rotate(); err != nil {
					t.Errorf("Rotate() beside others = %v, want nil", err)
				}
				wantOpens(t, "by the one who rotated", ring, wrap(t, ring))
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					wantOpens(t, "by one who came in between", open(t, path, nil), old)
				}
			}
		})
	}
	rotating.Wait()
	close(done)
	reading.Wait()
	keys := open(t, path, nil).Keys()
	if len(keys) != 1+rotators*rounds {
		t.Errorf("%d keys after %d rotations, want %d", len(keys), rotators*rounds, 1+rotators*rounds)
	}
	wantOnly(t, path, path+".lock")
}

// What is wrong with the file while the ring is in use is never the fault of
// what was wrapped, and what the ring knows still opens.
func TestFileGoesBad(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"gone":      os.Remove,
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"truncated": func(path string) error { return os.Truncate(path, 100) },
		"readable":  func(path string) error { return os.Chmod(path, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "lanyard.keys")
			ring, err := keyring.Create(path, nil)
			if err != nil {
				t.Fatalf("Create(%q) = %v, want nil", path, err)
			}
			w := wrap(t, ring)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			wantOpens(t, "a key the ring knows", ring, w)
			unknown := crypto.Wrapped{KeyVersion: lanyard.NewID(), Ciphertext: w.Ciphertext}
			_, err = ring.Unwrap(t.Context(), unknown, binding)
			if !errors.Is(err, lanyard.ErrUnavailable) || errors.Is(err, crypto.ErrIntegrity) || errors.Is(err, crypto.ErrUnknownKey) {
				t.Errorf("Unwrap() of another = %v, want ErrUnavailable", err)
			}
			if err := ring.Rotate(); err == nil {
				t.Error("Rotate() = nil, want an error")
			}
			// What is wrapped now would be lost with this process.
			_, wrapping := ring.Wrap(t.Context(), key, binding)
			rewrapping := ring.Rewrap(t.Context(), []crypto.RewrapItem{{Wrapped: w, Binding: binding}})[0].Err
			for what, err := range map[string]error{"Wrap": wrapping, "Rewrap": rewrapping} {
				if !errors.Is(err, lanyard.ErrUnavailable) || errors.Is(err, crypto.ErrIntegrity) || errors.Is(err, crypto.ErrUnknownKey) {
					t.Errorf("%s() = %v, want ErrUnavailable", what, err)
				}
			}
			wantOpens(t, "after what failed", ring, w)
		})
	}
}

// An id that is not in the file costs a look at the file and no more: with a
// passphrase, reading it takes long on purpose.
func TestUnknownKeyIsCheap(t *testing.T) {
	t.Parallel()
	path := newRingFile(t, nil)
	ring := open(t, path, nil)
	w := wrap(t, ring)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// Only who reads the file anew notices that it is not the same any more.
	if err := os.WriteFile(path, bytes.Repeat([]byte{'x'}, int(info.Size())), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	wantUnknown(t, "an unknown id", ring, crypto.Wrapped{KeyVersion: lanyard.NewID(), Ciphertext: w.Ciphertext})
}

func TestPassphrase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	right := &keyring.Options{Passphrase: lanyard.NewSecret("correct horse battery staple")}
	ring, err := keyring.Create(path, right)
	if fips140.Enforced() {
		if !errors.Is(err, keyring.ErrFIPS) || !strings.Contains(err.Error(), path) {
			t.Errorf("Create() with a passphrase in FIPS mode = %v, want ErrFIPS that names the file", err)
		}
		wantOnly(t, path)
		return
	}
	if err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	first := wrap(t, ring)
	if err := ring.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	reopened := open(t, path, right)
	wantOpens(t, "with the passphrase", reopened, first)
	wantOpens(t, "with the passphrase", reopened, wrap(t, ring))

	for name, o := range map[string]*keyring.Options{
		"nil options":  nil,
		"none":         {},
		"with a space": {Passphrase: lanyard.NewSecret("correct horse battery staple ")},
		"in capitals":  {Passphrase: lanyard.NewSecret("CORRECT HORSE BATTERY STAPLE")},
	} {
		_, err := keyring.Open(path, o)
		wantRefusal(t, "passphrase: "+name, path, err, keyring.ErrPassphrase)
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "horse") {
			t.Errorf("Open() says the passphrase: %v", err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("horse")) {
		t.Error("the passphrase stands in the file")
	}
	plain := newRingFile(t, nil)
	_, err = keyring.Open(plain, right)
	wantRefusal(t, "a passphrase where there is none", plain, err, keyring.ErrPassphrase)
}

// A locked key is bound to its id: two cannot be exchanged in the file.
func TestPassphraseBindsKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	o := &keyring.Options{Passphrase: lanyard.NewSecret("correct horse battery staple")}
	ring, err := keyring.Create(path, o)
	if fips140.Enforced() {
		wantRefusal(t, "FIPS mode", path, err, keyring.ErrFIPS)
		return
	}
	if err == nil {
		err = ring.Rotate()
	}
	if err != nil {
		t.Fatalf("Create(%q) and Rotate() = %v, want nil", path, err)
	}
	f := readRing(t, path)
	f.Keys[0].Key, f.Keys[1].Key = f.Keys[1].Key, f.Keys[0].Key
	f.Keys[0].Check, f.Keys[1].Check = f.Keys[1].Check, f.Keys[0].Check
	f.write(t, path)
	_, err = keyring.Open(path, o)
	wantRefusal(t, "two keys exchanged", path, err, keyring.ErrPassphrase)
}

// Whatever is printed of a ring, its keys are not in it.
func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	path := newRingFile(t, nil)
	ring := open(t, path, nil)
	if err := ring.Rotate(); err != nil {
		t.Fatalf("Rotate() = %v, want nil", err)
	}
	var secrets [][]byte
	for _, k := range readRing(t, path).Keys {
		secrets = append(secrets, k.Key)
	}
	type host struct {
		ring   *keyring.Ring
		inside []any
	}
	var out bytes.Buffer
	for _, v := range []any{ring, host{ring, []any{ring}}, &host{ring, nil}, map[string]any{"ring": ring}, ring.Keys()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).InfoContext(t.Context(), "ring", slog.Any("ring", v))
		slog.New(slog.NewTextHandler(&out, nil)).InfoContext(t.Context(), "ring", slog.Any("ring", v))
		encoded, err := json.Marshal(v)
		fmt.Fprintln(&out, string(encoded), err)
	}
	w := wrap(t, ring)
	for _, bad := range []crypto.Wrapped{{}, {KeyVersion: w.KeyVersion}, {KeyVersion: lanyard.NewID(), Ciphertext: w.Ciphertext}, {KeyVersion: w.KeyVersion, Ciphertext: key}} {
		_, err := ring.Unwrap(t.Context(), bad, binding)
		fmt.Fprintln(&out, err)
	}
	_, err := ring.Wrap(t.Context(), key[:31], binding)
	fmt.Fprintln(&out, err)
	for _, secret := range append(secrets, key, key[:31]) {
		wantNotIn(t, "what was printed", out.String(), secret)
	}
	if len(secrets) != 2 || out.Len() < 1000 {
		t.Errorf("looked for %d keys in %d bytes, want 2 in more", len(secrets), out.Len())
	}
}

// wantNotIn fails the test if secret stands in text in one of the forms that
// bytes are printed in.
func wantNotIn(t *testing.T, what, text string, secret []byte) {
	t.Helper()
	decimal := strings.Trim(fmt.Sprintf("%d", secret), "[]")
	for form, s := range map[string]string{
		"raw": string(secret), "hex": hex.EncodeToString(secret), "decimal": decimal,
		"base64": base64.RawStdEncoding.EncodeToString(secret), "base64url": base64.RawURLEncoding.EncodeToString(secret),
		"a Go literal": strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret), "[]byte{"), "}"),
	} {
		if strings.Contains(text, s) || strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			t.Errorf("%s holds a key, as %s", what, form)
		}
	}
}

// newRingFile creates a keyring and returns where.
func newRingFile(t testing.TB, o *keyring.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lanyard.keys")
	if _, err := keyring.Create(path, o); err != nil {
		t.Fatalf("Create(%q) = %v, want nil", path, err)
	}
	return path
}

// open opens a ring, which must succeed. It may be called from any goroutine.
func open(t testing.TB, path string, o *keyring.Options) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Open(path, o)
	if err != nil {
		t.Errorf("Open(%q) = %v, want nil", path, err)
		return new(keyring.Ring)
	}
	return ring
}

func wrap(t testing.TB, ring *keyring.Ring) crypto.Wrapped {
	t.Helper()
	w, err := ring.Wrap(t.Context(), key, binding)
	if err != nil {
		t.Errorf("Wrap() = %v, want nil", err)
	}
	return w
}

func wantOpens(t testing.TB, what string, ring *keyring.Ring, w crypto.Wrapped) {
	t.Helper()
	if got, err := ring.Unwrap(t.Context(), w, binding); err != nil || !bytes.Equal(got, key) {
		t.Errorf("%s: Unwrap() = %d bytes, %v, want the key", what, len(got), err)
	}
}

func wantUnknown(t testing.TB, what string, ring *keyring.Ring, w crypto.Wrapped) {
	t.Helper()
	if _, err := ring.Unwrap(t.Context(), w, binding); !errors.Is(err, crypto.ErrUnknownKey) || errors.Is(err, crypto.ErrIntegrity) {
		t.Errorf("%s: Unwrap() = %v, want ErrUnknownKey", what, err)
	}
}

// wantRefusal fails the test unless err is want, names the file and speaks of
// no changed value.
func wantRefusal(t testing.TB, what, path string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || errors.Is(err, crypto.ErrIntegrity) || errors.Is(err, crypto.ErrUnknownKey) {
		t.Errorf("%s: Open() = %v, want %v", what, err, want)
	} else if !strings.Contains(err.Error(), path) {
		t.Errorf("%s: Open() = %v, which does not name %s", what, err, path)
	}
}

// wantOnly fails the test if something was left in the folder of path beside
// the files that are named.
func wantOnly(t *testing.T, path string, others ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := filepath.Join(filepath.Dir(path), e.Name()); name != path && !slices.Contains(others, name) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}
