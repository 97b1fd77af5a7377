package bunstore

import (
	"cmp"
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

type providerTokenRow struct {
	bun.BaseModel `bun:"table:lanyard_provider_tokens,alias:t"`

	ID           string                            `bun:"id,pk"`
	Tenant       string                            `bun:"tenant"`
	Subject      string                            `bun:"subject"`
	Version      int64                             `bun:"version"`
	ProviderID   string                            `bun:"provider_id"`
	MethodID     string                            `bun:"method_id"`
	Label        string                            `bun:"label"`
	Fields       document[map[string]string]       `bun:"fields"`
	Secrets      document[map[string]secretColumn] `bun:"secrets"`
	OwnerKeyID   string                            `bun:"owner_key_id"`
	Origin       string                            `bun:"origin"`
	AccountID    string                            `bun:"account_id"`
	AccountName  string                            `bun:"account_name"`
	AccountEmail string                            `bun:"account_email"`
	Verdict      string                            `bun:"verdict"`
	Reason       string                            `bun:"reason"`
	CheckedAt    instant                           `bun:"checked_at"`
	ExpiresAt    instant                           `bun:"expires_at"`
	CreatedAt    instant                           `bun:"created_at"`
	UpdatedAt    instant                           `bun:"updated_at"`
	LastUsedAt   instant                           `bun:"last_used_at"`
}

// providerTokenUpdates are the columns that UpdateProviderToken replaces.
var providerTokenUpdates = []string{
	"version", "method_id", "label", "fields", "secrets", "owner_key_id", "origin",
	"account_id", "account_name", "account_email", "verdict", "reason",
	"checked_at", "expires_at", "updated_at",
}

// secretColumn is one sealed secret in the secrets column, for ever.
type secretColumn struct {
	Envelope  []byte `json:"envelope"`
	Version   int64  `json:"version"`
	UpdatedAt *int64 `json:"updated_at,omitempty"` // microseconds since the Unix epoch
}

func (r *providerTokenRow) toRecord() store.ProviderToken {
	t := store.ProviderToken{
		ID: r.ID, Owner: lanyard.Owner{Tenant: r.Tenant, Subject: r.Subject}, Version: r.Version,
		ProviderID: r.ProviderID, MethodID: r.MethodID, Label: r.Label,
		Fields: r.Fields.value, OwnerKeyID: r.OwnerKeyID, Origin: r.Origin,
		Account: store.Account{ID: r.AccountID, Name: r.AccountName, Email: r.AccountEmail},
		Verdict: r.Verdict, Reason: r.Reason,
		CheckedAt: r.CheckedAt.Time, ExpiresAt: r.ExpiresAt.Time,
		CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time, LastUsedAt: r.LastUsedAt.Time,
	}
	for name, c := range r.Secrets.value {
		if t.Secrets == nil {
			t.Secrets = make(map[string]store.SealedSecret, len(r.Secrets.value))
		}
		sealed := store.SealedSecret{Envelope: c.Envelope, Version: c.Version}
		if c.UpdatedAt != nil {
			sealed.UpdatedAt = time.UnixMicro(*c.UpdatedAt).UTC()
		}
		t.Secrets[name] = sealed
	}
	return t
}

func providerTokenFromRecord(t store.ProviderToken) *providerTokenRow {
	secrets := make(map[string]secretColumn, len(t.Secrets))
	for name, sealed := range t.Secrets {
		c := secretColumn{Envelope: sealed.Envelope, Version: sealed.Version}
		if !sealed.UpdatedAt.IsZero() {
			micros := sealed.UpdatedAt.UnixMicro()
			c.UpdatedAt = &micros
		}
		secrets[name] = c
	}
	return &providerTokenRow{
		ID: t.ID, Tenant: t.Owner.Tenant, Subject: t.Owner.Subject, Version: t.Version,
		ProviderID: t.ProviderID, MethodID: t.MethodID, Label: t.Label,
		Fields: document[map[string]string]{t.Fields}, Secrets: document[map[string]secretColumn]{secrets},
		OwnerKeyID: t.OwnerKeyID, Origin: t.Origin,
		AccountID: t.Account.ID, AccountName: t.Account.Name, AccountEmail: t.Account.Email,
		Verdict: t.Verdict, Reason: t.Reason,
		CheckedAt: instant{t.CheckedAt}, ExpiresAt: instant{t.ExpiresAt},
		CreatedAt: instant{t.CreatedAt}, UpdatedAt: instant{t.UpdatedAt}, LastUsedAt: instant{t.LastUsedAt},
	}
}

func providerTokensToRecords(rows []providerTokenRow) []store.ProviderToken {
	var tokens []store.ProviderToken
	for i := range rows {
		tokens = append(tokens, rows[i].toRecord())
	}
	return tokens
}

// ProviderToken implements [store.ProviderTokens].
func (s *Store) ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (store.ProviderToken, error) {
	return read(ctx, s, "ProviderToken", checkOwned(owner, id), func(ctx context.Context) (store.ProviderToken, error) {
		var row providerTokenRow
		err := s.db.NewSelect().Model(&row).ApplyQueryBuilder(ownedID(owner, id)).Scan(ctx)
		return row.toRecord(), err
	})
}

// ProviderTokens implements [store.ProviderTokens].
func (s *Store) ProviderTokens(ctx context.Context, owner lanyard.Owner) ([]store.ProviderToken, error) {
	return read(ctx, s, "ProviderTokens", owner.Validate(), func(ctx context.Context) ([]store.ProviderToken, error) {
		var rows []providerTokenRow
		err := s.db.NewSelect().Model(&rows).ApplyQueryBuilder(owned(owner)).
			OrderExpr("created_at DESC NULLS LAST, id").
			Scan(ctx)
		return providerTokensToRecords(rows), err
	})
}

// CreateProviderToken implements [store.ProviderTokens].
func (s *Store) CreateProviderToken(ctx context.Context, t store.ProviderToken, limit int, e lanyard.Event) error {
	t.Version, t.LastUsedAt = 1, time.Time{}
	return s.change(ctx, "CreateProviderToken", check(e, t), func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockShard(ctx, tx, t.Owner); err != nil {
			return err
		}
		row := providerTokenFromRecord(t)
		if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
			return err
		}
		if err := within(ctx, limit, tx.NewSelect().Model(row).ApplyQueryBuilder(owned(t.Owner))); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// UpdateProviderToken implements [store.ProviderTokens].
func (s *Store) UpdateProviderToken(ctx context.Context, t store.ProviderToken, e lanyard.Event) error {
	return s.change(ctx, "UpdateProviderToken", check(e, t), func(ctx context.Context, tx bun.Tx) error {
		row := providerTokenFromRecord(t)
		row.Version = t.Version + 1
		res, err := tx.NewUpdate().Model(row).Column(providerTokenUpdates...).
			ApplyQueryBuilder(ownedID(t.Owner, t.ID)).Where("version = ?", t.Version).
			Exec(ctx)
		if err := swapped(ctx, res, err, selectProviderToken(tx, t.Owner, t.ID)); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// DeleteProviderToken implements [store.ProviderTokens].
func (s *Store) DeleteProviderToken(ctx context.Context, owner lanyard.Owner, id string, version int64, e lanyard.Event) error {
	return s.change(ctx, "DeleteProviderToken", cmp.Or(checkOwned(owner, id), check(e)), func(ctx context.Context, tx bun.Tx) error {
		q := tx.NewDelete().Model((*providerTokenRow)(nil)).ApplyQueryBuilder(ownedID(owner, id))
		if version != 0 {
			q = q.Where("version = ?", version)
		}
		res, err := q.Exec(ctx)
		if err := swapped(ctx, res, err, selectProviderToken(tx, owner, id)); err != nil {
			return err
		}
		return addEvent(ctx, tx, e)
	})
}

// RecordTokenUse implements [store.ProviderTokens].
func (s *Store) RecordTokenUse(ctx context.Context, owner lanyard.Owner, id string, at time.Time) error {
	refused := owner.Validate()
	if refused == nil && (!clean(id) || at.IsZero()) {
		return nil // no connection has such an id; no time is no use
	}
	return s.change(ctx, "RecordTokenUse", refused, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model((*providerTokenRow)(nil)).
			Set("last_used_at = ?", instant{at}).
			ApplyQueryBuilder(ownedID(owner, id)).
			Where("(last_used_at IS NULL OR last_used_at < ?)", instant{at}).
			Exec(ctx)
		return err
	})
}

func selectProviderToken(tx bun.Tx, owner lanyard.Owner, id string) *bun.SelectQuery {
	return tx.NewSelect().Model((*providerTokenRow)(nil)).ApplyQueryBuilder(ownedID(owner, id))
}
