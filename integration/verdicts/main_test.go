package verdicts_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/aichub/lanyard/integration/servers"
)

var (
	trials  = flag.Int("trials", 30, "how many keys are deleted for each row of the table of deletions")
	unknown = flag.Int("unknown", 5000, "how many tokens nobody knows are presented")
)

func TestMain(m *testing.M) {
	if order := os.Getenv(hostVariable); order != "" {
		if err := beHost(context.Background(), order, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "host:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // some of the proxy's parts log to everybody
	code := m.Run()
	err := servers.Stop()
	if code == 0 {
		err = errors.Join(err, goleak.Find())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
