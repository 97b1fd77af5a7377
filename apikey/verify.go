package apikey

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Verify returns whom token speaks for: Owner, Via, KeyID and Scopes. It
// returns lanyard.ErrUnauthenticated for every token that is not good, whatever
// the reason, and lanyard.ErrUnavailable when it cannot tell.
//
// A token that is malformed, of another service or mistyped is refused without
// asking the store; any other costs one query. When the token was good, the
// time is noted and stored later: see Key.LastUsedAt.
func (s *Service) Verify(ctx context.Context, token string) (lanyard.Principal, error) {
	if s.closed.Load() {
		s.counted.add(ctx, outcomeClosed)
		return lanyard.Principal{}, errClosed
	}
	t, ok := parseToken(token, s.accepts)
	if !ok {
		s.counted.add(ctx, outcomeMalformed)
		return lanyard.Principal{}, errRefused
	}
	p, outcome, err := s.lookUp(ctx, t)
	s.counted.add(ctx, outcome)
	return p, err
}

// lookUp verifies a well-formed token at the store and says how that ended.
func (s *Service) lookUp(ctx context.Context, t token) (_ lanyard.Principal, outcome string, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Verify", keyID(t.id)...)
	defer end(&err)

	hash := t.hash()
	row, err := s.store.APIKeyByHash(ctx, hash[:])
	switch {
	case errors.Is(err, lanyard.ErrNotFound):
		return lanyard.Principal{}, outcomeUnknown, errRefused
	case err != nil:
		return lanyard.Principal{}, outcomeUnavailable, fmt.Errorf("apikey: verify: %w", unavailable(err))
	}
	now := s.now()
	outcome, err = s.judge(ctx, t, hash[:], row, now)
	switch {
	case err != nil:
		return lanyard.Principal{}, outcome, fmt.Errorf("apikey: verify: %w", unavailable(err))
	case outcome != outcomeOK:
		return lanyard.Principal{}, outcome, errRefused
	}
	k := row.Key
	s.uses.note(k.ID, now)
	return lanyard.Principal{Owner: k.Owner, Via: lanyard.ViaAPIKey, KeyID: k.ID, Scopes: k.Scopes}, outcomeOK, nil
}

// judge says what the row that was found for a token with this hash is worth.
// The order is a promise: a tombstone is refused without an alarm, because one
// that Maintenance made has no MAC; nothing else of a row is believed before
// its MAC.
func (s *Service) judge(ctx context.Context, t token, hash []byte, row store.KeyLookup, now time.Time) (outcome string, err error) {
	k := row.Key
	if subtle.ConstantTimeCompare(k.Hash, hash) != 1 || k.ID != t.id {
		s.alarm(ctx, t.id)
		return outcomeIntegrity, nil
	}
	if !k.DeletedAt.IsZero() {
		s.usedAfterDelete(ctx, k, now)
		return outcomeDeleted, nil
	}
	authentic, err := s.authentic(ctx, k)
	if err != nil {
		return outcomeUnavailable, err
	}
	if !authentic {
		s.alarm(ctx, k.ID)
		return outcomeIntegrity, nil
	}
	if row.Owner.Deactivated() {
		return outcomeDeactivated, nil
	}
	if expired(k.ExpiresAt, now) {
		return outcomeExpired, nil
	}
	return outcomeOK, nil
}
