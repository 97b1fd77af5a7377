package lanyard

import (
	"errors"
	"fmt"
)

// The outcomes a caller can act on. Every package wraps one of them with %w.
var (
	// ErrNotFound: there is no such record for this owner. The id of somebody
	// else's record answers exactly like an unknown one.
	ErrNotFound = errors.New("not found")

	// ErrExists: a record with that name or id is there already.
	ErrExists = errors.New("already exists")

	// ErrConflict: the version is stale or a race was lost. Read again.
	ErrConflict = errors.New("conflict")

	// ErrLimit: the owner has as many as are allowed.
	ErrLimit = errors.New("limit reached")

	// ErrUnauthenticated: nobody, or nobody we know.
	ErrUnauthenticated = errors.New("unauthenticated")

	// ErrForbidden: known, but not allowed.
	ErrForbidden = errors.New("forbidden")

	// ErrDeactivated: the owner was deactivated by the host. It is an
	// ErrForbidden.
	ErrDeactivated = fmt.Errorf("owner is deactivated: %w", ErrForbidden)

	// ErrUnavailable: the store or the key service is down, or it is not known
	// whether a commit arrived. Never cached and never reported as a bad
	// credential.
	ErrUnavailable = errors.New("unavailable")

	// ErrClosed: the service or store was closed.
	ErrClosed = errors.New("closed")
)

// The codes an [InputError] carries. Services add their own where a caller
// can act on the difference; each says so in its documentation.
const (
	CodeRequired = "required"
	CodeInvalid  = "invalid"
	CodeTooLong  = "too-long"
	CodeReadOnly = "read-only"
	CodeUnknown  = "unknown"
)

// InputError says that one input was refused and why. Nothing was changed.
//
// Field names the input with slashes between levels, as in "name" or
// "secrets/api_token"; Code is stable and in lower case with hyphens; Message
// is English for a developer and never repeats the refused value. Several may
// be joined by errors.Join.
type InputError struct {
	Field   string
	Code    string
	Message string
}

func (e *InputError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Field, e.Code, e.Message)
}

// NotConnectedError says that the owner has no connection to a provider, so
// that a host can show the way to the page where he adds one.
type NotConnectedError struct {
	Provider string // the provider's id
}

func (e *NotConnectedError) Error() string { return "not connected to " + e.Provider }

// Is makes a NotConnectedError an [ErrNotFound].
func (e *NotConnectedError) Is(target error) bool { return target == ErrNotFound }
