package lanyard_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
)

var sentinels = map[string]error{
	"ErrNotFound":        lanyard.ErrNotFound,
	"ErrExists":          lanyard.ErrExists,
	"ErrConflict":        lanyard.ErrConflict,
	"ErrLimit":           lanyard.ErrLimit,
	"ErrUnauthenticated": lanyard.ErrUnauthenticated,
	"ErrForbidden":       lanyard.ErrForbidden,
	"ErrDeactivated":     lanyard.ErrDeactivated,
	"ErrUnavailable":     lanyard.ErrUnavailable,
	"ErrClosed":          lanyard.ErrClosed,
}

// Each outcome is itself and, but for ErrDeactivated, nothing else, however
// often it was wrapped or with what it was joined.
func TestErrors(t *testing.T) {
	t.Parallel()
	for name, err := range sentinels {
		for how, wrapped := range map[string]error{
			"alone":   err,
			"wrapped": fmt.Errorf("apikey: delete k1: %w", fmt.Errorf("store: %w", err)),
			"joined":  errors.Join(errors.New("another"), err),
		} {
			for other, target := range sentinels {
				want := other == name || name == "ErrDeactivated" && other == "ErrForbidden"
				if got := errors.Is(wrapped, target); got != want {
					t.Errorf("%s %s: errors.Is(%s) = %v, want %v", name, how, other, got, want)
				}
			}
		}
		if text := err.Error(); text == "" || text != strings.ToLower(text) || strings.HasSuffix(text, ".") {
			t.Errorf("%s reads %q, want lower case without a full stop", name, text)
		}
	}
}

func TestInputError(t *testing.T) {
	t.Parallel()
	name := &lanyard.InputError{Field: "name", Code: lanyard.CodeTooLong, Message: "at most 100 characters"}
	token := &lanyard.InputError{Field: "secrets/api_token", Code: lanyard.CodeRequired, Message: "the value is empty"}
	err := fmt.Errorf("apikey: create: %w", errors.Join(name, token))
	if got, want := err.Error(), "apikey: create: name: too-long: at most 100 characters\nsecrets/api_token: required: the value is empty"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	var input *lanyard.InputError
	if !errors.As(err, &input) || input != name {
		t.Errorf("errors.As() = %v, want the first", input)
	}
	if !errors.Is(err, token) {
		t.Error("errors.Is() does not find the second")
	}
	for sentinel, target := range sentinels {
		if errors.Is(err, target) {
			t.Errorf("an InputError is %s too", sentinel)
		}
	}
}

func TestNotConnectedError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("providertoken: client: %w", &lanyard.NotConnectedError{Provider: "jira-cloud"})
	if got, want := err.Error(), "providertoken: client: not connected to jira-cloud"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	var missing *lanyard.NotConnectedError
	if !errors.As(err, &missing) || missing.Provider != "jira-cloud" {
		t.Errorf("errors.As() = %v, want the provider", missing)
	}
	for sentinel, target := range sentinels {
		if got, want := errors.Is(err, target), sentinel == "ErrNotFound"; got != want {
			t.Errorf("errors.Is(%s) = %v, want %v", sentinel, got, want)
		}
	}
	if errors.As(lanyard.ErrNotFound, &missing) {
		t.Error("every ErrNotFound is a NotConnectedError")
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, code := range []string{lanyard.CodeRequired, lanyard.CodeInvalid, lanyard.CodeTooLong, lanyard.CodeReadOnly, lanyard.CodeUnknown} {
		if seen[code] || code == "" || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%q is no code of its own in lower case with hyphens", code)
		}
		seen[code] = true
	}
}
