package profile

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Profile is who a user is, as he sees it himself.
type Profile struct {
	Owner         lanyard.Owner
	Version       int64  // moves when e-mail or names change as they are shown
	Email         string // the identity provider's; read-only
	EmailVerified bool
	GivenName     string
	FamilyName    string
	Name          string // the full name to show: edited names, else the directory's, else the e-mail or subject
	Locale        string
	ZoneInfo      string

	GivenNameEdited  bool // GivenName is the user's, not the directory's
	FamilyNameEdited bool
	Directory        Names // what the identity provider says

	CreatedAt time.Time
	UpdatedAt time.Time
}

// Names are the name claims of OpenID Connect Core 1.0 section 5.1.
type Names struct {
	Given  string
	Family string
	Full   string
}

// Profile returns the owner's profile. It is lanyard.ErrNotFound for an owner
// who was never seen.
func (s *Service) Profile(ctx context.Context, owner lanyard.Owner) (_ Profile, err error) {
	ctx, end := s.spans.Start(ctx, "profile.Profile")
	defer end(&err)
	p, err := s.store.Profile(ctx, owner)
	if err != nil {
		return Profile{}, fmt.Errorf("profile: %w", err)
	}
	return fromRecord(p), nil
}

func fromRecord(r store.Profile) Profile {
	p := Profile{
		Owner: r.Owner, Version: r.Version,
		Email: r.Email, EmailVerified: r.EmailVerified,
		GivenName: r.Directory.Given, FamilyName: r.Directory.Family,
		Locale: r.Locale, ZoneInfo: r.ZoneInfo,
		Directory: Names(r.Directory),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	if r.GivenName != nil {
		p.GivenName, p.GivenNameEdited = *r.GivenName, true
	}
	if r.FamilyName != nil {
		p.FamilyName, p.FamilyNameEdited = *r.FamilyName, true
	}
	p.Name = p.fullName()
	return p
}

// fullName prefers the directory's full name while the user wrote none of his
// own, because only the directory knows which part comes first where he lives.
func (p Profile) fullName() string {
	edited := ""
	if p.GivenNameEdited || p.FamilyNameEdited {
		edited = join(p.GivenName, p.FamilyName)
	}
	return cmp.Or(edited, p.Directory.Full, join(p.Directory.Given, p.Directory.Family), p.Email, p.Owner.Subject)
}

func join(given, family string) string { return strings.TrimSpace(given + " " + family) }
