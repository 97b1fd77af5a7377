package telemetry_test

import (
	"fmt"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
)

func ExampleOutcome() {
	fmt.Println(telemetry.Outcome(nil))
	fmt.Println(telemetry.Outcome(fmt.Errorf("store: create: %w", lanyard.ErrLimit)))
	// Output:
	// ok
	// limit
}
