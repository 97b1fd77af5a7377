package providertoken

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store"
)

// Store is what the service needs of a store.
type Store interface {
	store.ProviderTokens
	store.Owners
	store.Events
}

// Instance is an address the operator registers for a definition with
// ModeOperator, or instead of the public address of another one. Each is an
// entry of Providers of its own.
type Instance struct {
	ID       string // what a connection names as its provider
	Provider string // id of the definition
	Name     string // what users read
	Base     string // https, may carry a port and a path

	// RootCAs verifies the instance's certificate. Defaults to the system's.
	RootCAs *x509.CertPool
	// Networks are private or special addresses that may be dialled for this
	// instance. Defaults to none: public addresses only.
	Networks []netip.Prefix
	// Proxy is used for this instance. Defaults to none; the environment is
	// never asked.
	Proxy *url.URL
}

// Options configures a [Service].
type Options struct {
	// Providers are the definitions offered: catalog.All(), or your own.
	Providers []Definition

	// Instances are the operator's own addresses.
	Instances []Instance

	// Limit is how many connections an owner may have. Defaults to 100;
	// negative means no limit.
	Limit int

	// VerifyTimeout bounds all probes of one verification. Defaults to 8 s.
	VerifyTimeout time.Duration

	// OnEvent hears every event after it was committed, at most once.
	OnEvent func(context.Context, lanyard.Event)

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// Logger defaults to discarding.
	Logger *slog.Logger

	// TracerProvider and MeterProvider default to OpenTelemetry's global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// Codes of the *lanyard.InputError of this package, besides lanyard's own.
const (
	CodeSecretRequired = "secret-required" // the destination changed: all secrets must be typed again
	CodeMasked         = "masked"          // mask characters instead of a secret
)

// ErrAmbiguous says that an owner has several connections to a provider and
// the Ref names no label.
var ErrAmbiguous = errors.New("several connections: name a label")

// VerificationError says that a save was refused because the platform did not
// prove the credential. Nothing was stored.
type VerificationError struct {
	Verdict Verdict
	Reason  string
}

func (e *VerificationError) Error() string {
	if e.Reason == "" {
		return "verification: " + string(e.Verdict)
	}
	return "verification: " + string(e.Verdict) + ": " + e.Reason
}

// Provider is one entry of what users can connect to: a definition, or an
// instance of one.
type Provider struct {
	ID      string // the instance's id, or the definition's
	Name    string
	DocsURL string
	Methods []MethodInfo
	Notices []Notice // those of today
}

// MethodInfo is what a form needs to know of a Method.
type MethodInfo struct {
	ID        string
	Label     string
	Fields    []Field
	AskExpiry bool
}

// Status says what a connection is good for now.
type Status string

// The states of a connection.
const (
	StatusConnected      Status = "connected"
	StatusUnverified     Status = "unverified"
	StatusExpiring       Status = "expiring" // expires within 30 days
	StatusExpired        Status = "expired"
	StatusNeedsAttention Status = "needs_attention"
	StatusNotOffered     Status = "not_offered"
)

// Token is one connection as its owner sees it. It holds no secret.
type Token struct {
	ID         string
	Version    int64
	ProviderID string
	MethodID   string
	Label      string
	Fields     map[string]string
	Secrets    map[string]SecretInfo
	Status     Status
	Verdict    Verdict // of the last verification; "" = never
	Reason     string
	Account    *store.Account // nil = not proven
	Origin     string         // as "https://acme.atlassian.net"
	CheckedAt  time.Time
	ExpiresAt  time.Time // zero = unknown or never
	LastUsedAt time.Time // zero = never
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// SecretInfo says that a secret is there, and since when.
type SecretInfo struct {
	Set       bool
	UpdatedAt time.Time
}

// CreateRequest asks for a connection.
type CreateRequest struct {
	ProviderID      string
	MethodID        string // "" = the provider's only or first
	Label           string // at most 100 characters; "" is allowed
	Fields          map[string]string
	Secrets         map[string]lanyard.Secret
	ExpiresAt       time.Time // what the user knows; zero = unknown
	AllowUnverified bool      // store it although the platform is unreachable
}

// UpdateRequest changes a connection. What is nil or absent stays as it is.
type UpdateRequest struct {
	Version         int64 // 0 = any
	Label           *string
	Fields          map[string]string         // the named ones are replaced
	Secrets         map[string]lanyard.Secret // the named ones are replaced
	ExpiresAt       *time.Time
	AllowUnverified bool
}

// Verification is the outcome of asking the platform.
type Verification struct {
	Verdict   Verdict
	Reason    string
	Account   *store.Account
	CheckedAt time.Time
}

// Ref names a connection of an owner.
type Ref struct {
	Provider string
	Label    string // "" is enough where there is one
}

// Use says who uses a connection and why; it goes into the history.
type Use struct {
	AgentID  string
	Purpose  string
	ReadOnly bool // only GET, HEAD and OPTIONS go out
}

// Service keeps connections and lends clients that use them. It is safe for
// concurrent use.
type Service struct{}

// NewService returns a Service. It refuses a bad definition or instance with
// an error that names it.
func NewService(st Store, sealer *crypto.Sealer, o *Options) (*Service, error) {
	panic("skeleton")
}

// Check reports whether connections can be read and opened now.
func (s *Service) Check(ctx context.Context) error { panic("skeleton") }

// Providers returns what users can connect to, in the order configured.
func (s *Service) Providers() []Provider { panic("skeleton") }

// Limit is how many connections an owner may have; negative means no limit.
func (s *Service) Limit() int { panic("skeleton") }

// Tokens returns the owner's connections, newest first.
func (s *Service) Tokens(ctx context.Context, owner lanyard.Owner) ([]Token, error) {
	panic("skeleton")
}

// Token returns one connection of the owner.
func (s *Service) Token(ctx context.Context, owner lanyard.Owner, id string) (Token, error) {
	panic("skeleton")
}

// Create verifies a credential and stores it. Errors: *lanyard.InputError,
// *VerificationError, lanyard.ErrExists for a second connection of the same
// provider and label, lanyard.ErrLimit, lanyard.ErrConflict.
func (s *Service) Create(ctx context.Context, owner lanyard.Owner, r CreateRequest) (Token, error) {
	panic("skeleton")
}

// Update changes a connection; a change of fields or secrets is verified
// first. Errors as of Create, and lanyard.ErrNotFound.
func (s *Service) Update(ctx context.Context, owner lanyard.Owner, id string, r UpdateRequest) (Token, error) {
	panic("skeleton")
}

// Delete removes a connection and its secrets. A version other than 0 must be
// the connection's, else lanyard.ErrConflict.
func (s *Service) Delete(ctx context.Context, owner lanyard.Owner, id string, version int64) error {
	panic("skeleton")
}

// Verify asks the platform again and keeps what it finds.
func (s *Service) Verify(ctx context.Context, owner lanyard.Owner, id string) (Verification, error) {
	panic("skeleton")
}

// Client returns an *http.Client that speaks for the owner at one provider.
// Errors: *lanyard.NotConnectedError, ErrAmbiguous, lanyard.ErrDeactivated.
func (s *Service) Client(ctx context.Context, owner lanyard.Owner, ref Ref, use *Use) (*http.Client, error) {
	panic("skeleton")
}
