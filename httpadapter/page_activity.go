package httpadapter

import (
	"net/url"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
)

func (p *page) showActivity(q *pageCall) error {
	type row struct {
		What, Object  string
		At            *timeView
		How           string
		IP, UserAgent string
	}
	token := q.r.URL.Query().Get("page_token")
	history, err := p.h.config.Profiles.Activity(q.r.Context(), q.caller.Owner, profile.Page{Token: token})
	if problemOf(err).Code == codeInvalidInput {
		return errProblem{problem{Code: codeNotFound}}
	}
	if err != nil {
		return err
	}
	var content struct {
		Events       []row
		First, Older string
	}
	for _, e := range history.Events {
		what := e.Action
		if id := "activity.action." + e.Action; p.text.has(id) {
			what = p.text.say(id)
		}
		content.Events = append(content.Events, row{
			What: what, Object: p.eventObject(e), At: q.when(e.At), How: p.text.say("activity.via." + string(e.Via)),
			IP: e.IP, UserAgent: e.UserAgent,
		})
	}
	if token != "" {
		content.First = q.base + "activity"
	}
	if history.Next != "" {
		content.Older = q.base + "activity?" + url.Values{"page_token": {history.Next}}.Encode()
	}
	return p.render(q, "activity", p.view(q, p.text.say("activity.title"), content))
}

// eventObject names what an event is about, and the agent that used it.
func (p *page) eventObject(e lanyard.Event) string {
	if name := e.Detail[apikey.DetailName]; name != "" {
		return name
	}
	parts := []string{e.Detail[providertoken.DetailProvider], e.Detail[providertoken.DetailLabel], e.Detail[providertoken.DetailAgent]}
	if p.h.config.ProviderTokens != nil {
		if provider, ok := p.provider(parts[0]); ok {
			parts[0] = provider.Name
		}
	}
	var there []string
	for _, part := range parts {
		if part != "" {
			there = append(there, part)
		}
	}
	return strings.Join(there, " · ")
}
