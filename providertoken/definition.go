package providertoken

import (
	"maps"
	"slices"
	"time"
)

// Definition describes one platform: where it may talk, which credentials it
// takes, how they go onto a request, and which answers prove an account. It is
// data: package catalog reads it from YAML, a host may write it in Go. The
// YAML names are the field names in snake_case. [Definition.Validate] says
// whether it fits together.
//
// Base, Origins and the values of Headers are templates: text in which {name}
// stands for the value of the method's field of that name and {b64:…} for the
// base64 of what is inside, as in "Basic {b64:{email}:{api_token}}". There is
// nothing else, so a template can do no more than its text says.
//
// GJSON paths here name members and positions, as "data.users.0.id"; literals
// and modifiers, which would name something where the platform named nothing,
// are refused.
type Definition struct {
	ID       string // [a-z0-9-], at most 40 characters
	Name     string
	DocsURL  string `yaml:"docs_url"` // where a user reads how to make a token
	Instance InstanceSpec
	Methods  []Method
	Verify   []Probe // tried in order until one decides

	// Unverifiable says that the platform cannot tell whose a credential is, so
	// that Verify is empty and connections stay unverified for ever. In YAML it
	// is written "verify: none".
	Unverifiable bool `yaml:"-"`

	// CredentialParameters are those of a query by which the platform would take
	// somebody's credential too, in lower case. A client drops them from what it
	// is asked for, as it does access_token and the like for every platform.
	CredentialParameters []string `yaml:"credential_parameters"`

	Limits  Limits
	Notices []Notice

	// Translations say the texts of this definition in other languages: by
	// language, as "pt-BR", and there by the text as it stands here. The texts are
	// Name, the labels and helps of methods and fields, and those of notices. What
	// has no translation is shown as it is.
	Translations map[string]map[string]string

	// Unconfirmed lists facts of this definition that no source confirms yet.
	Unconfirmed []string
}

// InstanceMode says who decides where a platform is.
type InstanceMode string

// The ways a platform has an address.
const (
	ModeFixed    InstanceMode = "fixed"    // one address for everybody
	ModeTemplate InstanceMode = "template" // the user's fields fill the address
	ModeOperator InstanceMode = "operator" // the operator registers instances; see Options.Instances
)

// InstanceSpec says where a definition's credentials may be sent. The fields
// that Base and Origins name are of TypeDNSLabel and marked Origin, so that no
// value can turn into another host.
type InstanceSpec struct {
	Mode    InstanceMode
	Base    string   // as "https://{site}.atlassian.net"; empty with ModeOperator
	Origins []string // further origins of the same platform, templates too
	Accept  []string // domains a pasted address may have, as "atlassian.net"; only where Base has one field

	// Alternatives are tried in order where Base proves nothing. The first that
	// proves an account is kept and used from then on.
	Alternatives []Alternative
}

// Alternative is a further base of the same platform, for credentials that work
// there and not at the first.
type Alternative struct {
	// ID names it for ever: what is sealed for it is bound to this name and to
	// what Discover found, so that no edit of a row leads a secret elsewhere.
	// [a-z][a-z0-9_]*
	ID string

	// Base is a template of the fields that Base of InstanceSpec may name. Its
	// path may name what Discover finds besides.
	Base string

	Discover []Discovery
}

// Discovery asks the first base, without any credential, for a value that an
// Alternative needs. A value is letters, digits and hyphens; where there is none
// the Alternative is not there either.
type Discovery struct {
	Name string // in the Alternative's Base; none of the method's fields
	Path string // below the first base
	JSON string // the GJSON path of the value
}

// Method is one kind of credential a platform takes.
type Method struct {
	ID       string // [a-z][a-z0-9_]*
	Label    string
	Fields   []Field
	Headers  map[string]string // header to template; the only place of a secret
	Lifetime Lifetime
	Lockout  bool // a wrong try counts towards locking the account: never probe unasked

	// Revoke ends the credential at the platform. The zero value means that it
	// cannot be done with the credential itself.
	Revoke Revocation

	// RevokeURL is where its owner ends it by hand. It is a template of the
	// fields that decide the address, and of {origin} and {base}: where the
	// connection is, as "https://jira.acme.example" and
	// "https://jira.acme.example/jira".
	RevokeURL string `yaml:"revoke_url"`
}

// Revocation is the request that ends a credential at the platform, with the
// credential itself. It was ended if the answer fulfils Accept.
type Revocation struct {
	Method string // POST or DELETE
	Path   string // below the base
	Accept Condition
}

// FieldType says what a field holds and how it is checked.
type FieldType string

// The types of fields.
const (
	TypeText     FieldType = "text"
	TypeEmail    FieldType = "email"
	TypeDNSLabel FieldType = "dns_label"
	TypeSecret   FieldType = "secret"
)

// Field is one thing a user types. It is secret unless Public or Origin.
type Field struct {
	Name     string // [a-z][a-z0-9_]*
	Label    string
	Type     FieldType // Defaults to secret, or to text where Public
	Public   bool
	Origin   bool // its value decides where the credential goes; implies Public
	Optional bool
	Help     string
	Example  string
	Suffix   string  // shown behind the input, as ".atlassian.net"
	Shapes   []Shape // what a good value looks like; warns only
}

// Shape is a pattern a value usually has. A value that has none of its field's
// shapes is not refused for that.
type Shape struct {
	Pattern string // RE2, from ^ to $

	// Token says what has this shape and nothing else has, as "GitHub token".
	// Such a value is recognised in the form of another platform; see
	// [Service.Hints]. Empty where others look the same.
	Token string
}

// Lifetime is what a platform says about how long a credential lives.
type Lifetime struct {
	Max     time.Duration // zero = unknown
	AskUser bool          `yaml:"ask_user"` // the form asks for the date
}

// Limits is the platform's rate limit for one credential; zero = unknown.
type Limits struct {
	PerMinute int `yaml:"per_minute"`
	PerHour   int `yaml:"per_hour"`

	// RetryAfter is where the JSON body of a 429 says how many seconds to wait, by
	// a GJSON path, at a platform that does not say it in the header of that name.
	// A client then sets the header.
	RetryAfter string `yaml:"retry_after"`
}

// Notice is a remark shown beside the provider from From until before Until; a
// zero time leaves that side open.
type Notice struct {
	From     time.Time
	Until    time.Time
	Severity string // "info" or "warning"
	Text     string
}

// Verdict is what a verification found.
type Verdict string

// The verdicts. Only VerdictOK proves an account; it comes with an identity.
const (
	VerdictOK                Verdict = "ok"
	VerdictInvalid           Verdict = "invalid"
	VerdictExpired           Verdict = "expired"
	VerdictInsufficientScope Verdict = "insufficient_scope"
	VerdictWrongInstance     Verdict = "wrong_instance"
	VerdictRateLimited       Verdict = "rate_limited"
	VerdictUnreachable       Verdict = "unreachable"
)

// verdictNext, in a rule, hands over to the next probe.
const verdictNext Verdict = "next"

// Probe is one request that asks a platform who a credential belongs to.
// Rules are read first, in order; the first that matches decides. If none
// does, the answer is rate_limited for 429, unreachable for 5xx, ok when
// Accept holds and Identity finds an account id, unreachable when the answer
// broke off or was too long to be read, and invalid otherwise. An answer that
// is right but does not say whose the credential is proves nothing, and neither
// does one whose id is the credential itself.
type Probe struct {
	Method   string            // GET or POST, without a body. Defaults to GET
	Path     string            // below the base, with its query
	Headers  map[string]string // besides the credential's; no templates
	Accept   Condition
	Rules    []Rule
	Identity Identity
	Expiry   Expiry
}

// Rule turns an answer that fulfils its condition into a verdict.
type Rule struct {
	When    Condition
	Verdict Verdict // any but ok; "next" goes on to the next probe
	Reason  string  // stable, [a-z_], as "captcha"
}

// Condition is fulfilled when each of its parts is. The empty one always is.
type Condition struct {
	Status      []int
	ContentType string            `yaml:"content_type"` // media type without parameters
	Headers     []HeaderCondition // all of them
	JSON        []JSONCondition   // all of them
}

// HeaderCondition asks for a response header. Values are compared without
// regard to case.
type HeaderCondition struct {
	Name     string
	Exists   bool
	Equals   string
	Contains string
}

// JSONCondition asks for a value of the JSON body by its GJSON path
// (github.com/tidwall/gjson, SYNTAX.md). A null counts as missing, and a
// missing value fulfils nothing. A body that is not one whole JSON document
// fulfils nothing either.
type JSONCondition struct {
	Path      string
	Exists    bool
	Equals    *string
	NotEquals *string `yaml:"not_equals"`
	Prefix    string
	Length    *int // of an array
}

// Identity says where the JSON body names the account, by GJSON paths.
type Identity struct {
	ID    string
	Name  string
	Email string
}

// Expiry says where the platform names the end of the credential's life: in a
// header, or in the JSON body by a GJSON path. What it names counts more than
// what the user typed and than [Lifetime]. Where it names nothing, nothing is
// known and the credential is no worse for it.
type Expiry struct {
	Path    string // what to ask for it, below the base. Defaults to the accepted answer itself
	Header  string
	JSON    string
	Layouts []string // of time.Parse; the first that fits is taken. A day alone ends as it begins, in UTC
}

// clone returns a copy that shares nothing with d.
func (d Definition) clone() Definition {
	d.Instance.Origins = slices.Clone(d.Instance.Origins)
	d.Instance.Accept = slices.Clone(d.Instance.Accept)
	d.Instance.Alternatives = slices.Clone(d.Instance.Alternatives)
	for i := range d.Instance.Alternatives {
		a := &d.Instance.Alternatives[i]
		a.Discover = slices.Clone(a.Discover)
	}
	d.Methods = slices.Clone(d.Methods)
	for i := range d.Methods {
		m := &d.Methods[i]
		m.Headers = maps.Clone(m.Headers)
		m.Revoke.Accept = m.Revoke.Accept.clone()
		m.Fields = slices.Clone(m.Fields)
		for j := range m.Fields {
			m.Fields[j].Shapes = slices.Clone(m.Fields[j].Shapes)
		}
	}
	d.Verify = slices.Clone(d.Verify)
	for i := range d.Verify {
		p := &d.Verify[i]
		p.Headers = maps.Clone(p.Headers)
		p.Accept = p.Accept.clone()
		p.Expiry.Layouts = slices.Clone(p.Expiry.Layouts)
		p.Rules = slices.Clone(p.Rules)
		for j := range p.Rules {
			p.Rules[j].When = p.Rules[j].When.clone()
		}
	}
	d.CredentialParameters = slices.Clone(d.CredentialParameters)
	d.Notices = slices.Clone(d.Notices)
	d.Translations = maps.Clone(d.Translations)
	for language, texts := range d.Translations {
		d.Translations[language] = maps.Clone(texts)
	}
	d.Unconfirmed = slices.Clone(d.Unconfirmed)
	return d
}

func (c Condition) clone() Condition {
	c.Status = slices.Clone(c.Status)
	c.Headers = slices.Clone(c.Headers)
	c.JSON = slices.Clone(c.JSON)
	for i := range c.JSON {
		j := &c.JSON[i]
		j.Equals, j.NotEquals, j.Length = copied(j.Equals), copied(j.NotEquals), copied(j.Length)
	}
	return c
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
