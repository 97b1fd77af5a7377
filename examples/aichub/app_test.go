package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram makes this test binary behave as the program itself.
const asProgram = "LANYARD_TEST_AICHUB_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// app is a running aichub, and all that was heard of it.
type app struct {
	t         *testing.T
	url       string            // the front
	instances map[string]string // name to URL
	stdout    *output
	stderr    *output
	client    *http.Client
	heard     *output      // every answer, but for those that make a key
	cancel    func()       // asks it to end
	wait      func() error // until it has
}

// configure makes settings of an environment, on a free port and without a
// wait at the end.
func configure(t *testing.T, env map[string]string, args ...string) settings {
	t.Helper()
	args = append([]string{"-addr", "127.0.0.1:0", "-data", t.TempDir(), "-drain", "0s"}, args...)
	s, err := parseSettings(args, func(name string) string { return env[name] }, io.Discard)
	if err != nil {
		t.Fatalf("parseSettings(%q, %v) = %v", args, env, err)
	}
	return s
}

// start runs aichub until the test ends.
func start(t *testing.T, s settings) *app {
	t.Helper()
	a := &app{t: t, stdout: newOutput(), stderr: newOutput(), heard: newOutput(), instances: make(map[string]string)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, s, a.stdout, a.stderr) }()
	a.cancel = cancel
	a.wait = sync.OnceValue(func() error { return <-done })
	a.client = &http.Client{
		Transport:     &http.Transport{},
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(a.stop)
	select {
	case <-a.stderr.saw(`"msg":"serving"`):
	case err := <-done:
		done <- err
		t.Fatalf("run ended with %v before it served; it said %s", err, a.stderr)
	case <-time.After(30 * time.Second):
		t.Fatalf("nothing is served after 30 s; it said %s", a.stderr)
	}
	a.listen()
	return a
}

// listen learns from the log where everything is.
func (a *app) listen() {
	a.t.Helper()
	for line := range strings.Lines(a.stderr.String()) {
		var said struct{ Msg, URL, Instance string }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			a.t.Fatalf("the log holds %q: %v", line, err)
		}
		switch said.Msg {
		case "serving":
			a.url = said.URL
		case "instance started":
			a.instances[said.Instance] = said.URL
		}
	}
	if a.url == "" || a.instances["a"] == "" || a.instances["b"] == "" {
		a.t.Fatalf("the log does not say where front and instances are: %s", a.stderr)
	}
}

// stop ends it and expects that it ended well; it may be called again.
func (a *app) stop() {
	a.cancel()
	if err := a.wait(); err != nil {
		a.t.Errorf("run = %v, want nil", err)
	}
	a.client.CloseIdleConnections()
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// decode reads the body into v.
func (r answer) decode(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("the answer %d is no such JSON: %v", r.status, err)
	}
}

// call sends a request, with headers in pairs.
func (a *app) call(method, url, body string, headers ...string) answer {
	a.t.Helper()
	r, err := a.try(method, url, strings.NewReader(body), headers...)
	if err != nil {
		a.t.Fatal(err)
	}
	return r
}

func (a *app) try(method, url string, body io.Reader, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(a.t.Context(), method, url, body)
	if err != nil {
		return answer{}, err
	}
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusCreated || !strings.HasSuffix(req.URL.Path, "/api-keys") {
		_, _ = fmt.Fprintf(a.heard, "%v %s\n", resp.Header, text)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// createKey makes a key for ana at a front or an instance.
func (a *app) createKey(at string) (id, key string) {
	a.t.Helper()
	r := a.call(http.MethodPost, at+"/account/api/v1/api-keys", `{"name":"laptop"}`, userHeader, "ana")
	return created(a.t, r)
}

func created(t *testing.T, r answer) (id, key string) {
	t.Helper()
	var body struct {
		APIKey struct{ ID string } `json:"api_key"`
		Secret string
	}
	if r.status != http.StatusCreated {
		t.Fatalf("creating a key = %d, want 201", r.status)
	}
	r.decode(t, &body)
	return body.APIKey.ID, body.Secret
}

func (a *app) deleteKey(at, id string) {
	a.t.Helper()
	if r := a.call(http.MethodDelete, at+"/account/api/v1/api-keys/"+id, "", userHeader, "ana"); r.status != http.StatusNoContent {
		a.t.Fatalf("deleting a key = %d, want 204", r.status)
	}
}

func (a *app) hello(at, key string) answer {
	a.t.Helper()
	return a.call(http.MethodGet, at+"/api/hello", "", "Authorization", "Bearer "+key)
}

// eventually waits until something holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %v it does not hold that %s", within, what)
		}
	}
}

// output collects what is written to it.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	waiting map[string]chan struct{}
}

func newOutput() *output { return &output{waiting: make(map[string]chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	for text, c := range o.waiting {
		if strings.Contains(o.text.String(), text) {
			close(c)
			delete(o.waiting, text)
		}
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// saw returns a channel that is closed once text was written. It is for one
// listener a text.
func (o *output) saw(text string) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := make(chan struct{})
	if strings.Contains(o.text.String(), text) {
		close(c)
	} else {
		o.waiting[text] = c
	}
	return c
}
