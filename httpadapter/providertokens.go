package httpadapter

import (
	"net/http"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

// providerView is what a form needs to know of a provider.
type providerView struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	DocsURL string       `json:"docs_url,omitzero"`
	Methods []methodView `json:"methods"`
	Notices []noticeView `json:"notices"`

	Unverifiable bool `json:"unverifiable"`
}

type methodView struct {
	ID        string      `json:"id"`
	Label     string      `json:"label"`
	Fields    []fieldView `json:"fields"`
	AskExpiry bool        `json:"ask_expiry"`
	Revokes   bool        `json:"revokes"`
}

type fieldView struct {
	Name     string                  `json:"name"`
	Label    string                  `json:"label"`
	Type     providertoken.FieldType `json:"type"`
	Required bool                    `json:"required"`
	Public   bool                    `json:"public"`
	Address  bool                    `json:"address"`
	Help     string                  `json:"help,omitzero"`
	Example  string                  `json:"example,omitzero"`
	Suffix   string                  `json:"suffix,omitzero"`
	Patterns []string                `json:"patterns,omitempty"`
}

type noticeView struct {
	Severity string    `json:"severity"`
	Text     string    `json:"text"`
	Until    timestamp `json:"until,omitzero"`
}

func viewProvider(p providertoken.Provider) providerView {
	v := providerView{
		ID: p.ID, Name: p.Name, DocsURL: p.DocsURL, Methods: []methodView{}, Notices: []noticeView{},
		Unverifiable: p.Unverifiable,
	}
	for _, m := range p.Methods {
		method := methodView{ID: m.ID, Label: m.Label, AskExpiry: m.AskExpiry, Revokes: m.Revokes, Fields: []fieldView{}}
		for _, f := range m.Fields {
			field := fieldView{
				Name: f.Name, Label: f.Label, Type: f.Type, Required: !f.Optional, Public: f.Public, Address: f.Origin,
				Help: f.Help, Example: f.Example, Suffix: f.Suffix,
			}
			for _, s := range f.Shapes {
				field.Patterns = append(field.Patterns, s.Pattern)
			}
			method.Fields = append(method.Fields, field)
		}
		v.Methods = append(v.Methods, method)
	}
	for _, n := range p.Notices {
		v.Notices = append(v.Notices, noticeView{Severity: n.Severity, Text: n.Text, Until: timestamp(n.Until)})
	}
	return v
}

// tokenView is a connection as the API shows it: that a secret is set, never
// what it is.
type tokenView struct {
	ID         string                `json:"id"`
	ProviderID string                `json:"provider_id"`
	MethodID   string                `json:"method_id"`
	Label      string                `json:"label"`
	Fields     map[string]string     `json:"fields"`
	Secrets    map[string]secretView `json:"secrets"`
	Status     providertoken.Status  `json:"status"`
	Verdict    providertoken.Verdict `json:"verdict,omitzero"`
	Reason     string                `json:"reason,omitzero"`
	CheckedAt  timestamp             `json:"checked_at,omitzero"`
	Account    *accountView          `json:"account,omitempty"`
	Origin     string                `json:"origin"`
	RevokeURL  string                `json:"revoke_url,omitzero"`
	ExpiresAt  timestamp             `json:"expires_at,omitzero"`
	LastUsedAt timestamp             `json:"last_used_at,omitzero"`
	CreatedAt  timestamp             `json:"created_at"`
	UpdatedAt  timestamp             `json:"updated_at"`
}

type secretView struct {
	Set       bool      `json:"set"`
	UpdatedAt timestamp `json:"updated_at,omitzero"`
}

type accountView struct {
	Name  string `json:"name,omitzero"`
	Email string `json:"email,omitzero"`
	ID    string `json:"id"`
}

func viewToken(t providertoken.Token) tokenView {
	v := tokenView{
		ID: t.ID, ProviderID: t.ProviderID, MethodID: t.MethodID, Label: t.Label,
		Fields: map[string]string{}, Secrets: map[string]secretView{},
		Status: t.Status, Verdict: t.Verdict, Reason: t.Reason, CheckedAt: timestamp(t.CheckedAt),
		Origin: t.Origin, RevokeURL: t.RevokeURL,
		ExpiresAt: timestamp(t.ExpiresAt), LastUsedAt: timestamp(t.LastUsedAt),
		CreatedAt: timestamp(t.CreatedAt), UpdatedAt: timestamp(t.UpdatedAt),
	}
	for name, value := range t.Fields {
		v.Fields[name] = value
	}
	for name, s := range t.Secrets {
		v.Secrets[name] = secretView{Set: s.Set, UpdatedAt: timestamp(s.UpdatedAt)}
	}
	if t.Account != nil {
		v.Account = &accountView{Name: t.Account.Name, Email: t.Account.Email, ID: t.Account.ID}
	}
	return v
}

func tokenAnswer(t providertoken.Token) answer {
	return answer{status: http.StatusOK, body: viewToken(t), version: t.Version}
}

// listProviders answers in the caller's language: labels and helps are for him.
func (h *Handler) listProviders(c *call) (answer, error) {
	t := h.languages.of(c.r)
	return answer{
		status: http.StatusOK, body: list(h.config.ProviderTokens.ProvidersIn(t.language()), viewProvider),
		header: map[string]string{"Content-Language": t.language(), "Vary": "Accept-Language"},
	}, nil
}

func (h *Handler) listTokens(c *call) (answer, error) {
	tokens, err := h.config.ProviderTokens.Tokens(c.r.Context(), c.caller.Owner)
	return answer{status: http.StatusOK, body: list(tokens, viewToken)}, err
}

func (h *Handler) showToken(c *call) (answer, error) {
	if err := c.found(); err != nil {
		return answer{}, err
	}
	t, err := h.config.ProviderTokens.Token(c.r.Context(), c.caller.Owner, c.id)
	return tokenAnswer(t), err
}

func (h *Handler) createToken(c *call) (answer, error) {
	type request struct {
		ProviderID      member[string]                    `json:"provider_id"`
		MethodID        member[string]                    `json:"method_id"`
		Label           member[string]                    `json:"label"`
		Fields          member[map[string]member[string]] `json:"fields"`
		Secrets         member[map[string]member[string]] `json:"secrets"`
		ExpiresAt       member[time.Time]                 `json:"expires_at"`
		AllowUnverified member[bool]                      `json:"allow_unverified"`
	}
	body, err := decode[request](c)
	if err != nil {
		return answer{}, err
	}
	fields, err1 := readTexts("fields", body.Fields)
	secrets, err2 := secretTexts(body.Secrets)
	if err := firstError(body.ProviderID.required("provider_id"), body.MethodID.notNull("method_id"),
		body.Label.notNull("label"), body.ExpiresAt.notNull("expires_at"), inTime("expires_at", body.ExpiresAt),
		body.AllowUnverified.notNull("allow_unverified"), err1, err2); err != nil {
		return answer{}, err
	}
	t, err := h.config.ProviderTokens.Create(c.r.Context(), c.caller.Owner, providertoken.CreateRequest{
		ProviderID: body.ProviderID.value, MethodID: body.MethodID.value, Label: body.Label.value,
		Fields: fields, Secrets: secrets, ExpiresAt: body.ExpiresAt.value, AllowUnverified: body.AllowUnverified.value,
	})
	if err != nil {
		return answer{}, err
	}
	a := tokenAnswer(t)
	a.status = http.StatusCreated
	a.header = map[string]string{"Location": "provider-tokens/" + t.ID}
	return a, nil
}

func (h *Handler) updateToken(c *call) (answer, error) {
	if err := c.found(); err != nil {
		return answer{}, err
	}
	type request struct {
		Label           member[string]                    `json:"label"`
		Fields          member[map[string]member[string]] `json:"fields"`
		Secrets         member[map[string]member[string]] `json:"secrets"`
		ExpiresAt       member[time.Time]                 `json:"expires_at"`
		AllowUnverified member[bool]                      `json:"allow_unverified"`
	}
	body, err := decode[request](c, "provider_id", "method_id")
	if err != nil {
		return answer{}, err
	}
	removeNulls(body.Fields)
	fields, err1 := readTexts("fields", body.Fields)
	secrets, err2 := secretTexts(body.Secrets)
	if err := firstError(inTime("expires_at", body.ExpiresAt), body.AllowUnverified.notNull("allow_unverified"), err1, err2); err != nil {
		return answer{}, err
	}
	version, err := precondition(c, func() (int64, error) {
		t, err := h.config.ProviderTokens.Token(c.r.Context(), c.caller.Owner, c.id)
		return t.Version, err
	})
	if err != nil {
		return answer{}, err
	}
	change := providertoken.UpdateRequest{
		Version: version, Fields: fields, Secrets: secrets, AllowUnverified: body.AllowUnverified.value,
	}
	// Null removes: the label goes back to none, the date to unknown.
	if body.Label.set {
		change.Label = &body.Label.value
	}
	if body.ExpiresAt.set {
		change.ExpiresAt = &body.ExpiresAt.value
	}
	t, err := h.config.ProviderTokens.Update(c.r.Context(), c.caller.Owner, c.id, change)
	return tokenAnswer(t), stale(c, err)
}

func (h *Handler) deleteToken(c *call) (answer, error) {
	if err := c.found(); err != nil {
		return answer{}, err
	}
	version, err := precondition(c, func() (int64, error) {
		t, err := h.config.ProviderTokens.Token(c.r.Context(), c.caller.Owner, c.id)
		return t.Version, err
	})
	if err != nil {
		return answer{}, err
	}
	err = h.config.ProviderTokens.Delete(c.r.Context(), c.caller.Owner, c.id, version)
	return answer{status: http.StatusNoContent}, stale(c, err)
}

func (h *Handler) verifyToken(c *call) (answer, error) {
	if err := c.found(); err != nil {
		return answer{}, err
	}
	if len(c.body) > 0 {
		if _, err := decode[struct{}](c); err != nil {
			return answer{}, err
		}
	}
	v, err := h.config.ProviderTokens.Verify(c.r.Context(), c.caller.Owner, c.id)
	if err != nil {
		return answer{}, err
	}
	type response struct {
		Verdict   providertoken.Verdict `json:"verdict"`
		Account   *accountView          `json:"account,omitempty"`
		CheckedAt timestamp             `json:"checked_at"`
		Reason    string                `json:"reason,omitzero"`
	}
	a := response{Verdict: v.Verdict, CheckedAt: timestamp(v.CheckedAt), Reason: v.Reason}
	if v.Account != nil {
		a.Account = &accountView{Name: v.Account.Name, Email: v.Account.Email, ID: v.Account.ID}
	}
	return answer{status: http.StatusOK, body: a}, nil
}

// removeNulls makes of each member that is null the empty text, which removes
// the field: the object is a merge patch (RFC 7396).
func removeNulls(m member[map[string]member[string]]) {
	for name, value := range m.value {
		if value.null {
			m.value[name] = member[string]{set: true}
		}
	}
}

// readTexts reads an object of strings; null is refused, for the object and for
// each of its members.
func readTexts(name string, m member[map[string]member[string]]) (map[string]string, error) {
	if err := m.notNull(name); err != nil {
		return nil, err
	}
	if m.value == nil {
		return nil, nil
	}
	out := make(map[string]string, len(m.value))
	for key, value := range m.value {
		at := name
		if nameLike.MatchString(key) {
			at += "/" + key
		}
		if err := value.notNull(at); err != nil {
			return nil, err
		}
		out[key] = value.value
	}
	return out, nil
}

func secretTexts(m member[map[string]member[string]]) (map[string]lanyard.Secret, error) {
	plain, err := readTexts("secrets", m)
	if plain == nil || err != nil {
		return nil, err
	}
	out := make(map[string]lanyard.Secret, len(plain))
	for name, text := range plain {
		out[name] = lanyard.NewSecret(text)
	}
	return out, nil
}
