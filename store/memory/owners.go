package memory

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// OwnerKey implements [store.OwnerKeys].
func (s *Store) OwnerKey(ctx context.Context, owner lanyard.Owner) (store.OwnerKey, error) {
	unlock, err := s.lock(ctx, validKeyOwner(owner))
	if err != nil {
		return store.OwnerKey{}, err
	}
	defer unlock()
	k, ok := s.ownerKeys[owner]
	if !ok {
		return store.OwnerKey{}, failed("owner key", lanyard.ErrNotFound)
	}
	return copyOwnerKey(k), nil
}

// CreateOwnerKey implements [store.OwnerKeys].
func (s *Store) CreateOwnerKey(ctx context.Context, k store.OwnerKey) (store.OwnerKey, error) {
	unlock, err := s.lock(ctx, k.Validate())
	if err != nil {
		return store.OwnerKey{}, err
	}
	defer unlock()
	if winner, ok := s.ownerKeys[k.Owner]; ok {
		return copyOwnerKey(winner), nil
	}
	for _, other := range s.ownerKeys {
		if other.ID == k.ID {
			return store.OwnerKey{}, failed("create owner key", lanyard.ErrExists)
		}
	}
	k.Version = 1
	s.ownerKeys[k.Owner] = copyOwnerKey(k)
	return copyOwnerKey(k), nil
}

// OwnerState implements [store.Owners].
func (s *Store) OwnerState(ctx context.Context, owner lanyard.Owner) (store.OwnerState, error) {
	unlock, err := s.lock(ctx, owner.Validate())
	if err != nil {
		return store.OwnerState{}, err
	}
	defer unlock()
	return s.states[owner], nil
}

// Deactivate implements [store.Owners].
func (s *Store) Deactivate(ctx context.Context, owner lanyard.Owner, at time.Time, e lanyard.Event) error {
	unlock, err := s.lock(ctx, owner.Validate(), store.ValidateInstant("at", at), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	if s.states[owner].Deactivated() {
		return nil
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	s.touch(owner)
	s.states[owner] = store.OwnerState{DeactivatedAt: store.Instant(at)}
	s.addEvent(e)
	return nil
}

// Reactivate implements [store.Owners].
func (s *Store) Reactivate(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error {
	unlock, err := s.lock(ctx, owner.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	if !s.states[owner].Deactivated() {
		return nil
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	s.touch(owner)
	delete(s.states, owner)
	s.addEvent(e)
	return nil
}

// Erase implements [store.Owners].
func (s *Store) Erase(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error {
	unlock, err := s.lock(ctx, owner.Validate(), store.ValidateErasure(owner, e))
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkEvent(e); err != nil {
		return err
	}
	s.touch(owner)
	delete(s.profiles, owner)
	delete(s.ownerKeys, owner)
	delete(s.states, owner)
	maps.DeleteFunc(s.tokens, func(_ string, t store.ProviderToken) bool { return t.Owner == owner })
	maps.DeleteFunc(s.keys, func(id string, k store.APIKey) bool {
		if k.Owner == owner {
			delete(s.keyUse, id)
		}
		return k.Owner == owner
	})
	s.events = slices.DeleteFunc(s.events, func(e lanyard.Event) bool { return e.Owner == owner })
	s.addEvent(e)
	return nil
}

// validKeyOwner allows the system owner besides those that own records.
func validKeyOwner(owner lanyard.Owner) error {
	if owner == (lanyard.Owner{}) {
		return nil
	}
	return owner.Validate()
}

func copyOwnerKey(k store.OwnerKey) store.OwnerKey {
	k.Wrapped = bytes.Clone(k.Wrapped)
	k.CreatedAt = store.Instant(k.CreatedAt)
	return k
}
