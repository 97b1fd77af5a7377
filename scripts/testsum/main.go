// Command testsum reads what "go test -json" says and prints what a person
// wants to know: packages as they finish, failures in full, and at the end how
// many tests ran against which store.
//
//	go test -json ./... | testsum -require postgres
//
// A line "== name" begins a part, and "!! reason" says that the part failed
// even if no test of it did. Other lines that are not JSON are passed on. The
// last line printed is "N passed, N failed, N skipped", counting subtests; the
// exit status is 1 when a test failed, nothing passed, or no test of a
// required store passed.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	required := flag.String("require", "", "fail unless a test of this `store` passed")
	flag.Parse()
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if !s.report(*required) {
		os.Exit(1)
	}
}
