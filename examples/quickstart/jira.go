package main

import (
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// The fake Jira as users see it. A connection names jiraID and not the fake's
// address, which is another one in every process.
const (
	jiraID    = "jira-demo"
	jiraName  = "Jira (demo)"
	jiraKind  = "jira-data-center" // its definition
	jiraField = "token"            // what a user types
)

// startJira starts a Jira Data Center for this process, on a free port of the
// loopback interface and with a certificate of its own.
func startJira() (*providertest.Server, error) {
	return providertest.NewServer(providertest.JiraDataCenter(demoAccount))
}

// demoAccount says whose token it is: demo-ana is Ana's.
func demoAccount(token string) (providertest.Account, bool) {
	user, ok := strings.CutPrefix(token, "demo-")
	owner := lanyard.Owner{Subject: user}
	if !ok || !validOwner(owner) {
		return providertest.Account{}, false
	}
	p := principal(owner)
	return providertest.Account{ID: user, Name: p.Name, Email: p.Email}, true
}

// jiraInstance registers the fake as an operator registers a Jira of the
// organisation: an authority of its own, and a private network one may dial.
func jiraInstance(s *providertest.Server) providertoken.Instance {
	return providertoken.Instance{
		ID: jiraID, Provider: jiraKind, Name: jiraName,
		Base: s.URL(), RootCAs: s.RootCAs(), Networks: s.Networks(),
	}
}

// providers are the platforms on offer: the whole catalogue, which says what
// the fake takes where it speaks of Jira Data Center.
func providers() []providertoken.Definition {
	all := catalog.All()
	for _, d := range all {
		if d.ID != jiraKind {
			continue
		}
		for _, m := range d.Methods {
			for i := range m.Fields {
				if m.Fields[i].Name == jiraField {
					for _, texts := range d.Translations {
						delete(texts, m.Fields[i].Help)
					}
					m.Fields[i].Help = "This Jira is a fake. It takes demo-<user>, as demo-ana."
					m.Fields[i].Shapes = nil
				}
			}
		}
	}
	return all
}
