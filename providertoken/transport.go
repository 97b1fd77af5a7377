package providertoken

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"code.dny.dev/ssrf"
)

const (
	dialTimeout    = 10 * time.Second
	headerTimeout  = 60 * time.Second
	maxHeaderBytes = 256 << 10
	maxIdlePerHost = 4
	idleTimeout    = 90 * time.Second
)

// newTransport returns the only way out for a provider: TLS to those ports, at a
// public address or one in i.Networks, with no proxy but the instance's own. The
// address is judged when it is dialled, after the name was resolved, so a name
// that answers differently the second time gains nothing.
func newTransport(i Instance, ports ...uint16) *http.Transport {
	var proxy func(*http.Request) (*url.URL, error) // nil: the environment is never asked
	if i.Proxy != nil {
		proxy = http.ProxyURL(i.Proxy)
		ports = append(ports, proxyPort(i.Proxy))
	}
	dialer := &net.Dialer{Timeout: dialTimeout, Control: newGuard(i, ports...).Safe}
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: i.RootCAs},
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		ForceAttemptHTTP2:      true,
	}
}

// newGuard judges an address that is about to be dialled: one of those ports, at
// a public address or one in i.Networks.
func newGuard(i Instance, ports ...uint16) *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	for _, n := range i.Networks {
		if n.Addr().Is4() {
			v4 = append(v4, n)
		} else {
			v6 = append(v6, n)
		}
	}
	return ssrf.New(ssrf.WithPorts(ports...), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
}

func proxyPort(u *url.URL) uint16 {
	if p := u.Port(); p != "" {
		return portNumber(p)
	}
	switch u.Scheme {
	case "https":
		return 443
	case "socks5":
		return 1080
	}
	return 80
}

func portNumber(s string) uint16 {
	n, _ := strconv.ParseUint(s, 10, 16)
	return uint16(n)
}
