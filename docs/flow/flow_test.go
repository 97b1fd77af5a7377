package main

import (
	"os"
	"strings"
	"testing"
)

func TestPictureIsDrawnFromItsSource(t *testing.T) {
	t.Parallel()
	d, err := parse(source)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile("../images/flow.svg")
	if err != nil {
		t.Fatal(err)
	}
	if d.svg() != string(picture) {
		t.Errorf("docs/images/flow.svg is not what flow.txt says; run make docs")
	}
}

func TestParseNamesTheLine(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, source string }{
		{"no colon", "lane a: A\nnonsense"},
		{"no arrow", "lane a: A\na: text"},
		{"unknown lane", "lane a: A\na -> b: text"},
		{"to itself", "lane a: A\na -> a: text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(tt.source); err == nil || !strings.HasPrefix(err.Error(), "flow.txt:2:") {
				t.Errorf("parse(%q) = %v, want an error of line 2", tt.source, err)
			}
		})
	}
}
