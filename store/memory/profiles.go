package memory

import (
	"context"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Profile implements [store.Profiles].
func (s *Store) Profile(ctx context.Context, owner lanyard.Owner) (store.Profile, error) {
	unlock, err := s.lock(ctx, owner.Validate())
	if err != nil {
		return store.Profile{}, err
	}
	defer unlock()
	p, ok := s.profiles[owner]
	if !ok {
		return store.Profile{}, failed("profile", lanyard.ErrNotFound)
	}
	return copyProfile(p), nil
}

// CreateProfile implements [store.Profiles].
func (s *Store) CreateProfile(ctx context.Context, p store.Profile, e lanyard.Event) error {
	unlock, err := s.lock(ctx, p.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := s.profiles[p.Owner]; ok {
		return failed("create profile", lanyard.ErrExists)
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	p.Version = 1
	s.profiles[p.Owner] = copyProfile(p)
	s.addEvent(e)
	return nil
}

// UpdateProfile implements [store.Profiles].
func (s *Store) UpdateProfile(ctx context.Context, p store.Profile, e lanyard.Event) error {
	unlock, err := s.lock(ctx, p.Validate(), store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	old, ok := s.profiles[p.Owner]
	if !ok {
		return failed("update profile", lanyard.ErrNotFound)
	}
	if old.Version != p.Version {
		return failed("update profile", lanyard.ErrConflict)
	}
	if err := s.checkEvent(e); err != nil {
		return err
	}
	p.Version++
	p.CreatedAt = old.CreatedAt
	s.profiles[p.Owner] = copyProfile(p)
	s.addEvent(e)
	return nil
}

// RefreshProfile implements [store.Profiles].
func (s *Store) RefreshProfile(ctx context.Context, p store.Profile) error {
	unlock, err := s.lock(ctx, p.Validate())
	if err != nil {
		return err
	}
	defer unlock()
	stored, ok := s.profiles[p.Owner]
	if !ok {
		return failed("refresh profile", lanyard.ErrNotFound)
	}
	if stored.Version != p.Version {
		return failed("refresh profile", lanyard.ErrConflict)
	}
	stored.Directory, stored.Locale, stored.ZoneInfo = p.Directory, p.Locale, p.ZoneInfo
	s.profiles[p.Owner] = stored
	return nil
}

// copyProfile returns a copy that shares nothing, with times as a store keeps
// them.
func copyProfile(p store.Profile) store.Profile {
	p.GivenName = copyString(p.GivenName)
	p.FamilyName = copyString(p.FamilyName)
	p.CreatedAt = store.Instant(p.CreatedAt)
	p.UpdatedAt = store.Instant(p.UpdatedAt)
	return p
}

func copyString(s *string) *string {
	if s == nil {
		return nil
	}
	c := *s
	return &c
}
