package providertoken

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Texts returns the texts of d that users read and that Translations may have in
// other languages, each once, in the order in which they stand there.
func (d Definition) Texts() []string {
	var all []string
	add := func(text string) {
		if text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	add(d.Name)
	for _, m := range d.Methods {
		add(m.Label)
		for _, f := range m.Fields {
			add(f.Label)
			add(f.Help)
		}
	}
	for _, n := range d.Notices {
		add(n.Text)
	}
	return all
}

// translator returns a function that says a text in that language, or in a wider
// one, as "pt" for "pt-BR" (RFC 4647 section 3.4), or as it is.
func (d Definition) translator(language string) func(string) string {
	return func(text string) string {
		for tag := language; tag != ""; tag = wider(tag) {
			if said, ok := d.Translations[tag][text]; ok {
				return said
			}
		}
		return text
	}
}

func wider(tag string) string {
	return tag[:max(0, strings.LastIndexByte(tag, '-'))]
}

// languageTag is a language with its script and region, in their usual spelling
// (RFC 5646 section 2.1.1).
var languageTag = regexp.MustCompile(`^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$`)

func (c *checker) translations(d Definition) {
	texts := d.Texts()
	for _, language := range slices.Sorted(maps.Keys(d.Translations)) {
		path := "/translations/" + language
		if !languageTag.MatchString(language) {
			c.fail(path, "a language is written as pt, pt-BR or zh-Hant-TW")
		}
		for _, text := range slices.Sorted(maps.Keys(d.Translations[language])) {
			if !slices.Contains(texts, text) {
				c.fail(path, fmt.Sprintf("the definition has no text %q", text))
			}
			c.require(path, d.Translations[language][text])
		}
	}
}
