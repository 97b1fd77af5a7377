package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/sqlite"
)

// sharedLimit is how many keys several processes may make together.
const sharedLimit = 20

func TestProcessesShareALimit(t *testing.T) {
	t.Parallel()
	path := file(t)
	st := open(t, path)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		ids []string
	)
	for range 4 {
		c := child(t, "create", path)
		wg.Go(func() {
			var errs bytes.Buffer
			c.Stderr = &errs
			out, err := c.Output()
			if err != nil {
				t.Errorf("another process: %v: %s", err, &errs)
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, strings.Fields(string(out))...)
		})
	}
	wg.Wait()
	keys, err := st.APIKeys(t.Context(), ana)
	if err != nil || len(keys) != sharedLimit || len(ids) != sharedLimit {
		t.Errorf("APIKeys = %d keys, %v, and %d were acknowledged, want %d", len(keys), err, len(ids), sharedLimit)
	}
}

// What a store acknowledged survives the death of its process, with its event,
// and the next process recovers what stands in the log.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	path := file(t)
	if err := open(t, path).Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	c := child(t, "write", path)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		ids = append(ids, lines.Text())
		if len(ids) == 30 {
			_ = c.Process.Kill()
		}
	}
	_ = c.Wait()
	if len(ids) < 30 {
		t.Fatalf("the other process acknowledged %d keys, want 30", len(ids))
	}
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		t.Errorf("the killed process left no log to recover: %v", err)
	}

	st, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatalf("Open after a kill = %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	for _, id := range ids {
		if _, err := st.APIKey(t.Context(), ana, id); err != nil {
			t.Errorf("APIKey(%s) of an acknowledged key = %v", id, err)
		}
	}
	keys, err := st.APIKeys(t.Context(), ana)
	if err != nil {
		t.Fatalf("APIKeys = %v", err)
	}
	events, err := st.Events(t.Context(), ana, store.EventCursor{}, 10_000)
	if err != nil || len(events) != len(keys) {
		t.Errorf("Events = %d events, %v, want one for each of %d keys", len(events), err, len(keys))
	}
	var verdict string
	if err := raw(t, path).QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check = %q, %v, want ok", verdict, err)
	}
}

// A reader does not wait for a writer, and a writer waits no longer than its
// caller does.
func TestAnotherProcessWrites(t *testing.T) {
	t.Parallel()
	path := file(t)
	st := open(t, path)
	other, err := raw(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if _, err := other.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	if _, err := st.APIKeys(t.Context(), ana); err != nil {
		t.Errorf("APIKeys while another writes = %v", err)
	}
	k := newKey("k")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = st.CreateAPIKey(ctx, k, -1, event(k))
	if !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("CreateAPIKey while another writes = %v, want ErrUnavailable and DeadlineExceeded", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("CreateAPIKey took %v, although its caller waited 50ms", took)
	}
	if _, err := other.ExecContext(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if _, err := st.APIKey(t.Context(), ana, k.ID); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("APIKey of the key nobody waited for = %v, want ErrNotFound", err)
	}
	if err := st.CreateAPIKey(t.Context(), k, -1, event(k)); err != nil {
		t.Errorf("CreateAPIKey after the other = %v", err)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"with space.db", "per%20cent.db", "ques?tion.db", "ha#sh.db", "quo'te.db", "ümlaut.db", "semi;colon&and=.db"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), name)
			open(t, path)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatalf("Open made another file: %v", err)
			}
			if mode := info.Mode().Perm(); mode != 0o600 {
				t.Errorf("the mode of the file is %o, want 600", mode)
			}
			for _, beside := range []string{"-wal", "-shm", "-migrate"} {
				info, err := os.Stat(path + beside)
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v, want it with mode 600", beside, info, err)
				}
			}
		})
	}
}

func TestPathsRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ":memory:", "file::memory:?cache=shared", "a\x00b"} {
		st, err := sqlite.Open(t.Context(), path, nil)
		var in *lanyard.InputError
		if !errors.As(err, &in) || in.Field != "path" {
			t.Errorf("Open(%q) = %v, %v, want an InputError for path", path, st, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing", "lanyard.db")
	if _, err := sqlite.Open(t.Context(), missing, nil); !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open in a directory that is not there = %v, want ErrUnavailable and ErrNotExist", err)
	}
	other := file(t)
	if err := os.WriteFile(other, []byte("this is no database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), other, nil); !errors.Is(err, lanyard.ErrUnavailable) {
		t.Errorf("Open of a file that is no database = %v, want ErrUnavailable", err)
	}
}
