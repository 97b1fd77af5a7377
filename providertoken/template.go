package providertoken

import (
	"encoding/base64"
	"errors"
	"strings"
)

// template is a parsed template of a [Definition].
type template []templatePart

// templatePart is one of: literal text, a field, or the base64 of a template.
type templatePart struct {
	literal string
	field   string
	b64     template
}

// parseTemplate reads
//
//	template = { text | "{" name "}" | "{b64:" template "}" }
//
// in which text is printable ASCII without braces, and base64 stands in no
// other base64.
func parseTemplate(s string) (template, error) {
	t, rest, err := parseParts(s, false)
	switch {
	case err != nil:
		return nil, err
	case rest != "":
		return nil, errors.New("a } has no {")
	case len(t) == 0:
		return nil, errors.New("the template is empty")
	}
	return t, nil
}

// parseParts reads parts up to the end of s or, nested, up to the closing
// brace, and returns what follows.
func parseParts(s string, nested bool) (t template, rest string, err error) {
	for s != "" && s[0] != '}' {
		if s[0] != '{' {
			n := strings.IndexAny(s, "{}")
			if n < 0 {
				n = len(s)
			}
			if !printableASCII(s[:n]) {
				return nil, "", errors.New("text is not printable ASCII")
			}
			t, s = append(t, templatePart{literal: s[:n]}), s[n:]
			continue
		}
		if inner, ok := strings.CutPrefix(s, "{b64:"); ok {
			if nested {
				return nil, "", errors.New("b64 inside b64")
			}
			parts, after, err := parseParts(inner, true)
			switch {
			case err != nil:
				return nil, "", err
			case len(parts) == 0 || !strings.HasPrefix(after, "}"):
				return nil, "", errors.New("b64 is empty or not closed")
			}
			t, s = append(t, templatePart{b64: parts}), after[1:]
			continue
		}
		name, after, closed := strings.Cut(s[1:], "}")
		if !closed || !validName(name) {
			return nil, "", errors.New("a { is not followed by a field's name and }")
		}
		t, s = append(t, templatePart{field: name}), after
	}
	return t, s, nil
}

// fields returns the names of the fields in t, in order.
func (t template) fields() []string {
	var names []string
	for _, p := range t {
		if p.field != "" {
			names = append(names, p.field)
		}
		names = append(names, p.b64.fields()...)
	}
	return names
}

// expand fills in the values. A field without a value is left empty.
func (t template) expand(values map[string]string) string {
	var b strings.Builder
	for _, p := range t {
		switch {
		case p.field != "":
			b.WriteString(values[p.field])
		case p.b64 != nil:
			b.WriteString(base64.StdEncoding.EncodeToString([]byte(p.b64.expand(values))))
		default:
			b.WriteString(p.literal)
		}
	}
	return b.String()
}

// plain returns the fields whose value goes into the text as it is, and so has
// to be fit for a header.
func (t template) plain() []string {
	var names []string
	for _, p := range t {
		if p.field != "" {
			names = append(names, p.field)
		}
	}
	return names
}

// beforeColon returns the fields that a colon in base64 follows: the user-ids
// of Basic credentials, which must hold no colon (RFC 7617 section 2).
func (t template) beforeColon() []string {
	var names []string
	for _, p := range t {
		for i := range p.b64 {
			if i > 0 && strings.HasPrefix(p.b64[i].literal, ":") && p.b64[i-1].field != "" {
				names = append(names, p.b64[i-1].field)
			}
		}
	}
	return names
}

func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// validName reports whether s is [a-z][a-z0-9_]*, at most 40 characters.
func validName(s string) bool {
	if s == "" || len(s) > 40 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
