package apikey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

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
func (s *Service) Verify(ctx context.Context, token string) (p lanyard.Principal, err error) {
	err = s.verify(ctx, token, &Call{}, &p)
	return p, err
}

// Call is what is known of a call that a key is presented for. The zero value
// needs no scope and comes from where the context says.
type Call struct {
	Scopes ScopeSet        // what it needs
	From   lanyard.Request // zero = lanyard.RequestFrom of the context
}

// VerifyCall is Verify for a call that needs scopes: a good key that lacks one
// is lanyard.ErrForbidden.
func (s *Service) VerifyCall(ctx context.Context, token string, c Call) (p lanyard.Principal, err error) {
	err = s.verify(ctx, token, &c, &p)
	return p, err
}

// verify is VerifyCall. The principal is large: it is written once, where it is
// wanted.
func (s *Service) verify(ctx context.Context, token string, c *Call, p *lanyard.Principal) error {
	if s.closed.Load() {
		s.measured.count(ctx, outcomeClosed)
		return errClosed
	}
	hash, id, ok := s.recognise(token)
	if !ok {
		s.measured.count(ctx, outcomeMalformed)
		return errRefused
	}
	now := s.watch.now()
	if v := s.verdicts.get(&hash); v != nil && s.epochs.good(v, now) {
		return s.judge(ctx, v, now, c, p)
	}
	if id != "" && !isBase62(token[len(token)-tailLen:]) {
		s.measured.count(ctx, outcomeMalformed)
		return errRefused
	}
	return s.verifyCold(ctx, hash, id, c, p)
}

// from is where the call comes from.
func (c *Call) from(ctx context.Context) lanyard.Request {
	if c.From != (lanyard.Request{}) {
		return c.From
	}
	return lanyard.RequestFrom(ctx)
}

// recognise returns the hash of a token that may be one of ours and the id in
// it, which is "" for a foreign token: that id only the row knows. It leaves the
// alphabet to who asks the store, because what has the hash of a known token is
// that token.
func (s *Service) recognise(text string) (hash [sha256.Size]byte, id string, ok bool) {
	if _, tail, ok := cutToken(text, s.accepts); ok && checked(text) {
		return sha256.Sum256(bytesOf(text)), tail[:idLen], true
	}
	hash, ok = s.foreignHash(text)
	return hash, "", ok
}

// verifyCold is a verification that asks the store.
func (s *Service) verifyCold(ctx context.Context, hash [sha256.Size]byte, id string, c *Call, p *lanyard.Principal) (err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Verify", keyID(id)...)
	defer end(&err)
	v, err := s.lookUp(ctx, hash, id)
	switch {
	case err == nil:
		return s.judge(ctx, v, s.watch.now(), c, p)
	case errors.Is(err, lanyard.ErrNotFound):
		s.measured.count(ctx, outcomeUnknown)
		return errRefused
	case errors.Is(err, errForged):
		s.measured.count(ctx, outcomeIntegrity)
		return errRefused
	}
	s.measured.count(ctx, outcomeUnavailable)
	return fmt.Errorf("apikey: verify: %w", unavailable(err))
}

// judge says what a verdict that can be believed means for this call.
func (s *Service) judge(ctx context.Context, v *verdict, now int64, c *Call, p *lanyard.Principal) error {
	scopes, outcome, err := s.sentence(ctx, v, now, c)
	s.measured.count(ctx, outcome)
	if err != nil {
		return err
	}
	p.Owner, p.Via, p.KeyID, p.Scopes = v.owner, lanyard.ViaAPIKey, v.id, scopes
	return nil
}

// sentence returns the scopes of a key that may be used now, or the error.
func (s *Service) sentence(ctx context.Context, v *verdict, now int64, c *Call) ([]string, outcome, error) {
	switch {
	case v.deleted:
		s.note(ctx, ActionUsedAfterDelete, v, c)
		return nil, outcomeDeleted, errRefused
	case v.deactivated:
		return nil, outcomeDeactivated, errRefused
	case v.expires != 0 && s.clock().UnixMicro() >= v.expires:
		if v.rotated {
			s.note(ctx, ActionUsedAfterRotate, v, c)
		}
		return nil, outcomeExpired, errRefused
	case !s.allowsNetwork(ctx, c):
		s.note(ctx, ActionRefusedNetwork, v, c)
		return nil, outcomeNetwork, errRefused
	}
	if err := s.spend(v); err != nil {
		return nil, outcomeRateLimited, err
	}
	scopes, mask := v.scopes, v.mask
	if s.rights != nil {
		var err error
		if scopes, err = s.current(ctx, v); err != nil {
			return nil, outcomeUnavailable, fmt.Errorf("apikey: verify: %w", unavailable(err))
		}
		mask = s.offered.mask(scopes)
	}
	if !c.Scopes.within(mask, scopes) {
		return nil, outcomeScope, errLacksScope
	}
	if v.rotated {
		s.note(ctx, ActionUsedAfterRotate, v, c)
	}
	if now-v.marked.Load() >= int64(markEvery) {
		v.marked.Store(now)
		s.uses.note(&v.state.use, s.clock().UnixMicro(), network(c.from(ctx).IP))
	}
	return scopes, outcomeOK, nil
}
