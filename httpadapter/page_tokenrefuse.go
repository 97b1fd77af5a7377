package httpadapter

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

func (p *page) refuseDate(q *pageCall, f tokenForm) error {
	var errs formErrors
	errs.add("expires_on", p.text.say("token_form.error_date"))
	return p.refuse(q, "token_form", p.tokenFormView(q, f, errs), errs)
}

// refuseToken shows the form again with what the service or the platform said.
func (p *page) refuseToken(q *pageCall, f tokenForm, secrets map[string]lanyard.Secret, err error) error {
	var (
		errs     formErrors
		verified *providertoken.VerificationError
	)
	switch {
	case errors.As(err, &verified):
		p.sayVerdict(q, &f, secrets, verified, &errs)
		f.unverified = verified.Verdict == providertoken.VerdictUnreachable
	case problemOf(err).Code == codeStale:
		f.stale = true
		errs.say(http.StatusPreconditionFailed, p.text.say("token_form.stale"))
	case errors.Is(err, lanyard.ErrExists):
		errs.add("label", p.text.say("token_form.error_exists"))
		errs.status = http.StatusConflict
	case errors.Is(err, lanyard.ErrLimit):
		errs.say(http.StatusConflict, p.text.say("token_form.error_limit", "N", p.h.config.ProviderTokens.Limit()))
	default:
		if inputs := inputErrors(err); len(inputs) > 0 {
			p.sayInputs(q, &f, secrets, inputs, &errs)
			break
		}
		var mine bool
		if errs, mine = p.formErrors(err, nil); !mine {
			return err
		}
	}
	return p.refuse(q, "token_form", p.tokenFormView(q, f, errs), errs)
}

// sayInputs says at each field what is wrong with it. A secret that looks like
// another platform's comes with the way to that one's form.
func (p *page) sayInputs(q *pageCall, f *tokenForm, secrets map[string]lanyard.Secret, inputs []*lanyard.InputError, errs *formErrors) {
	f.again = map[string]bool{}
	for _, e := range inputs {
		i := slices.IndexFunc(f.method.Fields, func(field providertoken.Field) bool { return fieldName(field) == e.Field })
		switch {
		case e.Code == providertoken.CodeLooksLikeOther && i >= 0:
			hint := p.hintOf(*f, secrets, e.Field)
			errs.add(e.Field, p.text.say("error.looks-like-other", "Label", f.method.Fields[i].Label,
				"Provider", f.provider.Name, "Token", hint.Token, "Vowel", vowelFirst(hint.Token))+p.elsewhere(q, f, e.Field, hint))
		case e.Code == providertoken.CodeOpenSecret && i >= 0: // and does not stand on the page again
			delete(f.fields, f.method.Fields[i].Name)
			errs.add(e.Field, p.errorText(e.Code, f.method.Fields[i].Label))
		case i >= 0:
			f.again[e.Field] = e.Code == providertoken.CodeSecretRequired || e.Code == providertoken.CodeSecretLost
			errs.add(e.Field, p.fieldText(*f, f.method.Fields[i], e.Code))
		case e.Field == "label":
			if e.Code == providertoken.CodeOpenSecret {
				f.label = ""
			}
			errs.add("label", p.errorText(e.Code, p.text.say("token_form.label")))
		case e.Field == "expires_at":
			errs.add("expires_on", p.text.say("token_form.error_past"))
		default:
			errs.say(http.StatusUnprocessableEntity, p.text.say("error.form"))
		}
	}
}

// elsewhere adds the forms that take what was typed, and returns what the error
// says besides where there is none.
func (p *page) elsewhere(q *pageCall, f *tokenForm, field string, hint providertoken.Hint) string {
	if f.instead == nil {
		f.instead = map[string][]pageLink{}
	}
	for _, id := range hint.Providers {
		f.instead[field] = append(f.instead[field], pageLink{
			newTokenAddress(q, id, ""), p.text.say("token_form.instead", "Provider", p.providerName(id)),
		})
	}
	if len(hint.Providers) > 0 {
		return ""
	}
	return " " + p.text.say("token_form.not_here")
}

// vowelFirst reports whether English says "an" before the name.
func vowelFirst(name string) bool {
	return name != "" && strings.ContainsRune("AEIOUaeiou", rune(name[0]))
}

// fieldText says what is wrong with a field, by what it asks for.
func (p *page) fieldText(f tokenForm, field providertoken.Field, code string) string {
	pairs := []any{"Label", field.Label, "Suffix", field.Suffix, "Example", field.Example}
	switch {
	case code == providertoken.CodeMasked && f.stored == nil:
		return p.text.say("token_form.error_mask", pairs...)
	case code != lanyard.CodeInvalid:
		return p.errorText(code, field.Label)
	case field.Type == providertoken.TypeDNSLabel && field.Suffix != "":
		return p.text.say("token_form.error_before", pairs...)
	case field.Type == providertoken.TypeDNSLabel:
		return p.text.say("token_form.error_name", pairs...)
	case field.Type == providertoken.TypeEmail:
		return p.text.say("token_form.error_email", pairs...)
	case !isPublic(field):
		return p.text.say("token_form.error_secret", pairs...)
	}
	return p.errorText(code, field.Label)
}

func (p *page) errorText(code, label string) string {
	id := "error." + code
	if !p.text.has(id) {
		id = "error." + lanyard.CodeInvalid
	}
	return p.text.say(id, "Label", label)
}

// hintOf is what a secret looks like; the zero Hint where it looks right.
func (p *page) hintOf(f tokenForm, secrets map[string]lanyard.Secret, field string) providertoken.Hint {
	for _, hint := range p.h.config.ProviderTokens.Hints(f.provider.ID, f.method.ID, secrets) {
		if hint.Field == field {
			return hint
		}
	}
	return providertoken.Hint{}
}

// sayVerdict says why the platform did not prove the credential, at the field
// it is about: the address, or the first secret.
func (p *page) sayVerdict(q *pageCall, f *tokenForm, secrets map[string]lanyard.Secret, e *providertoken.VerificationError, errs *formErrors) {
	text := p.verdictText(f.provider.Name, e.Verdict, e.Reason)
	if advice := p.formAdvice(f.method, e.Verdict, e.Reason); advice != "" {
		text += " " + advice
	}
	var about func(providertoken.Field) bool
	switch {
	case e.Reason == reasonIdentityUnknown:
		about = func(providertoken.Field) bool { return false }
	case e.Verdict == providertoken.VerdictWrongInstance, e.Verdict == providertoken.VerdictUnreachable:
		about = func(field providertoken.Field) bool { return field.Origin }
	case e.Verdict == providertoken.VerdictRateLimited:
		about = func(providertoken.Field) bool { return false }
	default:
		about = func(field providertoken.Field) bool { return !isPublic(field) }
	}
	i := slices.IndexFunc(f.method.Fields, about)
	if i < 0 {
		errs.say(http.StatusUnprocessableEntity, text)
		return
	}
	field := f.method.Fields[i]
	name := fieldName(field)
	switch hint := p.hintOf(*f, secrets, name); {
	case e.Verdict != providertoken.VerdictInvalid:
	case hint.Code == providertoken.CodeLooksLikeOther: // which a password may
		text += " " + p.text.say("token_form.shape_other", "Token", hint.Token, "Vowel", vowelFirst(hint.Token)) + p.elsewhere(q, f, name, hint)
	case hint.Code == providertoken.CodeOddShape:
		text += " " + p.text.say("token_form.shape", "Provider", f.provider.Name)
	}
	errs.add(name, text)
}
