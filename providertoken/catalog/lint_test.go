package catalog_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aichub/lanyard/providertoken/catalog"
)

var today = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// What ships is clean.
func TestTheCatalogueIsClean(t *testing.T) {
	t.Parallel()
	for _, e := range catalog.Lint(os.DirFS("."), today) {
		t.Error(e)
	}
}

const clean = `id: acme
name: Acme
instance: {mode: fixed, base: "https://api.acme.example"}
methods:
  - id: key
    label: Key
    fields: [{name: key, label: Key}]
    headers: {X-Key: "{key}"}
verify:
  - path: /me
    rules:
      - {when: {status: [401]}, verdict: invalid}
      - {when: {status: [404]}, verdict: wrong_instance}
    accept: {status: [200]}
    identity: {id: id}
`

func TestLint(t *testing.T) {
	t.Parallel()
	rule := func(when string) [2]string {
		return [2]string{"      - {when: {status: [404]}", "      - {when: " + when + ", verdict: invalid}\n      - {when: {status: [404]}"}
	}
	shape := func(pattern, token string) [2]string {
		return [2]string{"label: Key}]", fmt.Sprintf("label: Key, shapes: [{pattern: '%s'%s}]}]", pattern, token)}
	}
	for name, c := range map[string]struct {
		change [2]string
		line   int
		says   string
	}{
		"clean":                  {[2]string{"", ""}, 0, ""},
		"what Load refuses":      {[2]string{"https://api", "http://api"}, 3, "instance/base: "},
		"proves nothing":         {[2]string{"    identity: {id: id}\n", ""}, 10, "identity/id: is required"},
		"no probe":               {[2]string{clean[strings.Index(clean, "verify:"):], "verify: []\n"}, 9, "verify: none"},
		"verify: none":           {[2]string{clean[strings.Index(clean, "verify:"):], "verify: none\n"}, 0, ""},
		"translated":             {[2]string{"verify:", "translations: {pt: {Key: Chave}}\nverify:"}, 0, ""},
		"lacks a translation":    {[2]string{"verify:", "notices: [{severity: info, text: Closed.}]\ntranslations: {pt: {Key: Chave}}\nverify:"}, 10, `there is no translation of "Closed."`},
		"translates no text":     {[2]string{"verify:", "translations: {pt: {Keys: Chaves}}\nverify:"}, 9, `has no text "Keys"`},
		"a number as text":       {[2]string{"verify:", "translations: {pt: {Key: 7}}\nverify:"}, 9, "a text"},
		"a text for a language":  {[2]string{"verify:", "translations: {pt: Chave}\nverify:"}, 9, "a mapping"},
		"verify: nothing":        {[2]string{clean[strings.Index(clean, "verify:"):], "verify: nothing\n"}, 9, "a list"},
		"a constant identity":    {[2]string{"{id: id}", `{id: '!"ana"'}`}, 15, "members and positions"},
		"the same rule":          {rule("{status: [401]}"), 13, "rule 0 takes them all"},
		"a narrower status":      {rule("{status: [401], content_type: text/html}"), 13, "rule 0 takes them all"},
		"a narrower header":      {rule("{status: [401], headers: [{name: X-A, exists: true}]}"), 13, "rule 0"},
		"a wider rule":           {rule("{status: [401, 403]}"), 0, ""},
		"every answer":           {rule("{}"), 14, "rule 1 takes them all"},
		"takes what is accepted": {rule("{status: [200, 403]}"), 15, "rule 1 takes it first"},
		"takes a part of it":     {rule("{status: [200], content_type: text/html}"), 0, ""},
		"accepts anything":       {[2]string{"    accept: {status: [200]}\n", ""}, 10, "status: [200]"},
		"accepts a failure":      {[2]string{"status: [200]", "status: [200, 404]"}, 14, "no success"},
		"never asked": {[2]string{"    identity: {id: id}\n", "    identity: {id: id}\n  - {path: /old, accept: {status: [200]}, identity: {id: id}}\n"},
			16, "never asked"},
		"a public secret":       {[2]string{"fields: [", "fields: [{name: user_token, label: T, public: true}, "}, 7, "public"},
		"a public field":        {[2]string{"fields: [", "fields: [{name: tokens, label: T, public: true}, "}, 0, ""},
		"password":              {[2]string{"{name: key, label: Key}]\n    headers: {X-Key: \"{key}\"}", "{name: password, label: P}]\n    headers: {X-Key: \"{password}\"}"}, 7, "lockout"},
		"password, locked":      {[2]string{"{name: key, label: Key}]\n    headers: {X-Key: \"{key}\"}", "{name: password, label: P}]\n    lockout: true\n    headers: {X-Key: \"{password}\"}"}, 0, ""},
		"secret in a path":      {[2]string{"/me", "/me?api_key=abc"}, 10, "holds no secret"},
		"secret in a link":      {[2]string{"name: Acme", `name: Acme` + "\n" + `docs_url: "https://acme.example/?a=1&access_token=x"`}, 3, "holds no secret"},
		"query without":         {[2]string{"/me", "/me?fields=id"}, 0, ""},
		"over":                  {[2]string{"verify:", "notices: [{until: 2026-11-24, severity: info, text: x}]\nverify:"}, 9, "is over"},
		"not yet over":          {[2]string{"verify:", "notices: [{until: 2026-11-25, severity: info, text: x}]\nverify:"}, 0, ""},
		"GitHub's":              {shape("^ghp_[a-z]{40}$", ""), 7, "shape of github too"},
		"GitHub's, recognised":  {shape("^gh[a-z]_[A-Z]{36}$", ", token: Acme key"), 7, "shape of github too"},
		"anybody's, recognised": {shape("^[A-Za-z0-9]{40}$", ", token: Acme key"), 7, "shape of businessmap too"},
		"anybody's":             {shape("^[A-Za-z0-9]{40}$", ""), 0, ""},
		"of its own":            {shape("^acme_[a-z0-9]{20}$", ", token: Acme key"), 0, ""},
		"the same token":        {shape("^gh[opusr]_[A-Za-z0-9]{36}$", ", token: GitHub token"), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(clean, c.change[0], c.change[1], 1)
			if text == clean && c.change[0] != "" {
				t.Fatalf("%q is not there", c.change[0])
			}
			got := catalog.Lint(fstest.MapFS{"a.yaml": {Data: []byte(text)}}, today)
			if c.line == 0 {
				if len(got) != 0 {
					t.Errorf("Lint = %v, want nothing", got)
				}
				return
			}
			for _, e := range got {
				if e.File == "a.yaml" && e.Line == c.line && strings.Contains(e.Message, c.says) {
					return
				}
			}
			t.Errorf("Lint = %v, want %q in line %d", got, c.says, c.line)
		})
	}
}

// All files are looked at, also beside one that cannot be read, and also two
// that are new are compared.
func TestLintOfSeveral(t *testing.T) {
	t.Parallel()
	other := strings.Replace(clean, "id: acme\nname", "id: umbrella\nname", 1)
	shape := func(text, pattern, token string) string {
		return strings.Replace(text, "label: Key}]", fmt.Sprintf("label: Key, shapes: [{pattern: '%s', token: %s}]}]", pattern, token), 1)
	}
	got := catalog.Lint(fstest.MapFS{
		"b.yaml": {Data: []byte(shape(other, "^u_[0-9]+$", "Umbrella key"))}, "c.yaml": {Data: []byte("id: [")},
		"a.yaml": {Data: []byte(shape(clean, "^[a-z]_[a-z0-9]{4}$", "Acme key"))},
	}, today)
	var said []string
	for _, e := range got {
		said = append(said, fmt.Sprintf("%s:%d", e.File, e.Line))
	}
	if fmt.Sprint(said) != "[a.yaml:7 b.yaml:7 c.yaml:1]" {
		t.Errorf("Lint = %v", got)
	}
	if got := catalog.Lint(fstest.MapFS{"README.md": {}}, today); len(got) != 1 || got[0].File != "." {
		t.Errorf("Lint of nothing = %v", got)
	}
	if got := catalog.Lint(os.DirFS("no such directory"), today); len(got) != 1 || got[0].Line != 0 {
		t.Errorf("Lint of no directory = %v", got)
	}
}
