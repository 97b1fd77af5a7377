// Package elsewhere verifies API keys in front of other servers than net/http's.
// docs/verify-elsewhere.md shows all of it; the tests run it.
package elsewhere

import "strings"

// bearer returns the token of the one Authorization header (RFC 6750 section
// 2.1), or "", which is no key.
func bearer(values []string) string {
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}
