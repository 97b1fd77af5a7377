package secretstest_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/secretstest"
)

func TestRun(t *testing.T) {
	t.Parallel()
	secretstest.Run(t, func(*testing.T) crypto.Secrets { return newService() })
}

// A Rewrapper is optional.
func TestRunWithoutRewrap(t *testing.T) {
	t.Parallel()
	secretstest.Run(t, func(*testing.T) crypto.Secrets { return struct{ crypto.Secrets }{newService()} })
}

func TestRunRotation(t *testing.T) {
	t.Parallel()
	secretstest.RunRotation(t, func(*testing.T) (crypto.Secrets, func(context.Context) error) {
		s := newService()
		return s, s.rotate
	})
	t.Run("without Rewrap", func(t *testing.T) {
		t.Parallel()
		secretstest.RunRotation(t, func(*testing.T) (crypto.Secrets, func(context.Context) error) {
			s := newService()
			return struct{ crypto.Secrets }{s}, s.rotate
		})
	})
}

// brokenEnv names the fault of the key service that TestBroken tests when it
// was started by itself.
const brokenEnv = "LANYARD_TEST_BROKEN"

// The suite refuses a key service that breaks one sentence of the contract,
// and by the test that is named after it.
func TestBroken(t *testing.T) {
	t.Parallel()
	if fault := os.Getenv(brokenEnv); fault != "" {
		open := func() *service {
			s := newService()
			faults[fault].spoil(s)
			return s
		}
		t.Run("Suite", func(t *testing.T) {
			secretstest.Run(t, func(*testing.T) crypto.Secrets { return open() })
			t.Run("Rotation", func(t *testing.T) {
				secretstest.RunRotation(t, func(*testing.T) (crypto.Secrets, func(context.Context) error) {
					s := open()
					return s, s.rotate
				})
			})
		})
		return
	}
	for fault, f := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$", "-test.short", "-test.v")
			cmd.Env = append(os.Environ(), brokenEnv+"="+fault)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if err == nil {
				t.Fatalf("the suite passes a key service with this fault: %s", fault)
			}
			if want := "--- FAIL: TestBroken/Suite/" + f.by + " "; !strings.Contains(string(out), want) {
				t.Errorf("the suite refuses it by other tests than %s:\n%s", f.by, out)
			}
		})
	}
}

// faults are the sentences of the contract, each broken.
var faults = map[string]struct {
	by    string // the test that refuses it
	spoil func(*service)
}{
	"name with a space": {"Name/IsPrintable", func(s *service) { s.name = func() string { return "a b" } }},
	"name too long":     {"Name/IsPrintable", func(s *service) { s.name = func() string { return strings.Repeat("x", 256) } }},
	"no name":           {"Name/IsPrintable", func(s *service) { s.name = func() string { return "" } }},
	"name that changes": {"Name/NeverChanges", func(s *service) { s.name = func() string { return "n" + hex.EncodeToString(random(4)) } }},
	"any binding":       {"Unwrap/AnotherBinding", func(s *service) { s.data = func(string, []byte) []byte { return nil } }},
	"start of the binding": {"Unwrap/AnotherBinding", func(s *service) {
		s.data = func(v string, b []byte) []byte { return fmt.Append(nil, v, b[:min(8, len(b))]) }
	}},
	"binding without case": {"Unwrap/AnotherBinding", func(s *service) {
		s.data = func(v string, b []byte) []byte { return fmt.Append(nil, v, bytes.ToLower(b)) }
	}},
	"wrong error":           {"Unwrap/AnotherBinding", func(s *service) { s.refusal = lanyard.ErrUnavailable }},
	"the same again":        {"Wrap/NeverTheSame", func(s *service) { s.wrapped = map[string][]byte{} }},
	"keys of any size":      {"Wrap/KeyOfAnotherSize", func(s *service) { s.anySize = true }},
	"plain key":             {"Wrap/RoundTrip", func(s *service) { s.plain = true }},
	"wipes the key":         {"Wrap/ChangesNoArgument", func(s *service) { s.onWrap = func(key, _ []byte) { clear(key) } }},
	"grows the binding":     {"Wrap/ChangesNoArgument", func(s *service) { s.onWrap = func(_, b []byte) { _ = append(b, "1234"...) } }},
	"one buffer for all":    {"Wrap/AnswerIsTheCallers", func(s *service) { s.buffer = make([]byte, 0, 256) }},
	"cut ciphertext opens":  {"Unwrap/Extension", func(s *service) { s.trim = true }},
	"tries other versions":  {"Unwrap/AnotherKeyVersion", func(s *service) { s.tries = true }},
	"keeps what it gave":    {"Unwrap/AnswerIsTheCallers", func(s *service) { s.cache = map[string][]byte{} }},
	"key beside an error":   {"Unwrap/AnotherBinding", func(s *service) { s.keyWithError = true }},
	"no look at the ctx":    {"Context/Cancelled", func(s *service) { s.deaf = true }},
	"key in the error":      {"Wrap/KeyOfAnotherSize", func(s *service) { s.talks = true }},
	"version never changes": {"Rotation/NewKeysAreNamed", func(s *service) { s.oneVersion = true }},
	"forgets old keys":      {"Rotation/OldKeysOpen", func(s *service) { s.forgets = true }},
	"one answer too few": {"Rewrap/AnswersInOrder", func(s *service) {
		s.onRewrap = func(out []crypto.RewrapResult) []crypto.RewrapResult { return out[min(1, len(out)):] }
	}},
	"answers in disorder": {"Rewrap/AnswersInOrder", func(s *service) { s.onRewrap = reversed }},
	"one bad spoils all":  {"Rotation/Rewrap", func(s *service) { s.onRewrap = spoiled }},
	"rewrap in name only": {"Rotation/Rewrap", func(s *service) { s.lazy = true }},
}

func reversed(out []crypto.RewrapResult) []crypto.RewrapResult {
	slices.Reverse(out)
	return out
}

func spoiled(out []crypto.RewrapResult) []crypto.RewrapResult {
	i := slices.IndexFunc(out, func(r crypto.RewrapResult) bool { return r.Err != nil })
	if i < 0 {
		return out
	}
	for j := range out {
		out[j] = out[i]
	}
	return out
}

// service is a key service in memory that keeps the contract, and breaks what
// its fields say.
type service struct {
	mu    sync.Mutex
	keys  []cipher.AEAD
	cache map[string][]byte // what Unwrap gave

	wrapped map[string][]byte // what Wrap gave

	name     func() string
	data     func(version string, binding []byte) []byte
	onWrap   func(key, binding []byte)
	onRewrap func([]crypto.RewrapResult) []crypto.RewrapResult
	refusal  error
	buffer   []byte

	anySize, plain, trim, tries, keyWithError, deaf, talks, oneVersion, forgets, lazy bool
}

func newService() *service {
	s := &service{
		name:    func() string { return "service" },
		data:    func(version string, binding []byte) []byte { return fmt.Appendf(nil, "%s/%s", version, binding) },
		refusal: crypto.ErrIntegrity,
	}
	_ = s.rotate(context.Background())
	return s
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func (s *service) rotate(context.Context) error {
	block, err := aes.NewCipher(random(32))
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgets {
		clear(s.keys)
	}
	s.keys = append(s.keys, gcm)
	return nil
}

func (s *service) Name() string { return s.name() }

func (s *service) version(i int) string {
	if s.oneVersion {
		return "v1"
	}
	return fmt.Sprint("v", i+1)
}

func (s *service) Wrap(ctx context.Context, key, binding []byte) (crypto.Wrapped, error) {
	if err := ctx.Err(); err != nil && !s.deaf {
		return crypto.Wrapped{}, err
	}
	if len(key) != crypto.KeySize && !s.anySize {
		if s.talks {
			return crypto.Wrapped{}, fmt.Errorf("no key: %x", key)
		}
		return crypto.Wrapped{}, errors.New("no key")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := len(s.keys) - 1
	version := s.version(i)
	w := crypto.Wrapped{KeyVersion: version, Ciphertext: s.keys[i].Seal(s.buffer, nil, key, s.data(version, binding))}
	if s.wrapped != nil {
		what := version + string(key) + string(binding)
		if before, ok := s.wrapped[what]; ok {
			w.Ciphertext = before
		}
		s.wrapped[what] = bytes.Clone(w.Ciphertext)
	}
	if s.plain {
		w.Ciphertext = append(w.Ciphertext, key...)
	}
	if s.onWrap != nil {
		s.onWrap(key, binding)
	}
	return w, nil
}

func (s *service) Unwrap(ctx context.Context, w crypto.Wrapped, binding []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil && !s.deaf {
		return nil, fmt.Errorf("%w: %w", lanyard.ErrUnavailable, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	const size = 12 + crypto.KeySize + 16
	if s.trim || s.plain {
		w.Ciphertext = w.Ciphertext[:min(size, len(w.Ciphertext))]
	}
	cached := w.KeyVersion + string(w.Ciphertext) + string(binding)
	if key, ok := s.cache[cached]; ok {
		return key, nil
	}
	found := false
	for i, aead := range s.keys {
		version := s.version(i)
		if aead == nil || version != w.KeyVersion && !s.tries {
			continue
		}
		found = true
		if len(w.Ciphertext) != size {
			break
		}
		key, err := aead.Open(nil, nil, w.Ciphertext, s.data(version, binding))
		if err != nil {
			continue
		}
		if s.cache != nil {
			s.cache[cached] = key
		}
		return key, nil
	}
	if !found {
		return nil, crypto.ErrUnknownKey
	}
	if s.keyWithError {
		return make([]byte, crypto.KeySize), s.refusal
	}
	return nil, s.refusal
}

func (s *service) Rewrap(ctx context.Context, items []crypto.RewrapItem) []crypto.RewrapResult {
	out := make([]crypto.RewrapResult, len(items))
	for i, item := range items {
		key, err := s.Unwrap(ctx, item.Wrapped, item.Binding)
		switch {
		case err != nil:
			out[i].Err = err
		case s.lazy:
			out[i].Wrapped = item.Wrapped
		default:
			out[i].Wrapped, out[i].Err = s.Wrap(ctx, key, item.Binding)
		}
	}
	if s.onRewrap != nil {
		return s.onRewrap(out)
	}
	return out
}
