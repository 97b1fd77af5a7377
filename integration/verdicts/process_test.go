package verdicts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aichub/lanyard/integration/servers"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// onPostgres returns a database with the tables.
func onPostgres(t testing.TB) database {
	t.Helper()
	d := database{Postgres: servers.Postgres(t)}
	st, err := postgres.Open(t.Context(), d.Postgres, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// onSQLite returns a file with the tables.
func onSQLite(t testing.TB) database {
	t.Helper()
	d := database{SQLite: filepath.Join(t.TempDir(), "lanyard.db")}
	st, err := sqlite.Open(t.Context(), d.SQLite, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// process is a host that runs. Its methods may be called from several
// goroutines.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	heard chan struct{} // closed when it has said all

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
	gone    bool
}

// startHost starts one, which ends with the test.
func startHost(t testing.TB, order hostOrder) *process {
	t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.CommandContext(context.WithoutCancel(t.Context()), self), heard: make(chan struct{}), waiting: make(map[int]chan answer)}
	p.cmd.Env = append(os.Environ(), hostVariable+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.in, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatalf("start another process: %v", err)
	}
	go p.listen(out)
	t.Cleanup(func() {
		_ = p.in.Close()
		<-p.heard
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("another process: %v", err)
		}
	})
	return p
}

func (p *process) listen(out io.Reader) {
	defer close(p.heard)
	for d := json.NewDecoder(out); ; {
		var a answer
		err := d.Decode(&a)
		p.mu.Lock()
		if err != nil {
			p.gone = true
			for _, w := range p.waiting {
				close(w)
			}
			p.waiting = nil
			p.mu.Unlock()
			return
		}
		w := p.waiting[a.N]
		delete(p.waiting, a.N)
		p.mu.Unlock()
		w <- a
	}
}

// do has the process do something and waits for its answer.
func (p *process) do(c command) answer {
	w := make(chan answer, 1)
	p.mu.Lock()
	p.last++
	c.N = p.last
	text, err := json.Marshal(c)
	if err == nil && p.gone {
		err = io.ErrClosedPipe
	}
	if err == nil {
		p.waiting[c.N] = w
		_, err = p.in.Write(append(text, '\n'))
	}
	p.mu.Unlock()
	if err != nil {
		return answer{Result: bad, Error: fmt.Sprintf("%s: %v", c.Do, err)}
	}
	a, heard := <-w
	if !heard {
		return answer{Result: bad, Error: c.Do + ": the process has ended"}
	}
	return a
}

// must is do for what must succeed.
func (p *process) must(c command) answer {
	p.t.Helper()
	a := p.do(c)
	if a.Result != ok {
		p.t.Errorf("%s in another process = %s (%s), want ok", c.Do, a.Result, a.Error)
	}
	return a
}

// insist does what can be done twice until it is done. Processes that write to
// one SQLite file wait for each other, and where the disk is slow not for ever.
func (p *process) insist(c command) answer {
	a := p.do(c)
	for range 10 {
		if a.Result != unavailable {
			break
		}
		a = p.do(c)
	}
	return a
}
