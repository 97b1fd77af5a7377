package bunstore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// purgeBatch bounds what one transaction of Purge removes, so that it holds
// up nobody else for long.
const purgeBatch = 1000

// APIKeyByID implements [store.Maintenance].
func (s *Store) APIKeyByID(ctx context.Context, id string) (store.APIKey, error) {
	return read(ctx, s, "APIKeyByID", checkID(id), func(ctx context.Context) (store.APIKey, error) {
		var row apiKeyRow
		err := s.db.NewSelect().Model(&row).Apply(withUsage).Where("id = ?", id).Scan(ctx)
		return row.toRecord(), err
	})
}

// DeleteAPIKeyByID implements [store.Maintenance]. event may be called again
// where a transaction has to be repeated.
func (s *Store) DeleteAPIKeyByID(ctx context.Context, id string, at time.Time, event func(store.APIKey) lanyard.Event) error {
	refused := cmp.Or(checkID(id), store.ValidateInstant("at", at))
	_, err := read(ctx, s, "DeleteAPIKeyByID", refused, func(ctx context.Context) (int, error) {
		candidates := s.db.NewSelect().Where("id = ?", id)
		deleted, _, err := s.buryKeys(ctx, candidates, at, event)
		if err == nil && deleted == 0 {
			err = lanyard.ErrNotFound
		}
		return deleted, err
	})
	return err
}

// DeleteAPIKeysCreatedBefore implements [store.Maintenance]. event may be
// called again where a transaction has to be repeated.
func (s *Store) DeleteAPIKeysCreatedBefore(ctx context.Context, before, at time.Time, limit int, event func(store.APIKey) lanyard.Event) (int, error) {
	return read(ctx, s, "DeleteAPIKeysCreatedBefore", store.ValidateInstant("at", at), func(ctx context.Context) (int, error) {
		if limit <= 0 {
			return 0, nil
		}
		for {
			candidates := s.db.NewSelect().Where("(created_at < ? OR created_at IS NULL)", instant{before}).Limit(int64(limit))
			deleted, found, err := s.buryKeys(ctx, candidates, at, event)
			if err != nil || deleted > 0 || found == 0 {
				return deleted, err
			}
			// Others deleted all that was found; there may be more.
		}
	})
}

// buryKeys turns the live keys among the candidates into tombstones, in one
// transaction. The rows say which shards it has to begin with, so they are
// found before and looked at again in it.
func (s *Store) buryKeys(ctx context.Context, candidates *bun.SelectQuery, at time.Time, event func(store.APIKey) lanyard.Event) (deleted, found int, err error) {
	var rows []apiKeyRow
	// In the order of an index of live keys: by their ids, all that were deleted
	// before would be read again for each batch.
	err = candidates.Model(&rows).Column("id", "shard").Where("deleted_at IS NULL").
		OrderExpr("tenant, subject, created_at DESC NULLS LAST, id").
		Scan(ctx)
	if err != nil || len(rows) == 0 {
		return 0, 0, err
	}
	ids, shards := make([]string, len(rows)), make([]int, len(rows))
	for i, row := range rows {
		ids[i], shards[i] = row.ID, row.Shard
	}
	err = s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.writeEpochs(ctx, tx, shards...); err != nil {
			return err
		}
		var live []apiKeyRow
		stillLive := func() *bun.SelectQuery {
			return tx.NewSelect().Model(&live).
				Where("id IN (?)", bun.List(ids)).Where("deleted_at IS NULL").OrderExpr("id")
		}
		err := stillLive().Scan(ctx)
		if errors.Is(err, store.ErrDamaged) { // no reason to keep a key alive
			live = nil
			err = stillLive().ExcludeColumn("scopes").Scan(ctx)
		}
		if err != nil {
			return err
		}
		for _, row := range live {
			if err := buryKey(ctx, tx, row, at, event); err != nil {
				return err
			}
		}
		deleted = len(live)
		return nil
	})
	return deleted, len(rows), err
}

// buryKey takes the MAC as well: it was made for a live key, so that who clears
// deleted_at in the table would have one again.
func buryKey(ctx context.Context, tx bun.Tx, row apiKeyRow, at time.Time, event func(store.APIKey) lanyard.Event) error {
	e := event(row.toRecord())
	if err := check(e); err != nil {
		return err
	}
	_, err := tx.NewUpdate().Model((*apiKeyRow)(nil)).
		Set("version = version + 1").Set("deleted_at = ?", instant{at}).Set("mac = NULL").
		Where("id = ?", row.ID).
		Exec(ctx)
	if err != nil {
		return err
	}
	return addEvent(ctx, tx, e)
}

// ExpiringAPIKeys implements [store.Maintenance].
func (s *Store) ExpiringAPIKeys(ctx context.Context, from, to time.Time, after string, limit int) ([]store.APIKey, error) {
	rows, err := page[apiKeyRow](ctx, s, "ExpiringAPIKeys", after, limit, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Apply(withUsage).Where("deleted_at IS NULL").Apply(expiring(from, to))
	})
	return apiKeysToRecords(rows), err
}

// AllAPIKeys implements [store.Maintenance].
func (s *Store) AllAPIKeys(ctx context.Context, after string, limit int) ([]store.APIKey, error) {
	rows, err := page[apiKeyRow](ctx, s, "AllAPIKeys", after, limit, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("deleted_at IS NULL")
	})
	return apiKeysToRecords(rows), err
}

// UnsignedAPIKeys implements [store.Maintenance].
func (s *Store) UnsignedAPIKeys(ctx context.Context, after string, limit int) ([]store.APIKey, error) {
	rows, err := page[apiKeyRow](ctx, s, "UnsignedAPIKeys", after, limit, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Apply(withUsage).Where("deleted_at IS NULL").Where("mac IS NULL")
	})
	return apiKeysToRecords(rows), err
}

// SignAPIKey implements [store.Maintenance].
func (s *Store) SignAPIKey(ctx context.Context, k store.APIKey) error {
	return s.change(ctx, "SignAPIKey", checkOwned(k.Owner, k.ID), func(ctx context.Context, tx bun.Tx) error {
		res, err := tx.NewUpdate().Model((*apiKeyRow)(nil)).
			Set("mac = ?", bytesOrNull(k.MAC)).
			ApplyQueryBuilder(liveKey(k.Owner, k.ID)).Where("version = ?", k.Version).
			Exec(ctx)
		return swapped(ctx, res, err, selectLiveKey(tx, k))
	})
}

// ExpiringProviderTokens implements [store.Maintenance].
func (s *Store) ExpiringProviderTokens(ctx context.Context, from, to time.Time, after string, limit int) ([]store.ProviderToken, error) {
	rows, err := page[providerTokenRow](ctx, s, "ExpiringProviderTokens", after, limit, expiring(from, to))
	return providerTokensToRecords(rows), err
}

// AllProviderTokens implements [store.Maintenance].
func (s *Store) AllProviderTokens(ctx context.Context, after string, limit int) ([]store.ProviderToken, error) {
	rows, err := page[providerTokenRow](ctx, s, "AllProviderTokens", after, limit, everything)
	return providerTokensToRecords(rows), err
}

// AllOwnerKeys implements [store.Maintenance].
func (s *Store) AllOwnerKeys(ctx context.Context, after string, limit int) ([]store.OwnerKey, error) {
	rows, err := page[ownerKeyRow](ctx, s, "AllOwnerKeys", after, limit, everything)
	var keys []store.OwnerKey
	for i := range rows {
		keys = append(keys, rows[i].toRecord())
	}
	return keys, err
}

// RewrapOwnerKey implements [store.Maintenance].
func (s *Store) RewrapOwnerKey(ctx context.Context, k store.OwnerKey) error {
	k.CreatedAt = time.Time{} // it is not written, so it is not looked at
	return s.change(ctx, "RewrapOwnerKey", k.Validate(), func(ctx context.Context, tx bun.Tx) error {
		row := ownerKeyFromRecord(k)
		row.Version = k.Version + 1
		res, err := tx.NewUpdate().Model(row).Column("version", "secrets", "key_version", "wrapped").
			ApplyQueryBuilder(ownedID(k.Owner, k.ID)).Where("version = ?", k.Version).
			Exec(ctx)
		return swapped(ctx, res, err, tx.NewSelect().Model(row).ApplyQueryBuilder(ownedID(k.Owner, k.ID)))
	})
}

// CountOwnerKeys implements [store.Maintenance].
func (s *Store) CountOwnerKeys(ctx context.Context) ([]store.OwnerKeyCount, error) {
	return read(ctx, s, "CountOwnerKeys", nil, func(ctx context.Context) ([]store.OwnerKeyCount, error) {
		var counts []store.OwnerKeyCount
		err := s.db.NewSelect().Model((*ownerKeyRow)(nil)).
			Column("secrets", "key_version").ColumnExpr("COUNT(*) AS count").
			Group("secrets", "key_version").Order("secrets", "key_version").
			Scan(ctx, &counts)
		return counts, err
	})
}

// Purge implements [store.Maintenance]. It works in small transactions; after
// an error, what they removed stays removed and is counted.
func (s *Store) Purge(ctx context.Context, p store.Purge) (store.Purged, error) {
	var purged store.Purged
	_, err := read(ctx, s, "Purge", nil, func(ctx context.Context) (struct{}, error) {
		if err := s.purge(ctx, "lanyard_events", "at", p.EventsBefore, &purged.Events); err != nil {
			return struct{}{}, err
		}
		if err := s.purgeUsage(ctx, p.UsageBefore, &purged.Usage); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.purge(ctx, "lanyard_api_keys", "deleted_at", p.TombstonesBefore, &purged.Tombstones)
	})
	return purged, err
}

// purge removes the oldest rows of a table by the index of their time.
func (s *Store) purge(ctx context.Context, table, column string, before time.Time, count *int) error {
	for !before.IsZero() {
		var gone int64
		err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
			old := tx.NewSelect().Table(table).Column("id").
				Where("? < ?", bun.Ident(column), instant{before}).Order(column).Limit(purgeBatch)
			res, err := tx.NewDelete().Table(table).Where("id IN (?)", old).Exec(ctx)
			if err != nil {
				return err
			}
			gone, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return err
		}
		*count += int(gone)
		if gone < purgeBatch {
			break
		}
	}
	return nil
}

// purgeUsage goes through the uses in the order of their keys. An index of
// their times would have to be written at every use.
func (s *Store) purgeUsage(ctx context.Context, before time.Time, count *int) error {
	after := ""
	for !before.IsZero() {
		var last *string
		batch := s.db.NewSelect().Model((*usageRow)(nil)).Column("key_id").Where("key_id > ?", after).Order("key_id").Limit(purgeBatch)
		if err := s.db.NewSelect().ColumnExpr("MAX(key_id)").TableExpr("(?) AS batch", batch).Scan(ctx, &last); err != nil {
			return err
		}
		if last == nil {
			break
		}
		var gone int64
		err := s.transact(ctx, func(ctx context.Context, tx bun.Tx) error {
			res, err := tx.NewDelete().Model((*usageRow)(nil)).
				Where("key_id > ?", after).Where("key_id <= ?", *last).Where("last_used_at < ?", instant{before}).
				Exec(ctx)
			if err != nil {
				return err
			}
			gone, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return err
		}
		*count += int(gone)
		after = *last
	}
	return nil
}

// expiring narrows a selection to what expires in [from, to). Nothing expires
// before a zero to: it is NULL, and so is the comparison.
func expiring(from, to time.Time) func(*bun.SelectQuery) *bun.SelectQuery {
	return func(q *bun.SelectQuery) *bun.SelectQuery {
		if !from.IsZero() {
			q = q.Where("expires_at >= ?", instant{from})
		}
		return q.Where("expires_at < ?", instant{to})
	}
}

// everything narrows nothing.
func everything(q *bun.SelectQuery) *bun.SelectQuery { return q }
