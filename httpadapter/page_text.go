package httpadapter

import (
	"embed"
	"fmt"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// templateFiles are the page's templates and, as <language>.json, all its
// words.
//
//go:embed templates
var templateFiles embed.FS

// texts are all words of the page in one language, by id. A text may have
// places to fill in, and a count has the plural forms of its language.
type texts struct {
	language  string // BCP 47
	localizer *i18n.Localizer
}

// loadTexts reads templates/<language>.json.
func loadTexts(tag language.Tag) (*texts, error) {
	name := "templates/" + tag.String() + ".json"
	raw, err := templateFiles.ReadFile(name)
	if err != nil {
		return nil, err
	}
	bundle := i18n.NewBundle(tag)
	if _, err := bundle.ParseMessageFileBytes(raw, name); err != nil {
		return nil, fmt.Errorf("texts %s: %w", tag, err)
	}
	return &texts{language: tag.String(), localizer: i18n.NewLocalizer(bundle, tag.String())}, nil
}

// has reports whether there is a text with this id.
func (t *texts) has(id string) bool {
	_, err := t.find(id)
	return err == nil
}

// say returns a text with pairs of name and value filled in. The value of N
// chooses the plural form. An unknown id returns itself, so that a slip is
// seen and breaks nothing.
func (t *texts) say(id string, pairs ...any) string {
	text, err := t.find(id, pairs...)
	if err != nil {
		return id
	}
	return text
}

func (t *texts) find(id string, pairs ...any) (string, error) {
	config := i18n.LocalizeConfig{MessageID: id}
	if len(pairs) > 0 {
		values := make(map[string]any, len(pairs)/2)
		for i := 0; i+1 < len(pairs); i += 2 {
			values[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		config.TemplateData, config.PluralCount = values, values["N"]
	}
	return t.localizer.Localize(&config)
}
