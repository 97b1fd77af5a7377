// Package api_test holds the HTTP API against the OpenAPI document it serves:
// with clients that others' generators make of it, and with requests of every
// kind that it does not describe.
package api_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Three generators make clients of the document that a running quickstart
// serves. They compile, and ogen's, which checks every answer against the
// document, goes through the quickstart. testdata/clients pins the generators;
// what they make is not kept.
func TestGeneratedClients(t *testing.T) {
	t.Parallel()
	host, api := startQuickstart(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/clients")); err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(dir, "openapi.json")
	download(t, api+"/openapi.json", document)

	t.Run("oapi-codegen", func(t *testing.T) {
		t.Parallel()
		into := makeDir(t, dir, "oapicodegen")
		do(t, dir, "go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "oapicodegen", "-o", into+"/client.go", document)
		do(t, dir, "go", "vet", "-trimpath", "./oapicodegen")
	})
	t.Run("ogen", func(t *testing.T) {
		t.Parallel()
		into := makeDir(t, dir, "ogen")
		do(t, dir, "go", "tool", "ogen", "--target", into, "--package", "ogen", document)
		// Without the paths of this run, so that Go's cache knows it again.
		do(t, dir, "go", "build", "-trimpath", "-o", "driver", "./drive")
		t.Log(do(t, dir, "./driver", host, api))
	})
	t.Run("openapi-typescript", func(t *testing.T) {
		t.Parallel()
		if _, err := exec.LookPath("npm"); err != nil && os.Getuid() != 0 {
			t.Skip("needs npm")
		}
		tools, err := filepath.Abs("../../scripts/apitools")
		if err != nil {
			t.Fatal(err)
		}
		do(t, dir, tools, "run", "openapi-typescript", "openapi.json", "--output", "api.ts")
		do(t, dir, tools, "run", "tsc", "--project", ".")
	})
}

// do runs a command and returns what it said.
func do(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	run := exec.CommandContext(t.Context(), name, args...)
	run.Dir = dir
	run.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func makeDir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return dir
}

var pageLine = regexp.MustCompile(`The page\s+((http://[^/]+)/\S+)/$`)

// startQuickstart runs the quickstart until the test ends, and returns where
// the host is and where its API.
func startQuickstart(t *testing.T) (host, api string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "quickstart")
	do(t, "../..", "go", "build", "-o", program, "./examples/quickstart")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	run := exec.CommandContext(ctx, program, "-addr", "127.0.0.1:0")
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	run.WaitDelay = 10 * time.Second
	said, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = run.Wait()
	})
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if found := pageLine.FindStringSubmatch(lines.Text()); found != nil {
			host, api = found[2], found[1]+"/api/v1"
		}
		if strings.Contains(lines.Text(), "Ctrl-C") {
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return host, api
		}
	}
	t.Fatal("the quickstart ended before it served")
	return "", ""
}

// download keeps what is at an address of the quickstart, as Ana sees it.
func download(t *testing.T, address, path string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Demo-User", "ana")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s = %d, %v", address, answer.StatusCode, err)
	}
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
}
