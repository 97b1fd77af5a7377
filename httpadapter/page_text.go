package httpadapter

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
)

//go:embed templates
var templateFiles embed.FS

// texts are all words of the page in one language, by id. A text is a small
// template of its own; a count has a form for one and one for others.
type texts struct {
	language string
	one      map[string]*template.Template
	other    map[string]*template.Template
}

// loadTexts reads templates/<language>.json.
func loadTexts(language string) (*texts, error) {
	raw, err := templateFiles.ReadFile("templates/" + language + ".json")
	if err != nil {
		return nil, err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, fmt.Errorf("texts %s: %w", language, err)
	}
	t := &texts{language: language, one: map[string]*template.Template{}, other: map[string]*template.Template{}}
	for id, entry := range entries {
		var forms struct{ One, Other string }
		if err := json.Unmarshal(entry, &forms.Other); err != nil {
			if err := json.Unmarshal(entry, &forms); err != nil {
				return nil, fmt.Errorf("texts %s: %s: %w", language, id, err)
			}
		}
		if t.other[id], err = parseText(forms.Other); err != nil {
			return nil, fmt.Errorf("texts %s: %s: %w", language, id, err)
		}
		if forms.One != "" {
			if t.one[id], err = parseText(forms.One); err != nil {
				return nil, fmt.Errorf("texts %s: %s: %w", language, id, err)
			}
		}
	}
	return t, nil
}

func parseText(text string) (*template.Template, error) {
	return template.New("").Option("missingkey=zero").Parse(text)
}

func (t *texts) has(id string) bool { return t.other[id] != nil }

// say returns a text with pairs of name and value filled in. The value of N
// chooses between one and others. An unknown id returns itself.
func (t *texts) say(id string, pairs ...any) string {
	values := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	form := t.other[id]
	if n, counted := values["N"]; counted && n == 1 && t.one[id] != nil {
		form = t.one[id]
	}
	var b strings.Builder
	if form == nil || form.Execute(&b, values) != nil {
		return id
	}
	return b.String()
}
