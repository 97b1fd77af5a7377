package crypto

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
)

// The ways in which something does not open. Neither is ever an answer about
// a credential's owner; both are an operator's business.
var (
	// ErrIntegrity: the value was changed, cut, extended or moved to another
	// place, or the binding given is not the one it was sealed with.
	ErrIntegrity = errors.New("sealed value does not open")

	// ErrUnknownKey: the key named by the value is not there, or disabled.
	ErrUnknownKey = errors.New("unknown key")
)

// The ways in which a key service is of no use before an operator mends it.
// Both are a [lanyard.ErrUnavailable].
var (
	// ErrDenied: the key service answered and does not let us use the key.
	ErrDenied = fmt.Errorf("the key service denies access: %w", lanyard.ErrUnavailable)

	// ErrUnbound: the key service unwraps a key with another binding than it
	// was wrapped with. Nothing is sealed with its help.
	ErrUnbound = fmt.Errorf("the key service ignores the binding: %w", lanyard.ErrUnavailable)
)

// BusyError is what a [Secrets] answers with when the key service said when to
// ask again. It is a [lanyard.ErrUnavailable]. The Sealer then asks nothing for
// that long, up to five seconds; its own errors do not carry it.
type BusyError struct {
	// RetryAfter from now on. Zero or less means that it was not said.
	RetryAfter time.Duration
}

// Error says for how long.
func (e *BusyError) Error() string {
	return fmt.Sprintf("the key service wants to be asked again in %v: %v", e.RetryAfter, lanyard.ErrUnavailable)
}

// Unwrap returns [lanyard.ErrUnavailable].
func (e *BusyError) Unwrap() error { return lanyard.ErrUnavailable }

// reduce returns the outcome that err, which may come from a plug-in and hold
// anything, stands for: one of our errors and none of its text.
func reduce(err error) error {
	for _, known := range []error{ErrUnbound, ErrDenied, lanyard.ErrUnavailable, ErrUnknownKey, ErrIntegrity} {
		if errors.Is(err, known) {
			return known
		}
	}
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return gaveUp(ended)
		}
	}
	return lanyard.ErrUnavailable
}

// gaveUp is the error of a call whose context ended: nothing is known.
func gaveUp(ctxErr error) error {
	return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, ctxErr)
}

// outcome names an error in spans and metrics.
func outcome(err error) string {
	var input *lanyard.InputError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &input):
		return "invalid"
	case errors.Is(err, ErrIntegrity):
		return "integrity"
	case errors.Is(err, ErrUnknownKey):
		return "unknown_key"
	case errors.Is(err, ErrUnbound):
		return "unbound"
	case errors.Is(err, ErrDenied):
		return "denied"
	case errors.Is(err, errResting):
		return "resting"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "unavailable"
	}
}
