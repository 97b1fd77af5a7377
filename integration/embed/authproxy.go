package embed

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/aichub/lanyard"
)

// ourProxies are the addresses our reverse proxy calls from. This one is on the
// same machine.
var ourProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}

func fromOurProxy(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && slices.ContainsFunc(ourProxies, func(n netip.Prefix) bool { return n.Contains(at.Addr().Unmap()) })
}

// clientIP is the address that our proxy saw, which is the last it added.
func clientIP(r *http.Request) string {
	if all := r.Header.Values("X-Forwarded-For"); fromOurProxy(r) && len(all) > 0 {
		hops := strings.Split(strings.Join(all, ","), ",")
		return strings.TrimSpace(hops[len(hops)-1])
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// whoTheProxySays is Config.Identify where a proxy has signed the user in.
func whoTheProxySays(r *http.Request) (lanyard.Principal, error) {
	user := r.Header.Values("X-Auth-Request-User")
	if !fromOurProxy(r) || len(user) != 1 || user[0] == "" {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return lanyard.Principal{
		Owner: lanyard.Owner{Subject: user[0]},
		Email: r.Header.Get("X-Auth-Request-Email"),
		Name:  r.Header.Get("X-Auth-Request-Preferred-Username"),
	}, nil
}
