package providertoken

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// DefinitionError says what is wrong with a [Definition], and where.
type DefinitionError struct {
	Definition string // its id
	Path       string // as "/methods/0/headers/Authorization", in YAML names
	Message    string
}

func (e *DefinitionError) Error() string {
	return fmt.Sprintf("provider definition %q: %s: %s", e.Definition, e.Path, e.Message)
}

// Validate reports everything that is wrong with d, each as a
// [*DefinitionError], joined.
func (d Definition) Validate() error {
	c := &checker{id: d.ID}
	if !validProviderID(d.ID) {
		c.fail("/id", "an id is [a-z0-9-], begins with a letter and has at most 40 characters")
	}
	c.require("/name", d.Name)
	if d.DocsURL != "" {
		if u, err := url.Parse(d.DocsURL); err != nil || u.Scheme != "https" || u.Host == "" {
			c.fail("/docs_url", "a link begins with https://")
		}
	}
	c.instance(d)
	c.methods(d)
	if (len(d.Verify) == 0) != d.Unverifiable {
		c.fail("/verify", "there are probes, or none can be: verify: none")
	}
	for i, p := range d.Verify {
		c.probe(fmt.Sprintf("/verify/%d", i), p, d, i == len(d.Verify)-1)
	}
	if d.Limits.PerMinute < 0 || d.Limits.PerHour < 0 {
		c.fail("/limits", "a limit is not negative")
	}
	c.jsonPath("/limits/retry_after", d.Limits.RetryAfter, false)
	for i, name := range d.CredentialParameters {
		if name == "" || !printableASCII(name) || name != strings.ToLower(name) || strings.ContainsAny(name, " &=;%+") {
			c.fail(fmt.Sprintf("/credential_parameters/%d", i), "a parameter's name is plain printable ASCII in lower case")
		}
	}
	for i, n := range d.Notices {
		path := fmt.Sprintf("/notices/%d", i)
		c.require(path+"/text", n.Text)
		if n.Severity != "info" && n.Severity != "warning" {
			c.fail(path+"/severity", "a severity is info or warning")
		}
		if !n.From.IsZero() && !n.Until.IsZero() && !n.Until.After(n.From) {
			c.fail(path+"/until", "until is after from")
		}
	}
	c.translations(d)
	return errors.Join(c.errs...)
}

// checker collects what is wrong.
type checker struct {
	id   string
	errs []error
}

func (c *checker) fail(path, message string) {
	c.errs = append(c.errs, &DefinitionError{Definition: c.id, Path: path, Message: message})
}

func (c *checker) require(path, value string) {
	if strings.TrimSpace(value) == "" {
		c.fail(path, "is required")
	}
}

func (c *checker) instance(d Definition) {
	s := d.Instance
	switch s.Mode {
	case ModeOperator:
		if s.Base != "" || len(s.Origins) > 0 || len(s.Alternatives) > 0 {
			c.fail("/instance", "with mode operator the address comes from the operator")
		}
	case ModeFixed, ModeTemplate:
		if fields := c.location("/instance/base", s.Base, d, nil); (len(fields) > 0) != (s.Mode == ModeTemplate) {
			c.fail("/instance/base", "mode template names fields and mode fixed names none")
		}
		for i, o := range s.Origins {
			path := fmt.Sprintf("/instance/origins/%d", i)
			c.location(path, o, d, nil)
			if strings.Contains(strings.TrimPrefix(o, "https://"), "/") {
				c.fail(path, "an origin has no path")
			}
		}
		c.alternatives(d)
	default:
		c.fail("/instance/mode", "a mode is fixed, template or operator")
	}
	for i, domain := range s.Accept {
		if host, err := canonicalHost(domain); err != nil || host != domain {
			c.fail(fmt.Sprintf("/instance/accept/%d", i), "a domain is a DNS name in lower case")
		}
	}
}

func (c *checker) alternatives(d Definition) {
	seen := map[string]bool{}
	for i, a := range d.Instance.Alternatives {
		path := fmt.Sprintf("/instance/alternatives/%d", i)
		if !validName(a.ID) || seen[a.ID] {
			c.fail(path+"/id", "an id is [a-z][a-z0-9_]*, at most 40 characters, and unique")
		}
		seen[a.ID] = true
		var found []string
		for j, f := range a.Discover {
			path := fmt.Sprintf("%s/discover/%d", path, j)
			ofMethod := slices.ContainsFunc(d.Methods, func(m Method) bool {
				return slices.ContainsFunc(m.Fields, func(field Field) bool { return field.Name == f.Name })
			})
			if !validName(f.Name) || ofMethod || slices.Contains(found, f.Name) {
				c.fail(path+"/name", "a name is [a-z][a-z0-9_]*, at most 40 characters, unique, and no field's")
			}
			if !validProbePath(f.Path) {
				c.fail(path+"/path", "a path begins with / and is plain printable ASCII")
			}
			c.jsonPath(path+"/json", f.JSON, true)
			found = append(found, f.Name)
		}
		c.location(path+"/base", a.Base, d, found)
	}
}

// location checks a template that a URL is made from and returns its fields.
// The names of what is found may stand in its path.
func (c *checker) location(path, text string, d Definition, found []string) []string {
	t, err := parseTemplate(text)
	if err != nil {
		c.fail(path, err.Error())
		return nil
	}
	fields := t.fields()
	if len(t.plain()) != len(fields) {
		c.fail(path, "an address holds no base64")
	}
	// Neither what users type nor what a server answers must choose the domain.
	host, _, _ := strings.Cut(strings.TrimPrefix(text, "https://"), "/")
	values := map[string]string{}
	for _, name := range fields {
		values[name] = "x"
		if slices.Contains(found, name) {
			if strings.Contains(host, "{"+name+"}") {
				c.fail(path, "what is discovered stands in the path")
			}
			continue
		}
		for i, m := range d.Methods {
			if !slices.ContainsFunc(m.Fields, func(f Field) bool { return f.Name == name && f.Origin }) {
				c.fail(path, fmt.Sprintf("method %d has no field %s that is marked origin", i, name))
			}
		}
	}
	if _, err := parseBaseURL(t.expand(values)); err != nil {
		c.fail(path, err.Error())
	}
	if i := strings.LastIndex(host, "}"); i >= 0 && (host[i+1:] == "" || host[i+1] != '.' || strings.Count(host[i+1:], ".") < 2) {
		c.fail(path, "behind its last field a host ends in a domain, as .example.com")
	}
	return fields
}

func (c *checker) methods(d Definition) {
	if len(d.Methods) == 0 {
		c.fail("/methods", "is required")
	}
	seen := map[string]bool{}
	for i, m := range d.Methods {
		path := fmt.Sprintf("/methods/%d", i)
		if !validName(m.ID) || seen[m.ID] {
			c.fail(path+"/id", "an id is [a-z][a-z0-9_]*, at most 40 characters, and unique")
		}
		seen[m.ID] = true
		c.require(path+"/label", m.Label)
		if m.Lifetime.Max < 0 {
			c.fail(path+"/lifetime/max", "a lifetime is not negative")
		}
		c.fields(path, m)
		c.headers(path, m)
		c.revocation(path, m)
	}
}

func (c *checker) revocation(path string, m Method) {
	if r := m.Revoke; r.Path != "" || r.Method != "" {
		if r.Method != http.MethodPost && r.Method != http.MethodDelete {
			c.fail(path+"/revoke/method", "a method is POST or DELETE")
		}
		if !validProbePath(r.Path) {
			c.fail(path+"/revoke/path", "a path begins with / and is plain printable ASCII")
		}
		if len(r.Accept.Status) == 0 {
			c.fail(path+"/revoke/accept", "the statuses that mean it was ended are required")
		}
		c.condition(path+"/revoke/accept", r.Accept)
	}
	if m.RevokeURL == "" {
		return
	}
	t, err := parseTemplate(m.RevokeURL)
	if err != nil {
		c.fail(path+"/revoke_url", err.Error())
		return
	}
	values := map[string]string{"origin": "https://x.example", "base": "https://x.example"}
	for _, f := range m.Fields {
		if f.Origin {
			values[f.Name] = "x"
		}
	}
	for _, name := range t.fields() {
		if values[name] == "" {
			c.fail(path+"/revoke_url", name+" is neither a field that decides the address nor origin or base")
		}
	}
	if u, err := url.Parse(t.expand(values)); err != nil || u.Scheme != "https" || u.Host == "" || len(t.plain()) != len(t.fields()) {
		c.fail(path+"/revoke_url", "a link begins with https://, {origin} or {base}")
	}
}

func (c *checker) fields(path string, m Method) {
	seen := map[string]bool{}
	for i, f := range m.Fields {
		path := fmt.Sprintf("%s/fields/%d", path, i)
		if !validName(f.Name) || seen[f.Name] {
			c.fail(path+"/name", "a name is [a-z][a-z0-9_]*, at most 40 characters, and unique")
		}
		seen[f.Name] = true
		c.require(path+"/label", f.Label)
		switch t := f.kind(); {
		case t != TypeText && t != TypeEmail && t != TypeDNSLabel && t != TypeSecret:
			c.fail(path+"/type", "a type is text, email, dns_label or secret")
		case (t == TypeSecret) == f.isPublic():
			c.fail(path, "a field is either of type secret or public")
		case f.Origin && (t != TypeDNSLabel || f.Optional):
			c.fail(path, "a field that decides the address is a required dns_label")
		}
		for j, s := range f.Shapes {
			if _, err := regexp.Compile(s.Pattern); err != nil || !strings.HasPrefix(s.Pattern, "^") || !strings.HasSuffix(s.Pattern, "$") {
				c.fail(fmt.Sprintf("%s/shapes/%d/pattern", path, j), "not a regular expression of RE2 from ^ to $")
			}
		}
	}
}

func (c *checker) headers(path string, m Method) {
	used, seen := map[string]bool{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		path := path + "/headers/" + name
		if !allowedHeader(name) || seen[http.CanonicalHeaderKey(name)] {
			c.fail(path, "not a header that can be set, or set twice")
		}
		seen[http.CanonicalHeaderKey(name)] = true
		t, err := parseTemplate(m.Headers[name])
		if err != nil {
			c.fail(path, err.Error())
		}
		for _, field := range t.fields() {
			used[field] = true
			if !slices.ContainsFunc(m.Fields, func(f Field) bool { return f.Name == field }) {
				c.fail(path, "the method has no field "+field)
			}
		}
	}
	secrets := 0
	for i, f := range m.Fields {
		if f.isPublic() {
			continue
		}
		secrets++
		if !used[f.Name] {
			c.fail(fmt.Sprintf("%s/fields/%d", path, i), "no header uses this secret")
		}
	}
	if secrets == 0 {
		c.fail(path+"/fields", "a method has a secret")
	}
}

func (c *checker) probe(path string, p Probe, d Definition, last bool) {
	if p.Method != "" && p.Method != http.MethodGet && p.Method != http.MethodPost {
		c.fail(path+"/method", "a method is GET or POST")
	}
	if !validProbePath(p.Path) {
		c.fail(path+"/path", "a path begins with / and is plain printable ASCII")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Headers)) {
		credential := slices.ContainsFunc(d.Methods, func(m Method) bool {
			return slices.ContainsFunc(slices.Sorted(maps.Keys(m.Headers)), func(h string) bool { return strings.EqualFold(h, name) })
		})
		if !allowedHeader(name) || credential || !printableASCII(p.Headers[name]) {
			c.fail(path+"/headers/"+name, "not a header a probe can set to that")
		}
	}
	c.condition(path+"/accept", p.Accept)
	for i, r := range p.Rules {
		path := fmt.Sprintf("%s/rules/%d", path, i)
		c.condition(path+"/when", r.When)
		if r.Verdict == verdictNext && last {
			c.fail(path+"/verdict", "there is no next probe")
		}
		if !slices.Contains(ruleVerdicts, r.Verdict) {
			c.fail(path+"/verdict", "a rule's verdict is next or any verdict but ok, which takes an identity")
		}
		if strings.Trim(r.Reason, "abcdefghijklmnopqrstuvwxyz_") != "" {
			c.fail(path+"/reason", "a reason is [a-z_]*")
		}
	}
	c.jsonPath(path+"/identity/id", p.Identity.ID, true)
	c.jsonPath(path+"/identity/name", p.Identity.Name, false)
	c.jsonPath(path+"/identity/email", p.Identity.Email, false)
	e := p.Expiry
	if e.Path != "" && !validProbePath(e.Path) {
		c.fail(path+"/expiry/path", "a path begins with / and is plain printable ASCII")
	}
	c.jsonPath(path+"/expiry/json", e.JSON, false)
	switch named := e.Header != "" || e.JSON != ""; {
	case e.Header != "" && e.JSON != "", named != (len(e.Layouts) > 0), e.Path != "" && !named:
		c.fail(path+"/expiry", "an expiry has a header or a json, and layouts")
	}
}

// jsonPath refuses what is no place in a body: an empty path where there has to
// be one, and the literals and modifiers of GJSON, by which a definition could
// name an account that no platform named.
func (c *checker) jsonPath(path, text string, required bool) {
	if required {
		c.require(path, text)
	}
	if strings.ContainsAny(text, "!{}[]|") || strings.HasPrefix(text, "@") || strings.Contains(text, ".@") {
		c.fail(path, "a GJSON path names members and positions, nothing else")
	}
}

var ruleVerdicts = []Verdict{
	verdictNext, VerdictInvalid, VerdictExpired, VerdictInsufficientScope,
	VerdictWrongInstance, VerdictRateLimited, VerdictUnreachable,
}

func (c *checker) condition(path string, when Condition) {
	for i, status := range when.Status {
		if status < 200 || status > 599 {
			c.fail(fmt.Sprintf("%s/status/%d", path, i), "a status is between 200 and 599")
		}
	}
	if ct := when.ContentType; ct != "" && (strings.Count(ct, "/") != 1 || strings.ContainsAny(ct, "; ") || ct != strings.ToLower(ct)) {
		c.fail(path+"/content_type", "a media type is in lower case, without parameters")
	}
	for i, h := range when.Headers {
		if h.Name == "" || !h.Exists && h.Equals == "" && h.Contains == "" {
			c.fail(fmt.Sprintf("%s/headers/%d", path, i), "a header has a name, and exists, equals or contains")
		}
	}
	for i, j := range when.JSON {
		if j.Path == "" || !j.Exists && j.Equals == nil && j.NotEquals == nil && j.Prefix == "" && j.Length == nil {
			c.fail(fmt.Sprintf("%s/json/%d", path, i), "a value has a path and a test")
		}
		c.jsonPath(fmt.Sprintf("%s/json/%d/path", path, i), j.Path, false)
	}
}

// kind returns the field's type, which has a default.
func (f Field) kind() FieldType {
	switch {
	case f.Type != "":
		return f.Type
	case f.isPublic():
		return TypeText
	default:
		return TypeSecret
	}
}

func (f Field) isPublic() bool { return f.Public || f.Origin }

// validProviderID reports whether s is [a-z][a-z0-9-]*, at most 40 characters.
func validProviderID(s string) bool {
	return validDNSLabel(s) && len(s) <= 40 && s[0] >= 'a'
}

func validProbePath(s string) bool {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || !printableASCII(s) || strings.ContainsAny(s, " \\#{}") {
		return false
	}
	u, err := url.Parse("https://host" + s)
	return err == nil && u.Host == "host" && !slices.Contains(strings.Split(u.Path, "/"), "..")
}

// allowedHeader reports whether name is a header that belongs to a request's
// meaning. The others belong to its transport (RFC 9110 section 7.6.1).
func allowedHeader(name string) bool {
	const letters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if name == "" || strings.Trim(name, letters) != "" {
		return false
	}
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade",
		"Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Expect":
		return false
	}
	return true
}
