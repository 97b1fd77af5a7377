package apikey_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
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

// clock is a clock that only a test moves.
type clock struct{ micros atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.set(start)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *clock) set(t time.Time)         { c.micros.Store(t.UnixMicro()) }
func (c *clock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

// watched is a store that counts its calls and fails where a test says so.
type watched struct {
	apikey.Store

	lookups  atomic.Int64 // APIKeyByHash
	punctual bool         // an answer of it that comes after the end of its context is an error
	uses     atomic.Int64 // RecordKeyUse
	appends  atomic.Int64
	onLookup func(store.KeyLookup, error) (store.KeyLookup, error)
	onCreate func(err error) error // after the call
	onRotate func(err error) error
	onDelete func(err error) error
	onAppend func(err error) error

	noAppends atomic.Bool
	ctxAppend func(context.Context)
	poisoned  lanyard.Owner               // whose facts are refused for ever
	onUse     func(context.Context) error // instead of the call, unless it returns nil
	polls     atomic.Int64
	onPoll    atomic.Pointer[pollHook]
}

type pollHook func(context.Context, *[store.Shards]int64, error) (*[store.Shards]int64, error)

// failPolls has every poll fail from now on.
func (w *watched) failPolls() {
	fail := pollHook(func(context.Context, *[store.Shards]int64, error) (*[store.Shards]int64, error) {
		return nil, lanyard.ErrUnavailable
	})
	w.onPoll.Store(&fail)
}

func (w *watched) APIKeyByHash(ctx context.Context, hash []byte) (store.KeyLookup, error) {
	w.lookups.Add(1)
	row, err := w.Store.APIKeyByHash(ctx, hash)
	if w.onLookup != nil {
		row, err = w.onLookup(row, err)
	}
	if w.punctual && ctx.Err() != nil {
		return store.KeyLookup{}, ctx.Err()
	}
	return row, err
}

func (w *watched) Epochs(ctx context.Context) (*[store.Shards]int64, error) {
	w.polls.Add(1)
	now, err := w.Store.(store.Epochs).Epochs(ctx)
	if on := w.onPoll.Load(); on != nil {
		return (*on)(ctx, now, err)
	}
	return now, err
}

func (w *watched) CreateAPIKey(ctx context.Context, k store.APIKey, limit int, e lanyard.Event) error {
	err := w.Store.CreateAPIKey(ctx, k, limit, e)
	if w.onCreate != nil {
		return w.onCreate(err)
	}
	return err
}

func (w *watched) RotateAPIKey(ctx context.Context, old, next store.APIKey, limit int, e lanyard.Event) error {
	err := w.Store.RotateAPIKey(ctx, old, next, limit, e)
	if w.onRotate != nil {
		return w.onRotate(err)
	}
	return err
}

func (w *watched) DeleteAPIKey(ctx context.Context, k store.APIKey, e lanyard.Event) error {
	err := w.Store.DeleteAPIKey(ctx, k, e)
	if w.onDelete != nil {
		return w.onDelete(err)
	}
	return err
}

func (w *watched) Append(ctx context.Context, e lanyard.Event) error {
	w.appends.Add(1)
	if w.ctxAppend != nil {
		w.ctxAppend(ctx)
	}
	if w.poisoned == e.Owner {
		return fmt.Errorf("store: %w", &lanyard.InputError{Field: "event.owner", Code: lanyard.CodeInvalid, Message: "never"})
	}
	if w.noAppends.Load() {
		return lanyard.ErrUnavailable
	}
	err := w.Store.Append(ctx, e)
	if w.onAppend != nil {
		return w.onAppend(err)
	}
	return err
}

func (w *watched) RecordKeyUse(ctx context.Context, uses []store.KeyUse) error {
	w.uses.Add(1)
	if w.onUse != nil {
		if err := w.onUse(ctx); err != nil {
			return err
		}
	}
	return w.Store.RecordKeyUse(ctx, uses)
}

// raced is a store in which something happens just before a key is created.
type raced struct {
	apikey.Store
	before func()
	fails  error
}

func (r *raced) CreateAPIKey(ctx context.Context, k store.APIKey, limit int, e lanyard.Event) error {
	if r.fails != nil {
		return r.fails
	}
	if before := r.before; before != nil {
		r.before = nil
		before()
	}
	return r.Store.CreateAPIKey(ctx, k, limit, e)
}

// newService returns a Service that is closed when the test ends.
func newService(t testing.TB, st apikey.Store, o *apikey.Options) *apikey.Service {
	t.Helper()
	s, err := apikey.NewService(st, o)
	if err != nil {
		t.Fatalf("NewService(%+v) = %v, want nil", o, err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
	return s
}

// bench is a Service over a fresh memory store, with a clock.
type bench struct {
	*apikey.Service
	memory *memory.Store
	store  *watched
	clock  *clock
	heard  *heard
}

// newBench returns a bench; o may be nil, and its clock and listener are set.
// Unless o says otherwise, every verification reads the store.
func newBench(t testing.TB, o *apikey.Options) *bench {
	t.Helper()
	st := memory.New()
	b := &bench{memory: st, store: &watched{Store: st}, clock: newClock(), heard: new(heard)}
	var opt apikey.Options
	if o != nil {
		opt = *o
	}
	if opt.MaxStale == 0 {
		opt.MaxStale = -1
	}
	opt.Now, opt.OnEvent = b.clock.now, b.heard.hear
	b.Service = newService(t, b.store, &opt)
	return b
}

// create makes a key that must succeed.
func (b *bench) create(t testing.TB, owner lanyard.Owner, r apikey.CreateRequest) (apikey.Key, string) {
	t.Helper()
	if r.Name == "" {
		r.Name = "laptop"
	}
	c, err := b.Create(t.Context(), owner, r)
	if err != nil {
		t.Fatalf("Create(%+v) = %v, want nil", r, err)
	}
	return c.Key, c.Secret.Reveal()
}

// settle has the service store what it noted.
func (b *bench) settle(t testing.TB) {
	t.Helper()
	if _, err := b.Keys(t.Context(), ana); err != nil {
		t.Fatalf("Keys() = %v, want nil", err)
	}
}

// history returns the actions in an owner's history, newest first.
func (b *bench) history(t testing.TB, owner lanyard.Owner) []lanyard.Event {
	t.Helper()
	events, err := b.memory.Events(t.Context(), owner, store.EventCursor{}, 1000)
	if err != nil {
		t.Fatalf("Events() = %v, want nil", err)
	}
	return events
}

// wantRefused fails the test unless Verify refuses token as it refuses all.
func (b *bench) wantRefused(t testing.TB, why, token string) {
	t.Helper()
	p, err := b.Verify(t.Context(), token)
	if !errors.Is(err, lanyard.ErrUnauthenticated) || errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("%s: Verify() = %v, want ErrUnauthenticated", why, err)
	}
	if err != nil && err.Error() != "apikey: verify: unauthenticated" {
		t.Errorf("%s: Verify() says %q, want what it says of every bad token", why, err)
	}
	if p.Owner != (lanyard.Owner{}) || p.KeyID != "" || p.Scopes != nil {
		t.Errorf("%s: Verify() returned a principal although it refused: %+v", why, p)
	}
}

func (b *bench) wantGood(t testing.TB, why, token string) lanyard.Principal {
	t.Helper()
	p, err := b.Verify(t.Context(), token)
	if err != nil {
		t.Errorf("%s: Verify() = %v, want nil", why, err)
	}
	return p
}

// heard keeps what OnEvent heard.
type heard struct {
	mu     sync.Mutex
	events []lanyard.Event
}

func (h *heard) hear(_ context.Context, e lanyard.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *heard) actions() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var actions []string
	for _, e := range h.events {
		actions = append(actions, e.Action)
	}
	return actions
}

// wantInput fails the test unless err is an InputError of that field and code.
func wantInput(t testing.TB, what string, err error, field, code string) {
	t.Helper()
	var input *lanyard.InputError
	if !errors.As(err, &input) || input.Field != field || input.Code != code {
		t.Errorf("%s = %v, want an InputError of field %s with code %s", what, err, field, code)
	}
}

// keyService is a Secrets that a test can take down.
type keyService struct {
	aead cipher.AEAD
	down atomic.Bool
}

func newSealer(t testing.TB, st store.OwnerKeys) (*crypto.Sealer, *keyService) {
	t.Helper()
	ks, err := newKeyService()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := crypto.NewSealer(ks, st, nil)
	if err != nil {
		t.Fatalf("NewSealer() = %v, want nil", err)
	}
	return sealer, ks
}

func newKeyService() (*keyService, error) {
	block, err := aes.NewCipher([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &keyService{aead: aead}, err
}

func (*keyService) Name() string { return "test" }

func (s *keyService) Wrap(_ context.Context, key, binding []byte) (crypto.Wrapped, error) {
	if s.down.Load() {
		return crypto.Wrapped{}, lanyard.ErrUnavailable
	}
	return crypto.Wrapped{KeyVersion: "1", Ciphertext: s.aead.Seal(nil, nil, key, binding)}, nil
}

func (s *keyService) Unwrap(_ context.Context, w crypto.Wrapped, binding []byte) ([]byte, error) {
	if s.down.Load() {
		return nil, lanyard.ErrUnavailable
	}
	key, err := s.aead.Open(nil, nil, w.Ciphertext, binding)
	if err != nil {
		return nil, crypto.ErrIntegrity
	}
	return key, nil
}
