package bunstore

import (
	"context"
	"database/sql"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// verifySQL is what one verification reads: one statement, so one snapshot. The
// columns stand in the order in which lookup scans them. The two that are of other
// tables are asked for by themselves: PostgreSQL takes a fifth less time for it
// than for joining three tables, and a key whose shard is no number of one is
// found all the same.
const verifySQL = `SELECT k.id, k.tenant, k.subject, k.shard, k.version, k.name, k.hint, k.hash, k.mac, k.scopes,
	k.created_at, k.expires_at, k.deleted_at, k.rotated_from, k.rotated_at, k.life_ends_at, k.create_token, k.create_digest,
	(SELECT o.deactivated_at FROM lanyard_owner_states AS o WHERE o.tenant = k.tenant AND o.subject = k.subject),
	(SELECT e.epoch FROM lanyard_epochs AS e WHERE e.shard = k.shard)
FROM lanyard_api_keys AS k
WHERE k.hash = `

// APIKeyByHash implements [store.APIKeys]. The statement is prepared once and
// the hash is bound to it: with the builder, which writes it into the text,
// a lookup takes about five times as long and the hash stands in the server's
// log.
func (s *Store) APIKeyByHash(ctx context.Context, hash []byte) (store.KeyLookup, error) {
	return read(ctx, s, "APIKeyByHash", nil, func(ctx context.Context) (store.KeyLookup, error) {
		if s.pooled {
			return lookup(s.db.DB.QueryRowContext(ctx, verifySQL+s.dialect.placeholder, hash))
		}
		stmt, err := s.verifyStmt(ctx)
		if err != nil {
			return store.KeyLookup{}, err
		}
		return lookup(stmt.QueryRowContext(ctx, hash))
	})
}

func (s *Store) verifyStmt(ctx context.Context) (*sql.Stmt, error) {
	if stmt := s.byHash.Load(); stmt != nil {
		return stmt, nil
	}
	stmt, err := s.db.DB.PrepareContext(ctx, verifySQL+s.dialect.placeholder)
	if err != nil {
		return nil, err
	}
	if !s.byHash.CompareAndSwap(nil, stmt) { // another was quicker
		_ = stmt.Close()
	}
	if s.closed.Load() { // meanwhile, and Close may have seen none
		_ = stmt.Close()
		return nil, lanyard.ErrClosed
	}
	return s.byHash.Load(), nil
}

func lookup(row *sql.Row) (store.KeyLookup, error) {
	var (
		k           apiKeyRow
		deactivated instant
		epoch       sql.NullInt64
	)
	err := row.Scan(&k.ID, &k.Tenant, &k.Subject, &k.Shard, &k.Version, &k.Name, &k.Hint, &k.Hash, &k.MAC, &k.Scopes,
		&k.CreatedAt, &k.ExpiresAt, &k.DeletedAt, &k.RotatedFrom, &k.RotatedAt, &k.LifeEndsAt, &k.CreateToken, &k.CreateDigest,
		&deactivated, &epoch)
	if err != nil {
		return store.KeyLookup{}, err
	}
	found := store.KeyLookup{Key: k.toRecord(), Owner: store.OwnerState{DeactivatedAt: deactivated.Time}, Epoch: epoch.Int64}
	switch {
	case k.Shard != store.Shard(found.Key.Owner): // nobody would hear of a change of it
		return store.KeyLookup{}, store.ErrDamaged
	case !epoch.Valid:
		return store.KeyLookup{}, errEpochs
	}
	return found, nil
}
