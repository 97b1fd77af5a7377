package profile

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Store is what the service needs of a store.
type Store interface {
	store.Profiles
	store.Owners
	store.Events
}

// ExportStore is what Export additionally reads where the store has it; it is
// asserted once in NewService.
type ExportStore interface {
	APIKeys(ctx context.Context, owner lanyard.Owner) ([]store.APIKey, error)
	ProviderTokens(ctx context.Context, owner lanyard.Owner) ([]store.ProviderToken, error)
}

// Options configures a [Service]. The zero value is ready to use.
type Options struct {
	// OwnerChanged is called after Deactivate, Reactivate and Erase were
	// committed, so that caches forget the owner: apikey.Service.Refresh.
	// Its error is returned, joined with none of the change undone.
	OwnerChanged func(context.Context) error

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

// Profile is who a user is, as he sees it himself.
type Profile struct {
	Owner         lanyard.Owner
	Version       int64
	Email         string // the identity provider's; read-only
	EmailVerified bool
	GivenName     string
	FamilyName    string
	Name          string // the full name to show: edited names, else the directory's, else the e-mail or subject
	Locale        string
	ZoneInfo      string

	GivenNameEdited  bool // GivenName is the user's, not the directory's
	FamilyNameEdited bool
	Directory        store.Names // what the identity provider says

	CreatedAt time.Time
	UpdatedAt time.Time
}

// Update is what a user changes. A nil Edit leaves that name as it is.
type Update struct {
	GivenName  *Edit
	FamilyName *Edit
}

// Edit is one change of one name. Make it with [Set] or [FromDirectory].
type Edit struct {
	value     string
	directory bool
}

// Set makes a name what the user wrote; "" is a name too.
func Set(value string) *Edit { return &Edit{value: value} }

// FromDirectory goes back to the name the identity provider says.
func FromDirectory() *Edit { return &Edit{directory: true} }

// Page asks for a part of the history. The zero Page is its newest part.
type Page struct {
	Token string // opaque, from ActivityPage.Next; names no owner
	Limit int    // Defaults to 50; at most 200
}

// ActivityPage is one part of the history, newest first.
type ActivityPage struct {
	Events []lanyard.Event
	Next   string // "" = the end
}

// Export is all that is kept about one owner, without secrets and hashes.
// Its JSON form is stable.
type Export struct{}

// Service keeps profiles, history and the life of an owner. It is safe for
// concurrent use.
type Service struct{}

// NewService returns a Service over st.
func NewService(st Store, o *Options) *Service { panic("skeleton") }

// Check reports whether profiles can be read now.
func (s *Service) Check(ctx context.Context) error { panic("skeleton") }

// Seen takes note of a signed-in caller and returns his profile. The first
// sight creates it; later ones refresh what the identity provider owns and
// never a name the user edited; seeing the same again writes nothing. It
// returns lanyard.ErrDeactivated for a deactivated owner, and changes nothing.
// A principal of an API key refreshes nothing: it only reads.
func (s *Service) Seen(ctx context.Context, p lanyard.Principal) (Profile, error) { panic("skeleton") }

// Active returns nil, or lanyard.ErrDeactivated for a deactivated owner.
func (s *Service) Active(ctx context.Context, owner lanyard.Owner) error { panic("skeleton") }

// Profile returns the owner's profile.
func (s *Service) Profile(ctx context.Context, owner lanyard.Owner) (Profile, error) {
	panic("skeleton")
}

// Update changes names. A version other than 0 must be the profile's, else
// lanyard.ErrConflict. A change that changes nothing writes nothing.
func (s *Service) Update(ctx context.Context, owner lanyard.Owner, version int64, u Update) (Profile, error) {
	panic("skeleton")
}

// Activity returns a part of the owner's history. A token that is not ours is
// an *lanyard.InputError.
func (s *Service) Activity(ctx context.Context, owner lanyard.Owner, page Page) (ActivityPage, error) {
	panic("skeleton")
}

// Deactivate bars an owner: his sessions are refused here and his keys
// everywhere. Nothing of his is lost.
func (s *Service) Deactivate(ctx context.Context, owner lanyard.Owner) error { panic("skeleton") }

// Reactivate lifts the bar.
func (s *Service) Reactivate(ctx context.Context, owner lanyard.Owner) error { panic("skeleton") }

// Erase removes all that is kept about the owner, for good.
func (s *Service) Erase(ctx context.Context, owner lanyard.Owner) error { panic("skeleton") }

// Export returns all that is kept about the owner.
func (s *Service) Export(ctx context.Context, owner lanyard.Owner) (Export, error) {
	panic("skeleton")
}
