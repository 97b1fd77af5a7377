package apikey

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Status says what a key is good for now.
type Status string

// The states of a live key.
const (
	StatusActive   Status = "active"
	StatusExpiring Status = "expiring" // expires within 7 days
	StatusExpired  Status = "expired"
)

// expiringSoon is how long before its end a key is StatusExpiring.
const expiringSoon = 7 * 24 * time.Hour

// Key is one key as its owner sees it. It holds neither the token nor its hash.
type Key struct {
	ID          string
	Version     int64
	Name        string
	Hint        string // the first characters of the token: prefix and id, nothing secret
	Scopes      []string
	Status      Status
	CreatedAt   time.Time
	LastUsedAt  time.Time // zero = never used
	ExpiresAt   time.Time // zero = never
	RotatedFrom string    // id of the key this one replaced; "" = none
}

// Keys returns the owner's keys, newest first, expired ones too.
func (s *Service) Keys(ctx context.Context, owner lanyard.Owner) (_ []Key, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Keys")
	defer end(&err)
	if s.closed.Load() {
		return nil, errClosed
	}
	s.uses.flushSoon(ctx)
	records, err := s.store.APIKeys(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("apikey: list: %w", err)
	}
	now := s.now()
	var keys []Key
	for _, r := range records {
		keys = append(keys, fromRecord(r, now))
	}
	return keys, nil
}

// Key returns one key of the owner.
func (s *Service) Key(ctx context.Context, owner lanyard.Owner, id string) (_ Key, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Key", keyID(id)...)
	defer end(&err)
	if s.closed.Load() {
		return Key{}, errClosed
	}
	s.uses.flushSoon(ctx)
	k, err := s.stored(ctx, owner, id)
	if err != nil {
		return Key{}, fmt.Errorf("apikey: key: %w", err)
	}
	return fromRecord(k, s.now()), nil
}

func fromRecord(k store.APIKey, now time.Time) Key {
	return Key{
		ID: k.ID, Version: k.Version, Name: k.Name, Hint: k.Hint,
		Scopes: slices.Clone(k.Scopes), Status: status(k.ExpiresAt, now),
		CreatedAt: k.CreatedAt, LastUsedAt: k.LastUsedAt, ExpiresAt: k.ExpiresAt,
		RotatedFrom: k.RotatedFrom,
	}
}

func status(expires, now time.Time) Status {
	switch {
	case expired(expires, now):
		return StatusExpired
	case !expires.IsZero() && expires.Sub(now) <= expiringSoon:
		return StatusExpiring
	default:
		return StatusActive
	}
}

// expired reports whether a key that expires then is no good any more. The
// instant of expiry is the first at which it is not.
func expired(expires, now time.Time) bool {
	return !expires.IsZero() && !now.Before(expires)
}
