package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// mutant is one deliberate breakage and the test that must notice it.
type mutant struct {
	Name    string // what is broken
	File    string // from the root of the tree
	Old     string // stands in File exactly once
	New     string
	Package string // of the test, as "./apikey" or, of the other module, "./integration/faults"
	Test    string // a name for "go test -run"
}

// What became of a mutant.
const (
	dead   = "killed"
	alive  = "SURVIVED"
	gone   = "NO PLACE"
	broken = "NO BUILD"
)

func load(file string) ([]mutant, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []mutant
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	names := map[string]bool{}
	for _, m := range all {
		if m.Name == "" || m.File == "" || m.Old == "" || m.Package == "" || m.Test == "" || m.Old == m.New {
			return nil, fmt.Errorf("%s: mutant %q is not whole", file, m.Name)
		}
		if names[m.Name] {
			return nil, fmt.Errorf("%s: two mutants are called %q", file, m.Name)
		}
		names[m.Name] = true
	}
	return all, nil
}

// apply returns the file with the breakage, and false when its place is not
// there exactly once.
func (m mutant) apply(source string) (string, bool) {
	old := strings.TrimSuffix(m.Old, "\n")
	if strings.Count(source, old) != 1 {
		return "", false
	}
	return strings.Replace(source, old, strings.TrimSuffix(m.New, "\n"), 1), true
}

// try runs the mutant's test against the mutant.
func (m mutant) try(ctx context.Context) (string, error) {
	source, err := os.ReadFile(m.File)
	if err != nil {
		return "", err
	}
	mutated, ok := m.apply(string(source))
	if !ok {
		return gone, nil
	}
	tmp, err := os.MkdirTemp("", "lanyard-mutant-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	overlay, err := writeOverlay(tmp, m.File, mutated)
	if err != nil {
		return "", err
	}
	dir, pkg := ".", m.Package
	if rest, other := strings.CutPrefix(m.Package, "./integration/"); other {
		dir, pkg = "integration", "./"+rest
	}
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=2m", "-overlay", overlay, "-run", "^"+m.Test+"$", pkg) //nolint:gosec // our own list
	test.Dir = dir
	out, err := test.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return alive, nil
	case !errors.As(err, &failed) || ctx.Err() != nil:
		return "", errors.Join(ctx.Err(), err)
	case strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]"):
		return broken, nil
	}
	return dead, nil
}

// writeOverlay writes what "go test -overlay" takes: the mutated file, and a
// note of which file it stands for.
func writeOverlay(dir, file, mutated string) (string, error) {
	original, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	replacement := filepath.Join(dir, "mutated"+filepath.Ext(file))
	note, err := json.Marshal(map[string]map[string]string{"Replace": {original: replacement}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(
		os.WriteFile(replacement, []byte(mutated), 0o600), //nolint:gosec // our own directory
		os.WriteFile(overlay, note, 0o600),
	)
}
