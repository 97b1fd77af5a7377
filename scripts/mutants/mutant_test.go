package main

import (
	"os"
	"testing"
)

// Every mutant of the list still has its place in the code. That its test
// kills it is what "make mutants" shows; that takes minutes.
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
	}
}
