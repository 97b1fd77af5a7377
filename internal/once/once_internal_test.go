package once

import "testing"

// A process that tells of ever more facts does not grow with them.
func TestFactsAreBounded(t *testing.T) {
	t.Parallel()
	var told Facts[int]
	for i := range 3 * Max {
		if !told.Claim(i) {
			t.Fatalf("Claim(%d) = false the first time", i)
		}
	}
	if len(told.facts) > Max {
		t.Errorf("%d facts are kept, want at most %d", len(told.facts), Max)
	}
	told.Claim(0)
	if told.Claim(0) {
		t.Error("Claim() = true twice")
	}
	if told.Release(0); !told.Claim(0) {
		t.Error("Claim() = false of what was released")
	}
}
