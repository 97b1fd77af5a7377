package catalog

import (
	"regexp"
	"testing"
)

func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`^a$`, `^a$`, true},
		{`^a$`, `^b$`, false},
		{`^a+$`, `^aaa$`, true},
		{`^a{2,3}$`, `^a{4,9}$`, false},
		{`^[a-m]{3}$`, `^[l-z]{3}$`, true},
		{`^[a-k]{3}$`, `^[l-z]{3}$`, false},
		{`^(ab|cd)+$`, `^abcdab$`, true},
		{`^(ab|cd)+$`, `^abda$`, false},
		{`^.*x$`, `^y.*$`, true},
		{`^(?i)abc$`, `^ABC$`, true},
		{`^(?i)[a-c]{2}$`, `^[X-Z]B$`, false},
		{`^\d+$`, `^[^0-9]+$`, false},
		{`^\d*$`, `^[^0-9]*$`, true}, // the empty text
		{`^a?b?$`, `^c?$`, true},
		{`^ghp_[A-Za-z0-9]{36,255}$`, `^[A-Za-z0-9_]{100}$`, true},
		{`^ghp_[A-Za-z0-9]{36,255}$`, `^[A-Za-z0-9]{100}$`, false},
		{`^glpat-[A-Za-z0-9_-]{27,300}\.[0-9a-z]{2}\.[0-9a-z]{9}$`, `^[a-z.-]{60}$`, true},
		{`^(`, `^a$`, false},
	} {
		if got := overlap(c.a, c.b); got != c.want {
			t.Errorf("overlap(%s, %s) = %v, want %v", c.a, c.b, got, c.want)
		}
		if got := overlap(c.b, c.a); got != c.want {
			t.Errorf("overlap(%s, %s) = %v, want %v", c.b, c.a, got, c.want)
		}
	}
}

// What both patterns match, overlaps.
func FuzzOverlap(f *testing.F) {
	f.Add("a[bc]*", "[a-z]{2}", "ab")
	f.Add("(?i)x|y", ".", "X")
	f.Fuzz(func(t *testing.T, a, b, text string) {
		if len(a) > 20 || len(b) > 20 {
			return
		}
		a, b = `^(?:`+a+`)$`, `^(?:`+b+`)$`
		x, err1 := regexp.Compile(a)
		y, err2 := regexp.Compile(b)
		if err1 != nil || err2 != nil {
			return
		}
		if x.MatchString(text) && y.MatchString(text) && !overlap(a, b) {
			t.Errorf("%q matches %s and %s, which are said not to overlap", text, a, b)
		}
	})
}
