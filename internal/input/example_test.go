package input_test

import (
	"fmt"

	"github.com/aichub/lanyard/internal/input"
)

func ExampleName() {
	fmt.Println(input.Name("name", "  my laptop\n", 100))
	_, err := input.Name("name", "my\u200blaptop", 100)
	fmt.Println(err)
	// Output:
	// my laptop <nil>
	// name: invalid: control and invisible format characters are not allowed
}

func ExampleClean() {
	fmt.Printf("%q\n", input.Clean("  Ana\u202e Lima ", 100))
	// Output: "Ana Lima"
}
