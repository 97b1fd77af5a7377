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
	t, ok := s.recognise(token)
	if !ok {
		s.measured.count(ctx, outcomeMalformed)
		return errRefused
	}
	now := s.watch.now()
	if v := s.verdicts.get(t.place, &t.hash); v != nil && s.epochs.good(v, now) {
		return s.judge(ctx, v, now, c, p)
	}
	if t.id != "" && !isBase62(token[len(token)-tailLen:]) {
		s.measured.count(ctx, outcomeMalformed)
		return errRefused
	}
	return s.verifyCold(ctx, t, c, p)
}

// from is where the call comes from.
func (c *Call) from(ctx context.Context) lanyard.Request {
	if c.From != (lanyard.Request{}) {
		return c.From
	}
	return lanyard.RequestFrom(ctx)
}

// presented is what a verification goes by of a token that may be one of ours.
type presented struct {
	hash  [sha256.Size]byte
	place uint32 // among the verdicts
	id    string // that is in it; "" for a foreign token, whose id only the row knows
}

// recognise takes a token apart. It leaves the alphabet to who asks the store,
// because what has the hash of a known token is that token.
func (s *Service) recognise(text string) (t presented, ok bool) {
	if _, tail, ok := cutToken(text, s.accepts); ok {
		t.place = s.verdicts.place(text)
		if checked(text) {
			t.hash, t.id = sha256.Sum256(bytesOf(text)), tail[:idLen]
			return t, true
		}
	}
	hashed, ok := s.foreignPart(text)
	if ok { // anybody may choose the rest: it must make no other verdict, with a rate of its own
		t.place, t.hash = s.verdicts.place(hashed), sha256.Sum256(bytesOf(hashed))
	}
	return t, ok
}

// verifyCold is a verification that asks the store.
func (s *Service) verifyCold(ctx context.Context, t presented, c *Call, p *lanyard.Principal) (err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Verify", keyID(t.id)...)
	defer end(&err)
	v, err := s.lookUp(ctx, t)
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
	case v.expires != never && s.clock().UnixMicro() >= v.expires:
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
		s.uses.mark(v, now, c.from(ctx).IP)
	}
	return scopes, outcomeOK, nil
}
