package profile

import (
	"context"
	"errors"
	"fmt"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/input"
	"github.com/aichub/lanyard/store"
)

// attempts is how often a call starts over after losing a race. Whoever wins
// such a race has made progress, so a few are plenty.
const attempts = 10

// maxClaim is the longest text taken over from an identity provider, in
// characters; RFC 5321 section 4.5.3.1 allows an address 254.
const maxClaim = 255

// Seen takes note of a signed-in caller and returns his profile. The first
// sight creates it; later ones refresh what the identity provider owns and
// never a name the user edited; seeing the same again writes nothing. It
// returns lanyard.ErrDeactivated for a deactivated owner, and changes nothing.
// A principal of an API key refreshes nothing: it only reads.
//
// The principal is the whole truth: a claim that is empty now is empty in the
// profile, so a host fills the same claims each time. Claims are kept without
// control and invisible format characters and at most 255 characters long.
func (s *Service) Seen(ctx context.Context, p lanyard.Principal) (_ Profile, err error) {
	ctx, end := s.spans.Start(ctx, "profile.Seen")
	defer end(&err)
	if err := s.active(ctx, p.Owner); err != nil {
		return Profile{}, fmt.Errorf("profile: seen: %w", err)
	}
	var r store.Profile
	if p.Via == lanyard.ViaAPIKey {
		r, err = s.store.Profile(ctx, p.Owner)
	} else {
		r, err = s.refresh(ctx, p)
	}
	if err != nil {
		return Profile{}, fmt.Errorf("profile: seen: %w", err)
	}
	return fromRecord(r), nil
}

// refresh brings the stored profile up to what p says.
func (s *Service) refresh(ctx context.Context, p lanyard.Principal) (store.Profile, error) {
	for range attempts {
		r, err := s.store.Profile(ctx, p.Owner)
		if errors.Is(err, lanyard.ErrNotFound) {
			r, err = s.create(ctx, p)
			if errors.Is(err, lanyard.ErrExists) {
				continue
			}
		} else if err == nil {
			r, err = s.save(ctx, r, claimed(r, p), ActionRefreshed)
			if errors.Is(err, lanyard.ErrConflict) || errors.Is(err, lanyard.ErrNotFound) {
				continue
			}
		}
		return r, err
	}
	return store.Profile{}, lanyard.ErrConflict
}

func (s *Service) create(ctx context.Context, p lanyard.Principal) (store.Profile, error) {
	now := s.now()
	r := claimed(store.Profile{Owner: p.Owner, Version: 1, CreatedAt: now, UpdatedAt: now}, p)
	e := lanyard.NewEvent(ctx, now, p.Owner, ActionCreated, "")
	if err := s.store.CreateProfile(ctx, r, e); err != nil {
		return store.Profile{}, err
	}
	s.onEvent(ctx, e)
	return r, nil
}

// claimed returns r with what the identity provider owns as p says it.
func claimed(r store.Profile, p lanyard.Principal) store.Profile {
	r.Email, r.EmailVerified = claim(p.Email), p.EmailVerified
	r.Directory = store.Names{Given: claim(p.GivenName), Family: claim(p.FamilyName), Full: claim(p.Name)}
	r.Locale, r.ZoneInfo = claim(p.Locale), claim(p.ZoneInfo)
	return r
}

// claim makes text of the identity provider fit to be kept. It is not refused,
// because its owner could not mend it and would be locked out.
func claim(text string) string { return input.Clean(text, maxClaim) }
