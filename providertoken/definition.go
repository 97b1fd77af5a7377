package providertoken

import "time"

// Definition describes one platform: where it may talk, which credentials it
// takes, how they go onto a request, and which answers prove an account. It is
// data: package catalog reads it from YAML, a host may write it in Go. The
// YAML names are the field names in snake_case. NewService refuses a
// definition that contradicts itself, naming the place.
type Definition struct {
	ID       string // [a-z0-9-], at most 40 characters
	Name     string
	DocsURL  string // where a user reads how to make a token
	Instance InstanceSpec
	Methods  []Method
	Verify   []Probe // tried in order until one decides
	Limits   Limits
	Notices  []Notice

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

// InstanceSpec says where a definition's credentials may be sent.
type InstanceSpec struct {
	Mode    InstanceMode
	Base    string   // as "https://{site}.atlassian.net"; empty with ModeOperator
	Origins []string // further origins of the same platform, templates too
	Accept  []string // domains a pasted address may have, as "atlassian.net"
}

// Method is one kind of credential a platform takes.
type Method struct {
	ID       string
	Label    string
	Fields   []Field
	Headers  map[string]string // header to template, as "Basic {b64:{email}:{api_token}}"
	Lifetime Lifetime
	Lockout  bool // a wrong try counts towards locking the account: never probe unasked
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

// Field is one thing a user types. It is secret unless Public.
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

// Shape is a pattern a value usually has. It never refuses a value.
type Shape struct {
	Pattern string // RE2
}

// Lifetime is what a platform says about how long a credential lives.
type Lifetime struct {
	Max     time.Duration // zero = unknown
	AskUser bool          // the form asks for the date
}

// Limits is the platform's rate limit for one credential; zero = unknown.
type Limits struct {
	PerMinute int
	PerHour   int
}

// Notice is a dated remark shown beside the provider.
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

// Probe is one request that asks a platform who a credential belongs to.
// Rules are read first, in order; the first that matches decides. If none
// does, the answer is ok when Accept holds and Identity finds an account id,
// unreachable for 429 and 5xx, and invalid otherwise.
type Probe struct {
	Path     string            // below the base, with its query
	Headers  map[string]string // besides the credential's
	Accept   Condition
	Rules    []Rule
	Identity Identity
}

// Rule turns an answer that fulfils its condition into a verdict.
type Rule struct {
	When    Condition
	Verdict Verdict // "next" goes on to the next probe
	Reason  string  // stable, [a-z_], as "captcha"
}

// Condition is fulfilled when each of its parts is. The empty one always is.
type Condition struct {
	Status      []int
	ContentType string            // media type without parameters
	Headers     []HeaderCondition // all of them
	JSON        []JSONCondition   // all of them
}

// HeaderCondition asks for a response header.
type HeaderCondition struct {
	Name     string
	Exists   bool
	Contains string // case-insensitive
}

// JSONCondition asks for a value of the JSON body by its GJSON path.
type JSONCondition struct {
	Path      string
	Exists    bool
	Equals    *string
	NotEquals *string
	Prefix    string
	Length    *int // of an array
}

// Identity says where the JSON body names the account.
type Identity struct {
	ID    string
	Name  string
	Email string
}
