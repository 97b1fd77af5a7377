package apikey

import (
	"context"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// maxGrace is how long a rotated key may go on.
const maxGrace = 30 * 24 * time.Hour

// lastInstant is the last one that RFC 3339 can write.
var lastInstant = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)

// RotateRequest asks for a successor.
type RotateRequest struct {
	Grace   time.Duration // how long the old key goes on; 0 = not at all; at most 30 days
	Version int64         // of the old key; 0 = any
}

// Rotated is the successor and what became of the old key.
type Rotated struct {
	Key          Key
	Secret       lanyard.Secret
	OldExpiresAt time.Time
}

// Rotate makes a successor with the same name, scopes and life: where the old
// key expires, the successor lives as long from now as the old one did from its
// creation, though not beyond the year 9999 or Options.MaxLife. The old key goes on for the grace
// and not beyond its own expiry. A successor counts for the limit like any key.
//
// Errors: ErrExpired for an expired key; lanyard.ErrConflict when the key has a
// live successor, or the version is stale; lanyard.ErrLimit;
// lanyard.ErrNotFound; lanyard.ErrForbidden for a key whose row is not
// authentic. When the answer was lost, and with it the token, delete the
// successor and rotate again; after a rotation without grace, create a new key.
func (s *Service) Rotate(ctx context.Context, owner lanyard.Owner, id string, r RotateRequest) (_ Rotated, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Rotate", keyID(id)...)
	defer end(&err)
	if s.closed.Load() {
		return Rotated{}, errClosed
	}
	if r.Grace < 0 || r.Grace > maxGrace {
		return Rotated{}, fmt.Errorf("apikey: rotate: %w", &lanyard.InputError{
			Field: "grace_seconds", Code: lanyard.CodeInvalid, Message: "a grace lasts 0 seconds to 30 days"})
	}
	var rotated Rotated
	err = s.change(ctx, owner, id, r.Version, func(old store.APIKey) (err error) {
		rotated, err = s.rotate(ctx, old, r.Grace)
		return err
	})
	if err != nil {
		return Rotated{}, fmt.Errorf("apikey: rotate: %w", err)
	}
	return rotated, nil
}

func (s *Service) rotate(ctx context.Context, old store.APIKey, grace time.Duration) (Rotated, error) {
	now := s.now()
	if expired(old.ExpiresAt, now) {
		return Rotated{}, ErrExpired
	}
	authentic, err := s.authentic(ctx, old)
	if err != nil {
		return Rotated{}, err
	}
	if !authentic {
		s.alarm(ctx, old.ID)
		return Rotated{}, fmt.Errorf("the row failed its integrity check: %w", lanyard.ErrForbidden)
	}

	t := newToken(s.prefix)
	hash := t.hash()
	next := store.APIKey{
		ID: t.id, Owner: old.Owner, Name: old.Name, Hint: t.hint(), Hash: hash[:], Scopes: old.Scopes,
		CreatedAt: now, ExpiresAt: s.sameLife(old, now), RotatedFrom: old.ID,
	}
	if old.RotatedAt.IsZero() {
		old.LifeEndsAt = old.ExpiresAt
	}
	if end := store.Instant(now.Add(grace)); old.ExpiresAt.IsZero() || end.Before(old.ExpiresAt) {
		old.ExpiresAt = end
	}
	old.RotatedAt = now
	for _, k := range []*store.APIKey{&old, &next} {
		if err := s.sign(ctx, k); err != nil {
			return Rotated{}, err
		}
	}
	e := s.event(ctx, now, ActionRotated, old).With(DetailSuccessor, next.ID)
	if err := s.store.RotateAPIKey(ctx, old, next, s.limit, e); err != nil && !s.arrived(ctx, next, err) {
		s.doubt(old.Owner, err)
		return Rotated{}, err
	}
	next.Version = 1
	s.refreshOwner(ctx, old.Owner)
	s.onEvent(ctx, e)
	return Rotated{Key: fromRecord(next, now), Secret: t.secret(), OldExpiresAt: old.ExpiresAt}, nil
}

// sameLife is when a key made now expires if it lives as long as old would have
// without being rotated, and no longer than Options.MaxLife. It counts microseconds, because a time.Duration
// ends after 292 years.
func (s *Service) sameLife(old store.APIKey, now time.Time) time.Time {
	var end time.Time
	ends := old.ExpiresAt
	if !old.RotatedAt.IsZero() {
		ends = old.LifeEndsAt
	}
	if !ends.IsZero() {
		life := ends.UnixMicro() - old.CreatedAt.UnixMicro()
		if end = time.UnixMicro(now.UnixMicro() + life).UTC(); end.After(lastInstant) {
			end = lastInstant
		}
	}
	if longest := now.Add(s.maxLife).Add(lifeSlack); s.maxLife > 0 && (end.IsZero() || end.After(longest)) {
		return now.Add(s.maxLife)
	}
	return end
}
