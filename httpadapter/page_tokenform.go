package httpadapter

import (
	"net/url"
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

	typed   map[string]bool // secrets that were typed, by input
	again   map[string]bool // secrets that cannot be kept, by input
	instead map[string][]pageLink
	stale   bool
}

// pageLink is a link to another page.
type pageLink struct{ Href, Text string }

// tokenInput is an input of the form, with the forms of other providers that
// what was typed may be meant for.
type tokenInput struct {
	input
	Instead []pageLink
}

// savedNow is what is stored while the form shows something else.
type savedNow struct {
	Facts []fact
	Href  string // of the form with what is stored
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
		Provider, Help, Action, Checked, Asking string
		Version                                 int64
		Notices                                 []noticeLine
		Methods                                 []methodLink
		Saved                                   *savedNow
		Inputs                                  []tokenInput
		Unverified                              *unverified
	}{
		Provider: f.provider.Name, Help: f.provider.DocsURL, Notices: notices(f.provider),
		Inputs: p.tokenInputs(q, f, errs), Checked: p.text.say("token_form.checked", "Provider", f.provider.Name),
		Asking: p.text.say("token_form.asking", "Provider", f.provider.Name),
	}
	title, label := "token_new.title", ""
	if f.stored != nil {
		title, label = "token_edit.title", f.stored.Label
		content.Version = f.stored.Version
		content.Action = q.base + "provider-tokens/" + f.stored.ID + "/edit"
		if f.stale {
			content.Saved = p.savedNow(q, f, content.Action)
		}
	} else {
		content.Action = newTokenAddress(q, f.provider.ID, f.method.ID)
		if len(f.provider.Methods) > 1 {
			for _, m := range f.provider.Methods {
				content.Methods = append(content.Methods, methodLink{newTokenAddress(q, f.provider.ID, m.ID), m.Label, m.ID == f.method.ID})
			}
		}
	}
	if f.provider.Unverifiable {
		content.Checked, content.Asking = "", ""
		content.Notices = append(content.Notices, noticeLine{p.text.say("token_form.unverifiable", "Provider", f.provider.Name), true})
	}
	if f.unverified {
		content.Unverified = &unverified{f.allow}
	}
	return p.view(q, p.text.say(title, "Provider", f.provider.Name, "Label", label), content)
}

// newTokenAddress leads to the form for a new connection; without a method, to
// the provider's first.
func newTokenAddress(q *pageCall, provider, method string) string {
	query := url.Values{"provider": {provider}}
	if method != "" {
		query.Set("method", method)
	}
	return q.base + "provider-tokens/new?" + query.Encode()
}

// savedNow lists what is stored for everything the form can change, but secrets.
func (p *page) savedNow(q *pageCall, f tokenForm, href string) *savedNow {
	now := &savedNow{Href: href}
	add := func(name, text string) {
		if text == "" {
			text = p.text.say("token_form.saved_none")
		}
		now.Facts = append(now.Facts, fact{Name: name, Text: text})
	}
	for _, field := range f.method.Fields {
		if isPublic(field) {
			add(field.Label, f.stored.Fields[field.Name])
		}
	}
	if f.method.AskExpiry {
		ends := ""
		if until := q.until(f.stored.ExpiresAt); until != nil {
			ends = until.Text
		}
		add(p.text.say("token_form.expires_on"), ends)
	}
	add(p.text.say("token_form.label"), f.stored.Label)
	now.Facts = append(now.Facts, fact{Name: p.text.say("token_form.saved_at"), Time: q.when(f.stored.UpdatedAt)})
	return now
}

// tokenInputs draws the method's fields, then the date and the label.
func (p *page) tokenInputs(q *pageCall, f tokenForm, errs formErrors) []tokenInput {
	var inputs []tokenInput
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
		switch {
		case !isPublic(field):
			p.secretInput(q, f, field, &in, len(errs.summary) > 0)
		case field.Origin && f.stored != nil:
			in.hint(p.text.say("token_form.address_hint"))
			fallthrough
		default:
			in.Value = withoutSuffix(f.fields[field.Name], field.Suffix)
		}
		inputs = append(inputs, tokenInput{in, f.instead[name]})
	}
	if f.method.AskExpiry {
		inputs = append(inputs, tokenInput{input: input{
			ID: "expires_on", Name: "expires_on", Label: p.text.say("token_form.expires_on"), Type: "date", Value: f.expiresOn,
			Hint: p.text.say("token_form.expires_hint"), Optional: true, Error: errs.byField["expires_on"],
		}})
	}
	inputs = append(inputs, tokenInput{input: input{
		ID: "label", Name: "label", Label: p.text.say("token_form.label"), Type: "text", Value: f.label,
		Hint: p.text.say("token_form.label_hint"), Placeholder: p.text.say("token_form.label_example"),
		Optional: true, Autocomplete: "off", Error: errs.byField["label"],
	}})
	if len(errs.summary) == 0 {
		inputs[0].Focus = true
	}
	return inputs
}

// withoutSuffix is a pasted address as its input shows it before the suffix. What
// it means is the service's to say; anything else stays as it was typed.
func withoutSuffix(text, suffix string) string {
	host := strings.ToLower(strings.TrimSpace(text))
	if _, address, isURL := strings.Cut(host, "://"); isURL {
		host = address
	}
	host, _, _ = strings.Cut(host, "/")
	if label, ok := strings.CutSuffix(host, suffix); ok && suffix != "" && label != "" && !strings.ContainsAny(label, ".@:?# ") {
		return label
	}
	return text
}

// hint puts a sentence behind the input's hint.
func (i *input) hint(text string) { i.Hint = strings.TrimSpace(i.Hint + " " + text) }

// secretInput makes an input whose value never comes back.
func (p *page) secretInput(q *pageCall, f tokenForm, field providertoken.Field, in *input, again bool) {
	in.Type, in.Secret = "password", true
	info, kept := providertoken.SecretInfo{}, false
	if f.stored != nil {
		info = f.stored.Secrets[field.Name]
		kept = info.Set && !f.again[in.Name]
	}
	in.Required = !kept && !field.Optional
	again = again && (f.stored == nil || f.typed[in.Name])
	switch {
	case kept && info.UpdatedAt.IsZero():
		in.hint(p.text.say("token_form.keep_undated"))
	case kept && again:
		in.hint(p.text.say("token_form.retype_keep", "Date", q.day(info.UpdatedAt)))
	case kept:
		in.hint(p.text.say("token_form.keep", "Date", q.day(info.UpdatedAt)))
	case again:
		in.hint(p.text.say("token_form.retype"))
	}
}

// read takes what was typed, and refuses inputs the method does not have. A
// blank secret of a stored connection is absent, which keeps the one there is.
func (f *tokenForm) read(form url.Values) (secrets map[string]lanyard.Secret, err error) {
	f.label, f.expiresOn = form.Get("label"), form.Get("expires_on")
	// Where nothing can be checked the form says so, and that is how it is saved.
	f.allow = form.Get("allow_unverified") == "yes" || f.provider.Unverifiable
	f.fields, f.typed, secrets = map[string]string{}, map[string]bool{}, map[string]lanyard.Secret{}
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
			f.typed[name] = text != ""
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
	return p.savedToken(q, f, t, "token-saved")
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
	return p.savedToken(q, f, t, what)
}

func (p *page) savedToken(q *pageCall, f tokenForm, t providertoken.Token, what string) error {
	switch {
	case t.Status == providertoken.StatusUnverified && f.provider.Unverifiable:
		what = "token-unverifiable"
	case t.Status == providertoken.StatusUnverified:
		what = "token-unverified"
	}
	return q.done("provider-tokens", what, "provider", t.ProviderID)
}
