package faults_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/integration/servers"
)

// small mounts a file system of that size below dir and returns where.
func small(t testing.TB, dir, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	at := filepath.Join(dir, "small-"+lanyard.NewID())
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil { // a server may still have files open
			t.Errorf("unmount a small file system: %v", err)
		}
	})
	return at
}

// fill takes all the space there is, until the function it returns is called.
func fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, endless{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill a small file system: %v", err)
	}
	_ = f.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	n := min(len(p), 4096)
	clear(p[:n])
	return n, nil
}

// A full disk is an outage of writing: nothing of a change is kept that does
// not fit whole, keys verify, and it ends by itself when there is space.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := small(t, t.TempDir(), "4m")
		diskFull(t, newPlace(t, place{SQLite: filepath.Join(dir, "lanyard.db")}), dir)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server, p := onOwnServer(t)
		t.Run("tables", func(t *testing.T) {
			dir := small(t, server.Dir, "48m")
			if err := server.Own(dir, nil); err != nil {
				t.Fatal(err)
			}
			execute(t, p.beside(t), `CREATE TABLESPACE small LOCATION '`+dir+`'`, `CREATE DATABASE small TABLESPACE small`)
			diskFull(t, newPlace(t, place{Postgres: strings.Replace(server.URL, "/postgres?", "/small?", 1)}), dir)
			execute(t, p.beside(t), `DROP DATABASE small WITH (FORCE)`, `DROP TABLESPACE small`)
		})
		t.Run("log", func(t *testing.T) { logFull(t, server, p) })
	})
}

// logFull leaves the server without space for its log: it stops, and starts
// when there is some, with all it had acknowledged.
func logFull(t *testing.T, server *servers.Cluster, p place) {
	t.Helper()
	dir := small(t, server.Dir, "64m")
	l := newLedger()
	h := p.host(t, l.hear)
	server.Stop(t, servers.Fast)
	data := filepath.Join(server.Dir, "data")
	wal, linked := filepath.Join(data, "pg_wal"), filepath.Join(dir, "wal")
	if err := errors.Join(os.CopyFS(linked, os.DirFS(wal)), os.RemoveAll(wal), os.Symlink(linked, wal)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error { return errors.Join(err, server.Own(path, nil)) })
	if err != nil {
		t.Fatal(err)
	}
	server.Start(t)
	create := changeNamed("apikey.Create")
	again := func() bool { return create.by(t, h, l, newOwner())(t.Context()) == nil }
	for range 20 {
		within(t, healTime, create.name, again)
	}
	db := p.beside(t)
	free := fill(t, dir)
	within(t, 20*time.Second, "the end of the server", func() bool {
		_ = l.call(t.Context(), t, create.name, 5*time.Second, create.by(t, h, l, newOwner()))
		_, err := db.DB.ExecContext(t.Context(), `SELECT pg_switch_wal()`) // the next part of the log needs space
		return err != nil && server.Control(t.Context(), "status") != nil
	})
	free()
	server.Start(t)
	within(t, healTime, create.name+" after a start", again)
	l.check(t, p, h)
	t.Logf("%d tokens tried", len(l.issued))
}

func diskFull(t *testing.T, p place, dir string) {
	t.Helper()
	l := newLedger()
	h := p.host(t, l.hear)
	owner := newOwner()
	id, err := firstKey(t.Context(), h, l, owner)
	if err != nil {
		t.Fatal(err)
	}
	var calls []call
	for _, c := range changes {
		calls = append(calls, c.by(t, h, l, newOwner()))
	}
	free := fill(t, dir)
	// What is left in pages that are there is used up first.
	create := changeNamed("apikey.Create without an idempotency key")
	for full := 0; full < 5; {
		err := l.call(t.Context(), t, create.name, 5*time.Second, create.by(t, h, l, newOwner()))
		if err != nil {
			full++
		}
	}
	for i, do := range calls {
		err := l.call(t.Context(), t, changes[i].name+" on a full disk", 5*time.Second, do)
		if err != nil && !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("%s on a full disk = %v, want ErrUnavailable", changes[i].name, err)
		}
		if err != nil && i == 0 {
			t.Log(err)
		}
	}
	if _, err := h.keys.Verify(t.Context(), l.issued[id].token); err != nil {
		t.Errorf("Verify() on a full disk = %v", err)
	}
	if _, err := h.keys.Keys(t.Context(), owner); err != nil {
		t.Errorf("Keys() on a full disk = %v", err)
	}
	readTables(t, p.beside(t)).checkEvents(t)
	free()
	for i, do := range calls {
		within(t, healTime, changes[i].name+" on a disk with space", func() bool { return do(t.Context()) == nil })
	}
	l.check(t, p, h)
	t.Log(l)
}
