package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/aichub/lanyard"
)

// An agent finds the tool with the user's key, and what it calls goes out with
// the user's account, by whichever instance. A deleted key is dead within two
// seconds. The credential comes by nowhere.
func TestMCP(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		s := configure(t, env)
		token := withJira(t, &s)
		a := start(t, s)
		id, key := a.createMCPKey()
		client := a.connectMCP(key)

		listed, err := client.session.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatalf("ListTools = %v", err)
		}
		if len(listed.Tools) != 1 || listed.Tools[0].Name != "my_issues" {
			t.Fatalf("ListTools = %v, want my_issues alone", listed.Tools)
		}

		// Not connected: the model reads where its user can mend it.
		if text, failed := client.myIssues(`{"purpose":"weekly report"}`); !failed || !strings.Contains(text, a.url+"/account/provider-tokens") {
			t.Errorf("my_issues of somebody not connected = %q, %v; want an error with the page's address", text, failed)
		}
		if r := a.connectJira(a.url, token); r.status != http.StatusCreated {
			t.Fatalf("connecting = %d %s, want 201", r.status, r.body)
		}
		for range 2 * len(a.instances) { // each has its turn
			if text, failed := client.myIssues(`{"purpose":"weekly report"}`); failed || !strings.Contains(text, `"issues":[{"key":`) {
				t.Errorf("my_issues = %q, %v; want issues", text, failed)
			}
		}
		if text, failed := client.myIssues(`{"purpose":"weekly report","label":"other"}`); !failed {
			t.Errorf("my_issues over a connection that is not there = %q, want an error", text)
		}
		if text, failed := client.myIssues(`{"purpose":"` + strings.Repeat("x", 201) + `"}`); !failed || !strings.Contains(text, "purpose") {
			t.Errorf("my_issues with a long purpose = %q, %v; want an error that names it", text, failed)
		}

		// Who read, and what for, is in the user's history.
		history := a.call(http.MethodGet, a.url+"/account/api/v1/activity", "", userHeader, "ana").body
		for _, want := range []string{`"agent":"mcp:` + id + `"`, `"purpose":"weekly report"`, `"provider_token.used"`} {
			if !strings.Contains(history, want) {
				t.Errorf("the history lacks %s: %s", want, history)
			}
		}

		a.deleteKey(a.instances["a"], id)
		eventually(t, 2*time.Second, "the tool is out of reach with a deleted key", func() bool {
			return client.refused()
		})
		a.stop()
		for place, text := range map[string]string{
			"standard output": a.stdout.String(), "the log": a.stderr.String(), "the history": history, "an answer to the client": client.heard(),
		} {
			for what, secret := range map[string]string{"the credential": token, "the key": secretOf(key)} {
				for form, written := range forms(secret) {
					if strings.Contains(text, string(written)) {
						t.Errorf("%s is in %s, as %s", what, place, form)
					}
				}
			}
		}
	})
}

// Without a key, or with one that was not made for it, nothing is served, and no
// page of another site gets in with a session.
func TestMCPTakesItsKeysOnly(t *testing.T) {
	t.Parallel()
	a := start(t, configure(t, nil))
	_, other := a.createKey(a.url)
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, tt := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"no key", nil, http.StatusUnauthorized},
		{"a session", []string{userHeader, "ana"}, http.StatusUnauthorized},
		{"a key nobody has", []string{"Authorization", "Bearer aic_made_up"}, http.StatusUnauthorized},
		{"a key without the scope", []string{"Authorization", "Bearer " + other}, http.StatusForbidden},
	} {
		headers := append([]string{"Accept", "application/json, text/event-stream"}, tt.headers...)
		r := a.call(http.MethodPost, a.url+"/mcp", list, headers...)
		if r.status != tt.want || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("with %s = %d %q, want %d and a challenge", tt.name, r.status, r.header.Get("WWW-Authenticate"), tt.want)
		}
	}
	_, key := a.createMCPKey()
	r := a.call(http.MethodPost, a.url+"/mcp", list, "Accept", "application/json, text/event-stream", "Authorization", "Bearer "+key)
	if r.status != http.StatusOK || !strings.Contains(r.body, "my_issues") {
		t.Errorf("with its key = %d %s, want 200 and the tool", r.status, r.body)
	}
}

// A handler that was mounted without RequireKey serves nobody.
func TestMCPWithoutGuard(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	newMCP(nil).ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "my_issues") {
		t.Errorf("without RequireKey = %d %s, want 400", w.Code, w.Body)
	}
}

// A tool that panics is an error of that tool, and the process goes on.
func TestMCPSurvivesAPanic(t *testing.T) {
	t.Parallel()
	log := newOutput()
	handler := newMCP(&agent{logger: slog.New(slog.NewJSONHandler(log, nil))}) // and no tokens, which is the panic
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"my_issues","arguments":{"purpose":"report"}}}`))
	r = r.WithContext(lanyard.WithPrincipal(r.Context(), lanyard.Principal{Owner: lanyard.Owner{Subject: "ana"}, KeyID: "k"}))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"isError":true`) || !strings.Contains(log.String(), "a tool panicked") {
		t.Errorf("a panic = %d %s, and the log says %s; want an error of the tool", w.Code, w.Body, log)
	}
}

// createMCPKey makes a key for ana that may use the tools.
func (a *app) createMCPKey() (id, key string) {
	a.t.Helper()
	r := a.call(http.MethodPost, a.url+"/account/api/v1/api-keys", `{"name":"assistant","scopes":["mcp"]}`, userHeader, "ana")
	return created(a.t, r)
}

// mcpClient is an agent in another process, which has a key and nothing else.
type mcpClient struct {
	t       *testing.T
	session *mcp.ClientSession

	mu     sync.Mutex
	bodies strings.Builder
	status int // of the last answer
}

func (a *app) connectMCP(key string) *mcpClient {
	a.t.Helper()
	c := &mcpClient{t: a.t}
	transport := &mcp.StreamableClientTransport{
		Endpoint: a.url + "/mcp", MaxRetries: -1, DisableStandaloneSSE: true,
		HTTPClient: &http.Client{Transport: listening{c, key, a.client.Transport}},
	}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "assistant", Version: "1"}, nil).Connect(a.t.Context(), transport, nil)
	if err != nil {
		a.t.Fatalf("Connect = %v", err)
	}
	c.session = session
	a.t.Cleanup(func() { _ = session.Close() })
	return c
}

// myIssues calls the tool and returns what it said.
func (c *mcpClient) myIssues(arguments string) (text string, failed bool) {
	c.t.Helper()
	result, err := c.session.CallTool(c.t.Context(), &mcp.CallToolParams{Name: "my_issues", Arguments: json.RawMessage(arguments)})
	if err != nil {
		c.t.Fatalf("CallTool = %v", err)
	}
	for _, content := range result.Content {
		if said, ok := content.(*mcp.TextContent); ok {
			text += said.Text
		}
	}
	return text, result.IsError
}

// refused reports whether the tool is out of reach, by a 401.
func (c *mcpClient) refused() bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	_, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: "my_issues", Arguments: json.RawMessage(`{"purpose":"late"}`)})
	c.mu.Lock()
	defer c.mu.Unlock()
	return err != nil && c.status == http.StatusUnauthorized
}

func (c *mcpClient) heard() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bodies.String()
}

// listening sends the key along and hears every answer.
type listening struct {
	client *mcpClient
	key    string
	next   http.RoundTripper
}

func (l listening) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+l.key)
	res, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.client.status = res.StatusCode
	res.Body = &heardBody{res.Body, l.client}
	return res, nil
}

type heardBody struct {
	io.ReadCloser
	client *mcpClient
}

func (b *heardBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.client.mu.Lock()
	defer b.client.mu.Unlock()
	b.client.bodies.Write(p[:n])
	return n, err
}
