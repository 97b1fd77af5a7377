package providertoken

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aichub/lanyard"
)

// Use says who uses a connection and why; it goes into the history.
type Use struct {
	AgentID  string // at most 100 characters
	Purpose  string // at most 200 characters
	ReadOnly bool   // only GET, HEAD and OPTIONS go out; a platform that changes things by GET, as Slack does, still does
}

// Policy is what a host asks of the uses of connections. The zero value asks
// for nothing.
type Policy struct {
	// RequireAgent and RequirePurpose refuse a Use that does not say them, with
	// an *lanyard.InputError.
	RequireAgent   bool
	RequirePurpose bool

	// Agents are those that may use a connection; others are refused with
	// ErrAgentNotAllowed. Nil means any. An agent's id is the word of who asks:
	// of a host's own code for a Client, of ProxyOptions.Use for a Proxy.
	Agents []string

	// ReadOnly makes every Use one for reading.
	ReadOnly bool
}

// and returns the policy under which both hold.
func (p Policy) and(q Policy) Policy {
	p.RequireAgent = p.RequireAgent || q.RequireAgent
	p.RequirePurpose = p.RequirePurpose || q.RequirePurpose
	p.ReadOnly = p.ReadOnly || q.ReadOnly
	switch {
	case q.Agents == nil:
	case p.Agents == nil:
		p.Agents = slices.Clone(q.Agents)
	default:
		agents := []string{}
		for _, a := range p.Agents {
			if slices.Contains(q.Agents, a) {
				agents = append(agents, a)
			}
		}
		p.Agents = agents
	}
	return p
}

// allow returns the use as the policy allows it.
func (p Policy) allow(use Use) (Use, error) {
	var errs []error
	if p.RequireAgent && use.AgentID == "" {
		errs = append(errs, refuse("agent_id", lanyard.CodeRequired, "an agent has to say who it is"))
	}
	if p.RequirePurpose && use.Purpose == "" {
		errs = append(errs, refuse("purpose", lanyard.CodeRequired, "an agent has to say what for"))
	}
	if err := errors.Join(errs...); err != nil {
		return Use{}, err
	}
	if p.Agents != nil && !slices.Contains(p.Agents, use.AgentID) {
		return Use{}, ErrAgentNotAllowed
	}
	use.ReadOnly = use.ReadOnly || p.ReadOnly
	return use, nil
}

// makePolicies returns the policy that holds for each offer, by its id: the one
// for all, that of its definition and its own.
func makePolicies(offers []*offer, all Policy, byID map[string]Policy) (map[string]Policy, error) {
	policies, known := map[string]Policy{}, map[string]bool{}
	for _, o := range offers {
		p := Policy{}.and(all)
		for _, id := range slices.Compact([]string{o.def.ID, o.id}) {
			p = p.and(byID[id])
			known[id] = true
		}
		policies[o.id] = p
	}
	for id := range byID {
		if !known[id] {
			return nil, fmt.Errorf("policy: there is no provider %q", id)
		}
	}
	return policies, nil
}

// allows refuses the methods a client does not lend. They are told apart
// without regard to case, because some servers do.
func (u Use) allows(method string) error {
	switch method = strings.ToUpper(method); method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	case http.MethodTrace, http.MethodConnect:
		return ErrMethod
	}
	if u.ReadOnly {
		return ErrReadOnly
	}
	return nil
}
