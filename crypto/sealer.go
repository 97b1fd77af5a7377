package crypto

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// SealerOptions configures a [Sealer]. The zero value is ready to use.
type SealerOptions struct {
	// Previous are key services that wrapped owner keys before; they unwrap
	// what names them and wrap nothing. Defaults to none.
	Previous []Secrets

	// CacheTTL bounds how long an unwrapped owner key is kept. Defaults to one
	// minute; negative keeps none.
	CacheTTL time.Duration

	// CacheSize bounds how many owner keys are kept. Defaults to 10 000.
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
type Sealer struct{}

// Sealed is a sealed value and the owner key it needs. A record that keeps the
// envelope keeps the key id beside it, so that erasing the key removes it.
type Sealed struct {
	OwnerKeyID string
	Envelope   []byte
}

// NewSealer returns a Sealer over a key service and the table of owner keys.
func NewSealer(secrets Secrets, keys store.OwnerKeys, o *SealerOptions) (*Sealer, error) {
	panic("skeleton")
}

// Seal seals a plaintext for the place that b names, with b.Owner's key, which
// is created at first use.
func (s *Sealer) Seal(ctx context.Context, b Binding, plaintext lanyard.Secret) (Sealed, error) {
	panic("skeleton")
}

// Open returns what was sealed for the place that b names.
func (s *Sealer) Open(ctx context.Context, b Binding, envelope []byte) (lanyard.Secret, error) {
	panic("skeleton")
}

// MAC authenticates parts with the row-MAC key: HMAC-SHA-256 over each part
// after its length. The key comes from the system key, is read once and kept
// for the life of the Sealer, so later calls need neither store nor key service.
func (s *Sealer) MAC(ctx context.Context, parts ...[]byte) ([]byte, error) {
	panic("skeleton")
}

// Forget drops the owner's cached key. A service calls it when the store says
// that the key is gone.
func (s *Sealer) Forget(owner lanyard.Owner) { panic("skeleton") }

// Check proves the key service: it wraps a key, unwraps it, and expects an
// unwrap with another binding to fail. A host calls it at start and from its
// readiness endpoint.
func (s *Sealer) Check(ctx context.Context) error { panic("skeleton") }
