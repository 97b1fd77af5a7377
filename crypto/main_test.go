package crypto_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	bob = lanyard.Owner{Tenant: "acme", Subject: "bob"}

	// start is when every clock begins.
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// canary is the plaintext of the tests; no output may hold it.
const canary = "canary-7f3a-plaintext"

// bubble runs a test in a bubble of package synctest, in parallel where that
// can be. In FIPS mode Go draws entropy from how long things take, which is
// nothing in a bubble, so randomness has to come from a seed there; that is
// global, and such a test has to run alone.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		cryptotest.SetGlobalRandom(t, 1)
	} else {
		t.Parallel()
	}
	synctest.Test(t, test)
}

// place returns the binding of one field of an owner.
func place(owner lanyard.Owner) crypto.Binding {
	return crypto.Binding{
		Purpose: "provider-token", Owner: owner, Record: "record-1", Field: "api_token",
		SecretVersion: 3, Destination: bytes.Repeat([]byte{0xd1}, 32),
	}
}

// clock is a clock that only a test moves.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(start.UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// vault is a Secrets under a master key of its own. A test counts its calls
// and puts something in the way.
type vault struct {
	name           string
	aead           cipher.AEAD
	wraps, unwraps atomic.Int64

	// Where set, these are called with what the call would answer and say
	// what it answers instead.
	onWrap   func(ctx context.Context, w crypto.Wrapped) (crypto.Wrapped, error)
	onUnwrap func(ctx context.Context, key []byte, err error) ([]byte, error)

	down    atomic.Pointer[error] // what every call answers
	unbound bool                  // ignores the binding
}

func newVault(name string) *vault {
	master := make([]byte, 32)
	_, _ = rand.Read(master)
	block, err := aes.NewCipher(master)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &vault{name: name, aead: aead}
}

func (v *vault) fail(err error) { v.down.Store(&err) }
func (v *vault) heal()          { v.down.Store(nil) }

func (v *vault) Name() string { return v.name }

func (v *vault) Wrap(ctx context.Context, key, binding []byte) (crypto.Wrapped, error) {
	v.wraps.Add(1)
	if err := v.down.Load(); err != nil {
		return crypto.Wrapped{}, *err
	}
	if v.unbound {
		binding = nil
	}
	w := crypto.Wrapped{KeyVersion: "v1", Ciphertext: v.aead.Seal(nil, nil, key, binding)}
	if v.onWrap != nil {
		return v.onWrap(ctx, w)
	}
	return w, nil
}

func (v *vault) Unwrap(ctx context.Context, w crypto.Wrapped, binding []byte) ([]byte, error) {
	v.unwraps.Add(1)
	if err := v.down.Load(); err != nil {
		return nil, *err
	}
	if v.unbound {
		binding = nil
	}
	key, err := v.aead.Open(nil, nil, w.Ciphertext, binding)
	if err != nil {
		key, err = nil, crypto.ErrIntegrity
	}
	if w.KeyVersion != "v1" {
		key, err = nil, crypto.ErrUnknownKey
	}
	if v.onUnwrap != nil {
		return v.onUnwrap(ctx, key, err)
	}
	return key, err
}

// table is a table of owner keys that counts its calls and fails where a test
// says so.
type table struct {
	store.OwnerKeys
	reads, creates atomic.Int64
	onRead         func(ctx context.Context, k store.OwnerKey, err error) (store.OwnerKey, error)
	onCreate       func(k store.OwnerKey) error // before the call
}

func (t *table) OwnerKey(ctx context.Context, owner lanyard.Owner) (store.OwnerKey, error) {
	t.reads.Add(1)
	k, err := t.OwnerKeys.OwnerKey(ctx, owner)
	if t.onRead != nil {
		return t.onRead(ctx, k, err)
	}
	return k, err
}

func (t *table) CreateOwnerKey(ctx context.Context, k store.OwnerKey) (store.OwnerKey, error) {
	t.creates.Add(1)
	if t.onCreate != nil {
		if err := t.onCreate(k); err != nil {
			return store.OwnerKey{}, err
		}
	}
	return t.OwnerKeys.CreateOwnerKey(ctx, k)
}

// bench is a Sealer over a fresh memory store, with a clock.
type bench struct {
	*crypto.Sealer
	memory *memory.Store
	table  *table
	vault  *vault
	clock  *clock
}

// newBench returns a bench; o may be nil, and its clock is set.
func newBench(t testing.TB, o *crypto.SealerOptions) *bench {
	t.Helper()
	st := memory.New()
	b := &bench{memory: st, table: &table{OwnerKeys: st}, vault: newVault("vault"), clock: newClock()}
	b.Sealer = b.another(t, o)
	return b
}

// another returns a second Sealer beside the bench's, as in another process.
func (b *bench) another(t testing.TB, o *crypto.SealerOptions) *crypto.Sealer {
	t.Helper()
	var opt crypto.SealerOptions
	if o != nil {
		opt = *o
	}
	opt.Now = b.clock.now
	return newSealer(t, b.vault, b.table, &opt)
}

func newSealer(t testing.TB, secrets crypto.Secrets, keys store.OwnerKeys, o *crypto.SealerOptions) *crypto.Sealer {
	t.Helper()
	s, err := crypto.NewSealer(secrets, keys, o)
	if err != nil {
		t.Fatalf("NewSealer() = %v, want nil", err)
	}
	return s
}

// seal seals the canary, which must succeed.
func seal(t testing.TB, s *crypto.Sealer, b crypto.Binding) crypto.Sealed {
	t.Helper()
	sealed, err := s.Seal(t.Context(), b, lanyard.NewSecret(canary))
	if err != nil {
		t.Fatalf("Seal() = %v, want nil", err)
	}
	return sealed
}

// wantOpens fails the test unless the envelope holds the canary.
func wantOpens(t testing.TB, what string, s *crypto.Sealer, b crypto.Binding, envelope []byte) {
	t.Helper()
	if text, err := s.Open(t.Context(), b, envelope); err != nil || text.Reveal() != canary {
		t.Errorf("%s: Open() = %d bytes, %v, want what was sealed", what, len(text.Reveal()), err)
	}
}

// wantRefused fails the test unless the envelope is refused with want and, of
// the errors that tell how a value fails to open, with no other.
func wantRefused(t testing.TB, what string, s *crypto.Sealer, b crypto.Binding, envelope []byte, want error) {
	t.Helper()
	text, err := s.Open(t.Context(), b, envelope)
	if !text.IsZero() {
		t.Errorf("%s: Open() gave a plaintext", what)
	}
	wantOnly(t, what+": Open()", err, want)
}

// wantOnly fails the test unless err is want and none of the other errors
// that an operator must be able to tell apart.
func wantOnly(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
	for _, other := range []error{crypto.ErrIntegrity, crypto.ErrUnknownKey, lanyard.ErrUnavailable} {
		if !errors.Is(want, other) && errors.Is(err, other) {
			t.Errorf("%s = %v, which is also %v, want %v", what, err, other, want)
		}
	}
}

// wantInput fails the test unless err is an InputError of that field and code.
func wantInput(t testing.TB, what string, err error, field, code string) {
	t.Helper()
	var input *lanyard.InputError
	if !errors.As(err, &input) || input.Field != field || input.Code != code {
		t.Errorf("%s = %v, want an InputError of field %s with code %s", what, err, field, code)
	}
}

// wantCount fails the test unless something happened want times.
func wantCount(t testing.TB, what string, got *atomic.Int64, want int64) {
	t.Helper()
	if n := got.Load(); n != want {
		t.Errorf("%s: %d times, want %d", what, n, want)
	}
}
