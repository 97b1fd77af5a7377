package input_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/input"
)

func TestName(t *testing.T) {
	t.Parallel()
	const invalid, tooLong = lanyard.CodeInvalid, lanyard.CodeTooLong
	for name, c := range map[string]struct {
		text string
		want string
		code string // of the refusal
	}{
		"empty":                  {text: "", want: ""},
		"only white space":       {text: " \t\n\u00a0\u2003", want: ""},
		"trimmed":                {text: "  my laptop\n", want: "my laptop"},
		"one character":          {text: "x", want: "x"},
		"at the limit":           {text: strings.Repeat("é", 10), want: strings.Repeat("é", 10)},
		"at the limit and space": {text: " " + strings.Repeat("é", 10) + " ", want: strings.Repeat("é", 10)},
		"above the limit":        {text: strings.Repeat("é", 11), code: tooLong},
		"far above the limit":    {text: strings.Repeat("x", 1<<20), code: tooLong},
		"NUL":                    {text: "a\x00b", code: invalid},
		"invalid UTF-8":          {text: "a\xff", code: invalid},
		"overlong":               {text: "\xc0\xaf", code: invalid},
		"encoded surrogate":      {text: "\xed\xa0\x80", code: invalid},
		"tab inside":             {text: "a\tb", code: invalid},
		"line feed inside":       {text: "a\nb", code: invalid},
		"escape sequence":        {text: "\x1b[31m", code: invalid},
		"DEL":                    {text: "a\x7f", code: invalid},
		"C1 control":             {text: "a\u009bb", code: invalid},
		"right-to-left override": {text: "a\u202eb", code: invalid},
		"isolate":                {text: "a\u2066b", code: invalid},
		"right-to-left mark":     {text: "a\u200fb", code: invalid},
		"zero-width space":       {text: "a\u200bb", code: invalid},
		"byte order mark":        {text: "\ufeffa", code: invalid},
		"soft hyphen":            {text: "a\u00adb", code: invalid},
		"line separator":         {text: "a\u2028b", code: invalid},
		"paragraph separator":    {text: "a\u2029b", code: invalid},
		"tag characters":         {text: "a\U000e0041", code: invalid},
		"private use":            {text: "a\ue000", code: invalid},
		"noncharacter":           {text: "a\uffff", code: invalid},
		"noncharacter in a plane": {
			text: "a\U0001fffe", code: invalid,
		},
		"noncharacter in a row": {text: "a\ufdd0", code: invalid},
		"only joiners":          {text: "\u200d\u200c", code: invalid},
		"only a combining mark": {text: "\u0301", code: invalid},
		"only fillers":          {text: "\u3164\u115f\u1160\u2800\uffa0", code: invalid},
		"emoji of a family":     {text: "👨\u200d👩\u200d👧", want: "👨\u200d👩\u200d👧"},
		"Persian":               {text: "می\u200cخواهم", want: "می\u200cخواهم"},
		"Arabic":                {text: "مفتاح", want: "مفتاح"},
		"decomposed stays so":   {text: "e\u0301", want: "e\u0301"},
		"HTML stays text":       {text: "<b>&amp;", want: "<b>&amp;"},
		"SQL stays text":        {text: "'; --", want: "'; --"},
		"replacement character": {text: "\ufffd", want: "\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := input.Name("name", c.text, 10)
			if c.code == "" {
				if got != c.want || err != nil {
					t.Fatalf("Name(%q) = %q, %v, want %q", c.text, got, err, c.want)
				}
				return
			}
			var e *lanyard.InputError
			if !errors.As(err, &e) || e.Field != "name" || e.Code != c.code {
				t.Fatalf("Name(%.20q) = %q, %v, want an InputError of field name with code %s", c.text, got, err, c.code)
			}
			if got != "" {
				t.Errorf("Name(%.20q) returned text although it refused", c.text)
			}
		})
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"Ana", "Ana"},
		{"  Ana \n", "Ana"},
		{"A\x00n\x1b[1ma\u202e", "An[1ma"},
		{"A\xffa", "A\ufffda"},
		{"\u200b\u200b", ""},
		{"éééééééééé", "éééééééééé"},
		{"éééééééééé!", "éééééééééé"},
		{"ééééééééé !", "ééééééééé"},
		{strings.Repeat("x", 1<<20), "xxxxxxxxxx"},
	} {
		if got := input.Clean(c.text, 10); got != c.want {
			t.Errorf("Clean(%.20q) = %q, want %q", c.text, got, c.want)
		}
	}
}
