package crypto

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// The defaults of [SealerOptions].
const (
	defaultCacheTTL  = time.Minute
	defaultCacheSize = 10_000
)

// SealerOptions configures a [Sealer]. The zero value is ready to use.
type SealerOptions struct {
	// Previous are key services that wrapped owner keys before; they unwrap
	// what names them and wrap nothing. Defaults to none.
	Previous []Secrets

	// CacheTTL bounds how long an unwrapped owner key is used. Defaults to one
	// minute; negative keeps none. An expired key is dropped at the next use
	// of the Sealer.
	CacheTTL time.Duration

	// CacheSize bounds how many owner keys are kept. Defaults to 10 000;
	// negative keeps none.
	CacheSize int

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// Logger defaults to discarding.
	Logger *slog.Logger

	// TracerProvider and MeterProvider default to OpenTelemetry's global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// Sealer seals and opens. See the package documentation.
type Sealer struct {
	keys      store.OwnerKeys
	current   *keyService            // wraps
	services  map[string]*keyService // by name: current and previous ones
	now       func() time.Time
	logger    *slog.Logger
	telemetry *telemetry

	cache   *keyCache
	flights singleflight.Group
	macKey  atomic.Pointer[[]byte]
	bound   atomic.Bool // current was seen to honour the binding
}

// Sealed is a sealed value and the owner key it needs. A record that keeps the
// envelope keeps the key id beside it, so that erasing the key removes it.
type Sealed struct {
	OwnerKeyID string
	Envelope   []byte
}

// NewSealer returns a Sealer over a key service and the table of owner keys.
// It calls neither. It refuses key services without a name or with the same
// name.
func NewSealer(secrets Secrets, keys store.OwnerKeys, o *SealerOptions) (*Sealer, error) {
	var opt SealerOptions
	if o != nil {
		opt = *o
	}
	if secrets == nil || keys == nil {
		return nil, errors.New("crypto: a Sealer needs a key service and a table of owner keys")
	}
	if opt.CacheTTL == 0 {
		opt.CacheTTL = defaultCacheTTL
	}
	if opt.CacheSize == 0 {
		opt.CacheSize = defaultCacheSize
	}
	if opt.CacheSize < 0 {
		opt.CacheTTL = -1
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	telemetry, err := newTelemetry(opt.TracerProvider, opt.MeterProvider)
	if err != nil {
		return nil, fmt.Errorf("crypto: %w", err)
	}
	s := &Sealer{
		keys: keys, services: make(map[string]*keyService, 1+len(opt.Previous)),
		now: opt.Now, logger: opt.Logger, telemetry: telemetry, cache: newKeyCache(opt.CacheTTL, opt.CacheSize),
	}
	for _, secrets := range append([]Secrets{secrets}, opt.Previous...) {
		if secrets == nil {
			return nil, errors.New("crypto: a previous key service is nil")
		}
		name := secrets.Name()
		if !validKeyID(name) {
			return nil, fmt.Errorf("crypto: %q is no name for a key service", name)
		}
		if s.services[name] != nil {
			return nil, fmt.Errorf("crypto: two key services are called %q", name)
		}
		s.services[name] = &keyService{
			secrets: secrets, name: name, telemetry: telemetry,
			breaker: newBreaker(opt.Logger.With(slog.String("key_service", name))),
		}
		if s.current == nil {
			s.current = s.services[name]
		}
	}
	return s, nil
}

// Seal seals a plaintext of at most [MaxPlaintext] bytes for the place that b
// names, with b.Owner's key, which is created at first use. Two calls never
// give the same envelope.
//
// It returns an [*lanyard.InputError] for a binding that names no owner and
// for a plaintext that is too long.
func (s *Sealer) Seal(ctx context.Context, b Binding, plaintext lanyard.Secret) (sealed Sealed, err error) {
	ctx, end := s.telemetry.start(ctx, "crypto.Seal")
	defer func() { end(err) }()

	text := []byte(plaintext.Reveal())
	defer clear(text)
	if err := b.validate(); err != nil {
		return Sealed{}, fmt.Errorf("crypto: seal: %w", err)
	}
	if len(text) > MaxPlaintext {
		return Sealed{}, fmt.Errorf("crypto: seal: %w",
			&lanyard.InputError{Field: "plaintext", Code: lanyard.CodeTooLong, Message: "a sealed value has at most 64 KiB"})
	}
	key, err := s.ownerKey(ctx, b.Owner, true)
	if err != nil {
		return Sealed{}, fmt.Errorf("crypto: seal: %w", err)
	}
	return Sealed{OwnerKeyID: key.id, Envelope: sealEnvelope(key.aead, key.id, b, text)}, nil
}

// Open returns what was sealed for the place that b names. It returns
// [ErrIntegrity] for an envelope that was changed or belongs elsewhere, and
// [ErrUnknownKey] for one whose owner key is not the owner's any more. It
// never creates a key.
func (s *Sealer) Open(ctx context.Context, b Binding, envelope []byte) (plaintext lanyard.Secret, err error) {
	ctx, end := s.telemetry.start(ctx, "crypto.Open")
	defer func() { end(err) }()

	if err := b.validate(); err != nil {
		return lanyard.Secret{}, fmt.Errorf("crypto: open: %w", err)
	}
	e, err := parseEnvelope(envelope)
	if err != nil {
		return lanyard.Secret{}, fmt.Errorf("crypto: open: %w", err)
	}
	key, err := s.keyNamed(ctx, b.Owner, e.keyID)
	if err != nil {
		return lanyard.Secret{}, fmt.Errorf("crypto: open: %w", err)
	}
	text, err := openEnvelope(key.aead, e, b)
	if err != nil {
		return lanyard.Secret{}, fmt.Errorf("crypto: open: %w", err)
	}
	defer clear(text)
	return lanyard.NewSecret(string(text)), nil
}

// MAC authenticates parts with the row-MAC key: HMAC-SHA-256 over each part
// after its length. The key comes from the system key, is read once and kept
// for the life of the Sealer, so later calls need neither store nor key service.
func (s *Sealer) MAC(ctx context.Context, parts ...[]byte) ([]byte, error) {
	key, err := s.rowMACKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("crypto: mac: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(appendParts(nil, parts...))
	return mac.Sum(nil), nil
}

// Forget drops the owner's cached key. A service calls it when the store says
// that the key is gone.
func (s *Sealer) Forget(owner lanyard.Owner) {
	s.cache.drop(owner)
	// A fetch that is under way may have read the row before it went.
	s.flights.Forget(flightID("read", owner))
	s.flights.Forget(flightID("create", owner))
}

// Check proves the key service: it wraps a key, unwraps it, and expects an
// unwrap with another binding to fail ([ErrUnbound] if it does not). It then
// opens the system key, if there is one, so that a key service which is not
// the one that wrapped the tables is found at once ([ErrUnknownKey],
// [ErrIntegrity]). It asks also where others are told at once that the key
// service is down, so that its answer is of now. A host calls it at start and
// from its readiness endpoint.
func (s *Sealer) Check(ctx context.Context) (err error) {
	ctx, end := s.telemetry.start(ctx, "crypto.Check")
	defer func() { end(err) }()

	probe := make([]byte, KeySize)
	_, _ = rand.Read(probe)
	defer clear(probe)
	current := s.current.proving()
	wrapped, err := current.wrapProven(ctx, probe, ownerKeyBinding(system, lanyard.NewID()))
	if err == nil {
		err = s.proveBound(ctx, system, wrapped)
	}
	if err != nil {
		return fmt.Errorf("crypto: check: %w", err)
	}
	_, raw, err := s.readKey(ctx, system)
	clear(raw)
	if err != nil && !errors.Is(err, lanyard.ErrNotFound) {
		return fmt.Errorf("crypto: check: %w", err)
	}
	return nil
}

// proveBound sees to it that the key service honours the binding, with a key
// that was wrapped for the owner. What it found holds until the next proof.
func (s *Sealer) proveBound(ctx context.Context, owner lanyard.Owner, w Wrapped) error {
	err := s.current.proveBound(ctx, w, ownerKeyBinding(owner, lanyard.NewID()))
	s.bound.Store(err == nil)
	return err
}
