package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCatalogLint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "acme.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	call(t, "catalog", "lint", dir).want(t, "lint of nothing", exitProblem, "there is no definition")
	const good = `id: acme
name: Acme
instance: {mode: fixed, base: "https://api.acme.example"}
methods: [{id: key, label: Key, fields: [{name: key, label: Key}], headers: {X-Key: "{key}"}}]
verify: [{path: /me, accept: {status: [200]}, identity: {id: id}}]
`
	write(good)
	call(t, "catalog", "lint", dir).want(t, "lint of a good definition", exitOK, "ok")
	if got := decode[lintReport](t, call(t, "catalog", "lint", "-json", dir).want(t, "lint -json", exitOK)); len(got.Problems) != 0 {
		t.Errorf("lint -json = %+v, want no problems", got)
	}
	write(good + "colour: red\n")
	call(t, "catalog", "lint", dir).want(t, "lint of a bad definition", exitProblem, file+":6:1: unknown field")
	got := decode[lintReport](t, call(t, "catalog", "lint", "-json", dir).want(t, "lint -json", exitProblem))
	if len(got.Problems) != 1 || got.Problems[0].File != file || got.Problems[0].Line != 6 || got.Problems[0].Column != 1 {
		t.Errorf("lint -json = %+v", got)
	}
	call(t, "catalog", "lint", filepath.Join(dir, "none")).want(t, "lint of no directory", exitProblem, "no such file")
	call(t, "catalog", "lint").want(t, "lint without a directory", exitUsage, "wants 1 arguments")
	call(t, "catalog").want(t, "catalog alone", exitUsage)
}
