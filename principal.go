package lanyard

import (
	"context"
	"slices"
	"time"
)

// Via says how a caller proved who it is.
type Via string

// The ways of calling.
const (
	ViaSession Via = "session" // a signed-in user of the host
	ViaAPIKey  Via = "api_key" // a key made by apikey.Service
	ViaSystem  Via = "system"  // the host or an operator, with no caller in the context
)

// Principal is who is calling. A host's Identify function fills it from its
// session, with the names of the OpenID Connect standard claims; a verified
// API key yields one that holds Owner, Via, KeyID and Scopes only.
//
// The slices of a Principal are shared: treat them as read-only.
type Principal struct {
	Owner         Owner
	Email         string
	EmailVerified bool
	GivenName     string
	FamilyName    string
	Name          string
	Locale        string // BCP 47, as "pt-BR"
	ZoneInfo      string // an IANA zone, as "America/Sao_Paulo"
	Roles         []string
	AuthTime      time.Time // when the user last proved who he is; zero = unknown

	Via    Via      // "" counts as ViaSession
	KeyID  string   // with ViaAPIKey: the public id of the key
	Scopes []string // with ViaAPIKey: what the key may do
}

// HasScope reports whether the principal's key was given scope. A key without
// scopes has none, and a session has none: scopes limit keys.
func (p Principal) HasScope(scope string) bool {
	return slices.Contains(p.Scopes, scope)
}

// Request is what the transport knows about a call and a service cannot: it
// goes into the history. Every field may be empty.
type Request struct {
	ID        string
	IP        string
	UserAgent string
}

type (
	principalKey struct{}
	requestKey   struct{}
)

// WithPrincipal returns a context that carries who is calling.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, &p)
}

// PrincipalFrom returns the caller that [WithPrincipal] put into ctx.
func PrincipalFrom(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(*Principal)
	if !ok {
		return Principal{}, false
	}
	return *p, true
}

// WithRequest returns a context that carries where a call comes from.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, &r)
}

// RequestFrom returns what [WithRequest] put into ctx, or the zero Request.
func RequestFrom(ctx context.Context) Request {
	r, ok := ctx.Value(requestKey{}).(*Request)
	if !ok {
		return Request{}
	}
	return *r
}

// CallContext is a context that carries who is calling and from where, as
// [WithPrincipal] and [WithRequest] make it of Context, for an adapter on whose
// path each allocation counts. It must not be changed once it is in use.
type CallContext struct {
	context.Context //nolint:containedctx // it is a context

	Principal Principal
	Request   Request
}

// Value implements [context.Context].
func (c *CallContext) Value(key any) any {
	switch key.(type) {
	case principalKey:
		return &c.Principal
	case requestKey:
		return &c.Request
	}
	return c.Context.Value(key)
}
