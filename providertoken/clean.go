package providertoken

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/input"
)

const (
	maxLabel  = 100  // characters
	maxField  = 1024 // bytes
	maxSecret = 8192 // bytes; headers of more are refused by many servers
)

func refuse(field, code, message string) error {
	return &lanyard.InputError{Field: field, Code: code, Message: message}
}

// cleanLabel returns a label that can be shown.
func cleanLabel(label string) (string, error) { return input.Name("label", label, maxLabel) }

// cleanFields checks the public values a user typed for a method. With partial
// set what is absent is not missing. An empty optional value is left out.
func (m method) cleanFields(typed map[string]string, partial bool) (map[string]string, error) {
	out := map[string]string{}
	var errs []error
	for name := range typed {
		if f, ok := m.field(name); !ok || !f.isPublic() || !m.asks(f) {
			errs = append(errs, unknownField("fields", name))
		}
	}
	for _, f := range m.Fields {
		if !f.isPublic() || !m.asks(f) {
			continue
		}
		text, given := typed[f.Name]
		if !given && partial {
			continue
		}
		value, err := m.cleanField(f, text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out[f.Name] = value
	}
	return out, errors.Join(errs...)
}

func (m method) cleanField(f Field, text string) (string, error) {
	at := "fields/" + f.Name
	text = strings.TrimSpace(text)
	switch {
	case text == "" && f.Optional:
		return "", nil
	case text == "":
		return "", refuse(at, lanyard.CodeRequired, "the value is empty")
	case len(text) > maxField:
		return "", refuse(at, lanyard.CodeTooLong, fmt.Sprintf("at most %d bytes", maxField))
	}
	switch f.kind() {
	case TypeDNSLabel:
		text = strings.ToLower(text)
		if f.Origin {
			text = labelOf(text, m.accept, m.shared)
		}
		if !validDNSLabel(text) {
			return "", refuse(at, lanyard.CodeInvalid, "letters, digits and hyphens, at most 63")
		}
	case TypeEmail:
		if name, domain, ok := strings.Cut(text, "@"); !ok || name == "" || domain == "" || strings.ContainsAny(domain, "@ ") || len(text) > 254 {
			return "", refuse(at, lanyard.CodeInvalid, "not an e-mail address")
		}
	}
	if _, err := input.Name(at, text, maxField); err != nil {
		return "", err
	}
	return text, m.fitsHeader(at, f.Name, text)
}

// labelOf returns the label of a pasted address in one of the domains:
// acme.example.com and https://acme.example.com:443/home?tab=1 are acme. On the
// shared host, on which the label stands in the path, https://example.com/acme is
// acme, as is https://acme@example.com/acme, and api.example.com is another of the
// platform's hosts. What is no such address is returned as it is.
func labelOf(text string, domains []string, shared string) string {
	_, address, isURL := strings.Cut(text, "://")
	if !isURL {
		address = text
	}
	host, path := address, ""
	if i := strings.IndexAny(address, "/?#"); i >= 0 {
		host, path = address[:i], address[i+1:]
	}
	host = strings.TrimSuffix(host, ":443")
	for _, domain := range domains {
		label, ok := strings.CutSuffix(host, "."+domain)
		if domain == shared {
			end := strings.IndexAny(path+"/", "/?#")
			label = path[:end]
			ok = host == domain || host == label+"@"+domain // as Azure DevOps offers its repositories
		}
		if ok && validDNSLabel(label) {
			return label
		}
	}
	return text
}

// cleanSecrets checks the secrets a user typed, which are pasted more often
// than not: white space around them goes.
func (m method) cleanSecrets(typed map[string]lanyard.Secret, partial bool) (map[string]string, error) {
	out := map[string]string{}
	var errs []error
	for name := range typed {
		if f, ok := m.field(name); !ok || f.isPublic() {
			errs = append(errs, unknownField("secrets", name))
		}
	}
	for _, f := range m.Fields {
		if f.isPublic() {
			continue
		}
		secret, given := typed[f.Name]
		if !given && (partial || f.Optional) {
			continue
		}
		text, err := m.cleanSecret("secrets/"+f.Name, f.Name, secret.Reveal())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out[f.Name] = text
	}
	return out, errors.Join(errs...)
}

// maskCharacters are what pages show in the place of a secret.
const maskCharacters = "*＊⁎∗•●○◦⬤⚫∙·⋅‧・.…█■▪"

// trimSecret returns a secret without what is pasted along with it: white space
// around it, and characters that have no width.
func trimSecret(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
}

func (m method) cleanSecret(at, name, text string) (string, error) {
	text = trimSecret(text)
	switch {
	case text == "":
		return "", refuse(at, lanyard.CodeRequired, "the secret is empty")
	case len(text) > maxSecret:
		return "", refuse(at, lanyard.CodeTooLong, fmt.Sprintf("at most %d bytes", maxSecret))
	case strings.Trim(text, maskCharacters) == "":
		return "", refuse(at, CodeMasked, "these are mask characters and not a secret")
	}
	return text, m.fitsHeader(at, name, text)
}

// fitsHeader refuses what would break a header field (RFC 9110 section 5.5) or
// a pair of Basic credentials (RFC 7617 section 2).
func (m method) fitsHeader(at, name, text string) error {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return refuse(at, lanyard.CodeInvalid, "control characters are not allowed")
	}
	for _, t := range m.headers {
		for _, plain := range t.plain() {
			if plain == name && (!printableASCII(text) || strings.Contains(text, " ")) {
				return refuse(at, lanyard.CodeInvalid, "printable ASCII without spaces only")
			}
		}
		for _, user := range t.beforeColon() {
			if user == name && strings.Contains(text, ":") {
				return refuse(at, lanyard.CodeInvalid, "a colon is not allowed here")
			}
		}
	}
	return nil
}

func (m method) field(name string) (Field, bool) {
	for _, f := range m.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// unknownField names a member only if it looks like a name: it may be a value
// in the wrong place.
func unknownField(group, name string) error {
	if validName(name) && len(name) <= 32 {
		group += "/" + name
	}
	return refuse(group, lanyard.CodeUnknown, "the method has no such field")
}

// cleanExpiry checks a date the user typed.
func cleanExpiry(t, now time.Time) error {
	if !t.IsZero() && (!t.After(now) || t.UTC().Year() > 9999) {
		return refuse("expires_at", lanyard.CodeInvalid, "the time is not in the future")
	}
	return nil
}

// cleanUse checks the texts of a Use, which stand in the history.
func cleanUse(u *Use) (Use, error) {
	if u == nil {
		return Use{}, nil
	}
	out := *u
	var err1, err2 error
	out.AgentID, err1 = input.Name("agent_id", u.AgentID, maxLabel)
	out.Purpose, err2 = input.Name("purpose", u.Purpose, 200)
	return out, errors.Join(err1, err2)
}
