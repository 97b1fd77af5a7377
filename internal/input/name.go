package input

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aichub/lanyard"
)

// Name returns text without the white space around it, or an
// [*lanyard.InputError] for field: "too-long" above limit characters (Unicode
// code points), "invalid" for text that cannot be a name. An empty name is
// returned as it is: whether one is needed, the caller knows.
//
// A name is one line of visible text. Refused are invalid UTF-8, control
// characters and line separators, every format character but the two joiners
// that emoji and several scripts need (so no right-to-left override, no
// zero-width space, no tag characters), private use, noncharacters, and text
// of which nothing can be seen. Everything else is kept byte for byte: there
// is no normalisation, and HTML is text like any other.
func Name(field, text string, limit int) (string, error) {
	refuse := func(code, message string) (string, error) {
		return "", &lanyard.InputError{Field: field, Code: code, Message: message}
	}
	if !utf8.ValidString(text) {
		return refuse(lanyard.CodeInvalid, "the text is not UTF-8")
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", nil
	}
	if utf8.RuneCountInString(text) > limit {
		return refuse(lanyard.CodeTooLong, fmt.Sprintf("at most %d characters", limit))
	}
	seen := false
	for _, r := range text {
		if refused(r) {
			return refuse(lanyard.CodeInvalid, "control and invisible format characters are not allowed")
		}
		seen = seen || visible(r)
	}
	if !seen {
		return refuse(lanyard.CodeInvalid, "nothing of the text can be seen")
	}
	return text, nil
}

// Clean returns what [Name] would keep of text that nobody can be asked to type
// again, because it comes from an identity provider or another platform: without
// what Name refuses, without white space around it, cut after limit characters.
func Clean(text string, limit int) string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if refused(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar))))
	n := 0
	for i := range text {
		if n == limit {
			return strings.TrimSpace(text[:i])
		}
		n++
	}
	return text
}

// The two format characters that change how their neighbours look: an emoji of
// several people, or a Persian word, needs them.
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// Characters that count as letters or symbols and are drawn as nothing.
const (
	hangulChoseongFiller  = '\u115f'
	hangulJungseongFiller = '\u1160'
	brailleBlank          = '\u2800'
	hangulFiller          = '\u3164'
	halfwidthHangulFiller = '\uffa0'
)

func refused(r rune) bool {
	switch r {
	case zeroWidthNonJoiner, zeroWidthJoiner:
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) || noncharacter(r)
}

// noncharacter reports whether r is one of the 66 code points that Unicode
// (section 23.7) reserves for a program's own use.
func noncharacter(r rune) bool {
	return r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef
}

func visible(r rune) bool {
	switch r {
	case hangulChoseongFiller, hangulJungseongFiller, brailleBlank, hangulFiller, halfwidthHangulFiller:
		return false
	}
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S)
}
