// Command flow draws the picture of docs/README.md from flow.txt, as an SVG
// that follows the reader's light or dark scheme:
//
//	go run ./docs/flow
package main

import (
	_ "embed"
	"fmt"
	"os"
)

//go:embed flow.txt
var source string

// output is the picture's file, as seen from the root of the module.
const output = "docs/images/flow.svg"

func main() {
	d, err := parse(source)
	if err == nil {
		err = os.WriteFile(output, []byte(d.svg()), 0o644) //nolint:gosec // a picture for everybody to read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flow:", err)
		os.Exit(1)
	}
}
