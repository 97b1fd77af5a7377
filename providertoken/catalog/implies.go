package catalog

import (
	"net/http"
	"slices"
	"strings"

	"github.com/aichub/lanyard/providertoken"
)

// implies reports whether every answer that fulfils a fulfils b too. It is
// careful: where it says no there may still be none that tells them apart.
func implies(a, b providertoken.Condition) bool {
	if len(b.Status) > 0 && (len(a.Status) == 0 || slices.ContainsFunc(a.Status, func(s int) bool { return !slices.Contains(b.Status, s) })) {
		return false
	}
	if b.ContentType != "" && a.ContentType != b.ContentType {
		return false
	}
	for _, want := range b.Headers {
		if !slices.ContainsFunc(a.Headers, func(have providertoken.HeaderCondition) bool { return headerImplies(have, want) }) {
			return false
		}
	}
	for _, want := range b.JSON {
		if !slices.ContainsFunc(a.JSON, func(have providertoken.JSONCondition) bool { return jsonImplies(have, want) }) {
			return false
		}
	}
	return true
}

func headerImplies(a, b providertoken.HeaderCondition) bool {
	says := strings.ToLower(a.Equals)
	return http.CanonicalHeaderKey(a.Name) == http.CanonicalHeaderKey(b.Name) &&
		(b.Equals == "" || strings.EqualFold(a.Equals, b.Equals)) &&
		(b.Contains == "" || strings.Contains(says, strings.ToLower(b.Contains)) ||
			strings.Contains(strings.ToLower(a.Contains), strings.ToLower(b.Contains)))
}

func jsonImplies(a, b providertoken.JSONCondition) bool {
	same := func(x, y *string) bool { return x != nil && y != nil && *x == *y }
	return a.Path == b.Path &&
		(b.Equals == nil || same(a.Equals, b.Equals)) &&
		(b.NotEquals == nil || same(a.NotEquals, b.NotEquals) || a.Equals != nil && *a.Equals != *b.NotEquals) &&
		(strings.HasPrefix(a.Prefix, b.Prefix) || a.Equals != nil && strings.HasPrefix(*a.Equals, b.Prefix)) &&
		(b.Length == nil || a.Length != nil && *a.Length == *b.Length)
}
