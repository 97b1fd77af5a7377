package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// event is what "go test -json" writes; see "go doc test2json".
type event struct {
	Action     string
	Package    string
	Test       string
	Elapsed    float64
	Output     string
	ImportPath string // with build-output, where Package is missing
}

type counts struct{ passed, failed, skipped int }

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// backend is what tests are counted for apart.
type backend struct{ name, title string }

var groups = []struct {
	title    string
	backends []backend
}{
	{"Stores", []backend{
		{"memory", "memory, the reference store"},
		{"sqlite", "SQLite, embedded"},
		{"postgres", "PostgreSQL"},
		{"pgbouncer", "PostgreSQL behind PgBouncer"},
	}},
	{"Key services", []backend{
		{"keyring", "keyring, a file"},
		{"vault", "Vault"},
	}},
}

// serverBackends are those of which whoever starts or finds the server says so.
var serverBackends = []string{"postgres", "vault"}

type summary struct {
	out      io.Writer
	total    counts
	backends map[string]*counts
	parts    []*part
	output   map[string][]string // by package and test, until they end
	failed   map[string]bool     // packages of which a test failed
	skips    []string
	using    map[string][]string // by backend: which servers
}

// part is one run of go test.
type part struct {
	name string
	counts
}

func newSummary(out io.Writer) *summary {
	s := &summary{
		out: out, backends: make(map[string]*counts), using: make(map[string][]string),
		output: make(map[string][]string), failed: make(map[string]bool),
	}
	for _, group := range groups {
		for _, b := range group.backends {
			s.backends[b.name] = &counts{}
		}
	}
	s.begin("tests")
	return s
}

func (s *summary) begin(name string) { s.parts = append(s.parts, &part{name: name}) }

func (s *summary) part() *part { return s.parts[len(s.parts)-1] }

func (s *summary) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		s.line(strings.TrimRight(line, "\n"))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) line(line string) {
	var e event
	switch {
	case line == "":
	case strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &e) == nil && e.Action != "":
		s.event(e)
	case strings.HasPrefix(line, "== "):
		s.begin(strings.TrimPrefix(line, "== "))
		s.print(line)
	case strings.HasPrefix(line, "!! "):
		s.print(line)
		if s.part().failed == 0 {
			s.fail()
		}
	default:
		s.hear(line)
		s.print(line)
	}
}

// hear takes note of a line "postgres: using ...". That a variable names the
// server says less than who set the variable for us.
func (s *summary) hear(line string) {
	name, server, ok := strings.Cut(strings.TrimSpace(line), ": using ")
	if !ok || s.backends[name] == nil || slices.Contains(s.using[name], server) {
		return
	}
	named := func(server string) bool { return strings.HasPrefix(server, "the server that LANYARD_TEST_") }
	if named(server) && len(s.using[name]) > 0 {
		return
	}
	s.using[name] = append(slices.DeleteFunc(s.using[name], named), server)
}

func (s *summary) event(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		s.print(strings.TrimRight(e.Output, "\n"))
	case "output":
		s.hear(e.Output)
		s.output[key] = append(s.output[key], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.packageDone(e)
		} else {
			s.testDone(e)
		}
		delete(s.output, key)
	}
}

func (s *summary) testDone(e event) {
	count := func(c *counts) {
		switch e.Action {
		case "pass":
			c.passed++
		case "fail":
			c.failed++
		case "skip":
			c.skipped++
		}
	}
	count(&s.total)
	count(&s.part().counts)
	for name, c := range s.backends {
		if concerns(e, name) {
			count(c)
		}
	}
	switch e.Action {
	case "fail":
		s.failed[e.Package] = true
		s.print("--- FAIL " + e.Package + " " + e.Test)
		s.flush(e)
	case "skip":
		s.skips = append(s.skips, e.Package+" "+e.Test)
	}
}

// packageDone prints a package's line. Its own output is worth reading only
// when it failed: a panic, a leak, a build that did not work.
func (s *summary) packageDone(e event) {
	switch e.Action {
	case "pass":
		s.print(fmt.Sprintf("ok    %s  %.1fs", e.Package, e.Elapsed))
	case "fail":
		s.print(fmt.Sprintf("FAIL  %s  %.1fs", e.Package, e.Elapsed))
		s.flushUnfinished(e.Package)
		s.flush(e)
		if !s.failed[e.Package] {
			s.fail()
		}
	}
	delete(s.failed, e.Package)
}

// fail counts a failure that is no test's.
func (s *summary) fail() {
	s.part().failed++
	s.total.failed++
}

func (s *summary) flush(e event) {
	for _, text := range s.output[e.Package+" "+e.Test] {
		fmt.Fprint(s.out, "      ", text)
	}
}

// lastWords is how many lines are worth reading of a test that did not end.
const lastWords = 40

// flushUnfinished prints what tests said that a panic or a time limit cut off:
// the stack stands there and not with the package.
func (s *summary) flushUnfinished(pkg string) {
	for _, key := range slices.Sorted(maps.Keys(s.output)) {
		name, cut := strings.CutPrefix(key, pkg+" ")
		if !cut || name == "" {
			continue
		}
		said := s.output[key]
		delete(s.output, key)
		s.print("--- UNFINISHED " + key)
		for _, text := range said[:min(len(said), lastWords)] {
			fmt.Fprint(s.out, "      ", text)
		}
	}
}

// concerns reports whether a test belongs to a backend: by its package, or by a
// part of its name.
func concerns(e event, backend string) bool {
	if path.Base(e.Package) == backend {
		return true
	}
	return slices.ContainsFunc(strings.Split(e.Test, "/"), func(name string) bool {
		return strings.EqualFold(name, backend)
	})
}

// report prints the summary and reports whether all is well.
func (s *summary) report(required []string) bool {
	s.print("\nParts")
	for _, p := range s.parts {
		if p.counts != (counts{}) {
			s.print(fmt.Sprintf("  %-38s %s", p.name, p.counts))
		}
	}
	for _, group := range groups {
		s.print(group.title)
		for _, b := range group.backends {
			s.print(fmt.Sprintf("  %-38s %s", b.title, s.backends[b.name]))
			for _, server := range s.using[b.name] {
				s.print("    with " + server)
			}
		}
	}
	for _, skip := range s.skips {
		s.print("skipped " + skip)
	}
	ok := s.total.failed == 0 && s.total.passed > 0
	for _, name := range required {
		var missing string
		switch c, known := s.backends[name]; {
		case !known || c.passed == 0:
			missing = "no test of " + name + " passed, and it is required"
		case slices.Contains(serverBackends, name) && len(s.using[name]) == 0:
			missing = "no server of " + name + " was used, and it is required"
		default:
			continue
		}
		s.print(missing)
		s.total.failed++
		ok = false
	}
	s.print(s.total.String())
	return ok
}

func (s *summary) print(line string) { fmt.Fprintln(s.out, line) }
