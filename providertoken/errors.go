package providertoken

import (
	"errors"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
)

// Codes of the *lanyard.InputError of this package, besides lanyard's own.
const (
	CodeSecretRequired = "secret-required" // the destination changed: all secrets must be typed again
	CodeSecretLost     = "secret-lost"     // the stored one does not open: it must be typed again
	CodeMasked         = "masked"          // mask characters instead of a secret
	CodeOpenSecret     = "open-secret"     // a token in the label or in a public field, which are shown

	CodeLooksLikeOther = "looks-like-other" // another platform's token; an *OtherPlatformError
	CodeOddShape       = "odd-shape"        // of a Hint only: it has none of the field's shapes
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

	// ErrSecretLost says that a stored secret does not open: its key is gone, or
	// somebody wrote into its row. Nothing is sent. It is an ErrNeedsAttention,
	// for only its owner can help: by typing it again.
	ErrSecretLost = fmt.Errorf("a stored secret does not open: %w", ErrNeedsAttention)

	// ErrForeignOrigin says that a request does not go to one of the
	// connection's own origins. Nothing was sent.
	ErrForeignOrigin = errors.New("not an origin of this connection")

	// ErrReadOnly says that a client lent for reading was asked to write.
	// Nothing was sent.
	ErrReadOnly = errors.New("the connection was lent for reading only")

	// ErrMethod says that a request has a method no client lends: the answer to
	// TRACE repeats the credential, and CONNECT asks for a tunnel. Nothing was
	// sent.
	ErrMethod = errors.New("the method is not lent")

	// ErrUnreachable says that the platform gave no HTTP answer: its name does
	// not resolve, the address may not be dialled, TLS failed, or the time was
	// up. It is a lanyard.ErrUnavailable and says no more, because what the
	// network layer says may hold addresses and more.
	ErrUnreachable = fmt.Errorf("no answer from the platform: %w", lanyard.ErrUnavailable)

	// ErrRateLimited says that a request would have to wait for the platform's
	// rate limit longer than its context lasts. Nothing was sent. What is
	// returned is a *RateLimitError.
	ErrRateLimited = errors.New("rate limit of the platform")

	// ErrAgentNotAllowed says that the host's policy does not let this agent use
	// the provider. It is a lanyard.ErrForbidden.
	ErrAgentNotAllowed = fmt.Errorf("the agent may not use this provider: %w", lanyard.ErrForbidden)

	// ErrUnreadable says that the platform's answer is encoded in a way in which
	// nobody could see whether it repeats the credential, or changes the
	// protocol. It is not passed on. The request was sent.
	ErrUnreadable = errors.New("the platform's answer cannot be passed on")

	// ErrAnswerTooLarge says that an answer is longer than Options.MaxAnswer. It
	// comes from the body, after so many bytes.
	ErrAnswerTooLarge = errors.New("the platform's answer is too large")
)

// RateLimitError is an [ErrRateLimited] that says how long it would be to a place
// under the limit.
type RateLimitError struct{ RetryAfter time.Duration }

// Error implements error.
func (e *RateLimitError) Error() string { return ErrRateLimited.Error() }

// Unwrap returns ErrRateLimited.
func (e *RateLimitError) Unwrap() error { return ErrRateLimited }

// lostSecretError is an ErrSecretLost that says which field's it is.
type lostSecretError struct {
	field string
	cause error
}

func (e *lostSecretError) Error() string   { return "open " + e.field + ": " + e.cause.Error() }
func (e *lostSecretError) Unwrap() []error { return []error{ErrSecretLost, e.cause} }

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
