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

// profileRefreshes are those that RefreshProfile does.
var profileRefreshes = []string{"directory_given", "directory_family", "directory_full", "locale", "zone_info"}

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
		if err := updateProfile(ctx, tx, row, p.Version, profileUpdates); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// RefreshProfile implements [store.Profiles].
func (s *Store) RefreshProfile(ctx context.Context, p store.Profile) error {
	return s.change(ctx, "RefreshProfile", p.Validate(), func(ctx context.Context, tx bun.Tx) error {
		return updateProfile(ctx, tx, profileFromRecord(p), p.Version, profileRefreshes)
	})
}

// updateProfile writes some columns of the profile whose version that is.
func updateProfile(ctx context.Context, tx bun.Tx, row *profileRow, version int64, columns []string) error {
	owner := lanyard.Owner{Tenant: row.Tenant, Subject: row.Subject}
	res, err := tx.NewUpdate().Model(row).Column(columns...).
		ApplyQueryBuilder(owned(owner)).Where("version = ?", version).
		Exec(ctx)
	return swapped(ctx, res, err, tx.NewSelect().Model(row).ApplyQueryBuilder(owned(owner)))
}
