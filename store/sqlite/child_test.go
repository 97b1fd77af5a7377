package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
	driver "modernc.org/sqlite"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/sqlite"
)

// childVariable tells this binary to be another process: what to do, with the
// file that pathVariable names.
const (
	childVariable = "LANYARD_TEST_CHILD"
	pathVariable  = "LANYARD_TEST_FILE"
)

func TestMain(m *testing.M) {
	if does, ok := children[os.Getenv(childVariable)]; ok {
		if err := does(context.Background(), os.Getenv(pathVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// children are what the other processes do.
var children = map[string]func(ctx context.Context, path string) error{
	// migrate opens the file and migrates it.
	"migrate": func(ctx context.Context, path string) error {
		st, err := sqlite.Open(ctx, path, nil)
		if err != nil {
			return err
		}
		defer func() { _ = st.Close() }()
		return st.Migrate(ctx)
	},
	// die migrates and kills itself half way: with some rows of the epochs
	// written, which stand in the middle of the first migration.
	"die": func(ctx context.Context, path string) error {
		driver.RegisterConnectionHook(func(conn driver.ExecQuerierContext, _ string) error {
			rows := 0
			conn.(driver.HookRegisterer).RegisterPreUpdateHook(func(d driver.SQLitePreUpdateData) {
				if d.TableName == "lanyard_epochs" {
					rows++
				}
				if rows == 100 {
					kill()
				}
			})
			return nil
		})
		st, err := sqlite.Open(ctx, path, nil)
		if err != nil {
			return err
		}
		return errors.Join(errors.New("still alive after Migrate"), st.Migrate(ctx))
	},
	// write adds keys until somebody kills it, and prints each that the store
	// acknowledged.
	"write": func(ctx context.Context, path string) error {
		st, err := sqlite.Open(ctx, path, nil)
		if err != nil {
			return err
		}
		for {
			k := newKey(lanyard.NewID())
			if err := st.CreateAPIKey(ctx, k, -1, event(k)); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(os.Stdout, k.ID); err != nil {
				return err
			}
		}
	},
	// create adds as many keys as the limit of sharedLimit lets it.
	"create": func(ctx context.Context, path string) error {
		st, err := sqlite.Open(ctx, path, nil)
		if err != nil {
			return err
		}
		defer func() { _ = st.Close() }()
		for range sharedLimit {
			k := newKey(lanyard.NewID())
			err := st.CreateAPIKey(ctx, k, sharedLimit, event(k))
			if errors.Is(err, lanyard.ErrLimit) {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(os.Stdout, k.ID); err != nil {
				return err
			}
		}
		return nil
	},
}

// kill ends this process at once, as a crash does.
func kill() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// child prepares another process.
func child(t *testing.T, does, path string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+does, pathVariable+"="+path)
	return c
}

var ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func newKey(id string) store.APIKey {
	hash := make([]byte, store.HashSize)
	copy(hash, id)
	return store.APIKey{ID: id, Owner: ana, Name: id, Hash: hash, CreatedAt: now}
}

func event(k store.APIKey) lanyard.Event {
	return lanyard.NewEvent(context.Background(), now, k.Owner, "api_key.created", k.ID)
}
