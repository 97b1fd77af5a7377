// Command testsum reads what "go test -json" says and prints what a person
// wants to know: packages as they finish, failures in full, and at the end how
// many tests ran against which store and key service, and with which servers:
// lines "postgres: using ..." and "vault: using ..." say so.
//
//	go test -json ./... | testsum -require postgres,pgbouncer,vault
//
// A line "== name" begins a part, and "!! reason" says that the part failed
// even if no test of it did. Other lines that are not JSON are passed on. The
// last line printed is "N passed, N failed, N skipped", counting subtests; the
// exit status is 1 when a test failed, nothing passed, or no test passed of a
// store or key service that is required.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	required := flag.String("require", "", "fail unless tests of these `stores` and key services passed; separated by commas")
	flag.Parse()
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if !s.report(strings.FieldsFunc(*required, func(r rune) bool { return r == ',' })) {
		os.Exit(1)
	}
}
