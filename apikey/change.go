package apikey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

// tombstoneTimeout bounds how long a deletion waits for the key service.
const tombstoneTimeout = 2 * time.Second

// Rename gives a key another name. A version other than 0 must be the key's,
// else lanyard.ErrConflict. The name it has already changes nothing.
func (s *Service) Rename(ctx context.Context, owner lanyard.Owner, id string, version int64, name string) (_ Key, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Rename", keyID(id)...)
	defer end(&err)
	if s.closed.Load() {
		return Key{}, errClosed
	}
	now := s.now()
	name, err = keyName(name)
	if err != nil {
		return Key{}, fmt.Errorf("apikey: rename: %w", err)
	}
	var renamed store.APIKey
	err = s.change(ctx, owner, id, version, func(k store.APIKey) error {
		renamed = k
		if k.Name == name {
			return nil
		}
		k.Name = name
		e := s.event(ctx, now, ActionRenamed, k)
		// The MAC goes back as it came: a name authorises nothing, and signing
		// a row anew would make a forged one good.
		if err := s.store.UpdateAPIKey(ctx, k, e); err != nil {
			return err
		}
		k.Version++
		renamed = k
		s.onEvent(ctx, e)
		return nil
	})
	if err != nil {
		return Key{}, fmt.Errorf("apikey: rename: %w", err)
	}
	return fromRecord(renamed, now), nil
}

// Delete ends a key for good. A version other than 0 must be the key's, else
// lanyard.ErrConflict. Deleting twice is lanyard.ErrNotFound.
//
// What is left is a tombstone, by which a later use is known as one. Nothing
// brings the key back, and a key service that is down keeps nobody from
// deleting.
func (s *Service) Delete(ctx context.Context, owner lanyard.Owner, id string, version int64) (err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Delete", keyID(id)...)
	defer end(&err)
	if s.closed.Load() {
		return errClosed
	}
	k, err := s.stored(ctx, owner, id)
	if errors.Is(err, store.ErrDamaged) { // no reason to keep it
		k, err = store.APIKey{ID: id, Owner: owner}, nil
	}
	if err != nil {
		return fmt.Errorf("apikey: delete: %w", err)
	}
	k.Version, k.DeletedAt = version, s.now()
	s.signTombstone(ctx, &k)
	e := s.event(ctx, k.DeletedAt, ActionDeleted, k)
	if err := s.store.DeleteAPIKey(ctx, k, e); err != nil {
		s.doubt(owner, err)
		return fmt.Errorf("apikey: delete: %w", err)
	}
	s.refreshOwner(ctx, owner)
	s.onEvent(ctx, e)
	return nil
}

// signTombstone signs a deleted row, or leaves it unsigned: either way, who
// clears deleted_at in the table gets a key that is refused.
func (s *Service) signTombstone(ctx context.Context, k *store.APIKey) {
	ctx, cancel := context.WithTimeout(ctx, tombstoneTimeout)
	defer cancel()
	if err := s.sign(ctx, k); err != nil {
		s.logger.WarnContext(ctx, "deleted api key was not signed",
			slog.String("key_id", k.ID), slog.String("outcome", telemetry.Outcome(err)))
	}
}
