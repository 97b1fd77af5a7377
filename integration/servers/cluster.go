package servers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Cluster is a PostgreSQL server of a test's own, which it may stop.
type Cluster struct {
	// URL names its database postgres, as a user who may do anything.
	URL string

	// Dir is where it lives; it can enter what lies below.
	Dir string

	control string // pg_ctl
}

// Mode is how a [Cluster] is stopped; PostgreSQL's manual has them under
// pg_ctl.
type Mode string

// The modes of a stop.
const (
	Fast      Mode = "fast"      // rolls back what is under way and disconnects everybody
	Immediate Mode = "immediate" // aborts, as a crash does: the next start recovers
)

// OwnPostgres starts a server for this test alone, as a process, since a test
// that stops it needs its files and its signals. It keeps what it has
// acknowledged, whatever happens to its processes. The server of the
// environment is not used.
func OwnPostgres(t testing.TB) *Cluster {
	t.Helper()
	s, err := postgres.scripted()
	s = postgres.need(t, s, err)
	stopLater(s)
	t.Cleanup(func() {
		if err := stopNow(s); err != nil {
			t.Errorf("stop the test's PostgreSQL: %v", err)
		}
	})
	c, err := newCluster(s.address)
	if err != nil {
		t.Fatalf("the test's PostgreSQL: %v", err)
	}
	// The others answer before anything is on its way to the disk.
	if err := execute(t.Context(), c.URL, `ALTER ROLE CURRENT_USER SET synchronous_commit = on`); err != nil {
		t.Fatalf("the test's PostgreSQL: %v", err)
	}
	return c
}

func newCluster(address string) (*Cluster, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	c := &Cluster{URL: address, Dir: u.Query().Get("host")}
	// It keeps there how it was started, the program first.
	started, err := os.ReadFile(filepath.Join(c.Dir, "data", "postmaster.opts"))
	program, _, ok := strings.Cut(string(started), " ")
	if err != nil || !ok {
		return nil, errors.Join(errors.New("it does not say how it was started"), err)
	}
	c.control = filepath.Join(filepath.Dir(program), "pg_ctl")
	return c, nil
}

// Stop stops the server and returns when it has ended.
func (c *Cluster) Stop(t testing.TB, mode Mode) {
	t.Helper()
	if err := c.Control(context.WithoutCancel(t.Context()), "stop", "-m", string(mode)); err != nil {
		t.Fatalf("stop the test's PostgreSQL: %v", err)
	}
}

// Start starts the server again and returns when it takes connections.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	// "restart" starts it as it was started last, and needs none that runs.
	if err := c.Control(context.WithoutCancel(t.Context()), "restart", "-l", filepath.Join(c.Dir, "log")); err != nil {
		t.Fatalf("start the test's PostgreSQL: %v", err)
	}
}

// Control runs pg_ctl on the server and waits for it.
func (c *Cluster) Control(ctx context.Context, args ...string) error {
	args = append(args, "-D", filepath.Join(c.Dir, "data"), "-w", "-t", "60")
	cmd := exec.CommandContext(ctx, c.control, args...)
	cmd.Dir = c.Dir
	if err := c.Own(c.Dir, cmd); err != nil {
		return err
	}
	said, err := os.CreateTemp("", "lanyard-pg-ctl")
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(said.Close(), os.Remove(said.Name())) }()
	cmd.Stdout, cmd.Stderr = said, said // a file: the server keeps a pipe open
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(said.Name())
		return fmt.Errorf("pg_ctl %s: %w: %s", args[0], err, text)
	}
	return nil
}

// Own makes a command run as whoever the server runs as, and a path his.
func (c *Cluster) Own(path string, cmd *exec.Cmd) error {
	info, err := os.Stat(filepath.Join(c.Dir, "data"))
	if err != nil || os.Getuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("this system has no owners of files")
	}
	if cmd != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}
