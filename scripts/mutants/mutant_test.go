package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// Every mutant of the list still has its place in the code, and its test is
// there. That the test kills it is what "make mutants" shows; that takes
// minutes.
func TestMutantsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	all, err := load("mutants.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Errorf("the list has %d mutants, want at least 10", len(all))
	}
	for _, m := range all {
		source, err := os.ReadFile("../../" + m.File)
		if err != nil {
			t.Errorf("mutant %q: %v", m.Name, err)
			continue
		}
		if _, ok := m.apply(string(source)); !ok {
			t.Errorf("mutant %q: %s does not hold its place exactly once:\n%s", m.Name, m.File, m.Old)
		}
		if wanted := regexp.MustCompile("^(" + m.Test + ")$"); !slices.ContainsFunc(testsOf(t, m.Package), wanted.MatchString) {
			t.Errorf("mutant %q: %s has no test %s", m.Name, m.Package, m.Test)
		}
	}
}

// testsOf names the tests of a package.
func testsOf(t *testing.T, pkg string) []string {
	t.Helper()
	files, err := filepath.Glob("../../" + pkg + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range testFunc.FindAllStringSubmatch(string(source), -1) {
			names = append(names, found[1])
		}
	}
	return names
}
