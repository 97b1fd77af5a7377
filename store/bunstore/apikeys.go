package bunstore

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

type apiKeyRow struct {
	bun.BaseModel `bun:"table:lanyard_api_keys,alias:k"`

	ID           string             `bun:"id,pk"`
	Tenant       string             `bun:"tenant"`
	Subject      string             `bun:"subject"`
	Shard        int                `bun:"shard"`
	Version      int64              `bun:"version"`
	Name         string             `bun:"name"`
	Hint         string             `bun:"hint"`
	Hash         []byte             `bun:"hash"`
	MAC          []byte             `bun:"mac"`
	Scopes       document[[]string] `bun:"scopes"`
	CreatedAt    instant            `bun:"created_at"`
	ExpiresAt    instant            `bun:"expires_at"`
	DeletedAt    instant            `bun:"deleted_at"`
	RotatedFrom  *string            `bun:"rotated_from"`
	RotatedAt    instant            `bun:"rotated_at"`
	LifeEndsAt   instant            `bun:"life_ends_at"`
	CreateToken  []byte             `bun:"create_token"`
	CreateDigest []byte             `bun:"create_digest"`

	// Of lanyard_api_key_usage.
	FirstUsedAt   instant `bun:"first_used_at,scanonly"`
	FirstUsedFrom *string `bun:"first_used_from,scanonly"`
	LastUsedAt    instant `bun:"last_used_at,scanonly"`
	LastUsedFrom  *string `bun:"last_used_from,scanonly"`
}

type usageRow struct {
	bun.BaseModel `bun:"table:lanyard_api_key_usage,alias:u"`

	KeyID         string  `bun:"key_id,pk"`
	FirstUsedAt   instant `bun:"first_used_at"` // NULL is not known: a library before migration 2 writes none
	FirstUsedFrom *string `bun:"first_used_from"`
	LastUsedAt    instant `bun:"last_used_at"`
	LastUsedFrom  *string `bun:"last_used_from"`
	LastFromAt    instant `bun:"last_from_at"` // the time that LastUsedFrom belongs to
}

func (r *apiKeyRow) toRecord() store.APIKey {
	return store.APIKey{
		ID: r.ID, Owner: lanyard.Owner{Tenant: r.Tenant, Subject: r.Subject}, Version: r.Version,
		Name: r.Name, Hint: r.Hint, Hash: r.Hash, MAC: r.MAC, Scopes: r.Scopes.value,
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, DeletedAt: r.DeletedAt.Time,
		RotatedFrom: orEmpty(r.RotatedFrom), RotatedAt: r.RotatedAt.Time, LifeEndsAt: r.LifeEndsAt.Time,
		CreateToken: r.CreateToken, CreateDigest: r.CreateDigest,
		KeyUsage: store.KeyUsage{
			FirstUsedAt: r.FirstUsedAt.Time, FirstUsedFrom: orEmpty(r.FirstUsedFrom),
			LastUsedAt: r.LastUsedAt.Time, LastUsedFrom: orEmpty(r.LastUsedFrom),
		},
	}
}

func apiKeyFromRecord(k store.APIKey) *apiKeyRow {
	return &apiKeyRow{
		ID: k.ID, Tenant: k.Owner.Tenant, Subject: k.Owner.Subject, Shard: store.Shard(k.Owner), Version: k.Version,
		Name: k.Name, Hint: k.Hint, Hash: k.Hash, MAC: bytesOrNull(k.MAC), Scopes: document[[]string]{k.Scopes},
		CreatedAt: instant{k.CreatedAt}, ExpiresAt: instant{k.ExpiresAt}, DeletedAt: instant{k.DeletedAt},
		RotatedFrom: orNull(k.RotatedFrom), RotatedAt: instant{k.RotatedAt}, LifeEndsAt: instant{k.LifeEndsAt},
		CreateToken: bytesOrNull(k.CreateToken), CreateDigest: bytesOrNull(k.CreateDigest),
	}
}

func apiKeysToRecords(rows []apiKeyRow) []store.APIKey {
	var keys []store.APIKey
	for i := range rows {
		keys = append(keys, rows[i].toRecord())
	}
	return keys
}

// withUsage adds KeyUsage to a selection of keys.
func withUsage(q *bun.SelectQuery) *bun.SelectQuery {
	return q.ColumnExpr("?TableColumns").
		ColumnExpr("u.first_used_at").ColumnExpr("u.first_used_from").ColumnExpr("u.last_used_at").
		ColumnExpr("CASE WHEN u.last_from_at = u.last_used_at THEN u.last_used_from END AS last_used_from").
		Join("LEFT JOIN lanyard_api_key_usage AS u ON u.key_id = k.id")
}

// APIKey implements [store.APIKeys].
func (s *Store) APIKey(ctx context.Context, owner lanyard.Owner, id string) (store.APIKey, error) {
	return read(ctx, s, "APIKey", checkOwned(owner, id), func(ctx context.Context) (store.APIKey, error) {
		var row apiKeyRow
		err := s.db.NewSelect().Model(&row).Apply(withUsage).
			ApplyQueryBuilder(liveKey(owner, id)).
			Scan(ctx)
		return row.toRecord(), err
	})
}

// APIKeys implements [store.APIKeys].
func (s *Store) APIKeys(ctx context.Context, owner lanyard.Owner) ([]store.APIKey, error) {
	return read(ctx, s, "APIKeys", owner.Validate(), func(ctx context.Context) ([]store.APIKey, error) {
		var rows []apiKeyRow
		err := s.db.NewSelect().Model(&rows).Apply(withUsage).
			ApplyQueryBuilder(owned(owner)).Where("deleted_at IS NULL").
			OrderExpr("created_at DESC NULLS LAST, id").
			Scan(ctx)
		return apiKeysToRecords(rows), err
	})
}

// APIKeyByCreateToken implements [store.APIKeys].
func (s *Store) APIKeyByCreateToken(ctx context.Context, owner lanyard.Owner, createToken []byte) (store.APIKey, error) {
	return read(ctx, s, "APIKeyByCreateToken", owner.Validate(), func(ctx context.Context) (store.APIKey, error) {
		var row apiKeyRow
		err := s.db.NewSelect().Model(&row).Apply(withUsage).
			ApplyQueryBuilder(owned(owner)).Where("create_token = ?", createToken).
			Scan(ctx)
		return row.toRecord(), err
	})
}

// CreateAPIKey implements [store.APIKeys].
func (s *Store) CreateAPIKey(ctx context.Context, k store.APIKey, limit int, e lanyard.Event) error {
	return s.change(ctx, "CreateAPIKey", check(e, k), func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockShard(ctx, tx, k.Owner); err != nil {
			return err
		}
		if err := insertAPIKey(ctx, tx, k, limit); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// UpdateAPIKey implements [store.APIKeys].
func (s *Store) UpdateAPIKey(ctx context.Context, k store.APIKey, e lanyard.Event) error {
	return s.change(ctx, "UpdateAPIKey", check(e, k), func(ctx context.Context, tx bun.Tx) error {
		if err := s.writeEpochs(ctx, tx, store.Shard(k.Owner)); err != nil {
			return err
		}
		if err := updateAPIKey(ctx, tx, k); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// RotateAPIKey implements [store.APIKeys].
func (s *Store) RotateAPIKey(ctx context.Context, old, next store.APIKey, limit int, e lanyard.Event) error {
	refused := check(e, old, next)
	if refused == nil && (next.Owner != old.Owner || next.RotatedFrom != old.ID) {
		refused = &lanyard.InputError{Field: "rotated_from", Code: lanyard.CodeInvalid, Message: "the successor names another key"}
	}
	return s.change(ctx, "RotateAPIKey", refused, func(ctx context.Context, tx bun.Tx) error {
		if err := s.writeEpochs(ctx, tx, store.Shard(old.Owner)); err != nil {
			return err
		}
		if err := updateAPIKey(ctx, tx, old); err != nil {
			return err
		}
		// The unique index would say the same, but not which value was taken.
		succeeded, err := tx.NewSelect().Model((*apiKeyRow)(nil)).
			ApplyQueryBuilder(owned(old.Owner)).Where("rotated_from = ?", old.ID).Where("deleted_at IS NULL").
			Exists(ctx)
		if err != nil {
			return err
		}
		if succeeded {
			return lanyard.ErrConflict
		}
		if err := insertAPIKey(ctx, tx, next, limit); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// DeleteAPIKey implements [store.APIKeys].
func (s *Store) DeleteAPIKey(ctx context.Context, k store.APIKey, e lanyard.Event) error {
	refused := cmp.Or(checkOwned(k.Owner, k.ID), store.ValidateInstant("deleted_at", k.DeletedAt), check(e))
	return s.change(ctx, "DeleteAPIKey", refused, func(ctx context.Context, tx bun.Tx) error {
		if err := s.writeEpochs(ctx, tx, store.Shard(k.Owner)); err != nil {
			return err
		}
		q := tx.NewUpdate().Model((*apiKeyRow)(nil)).
			Set("version = version + 1").Set("deleted_at = ?", instant{k.DeletedAt}).Set("mac = ?", bytesOrNull(k.MAC)).
			ApplyQueryBuilder(liveKey(k.Owner, k.ID))
		if k.Version != 0 {
			q = q.Where("version = ?", k.Version)
		}
		res, err := q.Exec(ctx)
		if err := swapped(ctx, res, err, selectLiveKey(tx, k)); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// RecordKeyUse implements [store.APIKeys]. The keys are taken in the order of
// their ids, so two processes that record the same ones do not deadlock.
func (s *Store) RecordKeyUse(ctx context.Context, uses []store.KeyUse) error {
	var refused error
	usage := make(map[string]store.KeyUsage, len(uses))
	for _, u := range uses {
		refused = cmp.Or(refused, u.Validate())
		if clean(u.ID) && !u.At.IsZero() {
			usage[u.ID] = usage[u.ID].Add(u)
		}
	}
	ids := slices.Sorted(maps.Keys(usage))
	return s.change(ctx, "RecordKeyUse", refused, func(ctx context.Context, tx bun.Tx) error {
		for some := range slices.Chunk(ids, 500) {
			if err := s.recordKeyUse(ctx, tx, some, usage); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) recordKeyUse(ctx context.Context, tx bun.Tx, ids []string, usage map[string]store.KeyUsage) error {
	// The lock keeps a key from being erased between here and the insert.
	var live []string
	q := tx.NewSelect().Model((*apiKeyRow)(nil)).Column("id").
		Where("id IN (?)", bun.List(ids)).Where("deleted_at IS NULL").Order("id")
	if s.dialect.shareLock != "" {
		q = q.For(s.dialect.shareLock)
	}
	if err := q.Scan(ctx, &live); err != nil || len(live) == 0 {
		return err
	}
	rows := make([]usageRow, len(live))
	for i, id := range live {
		u := usage[id]
		rows[i] = usageRow{
			KeyID:       id,
			FirstUsedAt: instant{u.FirstUsedAt}, FirstUsedFrom: orNull(u.FirstUsedFrom),
			LastUsedAt: instant{u.LastUsedAt}, LastUsedFrom: orNull(u.LastUsedFrom), LastFromAt: instant{u.LastUsedAt},
		}
	}
	const (
		earlier = "EXCLUDED.first_used_at IS NULL OR EXCLUDED.first_used_at < u.first_used_at" // not where that is NULL
		later   = "EXCLUDED.last_used_at > u.last_used_at"
	)
	either := func(column, when string) string {
		return column + " = CASE WHEN " + when + " THEN EXCLUDED." + column + " ELSE u." + column + " END"
	}
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT (key_id) DO UPDATE").
		Set(either("first_used_at", earlier)).Set(either("first_used_from", earlier)).
		Set(either("last_used_at", later)).Set(either("last_used_from", later)).Set(either("last_from_at", later)).
		Where(earlier + " OR " + later).
		Exec(ctx)
	return err
}

// insertAPIKey adds k with Version 1, in a transaction that holds its shard.
// What is taken is reported before the limit, so that a repeated request finds
// its key.
func insertAPIKey(ctx context.Context, tx bun.Tx, k store.APIKey, limit int) error {
	row := apiKeyFromRecord(k)
	row.Version, row.DeletedAt = 1, instant{}
	if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return err
	}
	return within(ctx, limit, tx.NewSelect().Model(row).ApplyQueryBuilder(owned(k.Owner)).Where("deleted_at IS NULL"))
}

func updateAPIKey(ctx context.Context, tx bun.Tx, k store.APIKey) error {
	row := apiKeyFromRecord(k)
	row.Version = k.Version + 1
	res, err := tx.NewUpdate().Model(row).Column("version", "name", "scopes", "expires_at", "rotated_at", "life_ends_at", "mac").
		ApplyQueryBuilder(liveKey(k.Owner, k.ID)).Where("version = ?", k.Version).
		Exec(ctx)
	return swapped(ctx, res, err, selectLiveKey(tx, k))
}

func selectLiveKey(tx bun.Tx, k store.APIKey) *bun.SelectQuery {
	return tx.NewSelect().Model((*apiKeyRow)(nil)).ApplyQueryBuilder(liveKey(k.Owner, k.ID))
}

// liveKey narrows a statement to one key of owner that is not a tombstone.
func liveKey(owner lanyard.Owner, id string) func(bun.QueryBuilder) bun.QueryBuilder {
	return func(q bun.QueryBuilder) bun.QueryBuilder {
		return ownedID(owner, id)(q).Where("deleted_at IS NULL")
	}
}
