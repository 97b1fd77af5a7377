package apikey

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store"
)

// Store is what the service needs of a store. A store that also implements
// store.Epochs lets the verdict cache share one read among all keys.
type Store interface {
	store.APIKeys
	store.Events
}

// Options configures a [Service]. The zero value is ready to use.
type Options struct {
	// Prefix begins every new token, before an underscore: 1 to 8 of [a-z0-9_],
	// first a letter, last not an underscore. Defaults to "lyd".
	Prefix string

	// OldPrefixes are accepted by Verify and never issued.
	OldPrefixes []string

	// Scopes are those a key may be given. Defaults to none.
	Scopes []string

	// Limit is how many live keys an owner may have. Defaults to 50; negative
	// means no limit.
	Limit int

	// Sealer authenticates every row, so that who can write the table cannot
	// mint or widen a key. Defaults to none: rows are not signed.
	Sealer *crypto.Sealer

	// OnEvent hears every event after it was committed, at most once. It must
	// not block. Defaults to nothing.
	OnEvent func(context.Context, lanyard.Event)

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// Logger defaults to discarding.
	Logger *slog.Logger

	// TracerProvider and MeterProvider default to OpenTelemetry's global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// Status says what a key is good for now.
type Status string

// The states of a live key.
const (
	StatusActive   Status = "active"
	StatusExpiring Status = "expiring" // expires within 7 days
	StatusExpired  Status = "expired"
)

// Key is one key as its owner sees it. It holds neither the token nor its hash.
type Key struct {
	ID          string
	Version     int64
	Name        string
	Hint        string // the first characters of the token
	Scopes      []string
	Status      Status
	CreatedAt   time.Time
	LastUsedAt  time.Time // zero = never used
	ExpiresAt   time.Time // zero = never
	RotatedFrom string    // id of the key this one replaced; "" = none
}

// CreateRequest asks for a key.
type CreateRequest struct {
	Name      string    // required, at most 100 characters, need not be unique
	ExpiresAt time.Time // zero = never
	Scopes    []string  // each one of Options.Scopes

	// IdempotencyKey, where not empty, makes a repeated request harmless: the
	// answer is the first key, without its secret. At most 255 bytes.
	IdempotencyKey string
}

// Created is a new key and the only sight of its token.
type Created struct {
	Key      Key
	Secret   lanyard.Secret // zero when Replayed
	Replayed bool           // the IdempotencyKey was used before for the same request
}

// RotateRequest asks for a successor.
type RotateRequest struct {
	Grace   time.Duration // how long the old key goes on; 0 = not at all; at most 30 days
	Version int64         // of the old key; 0 = any
}

// Rotated is the successor and what became of the old key.
type Rotated struct {
	Key          Key
	Secret       lanyard.Secret
	OldExpiresAt time.Time
}

// Service creates, lists and verifies API keys. It is safe for concurrent use.
type Service struct{}

// NewService returns a Service over st. It refuses bad options with an
// *lanyard.InputError. Close it, or what it counted last is lost.
func NewService(st Store, o *Options) (*Service, error) { panic("skeleton") }

// Close stores when keys were last used and stops. Later calls return
// lanyard.ErrClosed.
func (s *Service) Close(ctx context.Context) error { panic("skeleton") }

// Check reports whether keys can be verified now.
func (s *Service) Check(ctx context.Context) error { panic("skeleton") }

// Refresh makes this process forget what it knows of keys and owners and learn
// it anew. profile.Options.OwnerChanged is the place for it.
func (s *Service) Refresh(ctx context.Context) error { panic("skeleton") }

// Verify returns whom token speaks for: Owner, Via, KeyID and Scopes. It
// returns lanyard.ErrUnauthenticated for every token that is not good, whatever
// the reason, and lanyard.ErrUnavailable when it cannot tell.
func (s *Service) Verify(ctx context.Context, token string) (lanyard.Principal, error) {
	panic("skeleton")
}

// IsToken reports whether text begins like a token of ours, good or not: one
// of the accepted prefixes and an underscore.
func (s *Service) IsToken(text string) bool { panic("skeleton") }

// Pattern is the regular expression (RE2) that finds tokens of this service in
// text, for secret scanners.
func (s *Service) Pattern() string { panic("skeleton") }

// Prefix is the prefix of new tokens.
func (s *Service) Prefix() string { panic("skeleton") }

// Scopes are the scopes a key may be given.
func (s *Service) Scopes() []string { panic("skeleton") }

// Limit is how many live keys an owner may have; negative means no limit.
func (s *Service) Limit() int { panic("skeleton") }

// Create makes a key. Errors: *lanyard.InputError, lanyard.ErrLimit;
// ErrIdempotencyMismatch when the IdempotencyKey was used for another request,
// lanyard.ErrConflict when the key it made was deleted since.
func (s *Service) Create(ctx context.Context, owner lanyard.Owner, r CreateRequest) (Created, error) {
	panic("skeleton")
}

// Keys returns the owner's keys, newest first.
func (s *Service) Keys(ctx context.Context, owner lanyard.Owner) ([]Key, error) { panic("skeleton") }

// Key returns one key of the owner.
func (s *Service) Key(ctx context.Context, owner lanyard.Owner, id string) (Key, error) {
	panic("skeleton")
}

// Rename gives a key another name. A version other than 0 must be the key's,
// else lanyard.ErrConflict.
func (s *Service) Rename(ctx context.Context, owner lanyard.Owner, id string, version int64, name string) (Key, error) {
	panic("skeleton")
}

// Delete ends a key for good. A version other than 0 must be the key's, else
// lanyard.ErrConflict. Deleting twice is lanyard.ErrNotFound.
func (s *Service) Delete(ctx context.Context, owner lanyard.Owner, id string, version int64) error {
	panic("skeleton")
}

// Rotate makes a successor with the same name, scopes and life.
func (s *Service) Rotate(ctx context.Context, owner lanyard.Owner, id string, r RotateRequest) (Rotated, error) {
	panic("skeleton")
}
