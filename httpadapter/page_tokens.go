package httpadapter

import (
	"errors"
	"net/url"
	"slices"
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
	Outcome                 *outcome // of a test just now
	Offered, Testable       bool
	Badge                   badge
	Meta                    []fact
}

// outcome is what came of a test; Tone is a badge's.
type outcome struct{ Tone, Text string }

func (p *page) showTokens(q *pageCall) error {
	tokens, err := p.h.config.ProviderTokens.Tokens(q.r.Context(), q.caller.Owner)
	if err != nil {
		return err
	}
	var content struct {
		Full      string // why none can be added; "" = some can
		Providers []providerCard
	}
	if limit := p.h.config.ProviderTokens.Limit(); limit >= 0 && len(tokens) >= limit {
		content.Full = p.text.say("token_form.error_limit", "N", limit)
	}
	providers := p.h.config.ProviderTokens.ProvidersIn(p.text.language())
	for _, provider := range providers {
		content.Providers = append(content.Providers, providerCard{
			ID: provider.ID, Name: provider.Name, Help: provider.DocsURL, Offered: true, Notices: notices(provider),
		})
	}
	for _, t := range tokens {
		i := 0
		for i < len(content.Providers) && content.Providers[i].ID != t.ProviderID {
			i++
		}
		provider := providertoken.Provider{ID: t.ProviderID, Name: t.ProviderID}
		if i < len(providers) {
			provider = providers[i]
		}
		if i == len(content.Providers) {
			content.Providers = append(content.Providers, providerCard{ID: t.ProviderID, Name: t.ProviderID})
		}
		card := &content.Providers[i]
		card.Tokens = append(card.Tokens, p.tokenLine(q, provider, t))
	}
	// What the user has comes first; each half is in the order configured.
	slices.SortStableFunc(content.Providers, func(a, b providerCard) int {
		return min(1, len(b.Tokens)) - min(1, len(a.Tokens))
	})
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
func (p *page) tokenLine(q *pageCall, provider providertoken.Provider, t providertoken.Token) tokenLine {
	line := tokenLine{
		ID: t.ID, Label: t.Label, Offered: t.Status != providertoken.StatusNotOffered,
	}
	switch who, place := accountName(t.Account), strings.TrimPrefix(t.Origin, "https://"); {
	case who == "":
		line.Account = p.text.say("tokens.on", "Place", place)
	case t.Status == providertoken.StatusConnected, t.Status == providertoken.StatusExpiring:
		line.Account = p.text.say("tokens.as_on", "Account", who, "Place", place)
	default:
		line.Account = p.text.say("tokens.was_on", "Account", who, "Place", place)
	}
	line.Testable = line.Offered && !provider.Unverifiable
	line.Badge, line.Why = p.tokenState(q, provider, t)
	if line.Outcome = p.testOutcome(q, provider, t); line.Outcome != nil && line.Outcome.Text == line.Why {
		line.Why = ""
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

// tokenState is the state in a word or two, and where it is not as it should be,
// why and what to do.
func (p *page) tokenState(q *pageCall, provider providertoken.Provider, t providertoken.Token) (state badge, why string) {
	switch t.Status {
	case providertoken.StatusConnected:
		return badge{"good", p.text.say("tokens.connected")}, ""
	case providertoken.StatusUnverified:
		if provider.Unverifiable {
			return badge{"", p.text.say("tokens.unverifiable")}, p.text.say("tokens.why_unverifiable", "Provider", provider.Name)
		}
		return badge{"warn", p.text.say("tokens.unverified")}, p.text.say("tokens.why_unverified", "Provider", provider.Name)
	case providertoken.StatusExpiring:
		return badge{"warn", p.expiresIn(q, "tokens", t.ExpiresAt)}, p.text.say("tokens.why_expiring")
	case providertoken.StatusExpired:
		if t.Verdict == providertoken.VerdictOK && t.CheckedAt.After(t.ExpiresAt) {
			return badge{"bad", p.text.say("tokens.expired")}, p.text.say("tokens.why_date", "Provider", provider.Name)
		}
		if t.Verdict == providertoken.VerdictExpired {
			return badge{"bad", p.text.say("tokens.expired")}, p.verdictAndAdvice(provider, t)
		}
		return badge{"bad", p.text.say("tokens.expired")}, p.text.say("tokens.fix_expired")
	case providertoken.StatusNotOffered:
		return badge{"", p.text.say("tokens.not_offered")}, p.text.say("tokens.why_not_offered")
	default:
		return badge{"bad", p.text.say("tokens.needs_attention")}, p.verdictAndAdvice(provider, t)
	}
}

// verdictAndAdvice is what the platform said against a stored token, and what to
// do about it.
func (p *page) verdictAndAdvice(provider providertoken.Provider, t providertoken.Token) string {
	method, _ := methodOf(provider, t.MethodID)
	return p.verdictText(provider.Name, t.Verdict, t.Reason) + " " + p.cardAdvice(method, t.Verdict, t.Reason)
}

// What a test that decided nothing is called in the address it leads to, besides
// the verdict.
const (
	testConflict = "conflict"
	testLost     = "lost" // what is stored does not open
)

// testOutcome says what came of the test that the address names. What decides is
// read from the connection: an address can be made up, and it can be old.
func (p *page) testOutcome(q *pageCall, provider providertoken.Provider, t providertoken.Token) *outcome {
	query := q.r.URL.Query()
	if query.Get("tested") != t.ID || t.Status == providertoken.StatusNotOffered {
		return nil
	}
	switch verdict := providertoken.Verdict(query.Get("outcome")); verdict {
	case testConflict:
		return &outcome{"warn", p.text.say("tokens.test_conflict")}
	case testLost:
		return &outcome{"bad", p.text.say("tokens.test_lost")}
	case providertoken.VerdictRateLimited, providertoken.VerdictUnreachable:
		reason := query.Get("reason")
		if !p.text.has("verdict." + string(verdict) + "." + reason) {
			reason = "" // no words of ours
		}
		return &outcome{"warn", p.verdictText(provider.Name, verdict, reason)}
	}
	switch t.Verdict {
	case "":
		return nil
	case providertoken.VerdictOK:
		return &outcome{"good", p.verdictText(provider.Name, t.Verdict, "")}
	}
	return &outcome{"bad", p.verdictAndAdvice(provider, t)}
}

// accountName is who the platform named; "" = nobody.
func accountName(account *providertoken.Account) string {
	switch {
	case account == nil:
		return ""
	case account.Name == "" && account.Email == "":
		return account.ID
	case account.Name == "":
		return account.Email
	case account.Email == "":
		return account.Name
	}
	return account.Name + " (" + account.Email + ")"
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

// testToken asks the platform and goes back to the connection, which says what
// came of it.
func (p *page) testToken(q *pageCall) error {
	if _, err := p.h.config.ProviderTokens.Token(q.r.Context(), q.caller.Owner, q.id); err != nil {
		return err
	}
	query := url.Values{"tested": {q.id}}
	found, err := p.h.config.ProviderTokens.Verify(q.r.Context(), q.caller.Owner, q.id)
	switch {
	case errors.Is(err, providertoken.ErrNotOffered):
		// The connection says so itself.
	case errors.Is(err, lanyard.ErrConflict):
		query.Set("outcome", testConflict)
	case errors.Is(err, providertoken.ErrSecretLost):
		query.Set("outcome", testLost)
	case err != nil:
		return err
	case found.Verdict == providertoken.VerdictRateLimited || found.Verdict == providertoken.VerdictUnreachable:
		query.Set("outcome", string(found.Verdict))
		if found.Reason != "" {
			query.Set("reason", found.Reason)
		}
	}
	return q.redirect("provider-tokens", query)
}
