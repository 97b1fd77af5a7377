package httpadapter

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

// tokenFields are the inputs of the form, as pageRoute.fields.
const tokenFields = "label expires_on allow_unverified fields/ secrets/"

// tokenForm is the form for a connection, drawn from its provider's method.
type tokenForm struct {
	provider providertoken.Provider
	method   providertoken.MethodInfo
	stored   *providertoken.Token // nil for a new one

	label      string
	fields     map[string]string // public ones, as typed
	expiresOn  string
	unverified bool // offer to save without checking
	allow      bool
}

// newTokenForm chooses provider and method by the address.
func (p *page) newTokenForm(q *pageCall) (tokenForm, error) {
	query := q.r.URL.Query()
	provider, ok := p.provider(query.Get("provider"))
	if !ok || len(provider.Methods) == 0 {
		return tokenForm{}, lanyard.ErrNotFound
	}
	f := tokenForm{provider: provider, method: provider.Methods[0]}
	if id := query.Get("method"); id != "" {
		if f.method, ok = methodOf(provider, id); !ok {
			return tokenForm{}, lanyard.ErrNotFound
		}
	}
	return f, nil
}

// storedTokenForm is the form of a connection that is there.
func (p *page) storedTokenForm(q *pageCall) (tokenForm, error) {
	t, err := p.h.config.ProviderTokens.Token(q.r.Context(), q.caller.Owner, q.id)
	if err != nil {
		return tokenForm{}, err
	}
	provider, ok := p.provider(t.ProviderID)
	if !ok {
		return tokenForm{}, lanyard.ErrNotFound
	}
	method, ok := methodOf(provider, t.MethodID)
	if !ok {
		return tokenForm{}, lanyard.ErrNotFound
	}
	f := tokenForm{provider: provider, method: method, stored: &t, label: t.Label, fields: t.Fields}
	if !t.ExpiresAt.IsZero() {
		f.expiresOn = t.ExpiresAt.Add(-time.Second).In(q.zone()).Format(time.DateOnly)
	}
	return f, nil
}

func methodOf(provider providertoken.Provider, id string) (providertoken.MethodInfo, bool) {
	for _, m := range provider.Methods {
		if m.ID == id {
			return m, true
		}
	}
	return providertoken.MethodInfo{}, false
}

func (p *page) showTokenNew(q *pageCall) error {
	f, err := p.newTokenForm(q)
	if err != nil {
		return err
	}
	return p.render(q, "token_form", p.tokenFormView(q, f, formErrors{}))
}

func (p *page) showTokenEdit(q *pageCall) error {
	f, err := p.storedTokenForm(q)
	if err != nil {
		return err
	}
	return p.render(q, "token_form", p.tokenFormView(q, f, formErrors{}))
}

func (p *page) tokenFormView(q *pageCall, f tokenForm, errs formErrors) view {
	type methodLink struct {
		Href, Text string
		Current    bool
	}
	type unverified struct{ Chosen bool }
	content := struct {
		Provider, Help, Action string
		Version                int64
		Notices                []noticeLine
		Methods                []methodLink
		Inputs                 []input
		Unverified             *unverified
	}{
		Provider: f.provider.Name, Help: f.provider.DocsURL, Notices: notices(f.provider),
		Inputs: p.tokenInputs(q, f, errs),
	}
	title := "token_new.title"
	address := func(method string) string {
		return q.base + "provider-tokens/new?" + url.Values{"provider": {f.provider.ID}, "method": {method}}.Encode()
	}
	if f.stored != nil {
		title = "token_edit.title"
		content.Version = f.stored.Version
		content.Action = q.base + "provider-tokens/" + f.stored.ID + "/edit"
	} else {
		content.Action = address(f.method.ID)
		if len(f.provider.Methods) > 1 {
			for _, m := range f.provider.Methods {
				content.Methods = append(content.Methods, methodLink{address(m.ID), m.Label, m.ID == f.method.ID})
			}
		}
	}
	if f.unverified {
		content.Unverified = &unverified{f.allow}
	}
	label := ""
	if f.stored != nil {
		label = f.stored.Label
	}
	return p.view(q, p.text.say(title, "Provider", f.provider.Name, "Label", label), content)
}

// tokenInputs draws the method's fields, then the date and the label.
func (p *page) tokenInputs(q *pageCall, f tokenForm, errs formErrors) []input {
	var inputs []input
	for _, field := range f.method.Fields {
		name := fieldName(field)
		in := input{
			ID: inputID(name), Name: name, Label: field.Label, Type: "text",
			Hint: field.Help, Suffix: field.Suffix, Optional: field.Optional, Required: !field.Optional,
			Autocomplete: "off", Placeholder: field.Example, Guard: true, Error: errs.byField[name],
		}
		if field.Type == providertoken.TypeEmail {
			in.Type = "email"
		}
		if isPublic(field) {
			in.Value = f.fields[field.Name]
		} else {
			p.secretInput(q, f, field, &in, len(errs.summary) > 0)
		}
		inputs = append(inputs, in)
	}
	if f.method.AskExpiry {
		inputs = append(inputs, input{
			ID: "expires_on", Name: "expires_on", Label: p.text.say("token_form.expires_on"), Type: "date", Value: f.expiresOn,
			Hint: p.text.say("token_form.expires_hint"), Optional: true, Error: errs.byField["expires_on"],
		})
	}
	inputs = append(inputs, input{
		ID: "label", Name: "label", Label: p.text.say("token_form.label"), Type: "text", Value: f.label,
		Hint: p.text.say("token_form.label_hint"), Placeholder: p.text.say("token_form.label_example"),
		Optional: true, Autocomplete: "off", Error: errs.byField["label"],
	})
	if len(errs.summary) == 0 {
		inputs[0].Focus = true
	}
	return inputs
}

// secretInput makes an input whose value never comes back.
func (p *page) secretInput(q *pageCall, f tokenForm, field providertoken.Field, in *input, again bool) {
	in.Type, in.Secret = "password", true
	if f.stored == nil {
		if again {
			in.Hint = strings.TrimSpace(in.Hint + " " + p.text.say("token_form.retype"))
		}
		return
	}
	if info := f.stored.Secrets[field.Name]; info.Set {
		in.Required = false
		keep := p.text.say("token_form.keep_undated")
		if !info.UpdatedAt.IsZero() {
			keep = p.text.say("token_form.keep", "Date", q.day(info.UpdatedAt))
		}
		in.Hint = strings.TrimSpace(in.Hint + " " + keep)
	}
}

// read takes what was typed, and refuses inputs the method does not have. A
// blank secret of a stored connection is absent, which keeps the one there is.
func (f *tokenForm) read(form url.Values) (secrets map[string]lanyard.Secret, err error) {
	f.label, f.expiresOn = form.Get("label"), form.Get("expires_on")
	f.allow = form.Get("allow_unverified") == "yes"
	f.fields, secrets = map[string]string{}, map[string]lanyard.Secret{}
	known := map[string]bool{}
	for _, field := range f.method.Fields {
		name := fieldName(field)
		known[name] = true
		text := form.Get(name)
		switch {
		case isPublic(field):
			f.fields[field.Name] = text
		case text != "" || f.stored == nil && !field.Optional:
			secrets[field.Name] = lanyard.NewSecret(text)
		}
	}
	for name := range form {
		if strings.Contains(name, "/") && !known[name] {
			return nil, errProblem{problem{Code: codeMalformed}}
		}
	}
	return secrets, nil
}

func isPublic(field providertoken.Field) bool { return field.Public || field.Origin }

// fieldName is the name of a field's input, and what an InputError calls it.
func fieldName(field providertoken.Field) string {
	if isPublic(field) {
		return "fields/" + field.Name
	}
	return "secrets/" + field.Name
}

// expiresAt reads the date: a credential lives to the end of its last day.
func (f tokenForm) expiresAt(q *pageCall) (time.Time, bool) {
	if f.expiresOn == "" {
		return time.Time{}, true
	}
	day, err := time.ParseInLocation(time.DateOnly, f.expiresOn, q.zone())
	return day.AddDate(0, 0, 1), err == nil
}

func (p *page) createToken(q *pageCall) error {
	f, err := p.newTokenForm(q)
	if err != nil {
		return err
	}
	secrets, err := f.read(q.form)
	if err != nil {
		return err
	}
	expires, ok := f.expiresAt(q)
	if !ok {
		return p.refuseDate(q, f)
	}
	t, err := p.h.config.ProviderTokens.Create(q.r.Context(), q.caller.Owner, providertoken.CreateRequest{
		ProviderID: f.provider.ID, MethodID: f.method.ID, Label: f.label, Fields: f.fields, Secrets: secrets,
		ExpiresAt: expires, AllowUnverified: f.allow,
	})
	if err != nil {
		return p.refuseToken(q, f, secrets, err)
	}
	return savedToken(q, t, "token-saved")
}

func (p *page) saveToken(q *pageCall) error {
	f, err := p.storedTokenForm(q)
	if err != nil {
		return err
	}
	version, err := q.version()
	if err != nil {
		return err
	}
	before, shown := *f.stored, f.expiresOn
	secrets, err := f.read(q.form)
	if err != nil {
		return err
	}
	expires, ok := f.expiresAt(q)
	if !ok {
		return p.refuseDate(q, f)
	}
	change := providertoken.UpdateRequest{Version: version, Label: &f.label, AllowUnverified: f.allow}
	if len(secrets) > 0 {
		change.Secrets = secrets
	}
	// Only what differs is sent: a change of the label alone asks nobody.
	for name, value := range f.fields {
		if value != before.Fields[name] {
			if change.Fields == nil {
				change.Fields = map[string]string{}
			}
			change.Fields[name] = value
		}
	}
	if f.method.AskExpiry && f.expiresOn != shown {
		change.ExpiresAt = &expires
	}
	t, err := p.h.config.ProviderTokens.Update(q.r.Context(), q.caller.Owner, q.id, change)
	if err != nil {
		return p.refuseToken(q, f, secrets, staleForm(err))
	}
	what := "token-changed"
	if change.Fields != nil || change.Secrets != nil {
		what = "token-saved"
	}
	return savedToken(q, t, what)
}

func savedToken(q *pageCall, t providertoken.Token, what string) error {
	if t.Status == providertoken.StatusUnverified {
		what = "token-unverified"
	}
	return q.done("provider-tokens", what, "provider", t.ProviderID)
}

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
		p.sayVerdict(f, secrets, verified, &errs)
		f.unverified = verified.Verdict == providertoken.VerdictUnreachable
	case errors.Is(err, lanyard.ErrExists):
		errs.add("label", p.text.say("token_form.error_exists"))
		errs.status = http.StatusConflict
	case errors.Is(err, lanyard.ErrLimit):
		errs.say(http.StatusConflict, p.text.say("token_form.error_limit", "N", p.h.config.ProviderTokens.Limit()))
	default:
		fields := map[string]formField{
			"label":      {label: p.text.say("token_form.label")},
			"expires_at": {label: p.text.say("token_form.expires_on"), id: "expires_on"},
		}
		for _, field := range f.method.Fields {
			fields[fieldName(field)] = formField{label: field.Label}
		}
		var mine bool
		if errs, mine = p.formErrors(err, fields); !mine {
			return err
		}
		if text, ok := errs.byField["expires_at"]; ok {
			errs.byField["expires_on"] = text
		}
	}
	return p.refuse(q, "token_form", p.tokenFormView(q, f, errs), errs)
}

// sayVerdict says why the platform did not prove the credential, at the field
// it is about: the address, or the first secret.
func (p *page) sayVerdict(f tokenForm, secrets map[string]lanyard.Secret, e *providertoken.VerificationError, errs *formErrors) {
	text := p.text.say("verdict."+string(e.Verdict), "Provider", f.provider.Name)
	if e.Reason != "" {
		text += " " + p.text.say("verdict.reason", "Reason", p.reason(e.Reason))
	}
	var about func(providertoken.Field) bool
	switch e.Verdict {
	case providertoken.VerdictInvalid, providertoken.VerdictExpired, providertoken.VerdictInsufficientScope:
		about = func(field providertoken.Field) bool { return !isPublic(field) }
	case providertoken.VerdictWrongInstance, providertoken.VerdictUnreachable:
		about = func(field providertoken.Field) bool { return field.Origin }
	default:
		about = func(providertoken.Field) bool { return false }
	}
	i := slices.IndexFunc(f.method.Fields, about)
	if i < 0 {
		errs.say(http.StatusUnprocessableEntity, text)
		return
	}
	field := f.method.Fields[i]
	if e.Verdict == providertoken.VerdictInvalid && oddShape(field, secrets[field.Name]) {
		text += " " + p.text.say("token_form.shape", "Provider", f.provider.Name)
	}
	errs.add(fieldName(field), text)
}

// reason says the code of a reason. Definitions of the host may have others
// than ours, which are read as they are.
func (p *page) reason(code string) string {
	if id := "reason." + code; p.text.has(id) {
		return p.text.say(id)
	}
	return strings.ReplaceAll(code, "_", " ")
}

// oddShape reports whether a secret that was typed does not look as this
// platform's do: half of one was copied, or another.
func oddShape(field providertoken.Field, secret lanyard.Secret) bool {
	text := secret.Reveal()
	return text != "" && len(field.Shapes) > 0 && !slices.ContainsFunc(field.Shapes, func(s providertoken.Shape) bool {
		fits, err := regexp.MatchString(s.Pattern, text)
		return fits || err != nil
	})
}
