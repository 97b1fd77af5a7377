package providertoken

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ownCopy returns a request whose method and address are ours: the caller's
// could lead elsewhere once they were looked at, by a context of his own making
// or while the request waits for its place.
func ownCopy(req *http.Request) *http.Request {
	own := req.WithContext(req.Context())
	if req.URL != nil {
		u := *req.URL
		own.URL = &u
	}
	return own
}

// outgoing makes of an own copy the request that is sent: the caller's, with the
// credential in the place of whatever else says who calls.
func (now *sight) outgoing(out *http.Request, readOnly bool) *http.Request {
	given := out.Header
	out.Host = ""     // the URL's: another name would be another server
	out.Trailer = nil // headers, too
	out.Header = make(http.Header, len(given)+len(now.headers)+1)
	for name, values := range given {
		if !now.strips(name, readOnly) {
			name = http.CanonicalHeaderKey(name)
			out.Header[name] = append(out.Header[name], values...)
		}
	}
	for name, value := range now.headers {
		out.Header.Set(name, value.Reveal())
	}
	if query, found := withoutCredentials(out.URL.RawQuery, now.dest.offer.def.CredentialParameters); found {
		out.URL.RawQuery, out.URL.ForceQuery = query, false
	}
	return out
}

// strips reports whether a caller's header stays behind. Names are compared as
// net/http writes them, which may differ from how the caller did, and as CGI
// (RFC 3875 section 4.1.18) and what came after it read them, where an
// underscore is a hyphen.
func (now *sight) strips(name string, readOnly bool) bool {
	switch name = alike(name); name {
	case "Authorization", "Cookie", "Cookie2", "Proxy-Authorization",
		"Api-Key", "Apikey", "X-Api-Key", "X-Auth-Token", "Private-Token", "Job-Token": // whose headers they are elsewhere
		return true
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings": // RFC 9110 section 7.6.1
		return true
	case "Accept-Encoding", "Range", "If-Range": // an answer has to be whole and readable; see scrubber
		return true
	case "Forwarded", "X-Real-Ip", "Remote-User", "X-Remote-User": // what a server may take for the word of its own front
		return true
	case "X-Http-Method-Override", "X-Http-Method", "X-Method-Override":
		return readOnly
	}
	if strings.HasPrefix(name, "X-Forwarded-") {
		return true
	}
	for own := range now.headers {
		if name == alike(own) {
			return true
		}
	}
	for _, other := range now.dest.offer.methods {
		for own := range other.headers {
			if name == alike(own) {
				return true
			}
		}
	}
	return false
}

// alike is the same for two names that a server may take for one.
func alike(name string) string {
	return http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// credentialParameters are how a query may say who calls, at any platform: RFC 6750 section 2.3,
// GitLab's "REST API authentication", Jira's "os_username" and
// "os_password" (Atlassian, "Basic authentication"), and what else is usual.
var credentialParameters = map[string]bool{
	"access_token": true, "oauth_token": true, "private_token": true, "job_token": true,
	"os_username": true, "os_password": true, "os_authtype": true,
	"api_key": true, "apikey": true, "api_token": true, "auth_token": true,
}

// withoutCredentials returns a query without the parameters that say who calls,
// the platform's own among them, and whether there were any. A semicolon stands
// between parameters, too: HTML 4.01 (appendix B.2.2) asked servers to read it
// so, and some do.
func withoutCredentials(query string, own []string) (string, bool) {
	kept := make([]byte, 0, len(query))
	found := false
	for start := 0; start < len(query); {
		end := len(query)
		if i := strings.IndexAny(query[start:], "&;"); i >= 0 {
			end = start + i
		}
		part := query[start:end]
		switch {
		case saysWhoCalls(part, own):
			found = true
		case len(kept) > 0:
			kept = append(append(kept, query[start-1]), part...)
		default:
			kept = append(kept, part...)
		}
		start = end + 1
	}
	if !found {
		return query, false
	}
	return string(kept), true
}

func saysWhoCalls(parameter string, own []string) bool {
	name, _, _ := strings.Cut(parameter, "=")
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	// Ruby and PHP read a list in brackets, and pass over what has no width.
	name, _, _ = strings.Cut(strings.ToLower(name), "[")
	name = strings.TrimFunc(name, func(r rune) bool { return r <= ' ' })
	return credentialParameters[name] || slices.Contains(own, name)
}
