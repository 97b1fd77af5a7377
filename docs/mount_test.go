package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// emphasis is how the tutorial names what stands on the page.
var emphasis = regexp.MustCompile(`\*([^*\n]+)\*`)

// Who follows mount.md in an empty directory has, at its end, what it says: its
// files are written, its commands run, its page is opened with a cookie jar.
func TestMountAsWritten(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	text := strings.ReplaceAll(read(t, "mount.md"), "127.0.0.1:8080", address)
	commands := shellBlocks(text)
	if len(commands) != 5 {
		t.Fatalf("mount.md has %d blocks of commands, want 5: directory, module, keyring, start, call", len(commands))
	}
	dir := t.TempDir()
	shell(t, dir, commands[0])
	dir = filepath.Join(dir, "hub")
	files := 0
	for _, block := range goBlock.FindAllStringSubmatch(text, -1) {
		name, _, found := strings.Cut(strings.TrimPrefix(block[1], "// "), "\n")
		if !found || filepath.Ext(name) != ".go" || name != filepath.Base(name) {
			t.Fatalf("a block of Go begins with %q, want the name of its file", name)
		}
		write(t, filepath.Join(dir, name), block[1])
		files++
	}
	if files != 2 {
		t.Fatalf("mount.md has %d files, want 2", files)
	}
	takeThisModule(t, dir)
	if commands[1] != "go mod tidy\n" || commands[3] != "go run .\n" {
		t.Fatalf("mount.md gets the module with %q and starts with %q", commands[1], commands[3])
	}
	shell(t, dir, strings.Replace(commands[2], "@latest", "", 1))
	shell(t, dir, "go build -o hub .")
	ended := start(t, dir, "./hub")

	browser, page := newBrowser(t), "http://"+address+"/account/"
	if !strings.Contains(text, "<"+page+">") {
		t.Errorf("mount.md does not say to open %s", page)
	}
	if status, body := get(t, browser, page); status != http.StatusOK || !strings.Contains(body, "ana@example.com") {
		t.Errorf("%s, by way of the login, answered %d, want Ana's page", page, status)
	}
	key := createKey(t, browser, page)
	if !strings.HasPrefix(key, "hub_") {
		t.Error("the key does not begin with hub_")
	}
	if said := shell(t, dir, strings.Replace(commands[4], "hub_...", key, 1)); said != "hello ana\n" || !strings.Contains(text, "answers `hello ana`") {
		t.Errorf("step 4 with the key says %q, want hello ana", said)
	}
	ended()
}

// The commands of the tutorial do what it says, one after the other.
func TestTutorialAsWritten(t *testing.T) {
	t.Parallel()
	dir, address := t.TempDir(), freeAddress(t)
	text := strings.ReplaceAll(read(t, "tutorial.md"), "127.0.0.1:8080", address)
	commands := shellBlocks(text)
	if len(commands) != 5 {
		t.Fatalf("tutorial.md has %d blocks of commands, want 5: start, hello, issues, connect, deleted", len(commands))
	}
	if commands[0] != "go run ./examples/quickstart -data /tmp/lanyard-tutorial\n" {
		t.Fatalf("step 1 is %q", commands[0])
	}
	shell(t, "..", "go build -o "+filepath.Join(dir, "quickstart")+" ./examples/quickstart")
	begin := func() (ended func()) { return start(t, dir, "./quickstart", "-data", "data", "-addr", address) }
	ended := begin()

	login := regexp.MustCompile(`<(http://[^>]*/login[^>]*)>`).FindStringSubmatch(text)
	if login == nil {
		t.Fatal("tutorial.md does not say where to sign in")
	}
	browser, page := newBrowser(t), "http://"+address+"/account/"
	if status, body := get(t, browser, login[1]); status != http.StatusOK || !strings.Contains(body, "Ana") {
		t.Errorf("%s answered %d, want Ana's page", login[1], status)
	}
	var shown strings.Builder
	for _, tab := range []string{"", "api-keys", "provider-tokens", "activity"} {
		_, body := get(t, browser, page+tab)
		shown.WriteString(body)
	}
	for _, word := range emphasis.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(shown.String(), word[1]) {
			t.Errorf("the tutorial speaks of %q, which is nowhere on the page", word[1])
		}
	}
	key := createKey(t, browser, page)
	with := "KEY=" + key + "\n"
	if said := shell(t, dir, strings.Replace(commands[1], "aic_...", key, 1)); !strings.Contains(said, `"subject":"ana"`) {
		t.Errorf("step 3 says %q, want whose key it was", said)
	}
	if said := shell(t, dir, with+commands[2]); !strings.Contains(said, page+"provider-tokens") {
		t.Errorf("step 4, not connected, says %q, want the way to the page", said)
	}
	if said := shell(t, dir, commands[3]); !strings.Contains(said, `"status":"connected"`) || strings.Contains(said, "demo-ana") {
		t.Errorf("connecting in step 4 says %q, want connected and not the token", said)
	}
	if said := shell(t, dir, with+commands[2]); !strings.Contains(said, `"issues":[{`) {
		t.Errorf("step 4, connected, says %q, want the issues", said)
	}
	deleteKeys(t, browser, page)
	if said := shell(t, dir, with+commands[4]); said != "401\n" || !strings.Contains(text, "That is a 401") {
		t.Errorf("step 5 says %q, want 401", said)
	}

	ended()
	ended = begin()
	if status, body := get(t, browser, page+"provider-tokens"); status != http.StatusOK || !strings.Contains(body, "Connected as") {
		t.Errorf("the provider tokens of step 6, after a restart, answered %d, want the connection", status)
	}
	ended()
}

// takeThisModule has the program in dir use the files of this repository in the
// place of a release, with the versions that it was tested with.
func takeThisModule(t *testing.T, dir string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	const module = "module example.com/hub"
	ours := strings.Replace(read(t, "../go.mod"), "module github.com/aichub/lanyard", module, 1)
	if !strings.Contains(read(t, filepath.Join(dir, "go.mod")), module) || !strings.Contains(ours, module) {
		t.Fatal("the module that mount.md makes is not example.com/hub")
	}
	write(t, filepath.Join(dir, "go.mod"), ours+fmt.Sprintf("\nrequire github.com/aichub/lanyard v0.0.0\n\nreplace github.com/aichub/lanyard => %q\n", root))
	write(t, filepath.Join(dir, "go.sum"), read(t, "../go.sum"))
}

func shellBlocks(text string) (blocks []string) {
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, block[1])
	}
	return blocks
}

// shell runs commands as a person in dir would, and tells what they print.
func shell(t *testing.T, dir, commands string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", commands)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s", commands, err, stderr.String())
	}
	return string(out)
}

// start runs a program in dir until ended is called, which wants it to have
// been well, or until the test is over.
func start(t *testing.T, dir, name string, args ...string) (ended func()) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	return func() {
		t.Helper()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("%s had ended already: %v", name, err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s ended with %v, and said\n%s", name, err, said.String())
		}
	}
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// get asks as a browser would, and waits for a server that has just begun.
func get(t *testing.T, browser *http.Client, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		if status, body, err := ask(browser, req); err == nil {
			return status, body
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not answer", url)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func createKey(t *testing.T, browser *http.Client, page string) string {
	t.Helper()
	var created struct{ Secret string }
	call(t, browser, http.MethodPost, page+"api/v1/api-keys", `{"name":"laptop"}`, &created)
	if created.Secret == "" {
		t.Fatal("no key was made")
	}
	return created.Secret
}

func deleteKeys(t *testing.T, browser *http.Client, page string) {
	t.Helper()
	var list struct{ Items []struct{ ID string } }
	call(t, browser, http.MethodGet, page+"api/v1/api-keys", "", &list)
	for _, key := range list.Items {
		call(t, browser, http.MethodDelete, page+"api/v1/api-keys/"+key.ID, "", nil)
	}
}

// call asks the API, and reads its answer into what into points to.
func call(t *testing.T, browser *http.Client, method, url, sent string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	status, text, err := ask(browser, req)
	if err != nil || status >= http.StatusBadRequest {
		t.Fatalf("%s %s = %d, %v", method, url, status, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func ask(browser *http.Client, req *http.Request) (status int, body string, err error) {
	resp, err := browser.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// freeAddress is one at which nobody listened a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
