package httpadapter

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

// providerCard is one provider with the connections the user has to it.
type providerCard struct {
	ID, Name, Help string
	Offered        bool
	Notices        []noticeLine
	Tokens         []tokenLine
}

type noticeLine struct {
	Text    string
	Warning bool
}

type tokenLine struct {
	ID, Label, Account, Why string
	Offered                 bool
	Badge                   badge
	Meta                    []fact
}

func (p *page) showTokens(q *pageCall) error {
	tokens, err := p.h.config.ProviderTokens.Tokens(q.r.Context(), q.caller.Owner)
	if err != nil {
		return err
	}
	var content struct{ Providers []providerCard }
	for _, provider := range p.h.config.ProviderTokens.ProvidersIn(p.text.language()) {
		content.Providers = append(content.Providers, providerCard{
			ID: provider.ID, Name: provider.Name, Help: provider.DocsURL, Offered: true, Notices: notices(provider),
		})
	}
	for _, t := range tokens {
		i := 0
		for i < len(content.Providers) && content.Providers[i].ID != t.ProviderID {
			i++
		}
		if i == len(content.Providers) {
			content.Providers = append(content.Providers, providerCard{ID: t.ProviderID, Name: t.ProviderID})
		}
		card := &content.Providers[i]
		card.Tokens = append(card.Tokens, p.tokenLine(q, card.Name, t))
	}
	return p.render(q, "tokens", p.view(q, p.text.say("tokens.title"), content))
}

func notices(provider providertoken.Provider) []noticeLine {
	var lines []noticeLine
	for _, n := range provider.Notices {
		lines = append(lines, noticeLine{Text: n.Text, Warning: n.Severity == "warning"})
	}
	return lines
}

// tokenLine says what a connection is good for, and why not.
func (p *page) tokenLine(q *pageCall, provider string, t providertoken.Token) tokenLine {
	line := tokenLine{
		ID: t.ID, Label: t.Label, Offered: t.Status != providertoken.StatusNotOffered,
		Account: p.accountText(t.Account, t.Origin),
	}
	switch t.Status {
	case providertoken.StatusConnected:
		line.Badge = badge{"good", p.text.say("tokens.connected")}
	case providertoken.StatusUnverified:
		line.Badge = badge{"warn", p.text.say("tokens.unverified")}
		line.Why = p.text.say("tokens.why_unverified")
	case providertoken.StatusExpiring:
		line.Badge = badge{"warn", p.expiresIn(q, "tokens", t.ExpiresAt)}
	case providertoken.StatusExpired:
		line.Badge = badge{"bad", p.text.say("tokens.expired")}
		line.Why = p.text.say("tokens.why_expired")
	case providertoken.StatusNotOffered:
		line.Badge = badge{"", p.text.say("tokens.not_offered")}
		line.Why = p.text.say("tokens.why_not_offered")
	default:
		line.Badge = badge{"bad", p.text.say("tokens.needs_attention")}
		line.Why = p.text.say("tokens.why_attention")
		if id := "verdict." + string(t.Verdict); p.text.has(id) {
			line.Why = p.text.say(id, "Provider", provider) + " " + p.text.say("tokens.fix")
		}
	}
	if t.Status != providertoken.StatusExpiring {
		if until := q.until(t.ExpiresAt); until != nil {
			line.Meta = append(line.Meta, fact{Name: p.text.say("tokens.expires"), Time: until})
		}
	}
	line.Meta = append(line.Meta, fact{
		Name: p.text.say("tokens.used"), Time: q.when(t.LastUsedAt), Text: p.text.say("tokens.never_used"),
	})
	if checked := q.when(t.CheckedAt); checked != nil {
		line.Meta = append(line.Meta, fact{Name: p.text.say("tokens.checked"), Time: checked})
	}
	return line
}

// accountText says who the platform named, and where.
func (p *page) accountText(account *providertoken.Account, origin string) string {
	place := strings.TrimPrefix(origin, "https://")
	if account == nil {
		if place == "" {
			return ""
		}
		return p.text.say("tokens.on", "Place", place)
	}
	name := account.Name
	switch {
	case name == "" && account.Email != "":
		name = account.Email
	case name == "":
		name = account.ID
	case account.Email != "":
		name += " (" + account.Email + ")"
	}
	if place == "" {
		return p.text.say("tokens.as", "Account", name)
	}
	return p.text.say("tokens.as_on", "Account", name, "Place", place)
}

// providerName is the name users read. An id that leads nowhere is not
// repeated: it comes from the address.
func (p *page) providerName(id string) string {
	if provider, ok := p.provider(id); ok {
		return provider.Name
	}
	return p.text.say("tokens.title")
}

func (p *page) provider(id string) (providertoken.Provider, bool) {
	for _, provider := range p.h.config.ProviderTokens.ProvidersIn(p.text.language()) {
		if provider.ID == id {
			return provider, true
		}
	}
	return providertoken.Provider{}, false
}

func (p *page) showTokenDelete(q *pageCall) error { return p.askTokenDelete(q, formErrors{}) }

func (p *page) askTokenDelete(q *pageCall, errs formErrors) error {
	t, err := p.h.config.ProviderTokens.Token(q.r.Context(), q.caller.Owner, q.id)
	if err != nil {
		return err
	}
	name := t.ProviderID
	if provider, ok := p.provider(t.ProviderID); ok {
		name = provider.Name
	}
	named := []any{"Provider", name, "Label", t.Label}
	ask := deletion{
		Action: q.base + "provider-tokens/" + t.ID + "/delete", Back: q.base + "provider-tokens", Version: t.Version,
		Warning: p.text.say("token_delete.warning"), Submit: p.text.say("token_delete.submit", named...),
		Facts: []fact{{Name: p.text.say("token_delete.provider"), Text: name}},
	}
	if t.Label != "" {
		ask.Facts = append(ask.Facts, fact{Name: p.text.say("token_delete.label"), Text: t.Label})
	}
	if t.Account != nil {
		ask.Facts = append(ask.Facts, fact{Name: p.text.say("token_delete.account"), Text: p.accountText(t.Account, "")})
	}
	if t.Origin != "" {
		ask.Facts = append(ask.Facts, fact{Name: p.text.say("token_delete.origin"), Text: strings.TrimPrefix(t.Origin, "https://")})
	}
	v := p.view(q, p.text.say("token_delete.title", named...), ask)
	if len(errs.summary) > 0 {
		return p.refuse(q, "delete", v, errs)
	}
	return p.render(q, "delete", v)
}

func (p *page) deleteToken(q *pageCall) error {
	version, err := q.version()
	if err != nil {
		return err
	}
	err = p.h.config.ProviderTokens.Delete(q.r.Context(), q.caller.Owner, q.id, version)
	if errors.Is(err, lanyard.ErrConflict) {
		var errs formErrors
		errs.say(http.StatusPreconditionFailed, p.text.say("token_delete.stale"))
		return p.askTokenDelete(q, errs)
	}
	if err != nil {
		return err
	}
	return q.done("provider-tokens", "token-deleted")
}

func (p *page) testToken(q *pageCall) error {
	t, err := p.h.config.ProviderTokens.Token(q.r.Context(), q.caller.Owner, q.id)
	if err != nil {
		return err
	}
	found, err := p.h.config.ProviderTokens.Verify(q.r.Context(), q.caller.Owner, q.id)
	if err != nil {
		return err
	}
	query := url.Values{"done": {"token-test-" + string(found.Verdict)}, "provider": {t.ProviderID}}
	return q.redirect("provider-tokens", query)
}
