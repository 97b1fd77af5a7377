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
	at := filepath.Join(dir, "small")
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
func TestDiskFullPostgres(t *testing.T) {
	t.Parallel()
	server := servers.OwnPostgres(t)
	dir := small(t, server.Dir, "48m")
	if err := server.Own(dir, nil); err != nil {
		t.Fatal(err)
	}
	// The tables alone: a server whose log finds no space stops.
	db := place{Postgres: server.URL}.beside(t)
	execute(t, db, `CREATE TABLESPACE small LOCATION '`+dir+`'`, `CREATE DATABASE small TABLESPACE small`)
	p := newPlace(t, place{Postgres: strings.Replace(server.URL, "/postgres?", "/small?", 1)})
	diskFull(t, p, dir)
}

func TestDiskFullSQLite(t *testing.T) {
	t.Parallel()
	dir := small(t, t.TempDir(), "4m")
	diskFull(t, newPlace(t, place{SQLite: filepath.Join(dir, "lanyard.db")}), dir)
}

// A server that finds no space for its log stops. It starts when there is
// some, with all it had acknowledged.
func TestDiskFullOfLog(t *testing.T) {
	t.Parallel()
	server, p := onOwnServer(t)
	dir := small(t, server.Dir, "64m")
	if err := server.Own(dir, nil); err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	h := p.host(t, l.hear)
	server.Stop(t, servers.Fast)
	data := filepath.Join(server.Dir, "data")
	if err := os.CopyFS(filepath.Join(dir, "wal"), os.DirFS(filepath.Join(data, "pg_wal"))); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error { return errors.Join(err, server.Own(path, nil)) })
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(data, "pg_wal")), os.Symlink(filepath.Join(dir, "wal"), filepath.Join(data, "pg_wal"))); err != nil {
		t.Fatal(err)
	}
	server.Start(t)
	db := p.beside(t)
	create := changeNamed("apikey.Create")
	for range 20 {
		within(t, healTime, create.name, func() bool { return create.by(t, h, l, newOwner())(t.Context()) == nil })
	}
	free := fill(t, dir)
	within(t, 20*time.Second, "the end of the server", func() bool {
		_ = l.call(t.Context(), t, create.name, 5*time.Second, create.by(t, h, l, newOwner()))
		_, err := db.DB.ExecContext(t.Context(), `SELECT pg_switch_wal()`) // the next part of the log needs space
		return err != nil && server.Control(t.Context(), "status") != nil
	})
	free()
	server.Start(t)
	within(t, healTime, create.name+" after a start", func() bool { return create.by(t, h, l, newOwner())(t.Context()) == nil })
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
