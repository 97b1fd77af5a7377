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

// ProviderToken implements [store.ProviderTokens].
func (s *Store) ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (store.ProviderToken, error) {
	unlock, err := s.lock(ctx, owner.Validate())
	if err != nil {
		return store.ProviderToken{}, err
	}
	defer unlock()
	t, err := s.token(owner, id)
	if err != nil {
		return store.ProviderToken{}, err
	}
	return copyToken(t), nil
}

// ProviderTokens implements [store.ProviderTokens].
func (s *Store) ProviderTokens(ctx context.Context, owner lanyard.Owner) ([]store.ProviderToken, error) {
	unlock, err := s.lock(ctx, owner.Validate())
	if err != nil {
		return nil, err
	}
	defer unlock()
	var tokens []store.ProviderToken
	for _, t := range s.tokens {
		if t.Owner == owner {
			tokens = append(tokens, copyToken(t))
		}
	}
	slices.SortFunc(tokens, func(a, b store.ProviderToken) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return tokens, nil
}

// CreateProviderToken implements [store.ProviderTokens].
func (s *Store) CreateProviderToken(ctx context.Context, t store.ProviderToken, limit int, e lanyard.Event) error {
	unlock, err := s.lock(ctx, t.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	if _, taken := s.tokens[t.ID]; taken || s.labelTaken(t) {
		return failed("create provider token", lanyard.ErrExists)
	}
	if s.ownerKeys[t.Owner].ID != t.OwnerKeyID {
		return failed("create provider token", store.ErrOwnerKeyGone)
	}
	count := 0
	for _, other := range s.tokens {
		if other.Owner == t.Owner {
			count++
		}
	}
	if limit >= 0 && count >= limit {
		return failed("create provider token", lanyard.ErrLimit)
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	t.Version = 1
	t.LastUsedAt = time.Time{}
	s.tokens[t.ID] = copyToken(t)
	s.addEvent(e)
	return nil
}

// UpdateProviderToken implements [store.ProviderTokens].
func (s *Store) UpdateProviderToken(ctx context.Context, t store.ProviderToken, e lanyard.Event) error {
	unlock, err := s.lock(ctx, t.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.token(t.Owner, t.ID)
	if err != nil {
		return err
	}
	if old.Version != t.Version {
		return failed("update provider token", lanyard.ErrConflict)
	}
	t.ProviderID, t.CreatedAt, t.LastUsedAt = old.ProviderID, old.CreatedAt, old.LastUsedAt
	if s.labelTaken(t) {
		return failed("update provider token", lanyard.ErrExists)
	}
	if s.ownerKeys[t.Owner].ID != t.OwnerKeyID {
		return failed("update provider token", store.ErrOwnerKeyGone)
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	t.Version++
	s.tokens[t.ID] = copyToken(t)
	s.addEvent(e)
	return nil
}

// DeleteProviderToken implements [store.ProviderTokens].
func (s *Store) DeleteProviderToken(ctx context.Context, owner lanyard.Owner, id string, version int64, e lanyard.Event) error {
	unlock, err := s.lock(ctx, owner.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	t, err := s.token(owner, id)
	if err != nil {
		return err
	}
	if version != 0 && version != t.Version {
		return failed("delete provider token", lanyard.ErrConflict)
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	delete(s.tokens, id)
	s.addEvent(e)
	return nil
}

// RecordTokenUse implements [store.ProviderTokens].
func (s *Store) RecordTokenUse(ctx context.Context, owner lanyard.Owner, id string, at time.Time) error {
	unlock, err := s.lock(ctx, owner.Validate())
	if err != nil {
		return err
	}
	defer unlock()
	at = store.Instant(at)
	if t, err := s.token(owner, id); err == nil && at.After(t.LastUsedAt) {
		t.LastUsedAt = at
		s.tokens[id] = t
	}
	return nil
}

// token finds a connection of the owner.
func (s *Store) token(owner lanyard.Owner, id string) (store.ProviderToken, error) {
	t, ok := s.tokens[id]
	if !ok || t.Owner != owner {
		return store.ProviderToken{}, failed("provider token", lanyard.ErrNotFound)
	}
	return t, nil
}

// labelTaken reports whether another connection of the owner has t's provider
// and label.
func (s *Store) labelTaken(t store.ProviderToken) bool {
	for _, other := range s.tokens {
		if other.ID != t.ID && other.Owner == t.Owner && other.ProviderID == t.ProviderID && other.Label == t.Label {
			return true
		}
	}
	return false
}

// copyToken returns a copy that shares nothing, with times as a store keeps
// them.
func copyToken(t store.ProviderToken) store.ProviderToken {
	t.Fields = cloneMap(t.Fields)
	t.Secrets = cloneMap(t.Secrets)
	for name, secret := range t.Secrets {
		secret.Envelope = bytes.Clone(secret.Envelope)
		secret.UpdatedAt = store.Instant(secret.UpdatedAt)
		t.Secrets[name] = secret
	}
	t.CheckedAt = store.Instant(t.CheckedAt)
	t.ExpiresAt = store.Instant(t.ExpiresAt)
	t.CreatedAt = store.Instant(t.CreatedAt)
	t.UpdatedAt = store.Instant(t.UpdatedAt)
	t.LastUsedAt = store.Instant(t.LastUsedAt)
	return t
}
