package providertoken

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// In returns p with its labels, helps and notices in a language, by its BCP 47
// tag: in that one, or where there is none in the one without its last part, as
// "pt" for "pt-BR", and else as they are. Tags are compared without regard to
// case.
func (p Provider) In(language string) Provider {
	texts := p.texts(language)
	if texts == nil {
		return p
	}
	in := func(text string) string {
		if translated := texts[text]; translated != "" {
			return translated
		}
		return text
	}
	p.Methods = slices.Clone(p.Methods)
	for i := range p.Methods {
		m := &p.Methods[i]
		m.Label, m.Fields = in(m.Label), slices.Clone(m.Fields)
		for j := range m.Fields {
			m.Fields[j].Label, m.Fields[j].Help = in(m.Fields[j].Label), in(m.Fields[j].Help)
		}
	}
	p.Notices = slices.Clone(p.Notices)
	for i := range p.Notices {
		p.Notices[i].Text = in(p.Notices[i].Text)
	}
	return p
}

// texts returns the translations into a language, or nil.
func (p Provider) texts(language string) map[string]string {
	for language != "" {
		for tag, texts := range p.translations {
			if strings.EqualFold(tag, language) {
				return texts
			}
		}
		language = language[:max(0, strings.LastIndexByte(language, '-'))]
	}
	return nil
}

// validLanguage is the form of a tag (RFC 5646 section 2.1, as far as it is in
// use for texts).
var validLanguage = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)

// translations refuses what translates nothing: a text that was changed leaves
// its translations behind.
func (c *checker) translations(d Definition) {
	read := map[string]bool{}
	for _, m := range d.Methods {
		read[m.Label] = true
		for _, f := range m.Fields {
			read[f.Label], read[f.Help] = true, true
		}
	}
	for _, n := range d.Notices {
		read[n.Text] = true
	}
	seen := map[string]bool{}
	for _, language := range slices.Sorted(maps.Keys(d.Translations)) {
		path := "/translations/" + language
		if !validLanguage.MatchString(language) || seen[strings.ToLower(language)] {
			c.fail(path, "a language is a tag of BCP 47, as pt-BR, and is there once")
		}
		seen[strings.ToLower(language)] = true
		for _, text := range slices.Sorted(maps.Keys(d.Translations[language])) {
			if text == "" || !read[text] {
				c.fail(path, fmt.Sprintf("nobody reads %q here", text))
			}
			if strings.TrimSpace(d.Translations[language][text]) == "" {
				c.fail(path, fmt.Sprintf("the translation of %q is empty", text))
			}
		}
	}
}
