package profile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// exportPage is how many events one query of an export reads.
const exportPage = 500

// ExportStore is what Export additionally reads where the store has it; it is
// asserted once in NewService.
type ExportStore interface {
	APIKeys(ctx context.Context, owner lanyard.Owner) ([]store.APIKey, error)
	ProviderTokens(ctx context.Context, owner lanyard.Owner) ([]store.ProviderToken, error)
}

// Export is what is kept about one owner, without secrets and hashes. Of a
// deleted key it has the history only: the tombstone, which keeps name, scopes
// and times of the key until it is purged, is in no list. Its JSON form is stable: members are added, never
// renamed. Times are RFC 3339 in UTC; what is empty is left out.
type Export struct {
	Tenant     string    `json:"tenant,omitempty"`
	Subject    string    `json:"sub"`
	ExportedAt time.Time `json:"exported_at"`

	DeactivatedAt time.Time        `json:"deactivated_at,omitzero"`
	Profile       *ExportedProfile `json:"profile,omitempty"` // nil for an owner who was never seen

	// Nil, and left out, where the store keeps no such thing.
	APIKeys        []ExportedKey   `json:"api_keys,omitzero"`
	ProviderTokens []ExportedToken `json:"provider_tokens,omitzero"`

	Activity []ExportedEvent `json:"activity"`
}

// ExportedProfile is the profile in an [Export].
type ExportedProfile struct {
	Email         string        `json:"email,omitempty"`
	EmailVerified bool          `json:"email_verified"`
	GivenName     string        `json:"given_name,omitempty"`
	FamilyName    string        `json:"family_name,omitempty"`
	Name          string        `json:"name,omitempty"`
	Directory     ExportedNames `json:"directory"` // what the identity provider says
	Locale        string        `json:"locale,omitempty"`
	ZoneInfo      string        `json:"zoneinfo,omitempty"`
	CreatedAt     time.Time     `json:"created_at"`
	UpdatedAt     time.Time     `json:"updated_at"`
}

// ExportedNames are the names an identity provider says.
type ExportedNames struct {
	GivenName  string `json:"given_name,omitempty"`
	FamilyName string `json:"family_name,omitempty"`
	Name       string `json:"name,omitempty"`
}

// ExportedKey is an API key in an [Export].
type ExportedKey struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Hint        string    `json:"hint"`
	Scopes      []string  `json:"scopes,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	LastUsedAt  time.Time `json:"last_used_at,omitzero"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	RotatedFrom string    `json:"rotated_from,omitempty"`
}

// ExportedToken is a connection to another platform in an [Export].
type ExportedToken struct {
	ID         string            `json:"id"`
	ProviderID string            `json:"provider_id"`
	MethodID   string            `json:"method_id"`
	Label      string            `json:"label,omitempty"`
	Fields     map[string]string `json:"fields,omitempty"`
	Secrets    []ExportedSecret  `json:"secrets,omitempty"`
	Origin     string            `json:"origin,omitempty"`
	Account    ExportedAccount   `json:"account,omitzero"`
	Verdict    string            `json:"verdict,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	CheckedAt  time.Time         `json:"checked_at,omitzero"`
	ExpiresAt  time.Time         `json:"expires_at,omitzero"`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
	LastUsedAt time.Time         `json:"last_used_at,omitzero"`
}

// ExportedSecret says that a secret is kept, and since when. It is not in the
// export.
type ExportedSecret struct {
	Name      string    `json:"name"`
	UpdatedAt time.Time `json:"updated_at"`
}

// ExportedAccount is whose account a connection leads to.
type ExportedAccount struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// ExportedEvent is one line of the history in an [Export].
type ExportedEvent struct {
	ID        string            `json:"id"`
	At        time.Time         `json:"at"`
	Action    string            `json:"action"`
	Object    string            `json:"object,omitempty"`
	Actor     ExportedActor     `json:"actor"`
	Via       lanyard.Via       `json:"via"`
	RequestID string            `json:"request_id,omitempty"`
	IP        string            `json:"ip,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"`
	Detail    map[string]string `json:"detail,omitempty"`
}

// ExportedActor is who acted.
type ExportedActor struct {
	Tenant  string `json:"tenant,omitempty"`
	Subject string `json:"sub,omitempty"`
}

// Export returns what is kept about the owner, expired keys and the whole
// history included and tombstones of deleted keys not; of an owner nothing is
// known of, that is little and no error. It reads piece by piece: what changes meanwhile may be in it or not.
func (s *Service) Export(ctx context.Context, owner lanyard.Owner) (_ Export, err error) {
	ctx, end := s.spans.Start(ctx, "profile.Export")
	defer end(&err)
	x := Export{Tenant: owner.Tenant, Subject: owner.Subject, ExportedAt: s.now()}
	for _, read := range []func(context.Context, lanyard.Owner, *Export) error{
		s.exportProfile, s.exportKeys, s.exportTokens, s.exportActivity,
	} {
		if err := read(ctx, owner, &x); err != nil {
			return Export{}, fmt.Errorf("profile: export: %w", err)
		}
	}
	return x, nil
}

func (s *Service) exportProfile(ctx context.Context, owner lanyard.Owner, x *Export) error {
	state, err := s.store.OwnerState(ctx, owner)
	if err != nil {
		return err
	}
	x.DeactivatedAt = state.DeactivatedAt
	r, err := s.store.Profile(ctx, owner)
	if errors.Is(err, lanyard.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p := fromRecord(r)
	x.Profile = &ExportedProfile{
		Email: p.Email, EmailVerified: p.EmailVerified,
		GivenName: p.GivenName, FamilyName: p.FamilyName, Name: p.Name,
		Directory: ExportedNames{GivenName: p.Directory.Given, FamilyName: p.Directory.Family, Name: p.Directory.Full},
		Locale:    p.Locale, ZoneInfo: p.ZoneInfo,
		CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
	return nil
}

func (s *Service) exportKeys(ctx context.Context, owner lanyard.Owner, x *Export) error {
	if s.export == nil {
		return nil
	}
	keys, err := s.export.APIKeys(ctx, owner)
	x.APIKeys = make([]ExportedKey, 0, len(keys))
	for _, k := range keys {
		x.APIKeys = append(x.APIKeys, ExportedKey{
			ID: k.ID, Name: k.Name, Hint: k.Hint, Scopes: k.Scopes,
			CreatedAt: k.CreatedAt, LastUsedAt: k.LastUsedAt, ExpiresAt: k.ExpiresAt, RotatedFrom: k.RotatedFrom,
		})
	}
	return err
}

func (s *Service) exportTokens(ctx context.Context, owner lanyard.Owner, x *Export) error {
	if s.export == nil {
		return nil
	}
	tokens, err := s.export.ProviderTokens(ctx, owner)
	x.ProviderTokens = make([]ExportedToken, 0, len(tokens))
	for _, t := range tokens {
		x.ProviderTokens = append(x.ProviderTokens, ExportedToken{
			ID: t.ID, ProviderID: t.ProviderID, MethodID: t.MethodID, Label: t.Label, Fields: t.Fields, Secrets: exportedSecrets(t.Secrets),
			Origin: t.Origin, Account: ExportedAccount(t.Account), Verdict: t.Verdict, Reason: t.Reason,
			CheckedAt: t.CheckedAt, ExpiresAt: t.ExpiresAt,
			CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, LastUsedAt: t.LastUsedAt,
		})
	}
	return err
}

func exportedSecrets(sealed map[string]store.SealedSecret) []ExportedSecret {
	var secrets []ExportedSecret
	for _, name := range slices.Sorted(maps.Keys(sealed)) {
		secrets = append(secrets, ExportedSecret{Name: name, UpdatedAt: sealed[name].UpdatedAt})
	}
	return secrets
}

func (s *Service) exportActivity(ctx context.Context, owner lanyard.Owner, x *Export) error {
	x.Activity = []ExportedEvent{}
	var after store.EventCursor
	for {
		events, err := s.store.Events(ctx, owner, after, exportPage)
		if err != nil {
			return err
		}
		for _, e := range events {
			x.Activity = append(x.Activity, ExportedEvent{
				ID: e.ID, At: e.At, Action: e.Action, Object: e.Object, Actor: ExportedActor(e.Actor), Via: e.Via,
				RequestID: e.RequestID, IP: e.IP, UserAgent: e.UserAgent, Detail: e.Detail,
			})
			after = store.EventCursor{At: e.At, ID: e.ID}
		}
		if len(events) < exportPage {
			return nil
		}
	}
}
