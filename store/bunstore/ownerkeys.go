package bunstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

type ownerKeyRow struct {
	bun.BaseModel `bun:"table:lanyard_owner_keys,alias:ok"`

	ID         string  `bun:"id,pk"`
	Tenant     string  `bun:"tenant"`
	Subject    string  `bun:"subject"`
	Version    int64   `bun:"version"`
	Secrets    string  `bun:"secrets"`
	KeyVersion string  `bun:"key_version"`
	Wrapped    []byte  `bun:"wrapped"`
	CreatedAt  instant `bun:"created_at"`
}

func (r *ownerKeyRow) toRecord() store.OwnerKey {
	return store.OwnerKey{
		ID: r.ID, Owner: lanyard.Owner{Tenant: r.Tenant, Subject: r.Subject}, Version: r.Version,
		Secrets: r.Secrets, KeyVersion: r.KeyVersion, Wrapped: r.Wrapped, CreatedAt: r.CreatedAt.Time,
	}
}

func ownerKeyFromRecord(k store.OwnerKey) *ownerKeyRow {
	return &ownerKeyRow{
		ID: k.ID, Tenant: k.Owner.Tenant, Subject: k.Owner.Subject, Version: k.Version,
		Secrets: k.Secrets, KeyVersion: k.KeyVersion, Wrapped: k.Wrapped, CreatedAt: instant{k.CreatedAt},
	}
}

// OwnerKey implements [store.OwnerKeys].
func (s *Store) OwnerKey(ctx context.Context, owner lanyard.Owner) (store.OwnerKey, error) {
	var refused error
	if owner != (lanyard.Owner{}) { // the system's is valid here
		refused = owner.Validate()
	}
	return read(ctx, s, "OwnerKey", refused, func(ctx context.Context) (store.OwnerKey, error) {
		return ownerKey(ctx, s.db, owner)
	})
}

// CreateOwnerKey implements [store.OwnerKeys].
func (s *Store) CreateOwnerKey(ctx context.Context, k store.OwnerKey) (store.OwnerKey, error) {
	k.Version = 1
	var stored store.OwnerKey
	err := s.change(ctx, "CreateOwnerKey", k.Validate(), func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(ownerKeyFromRecord(k)).
			On("CONFLICT DO NOTHING").
			Exec(ctx)
		if err != nil {
			return err
		}
		stored, err = ownerKey(ctx, tx, k.Owner)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		// Either another owner's key has the id, or the winner was erased in between.
		taken, err := tx.NewSelect().Model((*ownerKeyRow)(nil)).Where("id = ?", k.ID).Exists(ctx)
		if err != nil {
			return err
		}
		if taken {
			return lanyard.ErrExists
		}
		return lanyard.ErrConflict
	})
	if err != nil {
		return store.OwnerKey{}, err
	}
	return stored, nil
}

func ownerKey(ctx context.Context, db bun.IDB, owner lanyard.Owner) (store.OwnerKey, error) {
	var row ownerKeyRow
	err := db.NewSelect().Model(&row).ApplyQueryBuilder(owned(owner)).Scan(ctx)
	return row.toRecord(), err
}
