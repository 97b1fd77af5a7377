package catalog

import (
	"regexp/syntax"
	"unicode"
)

// overlap reports whether there is a text that both patterns match, which are of
// RE2 and reach from ^ to $. It walks through both machines at once, so what it
// says is exact but for word boundaries, which it passes over.
func overlap(a, b string) bool {
	x, y := compile(a), compile(b)
	if x == nil || y == nil {
		return false
	}
	type pair struct{ x, y uint32 }
	seen := map[pair]bool{}
	todo := []pair{{uint32(x.Start), uint32(y.Start)}}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		i, j := &x.Inst[at.x], &y.Inst[at.y]
		if next, free := without(i); free {
			for _, n := range next {
				todo = append(todo, pair{n, at.y})
			}
			continue
		}
		if next, free := without(j); free {
			for _, n := range next {
				todo = append(todo, pair{at.x, n})
			}
			continue
		}
		switch {
		case i.Op == syntax.InstMatch && j.Op == syntax.InstMatch:
			return true
		case i.Op == syntax.InstMatch || j.Op == syntax.InstMatch || i.Op == syntax.InstFail || j.Op == syntax.InstFail:
		case shareRune(i, j):
			todo = append(todo, pair{i.Out, j.Out})
		}
	}
	return false
}

func compile(pattern string) *syntax.Prog {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil
	}
	return prog
}

// without returns where a step leads that takes no character.
func without(i *syntax.Inst) (next []uint32, free bool) {
	switch i.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		return []uint32{i.Out, i.Arg}, true
	case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
		return []uint32{i.Out}, true
	default:
		return nil, false
	}
}

// shareRune reports whether one character fits both steps. If there is one, an
// end of a range of either is one, or another case of it.
func shareRune(i, j *syntax.Inst) bool {
	both := func(r rune) bool { return i.MatchRune(r) && j.MatchRune(r) }
	for _, step := range []*syntax.Inst{i, j} {
		for _, r := range step.Rune {
			for c := r; ; {
				if both(c) {
					return true
				}
				if c = unicode.SimpleFold(c); c == r {
					break
				}
			}
		}
	}
	return false
}
