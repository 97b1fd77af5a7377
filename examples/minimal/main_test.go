package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// The lines of the README do what they say: a key made under /account opens
// /api/, and nothing else does.
func TestMinimal(t *testing.T) {
	t.Chdir(t.TempDir())
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, listener) }()
	base := "http://" + listener.Addr().String()

	status, body := call(t, http.MethodPost, base+"/account/api/v1/api-keys", `{"name":"laptop"}`, "X-Demo-User", "ana")
	var created struct{ Secret string }
	if err := json.Unmarshal([]byte(body), &created); err != nil || status != http.StatusCreated || created.Secret == "" {
		t.Fatalf("creating a key answered %d", status)
	}
	if status, body := call(t, http.MethodGet, base+"/api/hello", "", "Authorization", "Bearer "+created.Secret); status != http.StatusOK || body != "hello ana\n" {
		t.Errorf("/api/hello with the key = %d %q, want 200 and ana", status, body)
	}
	if status, _ := call(t, http.MethodGet, base+"/api/hello", "", "X-Demo-User", "ana"); status != http.StatusUnauthorized {
		t.Errorf("/api/hello without a key = %d, want 401", status)
	}
	if status, _ := call(t, http.MethodGet, base+"/account/", "", "Accept", "text/html"); status != http.StatusUnauthorized {
		t.Errorf("/account/ without a session = %d, want 401", status)
	}

	stop()
	if err := <-done; err != nil {
		t.Errorf("run = %v after its context ended, want nil", err)
	}
}

func call(t *testing.T, method, url, body, header, value string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(header, value)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
