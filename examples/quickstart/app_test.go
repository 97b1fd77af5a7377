package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asProgram makes this test binary behave as the program itself, so that tests
// can start it as a process of its own.
const asProgram = "LANYARD_TEST_QUICKSTART_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// app is a running quickstart, and all that was heard of it.
type app struct {
	t      *testing.T
	url    string // as http://127.0.0.1:40001
	page   string // url and prefix
	stdout *output
	stderr *output
	heard  *output // every answer, but those of reveal
	stop   func()  // ends it and waits; may be called again
	client *http.Client
}

// start runs the quickstart on a free port until the test ends.
func start(t *testing.T, args ...string) *app {
	t.Helper()
	a := &app{t: t, stdout: newOutput(), stderr: newOutput(), heard: newOutput()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), a.stdout, a.stderr) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
		a.client.CloseIdleConnections()
	})
	a.connect(done)
	t.Cleanup(a.stop)
	return a
}

var pageLine = regexp.MustCompile(`The page\s+((http://[^/]+)/\S+)/\n`)

// connect waits until the program has said where it is.
func (a *app) connect(done <-chan error) {
	a.t.Helper()
	a.client = &http.Client{
		Transport:     &http.Transport{},
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	select {
	case <-a.stdout.saw("Ctrl-C ends it."):
	case err := <-done:
		a.t.Fatalf("run ended with %v before it served", err)
	case <-time.After(30 * time.Second):
		a.t.Fatalf("nothing is served after 30 s; it said %q", a.stdout)
	}
	found := pageLine.FindStringSubmatch(a.stdout.String())
	if found == nil {
		a.t.Fatalf("no page in %q", a.stdout)
	}
	a.page, a.url = found[1], found[2]
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// member returns one member of a JSON object, "" when it is not there.
func (r answer) member(t *testing.T, name string) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(r.body), &object); err != nil {
		t.Fatalf("the answer %d is no JSON object: %v", r.status, err)
	}
	text, _ := object[name].(string)
	return text
}

// call sends a request, with headers in pairs, and keeps the answer.
func (a *app) call(method, url, body string, headers ...string) answer {
	a.t.Helper()
	r := a.send(method, url, body, headers...)
	_ = r.header.Write(a.heard)
	_, _ = io.WriteString(a.heard, r.body)
	return r
}

func (a *app) send(method, url, body string, headers ...string) answer {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// createKey makes a key and returns its id and the key itself, whose one
// answer is not kept.
func (a *app) createKey(user string) (id, key string) {
	a.t.Helper()
	r := a.send(http.MethodPost, a.page+"/api/v1/api-keys", `{"name":"laptop"}`, userHeader, user)
	var created struct {
		APIKey struct{ ID string } `json:"api_key"`
		Secret string
	}
	if err := json.Unmarshal([]byte(r.body), &created); err != nil || r.status != http.StatusCreated || created.Secret == "" {
		a.t.Fatalf("creating a key answered %d: %v", r.status, err)
	}
	return created.APIKey.ID, created.Secret
}

func (a *app) deleteKey(user, id string) {
	a.t.Helper()
	if r := a.call(http.MethodDelete, a.page+"/api/v1/api-keys/"+id, "", userHeader, user); r.status != http.StatusNoContent {
		a.t.Fatalf("deleting a key answered %d, want 204", r.status)
	}
}

// connectJira saves a connection to the fake.
func (a *app) connectJira(user, token string) answer {
	a.t.Helper()
	body, err := json.Marshal(map[string]any{
		"provider_id": jiraID,
		"secrets":     map[string]string{jiraField: token},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return a.call(http.MethodPost, a.page+"/api/v1/provider-tokens", string(body), userHeader, user)
}

func (a *app) hello(key string) answer {
	a.t.Helper()
	return a.call(http.MethodGet, a.url+"/api/hello", "", "Authorization", "Bearer "+key)
}

func (a *app) issues(key string) answer {
	a.t.Helper()
	return a.call(http.MethodGet, a.url+"/api/agent/issues", "", "Authorization", "Bearer "+key)
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
