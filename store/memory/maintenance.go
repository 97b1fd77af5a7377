package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// APIKeyByID implements [store.Maintenance].
func (s *Store) APIKeyByID(ctx context.Context, id string) (store.APIKey, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return store.APIKey{}, err
	}
	defer unlock()
	k, ok := s.keys[id]
	if !ok {
		return store.APIKey{}, failed("key", lanyard.ErrNotFound)
	}
	return s.withUse(k), nil
}

// DeleteAPIKeyByID implements [store.Maintenance].
func (s *Store) DeleteAPIKeyByID(ctx context.Context, id string, at time.Time, event func(store.APIKey) lanyard.Event) error {
	unlock, err := s.lock(ctx, store.ValidateInstant("at", at))
	if err != nil {
		return err
	}
	defer unlock()
	k, ok := s.keys[id]
	if !ok || !k.DeletedAt.IsZero() {
		return failed("delete key", lanyard.ErrNotFound)
	}
	return s.deleteAll([]store.APIKey{k}, at, event)
}

// DeleteAPIKeysCreatedBefore implements [store.Maintenance].
func (s *Store) DeleteAPIKeysCreatedBefore(ctx context.Context, before, at time.Time, limit int, event func(store.APIKey) lanyard.Event) (int, error) {
	unlock, err := s.lock(ctx, store.ValidateInstant("at", at))
	if err != nil {
		return 0, err
	}
	defer unlock()
	keys := page(s.liveKeys(func(k store.APIKey) bool { return k.CreatedAt.Before(before) }), keyID, "", limit)
	if err := s.deleteAll(keys, at, event); err != nil {
		return 0, err
	}
	return len(keys), nil
}

// deleteAll makes tombstones without a MAC of the keys, or changes nothing.
func (s *Store) deleteAll(keys []store.APIKey, at time.Time, event func(store.APIKey) lanyard.Event) error {
	var events []lanyard.Event
	for _, k := range keys {
		e := event(copyKey(k))
		if err := cmp.Or(store.ValidateEvent(e), s.checkEvent(e)); err != nil {
			return err
		}
		events = append(events, e)
	}
	for i, k := range keys {
		k = copyKey(k)
		k.MAC = nil
		s.bury(k, at)
		s.addEvent(events[i])
	}
	return nil
}

// ExpiringAPIKeys implements [store.Maintenance].
func (s *Store) ExpiringAPIKeys(ctx context.Context, from, to time.Time, after string, limit int) ([]store.APIKey, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys := s.liveKeys(func(k store.APIKey) bool { return within(k.ExpiresAt, from, to) })
	return page(keys, keyID, after, limit), nil
}

// AllAPIKeys implements [store.Maintenance].
func (s *Store) AllAPIKeys(ctx context.Context, after string, limit int) ([]store.APIKey, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys := page(s.liveKeys(func(store.APIKey) bool { return true }), keyID, after, limit)
	for i := range keys {
		keys[i].KeyUsage = store.KeyUsage{}
	}
	return keys, nil
}

// UnsignedAPIKeys implements [store.Maintenance].
func (s *Store) UnsignedAPIKeys(ctx context.Context, after string, limit int) ([]store.APIKey, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys := s.liveKeys(func(k store.APIKey) bool { return len(k.MAC) == 0 })
	return page(keys, keyID, after, limit), nil
}

// SignAPIKey implements [store.Maintenance].
func (s *Store) SignAPIKey(ctx context.Context, k store.APIKey) error {
	unlock, err := s.lock(ctx, k.Owner.Validate())
	if err != nil {
		return err
	}
	defer unlock()
	stored, err := s.liveKey(k.Owner, k.ID)
	if err != nil {
		return err
	}
	if stored.Version != k.Version {
		return failed("sign key", lanyard.ErrConflict)
	}
	stored.MAC = bytes.Clone(k.MAC)
	s.keys[k.ID] = stored
	return nil
}

// ExpiringProviderTokens implements [store.Maintenance].
func (s *Store) ExpiringProviderTokens(ctx context.Context, from, to time.Time, after string, limit int) ([]store.ProviderToken, error) {
	return s.tokenPage(ctx, after, limit, func(t store.ProviderToken) bool { return within(t.ExpiresAt, from, to) })
}

// AllProviderTokens implements [store.Maintenance].
func (s *Store) AllProviderTokens(ctx context.Context, after string, limit int) ([]store.ProviderToken, error) {
	return s.tokenPage(ctx, after, limit, func(store.ProviderToken) bool { return true })
}

func (s *Store) tokenPage(ctx context.Context, after string, limit int, want func(store.ProviderToken) bool) ([]store.ProviderToken, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var tokens []store.ProviderToken
	for _, t := range s.tokens {
		if want(t) {
			tokens = append(tokens, copyToken(t))
		}
	}
	return page(tokens, func(t store.ProviderToken) string { return t.ID }, after, limit), nil
}

// AllOwnerKeys implements [store.Maintenance].
func (s *Store) AllOwnerKeys(ctx context.Context, after string, limit int) ([]store.OwnerKey, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var keys []store.OwnerKey
	for _, k := range s.ownerKeys {
		keys = append(keys, copyOwnerKey(k))
	}
	return page(keys, func(k store.OwnerKey) string { return k.ID }, after, limit), nil
}

// RewrapOwnerKey implements [store.Maintenance].
func (s *Store) RewrapOwnerKey(ctx context.Context, k store.OwnerKey) error {
	k.CreatedAt = time.Time{} // it is not written, so it is not looked at
	unlock, err := s.lock(ctx, k.Validate())
	if err != nil {
		return err
	}
	defer unlock()
	stored, ok := s.ownerKeys[k.Owner]
	if !ok || stored.ID != k.ID {
		return failed("rewrap owner key", lanyard.ErrNotFound)
	}
	if stored.Version != k.Version {
		return failed("rewrap owner key", lanyard.ErrConflict)
	}
	stored.Version++
	stored.Secrets, stored.KeyVersion, stored.Wrapped = k.Secrets, k.KeyVersion, k.Wrapped
	s.ownerKeys[k.Owner] = copyOwnerKey(stored)
	return nil
}

// CountOwnerKeys implements [store.Maintenance].
func (s *Store) CountOwnerKeys(ctx context.Context) ([]store.OwnerKeyCount, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	counts := map[store.OwnerKeyCount]int{}
	for _, k := range s.ownerKeys {
		counts[store.OwnerKeyCount{Secrets: k.Secrets, KeyVersion: k.KeyVersion}]++
	}
	var out []store.OwnerKeyCount
	for c, n := range counts {
		c.Count = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b store.OwnerKeyCount) int {
		return cmp.Or(cmp.Compare(a.Secrets, b.Secrets), cmp.Compare(a.KeyVersion, b.KeyVersion))
	})
	return out, nil
}

// Purge implements [store.Maintenance].
func (s *Store) Purge(ctx context.Context, p store.Purge) (store.Purged, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return store.Purged{}, err
	}
	defer unlock()
	var done store.Purged
	kept := len(s.events)
	s.events = slices.DeleteFunc(s.events, func(e lanyard.Event) bool { return e.At.Before(p.EventsBefore) })
	done.Events = kept - len(s.events)

	maps.DeleteFunc(s.keyUse, func(_ string, u store.KeyUsage) bool {
		old := u.LastUsedAt.Before(p.UsageBefore)
		if old {
			done.Usage++
		}
		return old
	})
	maps.DeleteFunc(s.keys, func(id string, k store.APIKey) bool {
		old := !k.DeletedAt.IsZero() && k.DeletedAt.Before(p.TombstonesBefore)
		if old {
			done.Tombstones++
			delete(s.keyUse, id)
		}
		return old
	})
	return done, nil
}

func keyID(k store.APIKey) string { return k.ID }

// within reports whether t is set and lies in [from, to).
func within(t, from, to time.Time) bool {
	return !t.IsZero() && !t.Before(from) && t.Before(to)
}

// page returns the records that follow the id after, by id, at most limit.
func page[T any](records []T, id func(T) string, after string, limit int) []T {
	slices.SortFunc(records, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	start, _ := slices.BinarySearchFunc(records, after, func(r T, after string) int {
		if id(r) <= after {
			return -1
		}
		return 1
	})
	rest := records[start:]
	return rest[:max(0, min(limit, len(rest)))]
}
