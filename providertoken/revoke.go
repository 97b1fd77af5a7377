package providertoken

import (
	"context"
	"maps"
	"time"

	"github.com/aichub/lanyard/store"
)

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
