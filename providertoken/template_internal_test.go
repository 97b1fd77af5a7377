package providertoken

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	values := map[string]string{"user": "ana", "key": "s3cret", "brace": "{user}"}
	for text, want := range map[string]string{
		"plain":                    "plain",
		"Bearer {key}":             "Bearer s3cret",
		"{user}{key}":              "anas3cret",
		"Basic {b64:{user}:{key}}": "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:s3cret")),
		"Basic {b64::{key}}":       "Basic " + base64.StdEncoding.EncodeToString([]byte(":s3cret")),
		"{b64:fixed}":              base64.StdEncoding.EncodeToString([]byte("fixed")),
		"{brace}":                  "{user}", // a value is never read as a template
		"{absent}!":                "!",
	} {
		parsed, err := parseTemplate(text)
		if err != nil || parsed.expand(values) != want {
			t.Errorf("%q = %q (%v), want %q", text, parsed.expand(values), err, want)
		}
	}
	for _, text := range []string{
		"", "{", "}", "{}", "{b64:}", "{b64:x", "{b64:{b64:x}}", "{User}", "{a b}", "{1a}", "{{a}}", "a}", "é", "a\nb", "{b64:é}",
		"{" + strings.Repeat("a", 41) + "}",
	} {
		if parsed, err := parseTemplate(text); err == nil {
			t.Errorf("parseTemplate(%q) = %v, want an error", text, parsed)
		}
	}
}

// A template that is accepted says what its text says: every field once in its
// place, and a value never turns into another part.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"Bearer {key}", "Basic {b64:{email}:{api_token}}", "Basic {b64::{pat}}", "https://{site}.atlassian.net", "{b64:{b64:x}}", "{{key}}", "}{", "a\x00b",
	} {
		f.Add(s, "canary-Zq8w")
	}
	f.Add("{a}{a}", "{b64:{a}}")
	f.Fuzz(func(t *testing.T, text, value string) {
		parsed, err := parseTemplate(text)
		if err != nil {
			return
		}
		values := map[string]string{}
		for _, name := range parsed.fields() {
			if !validName(name) {
				t.Errorf("parseTemplate(%q) has a field %q", text, name)
			}
			values[name] = value
		}
		want := text
		for _, name := range parsed.plain() {
			want = strings.Replace(want, "{"+name+"}", "\x00", 1)
		}
		if !strings.Contains(text, "{b64:") {
			want = strings.ReplaceAll(want, "\x00", value)
			if got := parsed.expand(values); got != want {
				t.Errorf("%q with %q = %q, want %q", text, value, got, want)
			}
		}
		// Base64 shows nothing of a value that is plain in no other place.
		if len(parsed.plain()) == 0 && len(value) > 4 && !strings.Contains(text, value) && strings.ContainsAny(value, "-_{}\x00") {
			if strings.Contains(parsed.expand(values), value) {
				t.Errorf("%q shows a value that is inside base64", text)
			}
		}
		again, err := parseTemplate(text)
		if err != nil || !slices.Equal(again.fields(), parsed.fields()) {
			t.Errorf("%q is read in two ways", text)
		}
	})
}
