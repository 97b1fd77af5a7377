package providertoken

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Delete removes a connection and its secrets. Where the platform lets a
// credential end itself it is ended there first, which takes no longer than
// VerifyTimeout; the event says whether that was done, and a platform that does
// not do it stops nothing. Elsewhere its owner does it at Token.RevokeURL. A
// version other than 0 must be the connection's, else lanyard.ErrConflict.
// Deleting twice is lanyard.ErrNotFound.
//
// A revocation is not taken back: once it has begun the end of ctx stops nothing,
// and a connection that is changed meanwhile is deleted if its credential is still
// the one that was ended.
func (s *Service) Delete(ctx context.Context, owner lanyard.Owner, id string, version int64) (err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Delete", tokenAttr(id)...)
	defer end(&err)
	if err := s.delete(ctx, owner, id, version); err != nil {
		return fmt.Errorf("providertoken: delete %s: %w", shown(id), err)
	}
	return nil
}

func (s *Service) delete(ctx context.Context, owner lanyard.Owner, id string, version int64) error {
	row, err := s.store.ProviderToken(ctx, owner, id)
	if err != nil {
		return err
	}
	if version != 0 && version != row.Version {
		return lanyard.ErrConflict
	}
	revoked := ""
	if d, err := s.destination(row); err == nil && d.method.Revoke.Path != "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 2*s.patience()) // for the platform, and for the store
		defer cancel()
		revoked = s.revoke(ctx, row, d)
	}
	for {
		e := s.event(ctx, s.now(), ActionDeleted, row).With(DetailRevoked, revoked)
		err := s.store.DeleteProviderToken(ctx, owner, id, version, e)
		if err == nil {
			s.drop(id)
			s.onEvent(ctx, e)
			return nil
		}
		if revoked != revokedYes || !errors.Is(err, lanyard.ErrConflict) {
			return err
		}
		now, again := s.store.ProviderToken(ctx, owner, id)
		if again != nil {
			return again
		}
		if !maps.EqualFunc(now.Secrets, row.Secrets, sameSecret) {
			return err
		}
		row, version = now, now.Version
	}
}

func sameSecret(a, b store.SealedSecret) bool {
	return a.Version == b.Version && string(a.Envelope) == string(b.Envelope)
}

// revokeURL returns where the owner of a credential ends it by hand, or "".
func (d destination) revokeURL() string {
	t, err := parseTemplate(d.method.RevokeURL)
	if err != nil {
		return ""
	}
	values := maps.Clone(d.fields)
	if values == nil {
		values = map[string]string{}
	}
	values["origin"], values["base"] = d.first.origin.String(), d.first.String()
	for _, name := range t.fields() {
		if values[name] == "" {
			return "" // of an instance, which has no such field
		}
	}
	return t.expand(values)
}

// What DetailRevoked says.
const (
	revokedYes = "yes"
	revokedNo  = "no"
)

// revoke ends a row's credential at the platform, and returns whether it did, as
// DetailRevoked says it. It stops no deletion: what the platform does not end is
// gone from here all the same.
func (s *Service) revoke(ctx context.Context, row store.ProviderToken, d destination) string {
	if s.active(ctx, row.Owner) != nil {
		return revokedNo // nothing speaks for him
	}
	secrets, err := s.open(ctx, row, d, nil)
	if err != nil {
		return revokedNo
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	r := d.method.Revoke
	a, err := s.ask(ctx, d.offer, r.Method, d.base.String()+r.Path, nil, d.headers(row.Fields, secrets))
	if err != nil || !r.Accept.holds(a) {
		return revokedNo
	}
	return revokedYes
}

// patience is how long a platform is waited for where nobody's context says it.
func (s *Service) patience() time.Duration {
	if s.verifyTimeout <= 0 {
		return defaultVerifyTimeout
	}
	return s.verifyTimeout
}
