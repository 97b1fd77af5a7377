package httpadapter

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// textFiles are all words of the page, a file a language.
//
//go:embed templates/*.json
var textFiles embed.FS

// Texts returns the words of the page as they are without Config.Texts, a file
// a language: "en.json", which has every text, and "pt-BR.json". A translation
// starts from the first, and a test that reads both finds what is missing.
func Texts() fs.FS {
	files, err := fs.Sub(textFiles, "templates")
	if err != nil {
		panic("httpadapter: " + err.Error()) // the path is a constant, and valid
	}
	return files
}

// texts are all words of the page in one language, by id. A text may have
// places to fill in, and a count has the plural forms of its language.
type texts struct {
	tag       language.Tag
	digits    language.Tag      // tag, with the digits that dates have too
	simple    map[string][]part // texts with nothing but places to fill in
	localizer *i18n.Localizer   // the others, which count or leave something out
	fallback  *texts            // says what is not here; nil = none
}

// language is the BCP 47 tag.
func (t *texts) language() string { return t.tag.String() }

// rightToLeft are the scripts that are written so and have users (Unicode
// Standard, chapters 9, 19 and 20).
var rightToLeft = map[string]bool{
	"Adlm": true, "Arab": true, "Hebr": true, "Mand": true, "Nkoo": true, "Rohg": true, "Samr": true, "Syrc": true, "Thaa": true,
}

// direction is "ltr" or "rtl".
func (t *texts) direction() string {
	if script, _ := t.tag.Script(); rightToLeft[script.String()] {
		return "rtl"
	}
	return "ltr"
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
	text, err := t.findHere(id, pairs)
	if err != nil && t.fallback != nil {
		return t.fallback.find(id, pairs...)
	}
	return text, err
}

func (t *texts) findHere(id string, pairs []any) (string, error) {
	if parts, ok := t.simple[id]; ok {
		return join(parts, pairs), nil
	}
	config := i18n.LocalizeConfig{MessageID: id}
	if len(pairs) > 0 {
		values := make(map[string]any, len(pairs)/2)
		for i := 0; i+1 < len(pairs); i += 2 {
			values[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		if n, ok := values["N"].(int); ok {
			config.PluralCount = n
			values["N"] = message.NewPrinter(t.digits).Sprint(n)
		}
		config.TemplateData = values
	}
	return t.localizer.Localize(&config)
}

// part is a piece of a text: words, or a place to fill in.
type part struct{ words, place string }

// partsOf cuts a text; false if there is more in it than places.
func partsOf(text string) (parts []part, simple bool) {
	for text != "" {
		words, rest, found := strings.Cut(text, "{{")
		if words != "" {
			parts = append(parts, part{words: words})
		}
		if !found {
			break
		}
		place, after, _ := strings.Cut(rest, "}}")
		if !fieldPipe.MatchString(place) {
			return nil, false
		}
		parts = append(parts, part{place: place[1:]})
		text = after
	}
	return parts, true
}

// join fills pairs of name and value in.
func join(parts []part, pairs []any) string {
	if len(parts) == 1 && parts[0].place == "" {
		return parts[0].words
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.words)
		for i := 0; p.place != "" && i+1 < len(pairs); i += 2 {
			if pairs[i] == p.place {
				_, _ = fmt.Fprint(&b, pairs[i+1])
			}
		}
	}
	return b.String()
}

// day says a day, and moment a time of it, in the zone t is in.
func (t *texts) day(at time.Time) string {
	return t.say("date.day", "Day", at.Day(), "Month", t.say(fmt.Sprint("date.month.", int(at.Month()))), "Year", at.Year())
}

func (t *texts) moment(at time.Time) string {
	return t.say("date.moment", "Date", t.day(at), "Time", at.Format("15:04"), "Zone", at.Format("MST"))
}
