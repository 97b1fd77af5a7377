package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/aichub/lanyard/integration/servers"
)

// childVariable tells this binary to be another process: what to do.
// orderVariable says, in JSON, where and how.
const (
	childVariable = "LANYARD_TEST_CHILD"
	orderVariable = "LANYARD_TEST_ORDER"
)

// children are what the other processes do.
var children = map[string]func(ctx context.Context, order string) error{"die": die, "hold": hold, "race": raceChild}

func TestMain(m *testing.M) {
	if does, ok := children[os.Getenv(childVariable)]; ok {
		if err := does(context.Background(), os.Getenv(orderVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // some of the proxy's parts log to everybody
	code := m.Run()
	err := servers.Stop()
	if code == 0 {
		err = errors.Join(err, goleak.Find(
			// The proxy loses its own when a line heals while it is in use.
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
		))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// child prepares another process.
func child(t testing.TB, does, order string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), self())
	c.Env = append(os.Environ(), childVariable+"="+does, orderVariable+"="+order)
	return c
}

// kill ends this process at once, as a crash does.
func kill() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}
