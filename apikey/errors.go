package apikey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
)

// What stands in the way of a change besides the errors of package lanyard.
// Both are a [lanyard.ErrConflict]; test for them first.
var (
	// ErrIdempotencyMismatch says that the IdempotencyKey was used before for
	// another request.
	ErrIdempotencyMismatch = fmt.Errorf("the idempotency key was used for another request: %w", lanyard.ErrConflict)

	// ErrExpired says that an expired key cannot be rotated.
	ErrExpired = fmt.Errorf("the key has expired: %w", lanyard.ErrConflict)
)

// CodeTooLate is the code of an expires_at beyond Options.MaxLife.
const CodeTooLate = "too-late"

// RateLimitError says that a good key is used more often than Options.Rate
// allows.
type RateLimitError struct {
	RetryAfter time.Duration // when the next call is allowed
}

func (e *RateLimitError) Error() string { return "apikey: verify: rate limit of the key" }

// The answers of Verify are made once, so that refusing costs nothing and all
// refusals are the same.
var (
	errRefused    = fmt.Errorf("apikey: verify: %w", lanyard.ErrUnauthenticated)
	errLacksScope = fmt.Errorf("apikey: verify: the key lacks a scope: %w", lanyard.ErrForbidden)
	errClosed     = fmt.Errorf("apikey: %w", lanyard.ErrClosed)
)

// unavailable is the answer for err, with which a store or a key service kept
// us from telling a good token from a bad one. Whatever a plug-in returned, it
// is an ErrUnavailable and no verdict on the token.
func unavailable(err error) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, lanyard.ErrClosed} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, known)
		}
	}
	return lanyard.ErrUnavailable
}
