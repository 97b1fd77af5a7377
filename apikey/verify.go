package apikey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
)

// Verify returns whom token speaks for: Owner, Via, KeyID and Scopes. It
// returns lanyard.ErrUnauthenticated for every token that is not good, whatever
// the reason, lanyard.ErrUnavailable when it cannot tell, and a
// *[RateLimitError] for a good key that is used more often than Options.Rate
// allows.
//
// A token that is malformed, of another service or mistyped is refused without
// asking the store. A key that was verified lately costs a hash and no read of
// the store, as long as the epochs say that nothing changed; any other costs one
// query, however many callers wait for it. When the token was good, the time is
// noted and stored later: see Key.LastUsedAt.
//
// A key that was deleted or rotated, or whose owner was deactivated, is refused
// from then on by the process that did it, and by every other after
// Options.MaxStale at the latest.
func (s *Service) Verify(ctx context.Context, token string) (lanyard.Principal, error) {
	return s.VerifyScopes(ctx, token, ScopeSet{})
}

// VerifyScopes is Verify for what needs scopes: a good key that lacks one is
// lanyard.ErrForbidden.
func (s *Service) VerifyScopes(ctx context.Context, token string, need ScopeSet) (lanyard.Principal, error) {
	if s.closed.Load() {
		s.counted.add(ctx, outcomeClosed)
		return lanyard.Principal{}, errClosed
	}
	hash, id, ok := s.recognise(token)
	if !ok {
		s.counted.add(ctx, outcomeMalformed)
		return lanyard.Principal{}, errRefused
	}
	now := time.Now()
	if v := s.verdicts.get(&hash); v != nil && s.epochs.good(v, s.watch.at(now)) {
		return s.judge(ctx, v, now, need)
	}
	return s.verifyCold(ctx, hash, id, need)
}

// verifyCold is a verification that asks the store.
func (s *Service) verifyCold(ctx context.Context, hash [sha256.Size]byte, id string, need ScopeSet) (_ lanyard.Principal, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Verify", keyID(id)...)
	defer end(&err)
	v, err := s.lookUp(ctx, hash, id)
	switch {
	case err == nil:
		return s.judge(ctx, v, time.Now(), need)
	case errors.Is(err, lanyard.ErrNotFound):
		s.counted.add(ctx, outcomeUnknown)
		return lanyard.Principal{}, errRefused
	case errors.Is(err, errForged):
		s.counted.add(ctx, outcomeIntegrity)
		return lanyard.Principal{}, errRefused
	}
	s.counted.add(ctx, outcomeUnavailable)
	return lanyard.Principal{}, fmt.Errorf("apikey: verify: %w", unavailable(err))
}

// judge says what a verdict that can be believed means for this call.
func (s *Service) judge(ctx context.Context, v *verdict, now time.Time, need ScopeSet) (lanyard.Principal, error) {
	p, outcome, err := s.sentence(ctx, v, now, need)
	s.counted.add(ctx, outcome)
	return p, err
}

// recognise returns the hash of a token that may be one of ours, and the id in
// it; "" for a foreign one, whose id only its row knows.
func (s *Service) recognise(text string) (hash [sha256.Size]byte, id string, ok bool) {
	if t, ok := parseToken(text, s.accepts); ok {
		return t.hash(), t.id, true
	}
	if s.acceptForeign != nil {
		hash, ok = s.acceptForeign(text)
		return hash, "", ok
	}
	return hash, "", false
}

// sentence is judge's answer, and what the counter says of it.
func (s *Service) sentence(ctx context.Context, v *verdict, now time.Time, need ScopeSet) (lanyard.Principal, string, error) {
	wall := now
	if s.clock != nil {
		wall = s.clock()
	}
	outcome := v.outcome(wall)
	switch {
	case outcome == outcomeDeleted:
		s.note(ctx, ActionUsedAfterDelete, v, wall)
	case outcome == outcomeOK && !s.allowsNetwork(ctx):
		s.note(ctx, ActionRefusedNetwork, v, wall)
		outcome = outcomeNetwork
	}
	if outcome != outcomeOK {
		return lanyard.Principal{}, outcome, errRefused
	}
	if err := s.spend(v, now); err != nil {
		return lanyard.Principal{}, outcomeLimited, err
	}
	scopes, mask := v.scopes, v.mask
	if s.rights != nil {
		var err error
		if scopes, err = s.current(ctx, v); err != nil {
			return lanyard.Principal{}, outcomeUnavailable, fmt.Errorf("apikey: verify: %w", unavailable(err))
		}
		mask = s.offered.mask(scopes)
	}
	if !need.within(mask, scopes) {
		return lanyard.Principal{}, outcomeScope, errLacksScope
	}
	if v.rotated {
		s.note(ctx, ActionUsedAfterRotate, v, wall)
	}
	if micros := wall.UnixMicro(); micros-v.marked.Load() >= markEvery.Microseconds() {
		v.marked.Store(micros)
		s.uses.note(&v.state.use, micros, network(lanyard.RequestFrom(ctx).IP))
	}
	return lanyard.Principal{Owner: v.owner, Via: lanyard.ViaAPIKey, KeyID: v.id, Scopes: scopes}, outcomeOK, nil
}
