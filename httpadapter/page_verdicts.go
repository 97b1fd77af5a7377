package httpadapter

import (
	"strings"

	"github.com/aichub/lanyard/providertoken"
)

// Reasons of the catalogue that ask for something else than their verdict does.
const (
	reasonCaptcha         = "captcha"          // a person has to sign in first
	reasonRevoked         = "revoked"          // it stays so
	reasonIdentityUnknown = "identity_unknown" // the platform was reached and named nobody
)

// verdictText says in one sentence what a platform said of a token, the same on
// the form, on the card and after a test. A reason that has a sentence of its own
// replaces the verdict's; one that an organisation made up stands behind it.
func (p *page) verdictText(provider string, v providertoken.Verdict, reason string) string {
	id := "verdict." + string(v)
	if reason != "" && p.text.has(id+"."+reason) {
		return p.text.say(id+"."+reason, "Provider", provider)
	}
	text := p.text.say(id, "Provider", provider)
	if reason != "" {
		text += " " + p.text.say("verdict.reason", "Reason", strings.ReplaceAll(reason, "_", " "))
	}
	return text
}

// formAdvice says what to do about a verdict while the form is open; "" = what
// the verdict says is enough.
func (p *page) formAdvice(m providertoken.MethodInfo, v providertoken.Verdict, reason string) string {
	switch {
	case reason == reasonCaptcha:
		return ""
	case v == providertoken.VerdictExpired || reason == reasonRevoked:
		return p.text.say("token_form.next_new")
	case v == providertoken.VerdictInsufficientScope:
		return p.text.say("token_form.next_rights")
	case v == providertoken.VerdictWrongInstance && !asksAddress(m):
		return p.text.say("verdict.fixed")
	case v == providertoken.VerdictWrongInstance:
		return p.text.say("token_form.next_address")
	case v == providertoken.VerdictUnreachable:
		return p.text.say("token_form.next_unverified")
	}
	return ""
}

// cardAdvice says what to do about a verdict against a stored token.
func (p *page) cardAdvice(m providertoken.MethodInfo, v providertoken.Verdict, reason string) string {
	switch {
	case reason == reasonCaptcha:
		return p.text.say("tokens.fix_captcha")
	case v == providertoken.VerdictExpired:
		return p.text.say("tokens.fix_expired")
	case v == providertoken.VerdictInsufficientScope:
		return p.text.say("tokens.fix_rights")
	case v == providertoken.VerdictWrongInstance && !asksAddress(m):
		return p.text.say("verdict.fixed")
	case v == providertoken.VerdictWrongInstance:
		return p.text.say("tokens.fix_address")
	}
	return p.text.say("tokens.fix")
}

// asksAddress reports whether the user decides where the token is sent.
func asksAddress(m providertoken.MethodInfo) bool {
	for _, f := range m.Fields {
		if f.Origin {
			return true
		}
	}
	return false
}
