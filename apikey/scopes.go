package apikey

import (
	"fmt"
	"slices"

	"github.com/aichub/lanyard"
)

// ScopeSet is a set of scopes of one [Service], made by [Service.ScopeSet]. The
// zero value needs nothing.
type ScopeSet struct {
	mask uint64   // of the first 64 scopes the service offers
	rest []string // of the others
}

// within reports whether a key has all of the set. For the first 64 scopes of a
// service it is one AND.
func (n ScopeSet) within(mask uint64, scopes []string) bool {
	if n.mask&^mask != 0 {
		return false
	}
	for _, scope := range n.rest {
		if !slices.Contains(scopes, scope) {
			return false
		}
	}
	return true
}

// ScopeSet returns the set of these scopes, for [Call]. A scope that the
// service does not offer is an *lanyard.InputError.
func (s *Service) ScopeSet(scopes ...string) (ScopeSet, error) {
	if err := s.checkScopes(scopes); err != nil {
		return ScopeSet{}, fmt.Errorf("apikey: %w", err)
	}
	set := ScopeSet{mask: s.offered.mask(scopes)}
	for _, scope := range scopes {
		if s.offered[scope] == 0 {
			set.rest = append(set.rest, scope)
		}
	}
	return set, nil
}

// offeredScopes are the scopes of a service with the bit of each of the first 64.
type offeredScopes map[string]uint64

func newOfferedScopes(scopes []string) offeredScopes {
	offered := make(offeredScopes, len(scopes))
	next := uint64(1)
	for _, scope := range scopes {
		if _, twice := offered[scope]; !twice {
			offered[scope] = next
			next <<= 1 // 0 after 64
		}
	}
	return offered
}

// mask is the set of these scopes, without what is not offered or has no bit.
func (o offeredScopes) mask(scopes []string) uint64 {
	var mask uint64
	for _, scope := range scopes {
		mask |= o[scope]
	}
	return mask
}

func (s *Service) checkScopes(scopes []string) error {
	for _, scope := range scopes {
		if _, ok := s.offered[scope]; !ok {
			return &lanyard.InputError{Field: "scopes", Code: lanyard.CodeUnknown, Message: "a scope is not offered here"}
		}
	}
	return nil
}
