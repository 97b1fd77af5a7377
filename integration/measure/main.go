// Command measure shows on real servers what cannot be promised without them,
// and prints a small table of each:
//
//	cd integration
//	go run ./measure rotation     # the Vault key rotated under the load of two processes
//	go run ./measure sealed       # Vault sealed under load
//	go run ./measure restart      # PostgreSQL restarted under acknowledged writes
//	go run ./measure vaultcalls   # what a use of an owner key costs Vault
//	go run ./measure latency      # each service call on each store
//
// The servers are found or started as the tests have them (see
// integration/servers); what is sealed or restarted is always its own. "measure
// WHAT -h" lists the flags. It ends with 1 where what it shows is not what is
// promised: a failed open, a lost write, an owner key under the old version.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/aichub/lanyard/integration/servers"
)

// errPromise says that a promise was not kept, and that the table shows it.
var errPromise = errors.New("this is not what is promised")

// measurement is one thing that can be measured.
type measurement struct {
	name, about string
	prepare     func(flags *flag.FlagSet) func(ctx context.Context, out io.Writer) error
}

func measurements() []measurement {
	return []measurement{
		{"rotation", "the Vault key rotated and every owner key rewrapped under load; one runner is killed on the way", prepareRotation},
		{"sealed", "Vault sealed for a while under load: what was answered", prepareSealed},
		{"restart", "PostgreSQL restarted under acknowledged writes of two processes", prepareRestart},
		{"vaultcalls", "requests to Vault for each use of an owner key, with and without the Sealer's cache", prepareVaultCalls},
		{"latency", "p50 and p99 of each service call on each store", prepareLatency},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if beChild(ctx) {
		return
	}
	err := errors.Join(run(ctx, os.Args[1:], os.Stdout), servers.Stop())
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	for _, m := range measurements() {
		if len(args) == 0 || m.name != args[0] {
			continue
		}
		flags := flag.NewFlagSet("measure "+m.name, flag.ContinueOnError)
		do := m.prepare(flags)
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return do(ctx, out)
	}
	for _, m := range measurements() {
		fmt.Fprintf(os.Stderr, "  measure %-12s %s\n", m.name, m.about)
	}
	return errors.New("it wants to know what to measure")
}

// say tells a person how far it is.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "measure: "+format+"\n", args...) }
