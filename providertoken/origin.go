package providertoken

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// origin is a place a credential may go to: https on this host and port.
type origin struct {
	host string // canonical: lower case, or an address without brackets
	port string
}

// String returns the origin as a browser would: without the default port.
func (o origin) String() string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.port != "443" {
		host += ":" + o.port
	}
	return "https://" + host
}

// baseURL is where a platform's API begins.
type baseURL struct {
	origin origin
	path   string // "" or "/…" without a slash at its end
}

func (b baseURL) String() string { return b.origin.String() + b.path }

// parseBaseURL reads the address of an API: https, a host in canonical form,
// an optional port and a plain path. There is no userinfo, query or fragment,
// and nothing that two parsers could read differently.
func parseBaseURL(s string) (baseURL, error) {
	if len(s) > 2048 || !printableASCII(s) || strings.ContainsAny(s, " \\\"<>^`{|}%?#@") {
		return baseURL{}, errors.New("a base URL is https, a host, and perhaps a port and a plain path")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "":
		return baseURL{}, errors.New("not a URL") // the error repeats the URL
	case u.Scheme != "https":
		return baseURL{}, errors.New("a base URL begins with https://")
	}
	host, err := canonicalHost(u.Hostname())
	if err != nil {
		return baseURL{}, err
	}
	port, err := canonicalPort(u)
	if err != nil {
		return baseURL{}, err
	}
	path := strings.TrimSuffix(u.Path, "/")
	for _, segment := range strings.Split(path, "/")[1:] {
		if segment == "" || segment == "." || segment == ".." {
			return baseURL{}, errors.New("the path has an empty or a dot segment")
		}
	}
	return baseURL{origin: origin{host: host, port: port}, path: path}, nil
}

// originOf returns where a request to u would go. It is false for a URL that
// no credential may ever go to.
func originOf(u *url.URL) (origin, bool) {
	if u == nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" || !printableASCII(u.Host) {
		return origin{}, false
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	// No more than letter case is made equal: a host written in any other way
	// is another host here, whatever the dialler would make of it.
	return origin{host: strings.ToLower(u.Hostname()), port: port}, true
}

// canonicalHost returns host in lower case if it is a DNS name of ASCII labels
// or an IP address in its usual form.
func canonicalHost(host string) (string, error) {
	host = strings.ToLower(host)
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" || addr.Is4In6() || addr.String() != host {
			return "", errors.New("the address is not in its usual form")
		}
		return host, nil
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !validDNSLabel(label) {
			return "", errors.New("the host is not a DNS name; write an international one in its xn-- form")
		}
	}
	// WHATWG URL section 3.5: a host whose last label is a number is an IPv4
	// address, in one of many forms. We know one.
	last := labels[len(labels)-1]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || strings.Trim(last, "0123456789") == "" {
		return "", errors.New("the host is a number")
	}
	if len(host) > 253 { // RFC 1035 section 2.3.4
		return "", errors.New("the host is too long")
	}
	return host, nil
}

func canonicalPort(u *url.URL) (string, error) {
	if u.Port() == "" {
		if strings.HasSuffix(u.Host, ":") {
			return "", errors.New("the port is empty")
		}
		return "443", nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return "", errors.New("the port is not between 1 and 65535")
	}
	return strconv.FormatUint(port, 10), nil
}

// validDNSLabel reports whether s is one label of a host name, in lower case
// (RFC 1123 section 2.1, with the length of RFC 1035 section 2.3.4).
func validDNSLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
