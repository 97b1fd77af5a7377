package bunstore

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

type profileRow struct {
	bun.BaseModel `bun:"table:lanyard_profiles,alias:p"`

	Tenant          string  `bun:"tenant,pk"`
	Subject         string  `bun:"subject,pk"`
	Version         int64   `bun:"version"`
	Email           string  `bun:"email"`
	EmailVerified   bool    `bun:"email_verified"`
	DirectoryGiven  string  `bun:"directory_given"`
	DirectoryFamily string  `bun:"directory_family"`
	DirectoryFull   string  `bun:"directory_full"`
	Locale          string  `bun:"locale"`
	ZoneInfo        string  `bun:"zone_info"`
	GivenName       *string `bun:"given_name"`
	FamilyName      *string `bun:"family_name"`
	CreatedAt       instant `bun:"created_at"`
	UpdatedAt       instant `bun:"updated_at"`
}

// profileUpdates are the columns that UpdateProfile replaces.
var profileUpdates = []string{
	"version", "email", "email_verified", "directory_given", "directory_family", "directory_full",
	"locale", "zone_info", "given_name", "family_name", "updated_at",
}

func (r *profileRow) toRecord() store.Profile {
	return store.Profile{
		Owner: lanyard.Owner{Tenant: r.Tenant, Subject: r.Subject}, Version: r.Version,
		Email: r.Email, EmailVerified: r.EmailVerified,
		Directory: store.Names{Given: r.DirectoryGiven, Family: r.DirectoryFamily, Full: r.DirectoryFull},
		Locale:    r.Locale, ZoneInfo: r.ZoneInfo,
		GivenName: r.GivenName, FamilyName: r.FamilyName,
		CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time,
	}
}

func profileFromRecord(p store.Profile) *profileRow {
	return &profileRow{
		Tenant: p.Owner.Tenant, Subject: p.Owner.Subject, Version: p.Version,
		Email: p.Email, EmailVerified: p.EmailVerified,
		DirectoryGiven: p.Directory.Given, DirectoryFamily: p.Directory.Family, DirectoryFull: p.Directory.Full,
		Locale: p.Locale, ZoneInfo: p.ZoneInfo,
		GivenName: p.GivenName, FamilyName: p.FamilyName,
		CreatedAt: instant{p.CreatedAt}, UpdatedAt: instant{p.UpdatedAt},
	}
}

// Profile implements [store.Profiles].
func (s *Store) Profile(ctx context.Context, owner lanyard.Owner) (store.Profile, error) {
	return read(ctx, s, "Profile", owner.Validate(), func(ctx context.Context) (store.Profile, error) {
		var row profileRow
		err := s.db.NewSelect().Model(&row).ApplyQueryBuilder(owned(owner)).Scan(ctx)
		return row.toRecord(), err
	})
}

// CreateProfile implements [store.Profiles].
func (s *Store) CreateProfile(ctx context.Context, p store.Profile, e lanyard.Event) error {
	p.Version = 1
	return s.change(ctx, "CreateProfile", check(e, p), func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(profileFromRecord(p)).Exec(ctx); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// UpdateProfile implements [store.Profiles].
func (s *Store) UpdateProfile(ctx context.Context, p store.Profile, e lanyard.Event) error {
	return s.change(ctx, "UpdateProfile", check(e, p), func(ctx context.Context, tx bun.Tx) error {
		row := profileFromRecord(p)
		row.Version = p.Version + 1
		res, err := tx.NewUpdate().Model(row).Column(profileUpdates...).
			ApplyQueryBuilder(owned(p.Owner)).Where("version = ?", p.Version).
			Exec(ctx)
		if err := swapped(ctx, res, err, tx.NewSelect().Model(row).ApplyQueryBuilder(owned(p.Owner))); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}
