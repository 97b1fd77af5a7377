package providertoken

import (
	"context"
	"maps"

	"github.com/aichub/lanyard"
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

// revoke ends a row's credential at the platform, and notes in the event whether
// it did. Where the platform cannot, nothing is noted. It stops no deletion: what
// the platform does not end is gone from here all the same.
func (s *Service) revoke(ctx context.Context, row store.ProviderToken, e lanyard.Event) lanyard.Event {
	d, err := s.destination(row)
	if err != nil || d.method.Revoke.Path == "" {
		return e
	}
	if s.revoked(ctx, row, d) {
		return e.With(DetailRevoked, "yes")
	}
	return e.With(DetailRevoked, "no")
}

func (s *Service) revoked(ctx context.Context, row store.ProviderToken, d destination) bool {
	if s.active(ctx, row.Owner) != nil {
		return false // nothing speaks for him
	}
	secrets, err := s.open(ctx, row, d, nil)
	if err != nil {
		return false
	}
	ctx, cancel := s.limited(ctx)
	defer cancel()
	r := d.method.Revoke
	a, err := s.ask(ctx, d.offer, r.Method, d.base.String()+r.Path, nil, d.headers(row.Fields, secrets))
	return err == nil && r.Accept.holds(a)
}
