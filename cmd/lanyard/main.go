// Command lanyard is what an operator does to a host's lanyard from outside:
// migrate its tables, care for its keys, remove what is old, and find out what
// is wrong.
//
//	go install github.com/aichub/lanyard/cmd/lanyard@latest
//	lanyard doctor -database lanyard.db -keyring lanyard.keys
//
// Without arguments it says what it can do. It ends with 0 when all is well, 1
// when something failed or a problem was found, 2 when it was called the wrong
// way, and 3, doctor alone, when it found no problem but the database or a key
// service did not answer. With -json, standard output is one JSON object; what is said on
// the way goes to standard error. Neither ever holds a secret, a hash or a
// ciphertext.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err))
}

// What the command ends with.
const (
	exitOK      = 0
	exitProblem = 1
	exitUsage   = 2
	exitAway    = 3 // doctor could not look
)

// errProblem says that a problem was found, and told already.
var errProblem = errors.New("a problem was found")

// errAway says that no problem was found because who would know did not answer,
// and that this was told already.
var errAway = errors.New("a server is away")

// usageError says that the command was called the wrong way.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...)}
}

func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errAway):
		return exitAway
	default:
		return exitProblem
	}
}

// run does what args say. What a person or a program wants goes to stdout, the
// progress and the errors to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	err := dispatch(ctx, args, stdout, stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) && !errors.Is(err, errProblem) && !errors.Is(err, errAway) {
		fmt.Fprintln(stderr, "lanyard:", err)
	}
	return err
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, rest := find(args)
	if c == nil {
		help(stderr)
		switch {
		case len(args) == 0:
			return usagef("it wants a COMMAND")
		case slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]):
			return flag.ErrHelp
		}
		return usagef("there is no such command") // nor is it repeated: it may be a database, with a password
	}
	j := &job{stdout: stdout, stderr: stderr, now: time.Now}
	flags := flag.NewFlagSet("lanyard "+c.name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: lanyard %s [flags] %s\n\n%s.\n\n", c.name, c.args, c.about)
		flags.PrintDefaults()
	}
	flags.BoolVar(&j.json, "json", false, "print one JSON object")
	act := c.prepare(j, flags)
	if err := flags.Parse(rest); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usagef("%s: see above", c.name)
	}
	if flags.NArg() != c.arity() {
		return usagef("%s wants %d arguments, and flags before them: lanyard %s [flags] %s", c.name, c.arity(), c.name, c.args)
	}
	return act(ctx, flags.Args())
}
