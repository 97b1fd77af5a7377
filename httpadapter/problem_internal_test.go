package httpadapter

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aichub/lanyard/providertoken"
)

// Every problem's type is an address in this document.
func TestProblemsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/reference/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]int{}
	for code, kind := range problemTypes {
		codes[code] = kind.status
	}
	for _, v := range rejections {
		codes[string(v)] = problem{Code: string(v)}.status()
	}
	for code, status := range codes {
		row := fmt.Sprintf("| <a id=%q></a>`%s` | %d | ", code, code, status)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/reference/problems.md lacks %q", row)
		}
	}
}

// A stored secret that does not open is for its owner to mend.
func TestProxyOfALostSecret(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("call: %w", providertoken.ErrSecretLost)
	if p := new(passage).problemOf(err); p.Code != codeNeedsAttention || p.Detail == "" {
		t.Errorf("problemOf(%v) = %+v, want %s with a detail", err, p, codeNeedsAttention)
	}
}

// A connection whose address changed while an agent called is to be asked for
// again, and nobody's fault.
func TestProxyOfAChangedConnection(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("call: %w", providertoken.ErrForeignOrigin)
	if p := new(passage).problemOf(err); p.Code != codeUnavailable || p.RetryAfter <= 0 {
		t.Errorf("problemOf(%v) = %+v, want %s with a time to wait", err, p, codeUnavailable)
	}
}

// What a client refuses has a problem of its own at the Proxy; none is our fault.
func TestProxyNamesWhatClientsRefuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&providertoken.RateLimitError{}, codeTooManyRequests},
		{providertoken.ErrAgentNotAllowed, codeForbidden},
		{providertoken.ErrReadOnly, codeForbidden},
		{providertoken.ErrMethod, codeMethodNotAllowed},
		{providertoken.ErrNotOffered, codeNotOffered},
		{providertoken.ErrNeedsAttention, codeNeedsAttention},
		{providertoken.ErrUnreadable, codePlatformUnreadable},
		{providertoken.ErrUnreachable, codePlatformUnreachable},
	} {
		if got := new(passage).problemOf(fmt.Errorf("providertoken: %w", tt.err)); got.Code != tt.want {
			t.Errorf("the problem of %v = %s, want %s", tt.err, got.Code, tt.want)
		}
	}
}
