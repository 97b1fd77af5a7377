package httpadapter

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
)

// caller is who makes a request.
type caller struct {
	lanyard.Principal
	// profile is the caller's, as it is after this sight of him. With an API
	// key it is empty: a key carries no names.
	profile profile.Profile
}

func (c caller) byKey() bool { return c.Via == lanyard.ViaAPIKey }

// errTwoAuthorizations: RFC 9110 section 11.6.2 allows one.
var errTwoAuthorizations = errors.New("more than one Authorization header")

// caller finds out who makes the request. It returns
// lanyard.ErrUnauthenticated, errTwoAuthorizations, lanyard.ErrDeactivated or
// lanyard.ErrUnavailable, and a request whose context carries the caller.
func (h *Handler) caller(r *http.Request) (*http.Request, caller, error) {
	c, err := h.identify(r)
	if err != nil {
		return r, caller{}, err
	}
	r = r.WithContext(lanyard.WithPrincipal(r.Context(), c.Principal))
	if c.byKey() {
		return r, c, nil
	}
	c.profile, err = h.config.Profiles.Seen(r.Context(), c.Principal)
	return r, c, err
}

func (h *Handler) identify(r *http.Request) (caller, error) {
	token, err := bearerToken(r)
	if err != nil {
		return caller{}, err
	}
	if keys := h.config.APIKeys; keys != nil && keys.IsToken(token) {
		p, err := keys.Verify(r.Context(), token)
		return caller{Principal: p}, err
	}
	p, err := h.config.Identify(r)
	switch {
	case errors.Is(err, lanyard.ErrUnauthenticated):
		return caller{}, lanyard.ErrUnauthenticated
	case err != nil:
		// The host's words may hold anything; its own logs have them.
		return caller{}, fmt.Errorf("httpadapter: identify: %w", lanyard.ErrUnavailable)
	}
	if p.Via == "" {
		p.Via = lanyard.ViaSession
	}
	if p.Owner.Validate() != nil || p.Via != lanyard.ViaSession {
		return caller{}, fmt.Errorf("httpadapter: identify returned no session's principal: %w", lanyard.ErrUnavailable)
	}
	return caller{Principal: p}, nil
}

// bearerToken returns the token of the request's one Authorization header, or
// "" when there is none or it is of another scheme (RFC 6750 section 2.1; the
// scheme's case does not matter, RFC 9110 section 11.1).
func bearerToken(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) > 1 {
		return "", errTwoAuthorizations
	}
	if len(values) == 0 {
		return "", nil
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	return strings.TrimLeft(rest, " "), nil
}

// recentlyProved reports whether a session is fresh enough for what
// Config.MaxAuthAge guards.
func (h *Handler) recentlyProved(c caller) bool {
	limit := h.config.MaxAuthAge
	if limit <= 0 || c.byKey() {
		return true
	}
	return !c.AuthTime.IsZero() && h.config.Now().Sub(c.AuthTime) <= limit
}

// wait asks Config.Limit. A positive answer is how long to wait.
func (h *Handler) wait(r *http.Request, c caller) time.Duration {
	if h.config.Limit == nil {
		return 0
	}
	return h.config.Limit(r, c.Principal)
}
