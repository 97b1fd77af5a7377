package memory

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// APIKeyByHash implements [store.APIKeys].
func (s *Store) APIKeyByHash(ctx context.Context, hash []byte) (store.KeyLookup, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return store.KeyLookup{}, err
	}
	defer unlock()
	for _, k := range s.keys {
		if bytes.Equal(k.Hash, hash) {
			return store.KeyLookup{
				Key:   copyKey(k),
				Owner: s.states[k.Owner],
				Epoch: s.epochs[store.Shard(k.Owner)],
			}, nil
		}
	}
	return store.KeyLookup{}, failed("key by hash", lanyard.ErrNotFound)
}

// APIKey implements [store.APIKeys].
func (s *Store) APIKey(ctx context.Context, owner lanyard.Owner, id string) (store.APIKey, error) {
	unlock, err := s.lock(ctx, owner.Validate())
	if err != nil {
		return store.APIKey{}, err
	}
	defer unlock()
	k, err := s.liveKey(owner, id)
	if err != nil {
		return store.APIKey{}, err
	}
	return s.withUse(k), nil
}

// APIKeys implements [store.APIKeys].
func (s *Store) APIKeys(ctx context.Context, owner lanyard.Owner) ([]store.APIKey, error) {
	unlock, err := s.lock(ctx, owner.Validate())
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys := s.liveKeys(func(k store.APIKey) bool { return k.Owner == owner })
	slices.SortFunc(keys, func(a, b store.APIKey) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

// APIKeyByCreateToken implements [store.APIKeys].
func (s *Store) APIKeyByCreateToken(ctx context.Context, owner lanyard.Owner, createToken []byte) (store.APIKey, error) {
	unlock, err := s.lock(ctx, owner.Validate())
	if err != nil {
		return store.APIKey{}, err
	}
	defer unlock()
	for _, k := range s.keys {
		if k.Owner == owner && len(createToken) > 0 && bytes.Equal(k.CreateToken, createToken) {
			return s.withUse(k), nil
		}
	}
	return store.APIKey{}, failed("key by create token", lanyard.ErrNotFound)
}

// CreateAPIKey implements [store.APIKeys].
func (s *Store) CreateAPIKey(ctx context.Context, k store.APIKey, limit int, e lanyard.Event) error {
	unlock, err := s.lock(ctx, k.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkNewKey(k, limit); err != nil {
		return err
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	s.putNewKey(k)
	s.addEvent(e)
	return nil
}

// UpdateAPIKey implements [store.APIKeys].
func (s *Store) UpdateAPIKey(ctx context.Context, k store.APIKey, e lanyard.Event) error {
	unlock, err := s.lock(ctx, k.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.liveKey(k.Owner, k.ID)
	if err != nil {
		return err
	}
	if old.Version != k.Version {
		return failed("update key", lanyard.ErrConflict)
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	s.putUpdatedKey(old, k)
	s.addEvent(e)
	return nil
}

// RotateAPIKey implements [store.APIKeys].
func (s *Store) RotateAPIKey(ctx context.Context, old, next store.APIKey, limit int, e lanyard.Event) error {
	unlock, err := s.lock(ctx, old.Validate(), next.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	if next.Owner != old.Owner || next.RotatedFrom != old.ID {
		return &lanyard.InputError{Field: "rotated_from", Code: lanyard.CodeInvalid, Message: "the successor names another key"}
	}
	stored, err := s.liveKey(old.Owner, old.ID)
	if err != nil {
		return err
	}
	if stored.Version != old.Version {
		return failed("rotate key", lanyard.ErrConflict)
	}
	for _, k := range s.keys {
		if k.DeletedAt.IsZero() && k.RotatedFrom == old.ID {
			return failed("rotate key", lanyard.ErrConflict)
		}
	}
	if err := s.checkNewKey(next, limit); err != nil {
		return err
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	s.putUpdatedKey(stored, old)
	s.putNewKey(next)
	s.addEvent(e)
	return nil
}

// DeleteAPIKey implements [store.APIKeys].
func (s *Store) DeleteAPIKey(ctx context.Context, k store.APIKey, e lanyard.Event) error {
	unlock, err := s.lock(ctx, k.Owner.Validate(), store.ValidateInstant("deleted_at", k.DeletedAt), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.liveKey(k.Owner, k.ID)
	if err != nil {
		return err
	}
	if k.Version != 0 && k.Version != old.Version {
		return failed("delete key", lanyard.ErrConflict)
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	old.MAC = bytes.Clone(k.MAC)
	s.bury(old, k.DeletedAt)
	s.addEvent(e)
	return nil
}

// RecordKeyUse implements [store.APIKeys].
func (s *Store) RecordKeyUse(ctx context.Context, uses []store.KeyUse) error {
	checks := make([]error, len(uses))
	for i, u := range uses {
		checks[i] = u.Validate()
	}
	unlock, err := s.lock(ctx, checks...)
	if err != nil {
		return err
	}
	defer unlock()
	for _, u := range uses {
		k, ok := s.keys[u.ID]
		if ok && k.DeletedAt.IsZero() && !u.At.IsZero() {
			s.keyUse[u.ID] = s.keyUse[u.ID].Add(u)
		}
	}
	return nil
}

// liveKey finds a live key of the owner.
func (s *Store) liveKey(owner lanyard.Owner, id string) (store.APIKey, error) {
	k, ok := s.keys[id]
	if !ok || k.Owner != owner || !k.DeletedAt.IsZero() {
		return store.APIKey{}, failed("key", lanyard.ErrNotFound)
	}
	return k, nil
}

func (s *Store) liveKeys(want func(store.APIKey) bool) []store.APIKey {
	var keys []store.APIKey
	for _, k := range s.keys {
		if k.DeletedAt.IsZero() && want(k) {
			keys = append(keys, s.withUse(k))
		}
	}
	return keys
}

// checkNewKey reports what stands against creating k. A taken create token
// comes before the limit, so that a repeated request finds its key.
func (s *Store) checkNewKey(k store.APIKey, limit int) error {
	live := 0
	for _, other := range s.keys {
		sameOwner := other.Owner == k.Owner
		switch {
		case other.ID == k.ID, bytes.Equal(other.Hash, k.Hash),
			sameOwner && len(k.CreateToken) > 0 && bytes.Equal(other.CreateToken, k.CreateToken):
			return failed("create key", lanyard.ErrExists)
		case sameOwner && other.DeletedAt.IsZero():
			live++
		}
	}
	if limit >= 0 && live >= limit {
		return failed("create key", lanyard.ErrLimit)
	}
	return nil
}

func (s *Store) putNewKey(k store.APIKey) {
	k.Version = 1
	k.DeletedAt = time.Time{}
	s.keys[k.ID] = copyKey(k)
}

func (s *Store) putUpdatedKey(old, k store.APIKey) {
	s.touch(old.Owner)
	old.Version++
	old.Name, old.Scopes, old.ExpiresAt, old.MAC = k.Name, k.Scopes, k.ExpiresAt, k.MAC
	old.RotatedAt, old.LifeEndsAt = k.RotatedAt, k.LifeEndsAt
	s.keys[old.ID] = copyKey(old)
}

func (s *Store) bury(k store.APIKey, at time.Time) {
	s.touch(k.Owner)
	k.Version++
	k.DeletedAt = store.Instant(at)
	s.keys[k.ID] = k
}

// withUse returns a copy of k with what is known of its uses.
func (s *Store) withUse(k store.APIKey) store.APIKey {
	k = copyKey(k)
	k.KeyUsage = s.keyUse[k.ID]
	return k
}

// copyKey returns a copy that shares nothing, with times as a store keeps them
// and without its uses, which are kept apart.
func copyKey(k store.APIKey) store.APIKey {
	k.Hash = clone(k.Hash)
	k.MAC = clone(k.MAC)
	k.Scopes = clone(k.Scopes)
	k.CreateToken = clone(k.CreateToken)
	k.CreateDigest = clone(k.CreateDigest)
	k.CreatedAt = store.Instant(k.CreatedAt)
	k.ExpiresAt = store.Instant(k.ExpiresAt)
	k.RotatedAt = store.Instant(k.RotatedAt)
	k.LifeEndsAt = store.Instant(k.LifeEndsAt)
	k.DeletedAt = store.Instant(k.DeletedAt)
	k.KeyUsage = store.KeyUsage{}
	return k
}
