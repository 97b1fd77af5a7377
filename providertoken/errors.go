package providertoken

import (
	"errors"
	"fmt"

	"github.com/aichub/lanyard"
)

// Codes of the *lanyard.InputError of this package, besides lanyard's own.
const (
	CodeSecretRequired = "secret-required" // the destination changed: all secrets must be typed again
	CodeMasked         = "masked"          // mask characters instead of a secret
)

var (
	// ErrAmbiguous says that an owner has several connections to a provider
	// and the Ref names no label.
	ErrAmbiguous = errors.New("several connections: name a label")

	// ErrNotOffered says that the host does not configure the connection's
	// provider or method any more: it can be deleted and nothing else. It is a
	// lanyard.ErrForbidden.
	ErrNotOffered = fmt.Errorf("the provider is not offered any more: %w", lanyard.ErrForbidden)

	// ErrNeedsAttention says that the platform rejected the connection's
	// credential when it was last asked. Nothing is sent until its owner
	// edits or verifies it.
	ErrNeedsAttention = errors.New("the platform rejects the credential: its owner has to renew it")

	// ErrForeignOrigin says that a request does not go to one of the
	// connection's own origins. Nothing was sent.
	ErrForeignOrigin = errors.New("not an origin of this connection")

	// ErrReadOnly says that a client lent for reading was asked to write.
	// Nothing was sent.
	ErrReadOnly = errors.New("the connection was lent for reading only")

	// ErrRateLimited says that a request would have to wait for the platform's
	// rate limit longer than its context lasts. Nothing was sent.
	ErrRateLimited = errors.New("rate limit of the platform")
)

// VerificationError says that a save was refused because the platform did not
// prove the credential. Nothing was stored.
type VerificationError struct {
	Verdict Verdict
	Reason  string // stable, [a-z_]; may be empty
}

func (e *VerificationError) Error() string {
	if e.Reason == "" {
		return "verification: " + string(e.Verdict)
	}
	return "verification: " + string(e.Verdict) + ": " + e.Reason
}

// outcome names an error in spans and metrics.
func outcome(err error) string {
	var (
		input    *lanyard.InputError
		verdict  *VerificationError
		outcomes = []struct {
			err  error
			name string
		}{
			{lanyard.ErrNotFound, "not_found"}, {lanyard.ErrExists, "exists"}, {lanyard.ErrConflict, "conflict"},
			{lanyard.ErrLimit, "limit"}, {ErrNotOffered, "not_offered"}, {lanyard.ErrDeactivated, "deactivated"},
			{ErrAmbiguous, "ambiguous"}, {ErrNeedsAttention, "needs_attention"},
			{ErrForeignOrigin, "foreign_origin"}, {ErrReadOnly, "read_only"}, {ErrRateLimited, "rate_limited"},
		}
	)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &input):
		return "invalid"
	case errors.As(err, &verdict):
		return string(verdict.Verdict)
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return "unavailable"
}
