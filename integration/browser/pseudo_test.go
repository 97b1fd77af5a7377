package browser_test

import (
	"encoding/json"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/aichub/lanyard/providertoken"
)

// The languages that nobody speaks: one is English with accents, two fifths
// longer and in brackets; the other runs from right to left.
const (
	accented  = "en-XA"
	fromRight = "ar-XB"
)

var pseudoLetters = map[string][2]string{
	accented:  {"aeioucnszAEIOU", "àéîöûçñšžÀÉÎÖÛ"},
	fromRight: {"abcdefghijklmnopqrstuvwxyz", "ابتثجحخدذرزسشصضطظعغفقكلمنه"},
}

// keptPlaces is what no translation touches.
var keptPlaces = regexp.MustCompile(`\{\{[^}]*\}\}|\{[a-z]+\}`)

// pseudo says a text in one of these languages, or a plural in all the forms
// that there are.
func pseudo(language string, text any) any {
	switch text := text.(type) {
	case map[string]any:
		forms := map[string]any{}
		for _, form := range []string{"zero", "one", "two", "few", "many", "other"} {
			forms[form] = pseudo(language, text["other"])
		}
		return forms
	case string:
		return pseudoText(language, text)
	}
	return text
}

func pseudoText(language, text string) string {
	from, to := []rune(pseudoLetters[language][0]), []rune(pseudoLetters[language][1])
	swap := strings.NewReplacer(pairs(from, to)...)
	var out strings.Builder
	last := 0
	for _, at := range keptPlaces.FindAllStringIndex(text, -1) {
		out.WriteString(swap.Replace(text[last:at[0]]) + text[at[0]:at[1]])
		last = at[1]
	}
	out.WriteString(swap.Replace(text[last:]))
	for i := range len(text) * 2 / 5 {
		if i%7 == 0 {
			out.WriteByte(' ')
		}
		out.WriteRune(to[i%len(to)])
	}
	return "⟦" + out.String() + "⟧"
}

func pairs(from, to []rune) (all []string) {
	for i := range from {
		all = append(all, string(from[i]), string(to[i]))
	}
	return all
}

// isPseudo reports whether a language is one of these.
func isPseudo(language string) bool { _, ok := pseudoLetters[language]; return ok }

// pseudoTexts is what a host gives the page to speak a language of these.
func pseudoTexts(t *testing.T, language string) fs.FS {
	t.Helper()
	raw, err := json.Marshal(readTexts(t, language))
	ok(t, err)
	return fstest.MapFS{language + ".json": {Data: raw}}
}

func pseudoDefinitions(language string, all []providertoken.Definition) []providertoken.Definition {
	for i, d := range all {
		texts := map[string]string{}
		for _, text := range d.Texts() {
			if text != d.Name {
				texts[text] = pseudoText(language, text)
			}
		}
		all[i].Translations = map[string]map[string]string{language: texts}
	}
	return all
}

// Neither longer words nor letters from right to left push anything over the
// edge of the screen.
func TestLongWordsAndRightToLeft(t *testing.T) {
	for _, language := range []string{accented, fromRight} {
		for _, width := range []int64{320, 1280} {
			s := setting{language, true, width, "light"}
			t.Run(s.String(), func(t *testing.T) {
				b := newTab(t, s)
				direction := map[string]string{accented: "ltr", fromRight: "rtl"}[language]
				visitStates(b, func(state string) {
					if wide := eval[int64](b, "document.documentElement.scrollWidth"); wide > width {
						t.Errorf("%v: %s is %d px wide: %s", s, state, wide, eval[string](b, widest))
					}
					if got := eval[string](b, "getComputedStyle(document.querySelector('main')).direction"); got != direction {
						t.Errorf("%v: %s runs %s, want %s", s, state, got, direction)
					}
				})
			})
		}
	}
}

// widest names what reaches furthest over an edge.
const widest = `[...document.querySelectorAll("main *, header *")].filter(e => !e.closest("pre, .ly-hidden, thead"))
	.map(e => [e.getBoundingClientRect(), e]).filter(([r]) => r.right > innerWidth + 1 || r.left < -1)
	.map(([r, e]) => e.tagName + "." + e.className + " " + Math.round(r.left) + "-" + Math.round(r.right) + " " + e.textContent.trim().slice(0, 40)).slice(-3).join(" | ")`
