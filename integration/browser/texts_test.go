package browser_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

// texts are the page's words in one language: the tests find everything by
// what users read.
type texts map[string]any

const textsPath = "../../httpadapter/templates"

// languages are those the page has.
func languages(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob(textsPath + "/*.json")
	ok(t, err)
	for _, file := range files {
		all = append(all, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	if len(all) == 0 {
		t.Fatal("the page has no languages")
	}
	return all
}

func readTexts(t *testing.T, language string) texts {
	t.Helper()
	file := language
	if isPseudo(language) {
		file = "en"
	}
	raw, err := os.ReadFile(filepath.Join(textsPath, file+".json"))
	ok(t, err)
	var all texts
	ok(t, json.Unmarshal(raw, &all))
	if isPseudo(language) {
		for id, text := range all {
			all[id] = pseudo(language, text)
		}
	}
	return all
}

// say returns a text with pairs of name and value filled in.
func (x texts) say(t *testing.T, id string, pairs ...string) string {
	t.Helper()
	text, there := x[id].(string)
	if !there {
		t.Fatalf("there is no text %q", id)
	}
	values := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	filled, err := template.New(id).Parse(text)
	ok(t, err)
	var b strings.Builder
	ok(t, filled.Execute(&b, values))
	if strings.Contains(b.String(), "<no value>") {
		t.Fatalf("text %q needs more than %q: %q", id, pairs, text)
	}
	return b.String()
}
