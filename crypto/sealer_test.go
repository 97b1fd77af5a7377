package crypto_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store/memory"
)

func TestNewSealer(t *testing.T) {
	t.Parallel()
	st := memory.New()
	if _, err := crypto.NewSealer(nil, st, nil); err == nil {
		t.Error("NewSealer() without a key service = nil, want an error")
	}
	if _, err := crypto.NewSealer(newVault("vault"), nil, nil); err == nil {
		t.Error("NewSealer() without a table = nil, want an error")
	}
	for name, previous := range map[string][]crypto.Secrets{
		"":                       nil,
		"a b":                    nil,
		"a\n":                    nil,
		"é":                      nil,
		strings.Repeat("x", 256): nil,
		"nil among the previous": {nil},
		"vault":                  {newVault("ring"), newVault("vault")},
		"twice":                  {newVault("ring"), newVault("ring")},
		"unnamed":                {newVault("")},
	} {
		_, err := crypto.NewSealer(newVault(name), st, &crypto.SealerOptions{Previous: previous})
		if err == nil {
			t.Errorf("NewSealer() of key service %q after %d others = nil, want an error", name, len(previous))
		}
	}
	for _, name := range []string{"v", "vault:transit/lanyard", strings.Repeat("x", 255)} {
		if _, err := crypto.NewSealer(newVault(name), st, nil); err != nil {
			t.Errorf("NewSealer() of key service %q = %v, want nil", name, err)
		}
	}
	// It asks nobody anything, and leaves its options alone.
	v := newVault("vault")
	o := &crypto.SealerOptions{CacheSize: -1}
	newSealer(t, v, st, o)
	if v.wraps.Load()+v.unwraps.Load() != 0 || o.CacheTTL != 0 || o.CacheSize != -1 || o.Now != nil || o.Logger != nil {
		t.Errorf("NewSealer() made calls or changed its options: %+v", o)
	}
}

// After a move to another key service, what the old one wrapped opens, and
// what is new goes to the new one.
func TestPrevious(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	ring := b.vault
	old := seal(t, b.Sealer, place(ana))
	mac, err := b.MAC(t.Context(), []byte("part"))
	if err != nil {
		t.Fatalf("MAC() = %v, want nil", err)
	}
	ring.wraps.Store(0)

	vault := newVault("vault:transit/lanyard")
	moved := newSealer(t, vault, b.memory, &crypto.SealerOptions{Previous: []crypto.Secrets{ring}})
	if err := moved.Check(t.Context()); err != nil {
		t.Errorf("Check() after the move = %v, want nil", err)
	}
	wantOpens(t, "wrapped before the move", moved, place(ana), old.Envelope)
	if again, err := moved.MAC(t.Context(), []byte("part")); err != nil || !bytes.Equal(again, mac) {
		t.Errorf("MAC() after the move = %v, want the same as before", err)
	}
	if same := seal(t, moved, place(ana)); same.OwnerKeyID != old.OwnerKeyID {
		t.Errorf("Seal() after the move uses key %s, want the owner's, %s", same.OwnerKeyID, old.OwnerKeyID)
	}
	fresh := seal(t, moved, place(bob))
	if row, err := b.memory.OwnerKey(t.Context(), bob); err != nil || row.Secrets != vault.Name() {
		t.Errorf("a key made after the move is wrapped by %q, %v, want %q", row.Secrets, err, vault.Name())
	}
	wantCount(t, "wraps by the previous key service", &ring.wraps, 0)

	wantRefused(t, "without the previous key service", newSealer(t, vault, b.memory, nil), place(ana), old.Envelope, crypto.ErrUnknownKey)
	wantRefused(t, "before the move", b.Sealer, place(bob), fresh.Envelope, crypto.ErrUnknownKey)
	// The name decides, and nothing is tried: another key service of that
	// name does not open it, and the right one is not asked.
	ring.unwraps.Store(0)
	stranger := newSealer(t, newVault("vault"), b.memory, &crypto.SealerOptions{Previous: []crypto.Secrets{&renamed{ring}}})
	wantRefused(t, "another key service of that name", stranger, place(ana), old.Envelope, crypto.ErrIntegrity)
	wantCount(t, "unwraps by one of another name", &ring.unwraps, 0)
}

// renamed is a key service under another name.
type renamed struct{ *vault }

func (*renamed) Name() string { return "renamed" }

func TestCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for range 2 {
		if err := b.Check(t.Context()); err != nil {
			t.Errorf("Check() = %v, want nil", err)
		}
	}
	wantCount(t, "keys stored by Check", &b.table.creates, 0)
	if _, err := b.MAC(t.Context(), []byte("part")); err != nil {
		t.Fatalf("MAC() = %v, want nil", err)
	}
	if err := b.Check(t.Context()); err != nil {
		t.Errorf("Check() with a system key = %v, want nil", err)
	}

	// A key service that is not the one that wrapped the table.
	wrong := newSealer(t, newVault("vault"), b.memory, nil)
	wantOnly(t, "another master key: Check()", wrong.Check(t.Context()), crypto.ErrIntegrity)
	elsewhere := newSealer(t, newVault("kms"), b.memory, nil)
	wantOnly(t, "another key service: Check()", elsewhere.Check(t.Context()), crypto.ErrUnknownKey)

	for name, test := range map[string]struct {
		spoil func(v *vault)
		want  error
	}{
		"any binding": {func(v *vault) { v.unbound = true }, crypto.ErrUnbound},
		"down":        {func(v *vault) { v.fail(lanyard.ErrUnavailable) }, lanyard.ErrUnavailable},
		"denied":      {func(v *vault) { v.fail(crypto.ErrDenied) }, crypto.ErrDenied},
		"another key": {func(v *vault) { v.onUnwrap = answers(make([]byte, 32)) }, lanyard.ErrUnavailable},
		"the wrong error for another binding": {func(v *vault) {
			v.onUnwrap = func(_ context.Context, key []byte, err error) ([]byte, error) {
				if err != nil {
					err = crypto.ErrUnknownKey
				}
				return key, err
			}
		}, lanyard.ErrUnavailable},
		"down at the second unwrap": {func(v *vault) {
			v.onUnwrap = func(_ context.Context, key []byte, err error) ([]byte, error) {
				if err != nil {
					err = lanyard.ErrUnavailable
				}
				return key, err
			}
		}, lanyard.ErrUnavailable},
	} {
		b := newBench(t, nil)
		test.spoil(b.vault)
		err := b.Check(t.Context())
		wantOnly(t, name+": Check()", err, test.want)
		if !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("%s: Check() = %v, want an ErrUnavailable", name, err)
		}
	}
}

// The binding is proven when a key is made, once, and again after a proof
// that failed.
func TestProvenOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	seal(t, b.Sealer, place(ana))
	wantCount(t, "unwraps for the first key", &b.vault.unwraps, 2)
	b.vault.unwraps.Store(0)
	seal(t, b.Sealer, place(bob))
	wantCount(t, "unwraps for the second key", &b.vault.unwraps, 1)

	b.vault.unbound = true
	wantOnly(t, "Check()", b.Check(t.Context()), crypto.ErrUnbound)
	_, err := b.Seal(t.Context(), place(lanyard.Owner{Subject: "cid"}), lanyard.NewSecret(canary))
	wantOnly(t, "Seal() after Check found it unbound", err, crypto.ErrUnbound)
}

// Whatever is printed of a Sealer, no key or plaintext is in it.
func TestNothingIsPrinted(t *testing.T) {
	bubble(t, testNothingIsPrinted)
}

func testNothingIsPrinted(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b := newBench(t, &crypto.SealerOptions{Logger: logger})
	var keys [][]byte
	b.vault.onUnwrap = func(_ context.Context, key []byte, err error) ([]byte, error) {
		if err == nil {
			keys = append(keys, bytes.Clone(key))
		}
		return key, err
	}
	sealed := seal(t, b.Sealer, place(ana))
	if _, err := b.MAC(t.Context(), []byte("part")); err != nil {
		t.Fatalf("MAC() = %v, want nil", err)
	}
	synctest.Wait() // fmt looks at locks, which the goroutines of the fetches held
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", b.Sealer, struct{ s *crypto.Sealer }{b.Sealer}, sealed)
	}
	_, err := b.Open(t.Context(), place(bob), sealed.Envelope)
	fmt.Fprintln(&out, err)
	b.Forget(ana)
	b.vault.onUnwrap = func(context.Context, []byte, error) ([]byte, error) { panic(canary) }
	_, err = b.Open(t.Context(), place(ana), sealed.Envelope)
	wantOnly(t, "a panic: Open()", err, lanyard.ErrUnavailable)
	fmt.Fprintln(&out, err)
	if !strings.Contains(log.String(), "panicked") || !strings.Contains(log.String(), "ownerkeys.go") {
		t.Errorf("the log of a panic is %q, want where it was", log.String())
	}
	out.Write(log.Bytes())
	if len(keys) < 2 {
		t.Fatalf("saw %d keys, want that of ana and the system", len(keys))
	}
	for _, secret := range append(keys, []byte(canary)) {
		for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprintf("%d", secret), "[]")} {
			if strings.Contains(out.String(), form) {
				t.Error("what was printed holds a key or a plaintext")
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	bench := newBench(b, nil)
	secret := lanyard.NewSecret(strings.Repeat("x", 64))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bench.Seal(b.Context(), place(ana), secret); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, ttl := range map[string]time.Duration{"warm": 0, "cold": -1} {
		b.Run(name, func(b *testing.B) {
			bench := newBench(b, &crypto.SealerOptions{CacheTTL: ttl})
			sealed := seal(b, bench.Sealer, place(ana))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bench.Open(b.Context(), place(ana), sealed.Envelope); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMAC(b *testing.B) {
	bench := newBench(b, nil)
	parts := [][]byte{[]byte("id"), []byte("acme"), []byte("ana"), make([]byte, 32)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bench.MAC(b.Context(), parts...); err != nil {
			b.Fatal(err)
		}
	}
}
