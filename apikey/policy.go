package apikey

import (
	"context"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// life is when a key that is made now expires, of which its owner asked for
// expires; zero means that he left it open.
func (s *Service) life(now, expires time.Time) (time.Time, error) {
	if expires.IsZero() {
		if life := s.DefaultLife(); life > 0 {
			return now.Add(life), nil
		}
		return time.Time{}, nil
	}
	end := store.Instant(expires)
	if !end.After(now) {
		return time.Time{}, &lanyard.InputError{Field: "expires_at", Code: lanyard.CodeInvalid, Message: "the time is not in the future"}
	}
	if s.maxLife > 0 && end.Sub(now)-lifeSlack > s.maxLife {
		return time.Time{}, &lanyard.InputError{Field: "expires_at", Code: CodeTooLate, Message: "a key may not live that long"}
	}
	return end, nil
}

// lifeSlack is what a client's idea of "in 90 days" may be off by.
const lifeSlack = 24 * time.Hour

// allowsNetwork reports whether a key may be used from where the call comes
// from. Where that is not known it may not.
func (s *Service) allowsNetwork(ctx context.Context, c *Call) bool {
	if len(s.networks) == 0 {
		return true
	}
	ip, err := netip.ParseAddr(c.from(ctx).IP)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(s.networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// network is where a key was used from, as it is kept: the /24 of an IPv4
// address and the /48 of an IPv6 one, which say which office or provider it was
// and not which device. "" where the address is not known.
func network(address string) string {
	if address == "" {
		return ""
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	ip = ip.Unmap()
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	n, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return n.String()
}

// current is what a key may do of what its owner may do now. The hook is the
// host's: one that panics is one that cannot tell.
func (s *Service) current(ctx context.Context, v *verdict) (scopes []string, err error) {
	defer func() {
		if recover() != nil {
			s.logger.ErrorContext(ctx, "the hook for the rights of an owner panicked", slog.String("stack", string(debug.Stack())))
			scopes, err = nil, lanyard.ErrUnavailable
		}
	}()
	rights, err := s.rights(ctx, v.owner)
	if err != nil {
		return nil, err
	}
	lost := func(scope string) bool { return !slices.Contains(rights, scope) }
	if !slices.ContainsFunc(v.scopes, lost) {
		return v.scopes, nil
	}
	return slices.DeleteFunc(slices.Clone(v.scopes), lost), nil
}
