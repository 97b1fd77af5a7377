package httpadapter_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What can be read or pressed stands out from what is behind it, in both
// schemes: 4.5 to 1 for text, 3 to 1 for the edge of a control and the focus
// (WCAG 2.2, success criteria 1.4.3 and 1.4.11).
func TestPageContrast(t *testing.T) {
	t.Parallel()
	sheet := newPageWorld(t, pageOptions{}).visit(t, "").open("assets/lanyard.css").body
	variables := map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)(--[a-z_-]+):\s*(.*?);`).FindAllStringSubmatch(sheet, -1) {
		if _, taken := variables[m[1]]; !taken { // the first is the default
			variables[m[1]] = strings.Join(strings.Fields(m[2]), " ")
		}
	}
	for scheme, name := range []string{"light", "dark"} {
		p := palette{t, variables, scheme}
		bg, ground := "var(--ly-color-bg)", "var(--_ground)"
		for _, c := range []struct {
			front string
			least float64
			on    []string
		}{
			{"--ly-color-fg", 4.5, []string{bg, ground, tinted("--ly-color-accent"), tinted("--_warn"), tinted("--ly-color-danger"), tinted("--ly-color-muted")}},
			{"--ly-color-muted", 4.5, []string{bg, ground, tinted("--ly-color-muted")}},
			{"--ly-color-accent", 4.5, []string{bg, ground, tinted("--ly-color-accent")}},
			{"--ly-color-danger", 4.5, []string{bg, ground, tinted("--ly-color-danger")}},
			{"--_warn", 4.5, []string{bg, ground, tinted("--_warn")}},
			{"--ly-color-on-accent", 4.5, []string{"var(--ly-color-accent)", pressed("--ly-color-accent")}},
			{"--ly-color-bg", 4.5, []string{"var(--ly-color-danger)", "var(--ly-color-fg)"}},
			{"--_control", 3, []string{bg, ground}},
			{"--ly-color-focus", 3, []string{bg, ground}},
		} {
			for _, on := range c.on {
				if got := contrast(p.colour("var("+c.front+")"), p.colour(on)); got < c.least {
					t.Errorf("%s: %s on %s has a contrast of %.2f, want %g", name, c.front, on, got, c.least)
				}
			}
		}
	}
}

// tinted and pressed are the backgrounds that the style sheet makes of a colour.
func tinted(tone string) string {
	return "color-mix(in oklab, var(--ly-color-bg), var(" + tone + ") 7%)"
}

func pressed(tone string) string {
	return "color-mix(in oklab, var(" + tone + "), var(--ly-color-fg) 18%)"
}

// palette are the colours of a scheme: 0 is light, 1 is dark.
type palette struct {
	t         *testing.T
	variables map[string]string
	scheme    int
}

// colour returns the linear red, green and blue, 0 to 1, of an expression of
// the kinds that the style sheet uses.
func (p palette) colour(expression string) [3]float64 {
	p.t.Helper()
	e := strings.TrimSpace(expression)
	switch e {
	case "black":
		return [3]float64{}
	case "white":
		return [3]float64{1, 1, 1}
	}
	if hex, ok := strings.CutPrefix(e, "#"); ok && len(hex) == 6 {
		var c [3]float64
		for i := range c {
			v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
			pageOK(p.t, err)
			c[i] = linear(float64(v) / 255)
		}
		return c
	}
	name, inner, ok := strings.Cut(strings.TrimSuffix(e, ")"), "(")
	if !ok {
		p.t.Fatalf("%q is no colour this test knows", e)
	}
	arguments := split(inner)
	switch name {
	case "var":
		return p.colour(p.variables[inner])
	case "light-dark":
		return p.colour(arguments[p.scheme])
	case "color-mix":
		at := strings.LastIndexByte(arguments[2], ' ')
		percent, err := strconv.ParseFloat(strings.TrimSuffix(arguments[2][at+1:], "%"), 64)
		pageOK(p.t, err)
		return mix(p.colour(arguments[1]), p.colour(arguments[2][:at]), percent/100)
	}
	p.t.Fatalf("%q is no colour this test knows", e)
	return [3]float64{}
}

// split cuts at the commas that are in no parentheses.
func split(list string) (parts []string) {
	depth, from := 0, 0
	for i, c := range list {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				parts, from = append(parts, strings.TrimSpace(list[from:i])), i+1
			}
		}
	}
	return append(parts, strings.TrimSpace(list[from:]))
}

func linear(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

// contrast is that of WCAG 2.2, "contrast ratio".
func contrast(a, b [3]float64) float64 {
	luminance := func(c [3]float64) float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] }
	high, low := luminance(a), luminance(b)
	return (max(high, low) + 0.05) / (min(high, low) + 0.05)
}

// mix mixes in Oklab, by the matrices of CSS Color 4, section 18.
func mix(a, b [3]float64, share float64) [3]float64 {
	oklab := func(c [3]float64) [3]float64 {
		l := math.Cbrt(0.4122214708*c[0] + 0.5363325363*c[1] + 0.0514459929*c[2])
		m := math.Cbrt(0.2119034982*c[0] + 0.6806995451*c[1] + 0.1073969566*c[2])
		s := math.Cbrt(0.0883024619*c[0] + 0.2817188376*c[1] + 0.6299787005*c[2])
		return [3]float64{
			0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
			1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
			0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
		}
	}
	x, y := oklab(a), oklab(b)
	for i := range x {
		x[i] = x[i]*(1-share) + y[i]*share
	}
	l := cube(x[0] + 0.3963377774*x[1] + 0.2158037573*x[2])
	m := cube(x[0] - 0.1055613458*x[1] - 0.0638541728*x[2])
	s := cube(x[0] - 0.0894841775*x[1] - 1.2914855480*x[2])
	return [3]float64{
		4.0767416621*l - 3.3077115913*m + 0.2309699292*s,
		-1.2684380046*l + 2.6097574011*m - 0.3413193965*s,
		-0.0041960863*l - 0.7034186147*m + 1.7076147010*s,
	}
}

func cube(x float64) float64 { return x * x * x }

// The mixing agrees with what Chromium makes of the same.
func TestPageContrastMixes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b  string
		share float64
		want  string
	}{
		{"#ffffff", "#1c2126", 0.03, "#f7f7f8"},
		{"#0b6570", "#1c2126", 0.18, "#175862"},
	} {
		p := palette{t: t}
		got := mix(p.colour(tt.a), p.colour(tt.b), tt.share)
		text := "#"
		for _, v := range got {
			if v <= 0.0031308 {
				v *= 12.92
			} else {
				v = 1.055*math.Pow(v, 1/2.4) - 0.055
			}
			text += fmt.Sprintf("%02x", int(math.Round(v*255)))
		}
		if text != tt.want {
			t.Errorf("color-mix(in oklab, %s, %s %g%%) = %s, want %s", tt.a, tt.b, 100*tt.share, text, tt.want)
		}
	}
}
