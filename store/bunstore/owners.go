package bunstore

import (
	"cmp"
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

type ownerStateRow struct {
	bun.BaseModel `bun:"table:lanyard_owner_states,alias:o"`

	Tenant        string  `bun:"tenant,pk"`
	Subject       string  `bun:"subject,pk"`
	DeactivatedAt instant `bun:"deactivated_at"`
}

// OwnerState implements [store.Owners].
func (s *Store) OwnerState(ctx context.Context, owner lanyard.Owner) (store.OwnerState, error) {
	return read(ctx, s, "OwnerState", owner.Validate(), func(ctx context.Context) (store.OwnerState, error) {
		var rows []ownerStateRow
		err := s.db.NewSelect().Model(&rows).ApplyQueryBuilder(owned(owner)).Scan(ctx)
		if err != nil || len(rows) == 0 {
			return store.OwnerState{}, err
		}
		return store.OwnerState{DeactivatedAt: rows[0].DeactivatedAt.Time}, nil
	})
}

// Deactivate implements [store.Owners].
func (s *Store) Deactivate(ctx context.Context, owner lanyard.Owner, at time.Time, e lanyard.Event) error {
	return s.change(ctx, "Deactivate", cmp.Or(owner.Validate(), store.ValidateInstant("at", at), check(e)), func(ctx context.Context, tx bun.Tx) error {
		if err := s.writeEpochs(ctx, tx, store.Shard(owner)); err != nil {
			return err
		}
		res, err := tx.NewInsert().
			Model(&ownerStateRow{Tenant: owner.Tenant, Subject: owner.Subject, DeactivatedAt: instant{at}}).
			On("CONFLICT (tenant, subject) DO NOTHING").
			Exec(ctx)
		if err := one(res, err, errUnchanged); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// Reactivate implements [store.Owners].
func (s *Store) Reactivate(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error {
	return s.change(ctx, "Reactivate", cmp.Or(owner.Validate(), check(e)), func(ctx context.Context, tx bun.Tx) error {
		if err := s.writeEpochs(ctx, tx, store.Shard(owner)); err != nil {
			return err
		}
		res, err := tx.NewDelete().Model((*ownerStateRow)(nil)).ApplyQueryBuilder(owned(owner)).Exec(ctx)
		if err := one(res, err, errUnchanged); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// Erase implements [store.Owners]. Usage goes with the keys.
func (s *Store) Erase(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error {
	return s.change(ctx, "Erase", cmp.Or(owner.Validate(), store.ValidateErasure(owner, e)), func(ctx context.Context, tx bun.Tx) error {
		if err := s.writeEpochs(ctx, tx, store.Shard(owner)); err != nil {
			return err
		}
		all := func(model any) *bun.DeleteQuery { return tx.NewDelete().Model(model).ApplyQueryBuilder(owned(owner)) }
		for _, q := range []*bun.DeleteQuery{
			all((*profileRow)(nil)),
			// Each by an index of its own.
			all((*apiKeyRow)(nil)).Where("deleted_at IS NULL"), all((*apiKeyRow)(nil)).Where("deleted_at IS NOT NULL"),
			all((*providerTokenRow)(nil)), all((*ownerKeyRow)(nil)), all((*eventRow)(nil)), all((*ownerStateRow)(nil)),
		} {
			if _, err := q.Exec(ctx); err != nil {
				return err
			}
		}
		return addEvent(ctx, tx, e)
	})
}
