// Command mutants breaks the code on purpose, one promise at a time, and
// watches the test that is there to notice:
//
//	go run ./scripts/mutants                # all of mutants.yaml
//	go run ./scripts/mutants 'owner|epoch'  # those whose name matches
//
// No file of the tree is touched: each mutant is laid over it for one "go
// test". A mutant is killed when its test fails. One that survives, one that
// does not compile and one whose place is not there any more all make the exit
// status 1.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"regexp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	wanted := regexp.MustCompile("")
	if len(args) > 0 {
		var err error
		if wanted, err = regexp.Compile(args[0]); err != nil {
			return err
		}
	}
	all, err := load("scripts/mutants/mutants.yaml")
	if err != nil {
		return err
	}
	tried, killed := 0, 0
	for _, m := range all {
		if !wanted.MatchString(m.Name) {
			continue
		}
		tried++
		verdict, err := m.try(ctx)
		if err != nil {
			return err
		}
		if verdict == dead {
			killed++
		}
		fmt.Fprintf(os.Stdout, "%-14s %s (%s: %s %s)\n", verdict, m.Name, m.File, m.Package, m.Test)
	}
	fmt.Fprintf(os.Stdout, "%d of %d mutants killed\n", killed, tried)
	if tried == 0 || killed < tried {
		return fmt.Errorf("%d not killed", tried-killed)
	}
	return nil
}
