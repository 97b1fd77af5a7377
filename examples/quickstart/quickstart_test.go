package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard/crypto"
)

// The main job: a key is made, opens the API, is deleted and opens it no more.
func TestKey(t *testing.T) {
	t.Parallel()
	a := start(t)
	id, key := a.createKey("ana")
	if !strings.HasPrefix(key, "aic_") {
		t.Errorf("the key does not begin with aic_")
	}
	r := a.hello(key)
	want := `{"subject":"ana","key_id":"` + id + `"}` + "\n"
	if r.status != http.StatusOK || r.body != want {
		t.Errorf("hello = %d %q, want 200 %q", r.status, r.body, want)
	}
	a.deleteKey("ana", id)
	if r := a.hello(key); r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" {
		t.Errorf("hello with a deleted key = %d, WWW-Authenticate %q, want 401 and a challenge", r.status, r.header.Get("WWW-Authenticate"))
	}
}

// A session does not open the API that keys are for.
func TestAPITakesKeysOnly(t *testing.T) {
	t.Parallel()
	a := start(t)
	_, key := a.createKey("ana")
	for name, headers := range map[string][]string{
		"nothing":       {},
		"a session":     {userHeader, "ana", "Cookie", loginCookie + "=as=ana"},
		"another token": {"Authorization", "Bearer aic_nonsense"},
		"basic":         {"Authorization", "Basic " + key},
	} {
		for _, path := range []string{"/api/hello", "/api/agent/issues", "/api/unknown"} {
			if r := a.call(http.MethodGet, a.url+path, "", headers...); r.status != http.StatusUnauthorized {
				t.Errorf("GET %s with %s = %d, want 401", path, name, r.status)
			}
		}
	}
}

// The printed command creates a key, and holds none.
func TestPrintedCommand(t *testing.T) {
	t.Parallel()
	a := start(t)
	_, command, found := strings.Cut(a.stdout.String(), "curl -s ")
	command, _, _ = strings.Cut(command, "\n")
	quoted := strings.Split(command, "'") // url -H 'a: b' -H 'c: d' -d '{…}'
	if !found || len(quoted) != 7 {
		t.Fatalf("the first command printed is %q", command)
	}
	url, _, _ := strings.Cut(quoted[0], " ")
	user, value, _ := strings.Cut(quoted[1], ": ")
	kind, json, _ := strings.Cut(quoted[3], ": ")
	if r := a.send(http.MethodPost, url, quoted[5], user, value, kind, json); r.status != http.StatusCreated {
		t.Errorf("the printed command answers %d, want 201", r.status)
	}
	if strings.Contains(a.stdout.String(), "aic_") {
		t.Errorf("a key is printed: %s", a.stdout)
	}
}

// An agent pulls from Jira for a user who connected his account, and says
// where to connect otherwise.
func TestAgent(t *testing.T) {
	t.Parallel()
	a := start(t, "-prefix", "/me/settings/")
	_, key := a.createKey("ana")

	r := a.issues(key)
	link := r.member(t, "connect_url")
	if r.status != http.StatusConflict || link != a.page+"/provider-tokens" {
		t.Fatalf("issues of somebody not connected = %d, connect_url %q, want 409 and a link to the page", r.status, link)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type = %q, want a problem document", got)
	}
	if r := a.call(http.MethodGet, link, "", userHeader, "ana"); r.status != http.StatusOK || !strings.Contains(r.body, jiraName) {
		t.Errorf("the linked page = %d, want 200 and the name of the fake Jira", r.status)
	}

	if r := a.connectJira("ana", "demo-"); r.status != http.StatusUnprocessableEntity {
		t.Errorf("saving a token that Jira refuses = %d, want 422", r.status)
	}
	if r := a.connectJira("ana", "demo-ana"); r.status != http.StatusCreated || r.member(t, "status") != "connected" {
		t.Fatalf("saving demo-ana = %d, want 201 and connected", r.status)
	}
	var found struct{ Issues []issue }
	r = a.issues(key)
	if err := json.Unmarshal([]byte(r.body), &found); err != nil || r.status != http.StatusOK || len(found.Issues) == 0 {
		t.Errorf("issues = %d %s, want 200 and some", r.status, r.body)
	}

	// Bob has a key and no connection: nobody's account is used for him.
	_, bobs := a.createKey("bob")
	if r := a.issues(bobs); r.status != http.StatusConflict {
		t.Errorf("issues of bob, who is not connected = %d, want 409", r.status)
	}
}

func TestHelpSaysWhichTokenTheFakeTakes(t *testing.T) {
	t.Parallel()
	a := start(t)
	r := a.call(http.MethodGet, a.page+"/api/v1/providers", "", userHeader, "ana")
	var list struct {
		Items []struct {
			ID      string
			Methods []struct{ Fields []struct{ Name, Help string } }
		}
	}
	if err := json.Unmarshal([]byte(r.body), &list); err != nil {
		t.Fatal(err)
	}
	offered := make(map[string]bool)
	for _, p := range list.Items {
		offered[p.ID] = true
		if p.ID != jiraID {
			continue
		}
		for _, m := range p.Methods {
			for _, f := range m.Fields {
				if f.Name == jiraField && !strings.Contains(f.Help, "demo-") {
					t.Errorf("the help of %s is %q, want it to say demo-<user>", f.Name, f.Help)
				}
			}
		}
	}
	for _, id := range []string{jiraID, "jira-cloud", "businessmap", "azure-devops", "servicenow", "github"} {
		if !offered[id] {
			t.Errorf("%q is not offered, but %v", id, offered)
		}
	}
}

// With -data a restart forgets nothing; the fake Jira then has another port
// and another certificate, which a connection does not care about.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := start(t, "-data", dir)
	id, key := a.createKey("ana")
	if r := a.connectJira("ana", "demo-ana"); r.status != http.StatusCreated {
		t.Fatalf("connecting = %d, want 201", r.status)
	}
	if r := a.call(http.MethodPatch, a.page+"/api/v1/profile", `{"given_name":"Anna"}`, userHeader, "ana"); r.status != http.StatusOK {
		t.Fatalf("renaming = %d, want 200", r.status)
	}
	a.stop()

	b := start(t, "-data", dir)
	if r := b.hello(key); r.status != http.StatusOK || r.member(t, "key_id") != id {
		t.Errorf("hello after a restart = %d, want 200", r.status)
	}
	if r := b.issues(key); r.status != http.StatusOK {
		t.Errorf("issues after a restart = %d, want 200", r.status)
	}
	if r := b.call(http.MethodGet, b.page+"/api/v1/profile", "", userHeader, "ana"); r.member(t, "given_name") != "Anna" {
		t.Errorf("the name after a restart = %q, want Anna", r.member(t, "given_name"))
	}
}

// Several processes share a directory: what one does, the others know.
func TestProcessesShareData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := startProcess(t, "-data", dir), startProcess(t, "-data", dir)
	id, key := a.createKey("ana")
	if r := b.hello(key); r.status != http.StatusOK {
		t.Errorf("hello in the other process = %d, want 200", r.status)
	}
	if r := b.connectJira("ana", "demo-ana"); r.status != http.StatusCreated {
		t.Errorf("connecting in the other process = %d, want 201", r.status)
	}
	if r := a.issues(key); r.status != http.StatusOK {
		t.Errorf("issues in the first process = %d, want 200", r.status)
	}
	b.deleteKey("ana", id)
	// A deleted key is dead everywhere within two seconds.
	deadline := time.After(2 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for a.hello(key).status != http.StatusUnauthorized {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the key still works in the first process 2 s after the other deleted it")
		}
	}
}

// Ctrl-C ends the program with success, and takes the temporary directory with it.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	a := startProcess(t)
	a.createKey("ana")
	if left, err := os.ReadDir(a.tmp); err != nil || len(left) != 1 {
		t.Errorf("while it runs the temporary directory holds %v, %v; want one directory", left, err)
	}
	a.stop()
	if left, err := os.ReadDir(a.tmp); err != nil || len(left) != 0 {
		t.Errorf("after Ctrl-C the temporary directory holds %v, %v; want nothing", left, err)
	}
}

// process is a quickstart in a process of its own.
type process struct {
	*app
	tmp string // where it keeps temporary things
}

func startProcess(t *testing.T, args ...string) process {
	t.Helper()
	a := &app{t: t, stdout: newOutput(), stderr: newOutput(), heard: newOutput()}
	tmp := t.TempDir()
	cmd := exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0"}, args...)...) //nolint:noctx // stop ends it, gently
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = a.stdout, a.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stopped := false
	a.stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("interrupt: %v", err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the program ended with %v after Ctrl-C, want success; it said %s", err, a.stderr)
			}
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("the program still runs 20 s after Ctrl-C")
		}
		a.client.CloseIdleConnections()
	}
	t.Cleanup(a.stop)
	a.connect(done)
	return process{a, tmp}
}

func TestHome(t *testing.T) {
	t.Parallel()
	a := start(t, "-prefix", "/me")
	if r := a.call(http.MethodGet, a.url+"/", ""); r.status != http.StatusSeeOther || r.header.Get("Location") != "/me/" {
		t.Errorf("GET / = %d %q, want 303 to the page", r.status, r.header.Get("Location"))
	}
	if r := a.call(http.MethodGet, a.url+"/me/", "", "Accept", "text/html"); r.status != http.StatusSeeOther || !strings.HasPrefix(r.header.Get("Location"), "/login") {
		t.Errorf("GET /me/ signed out = %d %q, want 303 to the login", r.status, r.header.Get("Location"))
	}
	if r := a.call(http.MethodGet, a.url+"/nowhere", ""); r.status != http.StatusNotFound {
		t.Errorf("GET /nowhere = %d, want 404", r.status)
	}
}

func TestRefusedFlags(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a prefix without a slash": {"-prefix", "account"},
		"no prefix":                {"-prefix", "/"},
		"a pattern as prefix":      {"-prefix", "/{user}"},
		"a prefix with dots":       {"-prefix", "/a/../b"},
		"the prefix of the API":    {"-prefix", "/api/account"},
		"the prefix of the login":  {"-prefix", "/login"},
		"an argument":              {"serve"},
		"an unknown flag":          {"-verbose"},
		"an address that is none":  {"-addr", "nowhere:at:all"},
		"a file as directory":      {"-data", file},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
				t.Errorf("run(%q) = nil, want an error", args)
			}
		})
	}
}

// A keyring that is gone, or is another database's, is found out at start.
func TestKeyringOfTheDatabase(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	for _, dir := range []string{dir, other} {
		a := start(t, "-data", dir)
		a.createKey("ana")
		a.stop()
	}
	args := []string{"-addr", "127.0.0.1:0", "-data", dir}
	ring := filepath.Join(dir, "lanyard.keys")
	if err := os.Remove(ring); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), args, io.Discard, io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("run without the keyring = %v, want fs.ErrNotExist", err)
	}
	if err := os.Rename(filepath.Join(other, "lanyard.keys"), ring); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), args, io.Discard, io.Discard); !errors.Is(err, crypto.ErrUnknownKey) && !errors.Is(err, crypto.ErrIntegrity) {
		t.Errorf("run with another keyring = %v, want an error of crypto", err)
	}
}
