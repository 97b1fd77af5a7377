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
	ID        string
	Version   int64
	Name      string
	Hint      string // the first characters of the token: prefix and id, nothing secret
	Scopes    []string
	Status    Status
	CreatedAt time.Time
	ExpiresAt time.Time // zero = never

	// When and from which network it was used; zero = never, "" = not known.
	// FirstUsedAt is zero beside a LastUsedAt where it is not known: the key was
	// imported and had been used before. The network is the /24 of an IPv4 address, the /48 of an IPv6 one.
	FirstUsedAt   time.Time
	FirstUsedFrom string
	LastUsedAt    time.Time
	LastUsedFrom  string

	RotatedFrom string    // id of the key this one replaced; "" = none
	RotatedTo   string    // id of the live key that replaced this one; "" = none
	RotatedAt   time.Time // when it was rotated; zero = never
}

// UsedSinceRotation reports whether something still uses a key that was
// rotated. Where nothing does, it is safe to delete.
func (k Key) UsedSinceRotation() bool {
	return !k.RotatedAt.IsZero() && k.LastUsedAt.After(k.RotatedAt)
}

// Keys returns the owner's keys, newest first, expired ones too.
func (s *Service) Keys(ctx context.Context, owner lanyard.Owner) (_ []Key, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Keys")
	defer end(&err)
	if s.closed.Load() {
		return nil, errClosed
	}
	s.uses.flushOwner(ctx, owner)
	keys, err := s.list(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("apikey: list: %w", err)
	}
	return keys, nil
}

func (s *Service) list(ctx context.Context, owner lanyard.Owner) ([]Key, error) {
	records, err := s.store.APIKeys(ctx, owner)
	if err != nil {
		return nil, err
	}
	successors := make(map[string]string)
	for _, r := range records {
		if r.RotatedFrom != "" {
			successors[r.RotatedFrom] = r.ID
		}
	}
	now := s.now()
	var keys []Key
	for _, r := range records {
		k := fromRecord(r, now)
		k.RotatedTo = successors[k.ID]
		keys = append(keys, k)
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
	s.uses.flushOwner(ctx, owner)
	k, err := s.key(ctx, owner, id)
	if err != nil {
		return Key{}, fmt.Errorf("apikey: key: %w", err)
	}
	return k, nil
}

func (s *Service) key(ctx context.Context, owner lanyard.Owner, id string) (Key, error) {
	r, err := s.stored(ctx, owner, id)
	if err != nil || r.RotatedAt.IsZero() {
		return fromRecord(r, s.now()), err
	}
	keys, err := s.list(ctx, owner) // its successor is among them
	if err != nil {
		return Key{}, err
	}
	i := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
	if i < 0 {
		return Key{}, lanyard.ErrNotFound // deleted since
	}
	return keys[i], nil
}

func fromRecord(k store.APIKey, now time.Time) Key {
	return Key{
		ID: k.ID, Version: k.Version, Name: k.Name, Hint: k.Hint,
		Scopes: slices.Clone(k.Scopes), Status: status(k.ExpiresAt, now),
		CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt,
		FirstUsedAt: k.FirstUsedAt, FirstUsedFrom: k.FirstUsedFrom,
		LastUsedAt: k.LastUsedAt, LastUsedFrom: k.LastUsedFrom,
		RotatedFrom: k.RotatedFrom, RotatedAt: k.RotatedAt,
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
