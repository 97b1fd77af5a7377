package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The end, in order: readiness ends while everything is still served; then no
// new connection is taken, and what is under way finishes; then the rest
// closes, the use of keys stored.
func TestShutdown(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		s := configure(t, env, "-drain", "3s")
		a := start(t, s)
		id, key := a.createKey(a.url)
		if r := a.call(http.MethodGet, a.url+"/readyz", ""); r.status != http.StatusOK || !strings.Contains(r.body, `"key_service":"ok"`) {
			t.Errorf("readyz = %d %s, want 200 and its checks", r.status, r.body)
		}

		// A request whose body has not come whole.
		body, send := io.Pipe()
		defer func() { _ = send.Close() }()
		type result struct {
			answer
			err error
		}
		finished := make(chan result, 1)
		go func() {
			r, err := a.try(http.MethodPost, a.url+"/account/api/v1/api-keys", body, userHeader, "ana")
			finished <- result{r, err}
		}()
		if _, err := io.WriteString(send, `{"name":`+strings.Repeat(" ", 10<<10)); err != nil {
			t.Fatal(err)
		}

		a.cancel()
		<-a.stderr.saw(`"msg":"draining"`)
		for name, at := range map[string]string{"front": a.url, "a": a.instances["a"], "b": a.instances["b"]} {
			if r := a.call(http.MethodGet, at+"/readyz", ""); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, `"draining"`) {
				t.Errorf("readyz at %s while draining = %d %s, want 503 and draining", name, r.status, r.body)
			}
		}
		if r := a.call(http.MethodGet, a.url+"/healthz", ""); r.status != http.StatusOK {
			t.Errorf("healthz while draining = %d, want 200", r.status)
		}
		if r := a.hello(a.url, key); r.status != http.StatusOK {
			t.Errorf("hello while draining = %d, want 200", r.status)
		}
		untilRefused(t, strings.TrimPrefix(a.url, "http://"))

		if _, err := io.WriteString(send, `"late"}`); err != nil {
			t.Fatal(err)
		}
		_ = send.Close()
		r := <-finished
		if r.err != nil {
			t.Fatalf("what was under way ended with %v, want an answer", r.err)
		}
		created(t, r.answer)
		a.stop()

		again := start(t, configure(t, env, "-data", s.data))
		if list := again.call(http.MethodGet, again.url+"/account/api/v1/api-keys/"+id, "", userHeader, "ana").body; !strings.Contains(list, `"last_used_at"`) {
			t.Errorf("after a restart the key is %s, want when it was used", list)
		}
	})
}

// untilRefused dials until nobody takes the connection.
func untilRefused(t *testing.T, addr string) {
	t.Helper()
	eventually(t, 20*time.Second, addr+" takes no connection", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

// SIGTERM ends the process with success.
func TestTerminate(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "-drain", "0s")
	p.signal(t)
	select {
	case err := <-p.done:
		if err != nil {
			t.Errorf("the process ended with %v, want success; it said %s", err, p.stderr)
		}
	case <-time.After(20 * time.Second):
		t.Error("the process still runs 20 s after the signal")
	}
	if info, err := os.Stat(p.data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory is %v, %v; want it readable by its owner only", info, err)
	}
}

// Who does not want to wait for the end signals once more.
func TestTerminateAtOnce(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "-drain", "10m")
	p.signal(t)
	select {
	case <-p.stderr.saw(`"msg":"draining"`):
	case <-time.After(20 * time.Second):
		t.Fatalf("it does not drain; it said %s", p.stderr)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		p.signal(t)
		select {
		case err := <-p.done:
			if err == nil {
				t.Error("the process ended with success, want that of a signal")
			}
			return
		case <-tick.C: // the first signal is only just dealt with
		case <-deadline:
			t.Fatal("the process still runs 20 s after the second signal")
		}
	}
}

// process is an aichub in a process of its own.
type process struct {
	cmd    *exec.Cmd
	data   string
	stderr *output
	done   chan error
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{data: filepath.Join(t.TempDir(), "made"), stderr: newOutput(), done: make(chan error, 1)}
	p.cmd = exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0", "-data", p.data}, args...)...) //nolint:noctx // signals end it
	p.cmd.Env = []string{asProgram + "=1"}
	p.cmd.Stderr = p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		p.done <- p.cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // when a test failed
		<-ended
	})
	select {
	case <-p.stderr.saw(`"msg":"serving"`):
	case <-time.After(30 * time.Second):
		t.Fatalf("nothing is served after 30 s; it said %s", p.stderr)
	}
	return p
}

func (p *process) signal(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal: %v", err)
	}
}
