package bunstore

import (
	"context"
	"database/sql"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// verifySQL is what one verification reads: one statement, so one snapshot.
// The columns stand in the order in which lookup scans them.
const verifySQL = `SELECT k.id, k.tenant, k.subject, k.version, k.name, k.hint, k.hash, k.mac, k.scopes,
	k.created_at, k.expires_at, k.deleted_at, k.rotated_from, k.rotated_at, k.life_ends_at, k.create_token, k.create_digest,
	o.deactivated_at, e.epoch
FROM lanyard_api_keys AS k
JOIN lanyard_epochs AS e ON e.shard = k.shard
LEFT JOIN lanyard_owner_states AS o ON o.tenant = k.tenant AND o.subject = k.subject
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
		epoch       int64
	)
	err := row.Scan(&k.ID, &k.Tenant, &k.Subject, &k.Version, &k.Name, &k.Hint, &k.Hash, &k.MAC, &k.Scopes,
		&k.CreatedAt, &k.ExpiresAt, &k.DeletedAt, &k.RotatedFrom, &k.RotatedAt, &k.LifeEndsAt, &k.CreateToken, &k.CreateDigest,
		&deactivated, &epoch)
	return store.KeyLookup{
		Key: k.toRecord(), Owner: store.OwnerState{DeactivatedAt: deactivated.Time}, Epoch: epoch,
	}, err
}
