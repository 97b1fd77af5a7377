package httpadapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aichub/lanyard"
)

// fuzzed has a member of each kind that a request of ours has.
type fuzzed struct {
	Name      member[string]                    `json:"name"`
	Scopes    member[[]string]                  `json:"scopes"`
	Secrets   member[map[string]member[string]] `json:"secrets"`
	ExpiresAt member[time.Time]                 `json:"expires_at"`
	Grace     member[int64]                     `json:"grace_seconds"`
	Allow     member[bool]                      `json:"allow_unverified"`
}

// plain is fuzzed as encoding/json reads it.
type plain struct {
	Name      *string            `json:"name"`
	Scopes    []string           `json:"scopes"`
	Secrets   map[string]*string `json:"secrets"`
	ExpiresAt *time.Time         `json:"expires_at"`
	Grace     *int64             `json:"grace_seconds"`
	Allow     *bool              `json:"allow_unverified"`
}

// What we accept encoding/json accepts too, and reads the same from it; what we
// refuse is a 4xx whose words do not depend on the values.
func FuzzJSONBody(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `7`, `"x"`, `{"name":"n"}`, `{"name":null}`, `{"name":"a","name":"b"}`, `{"Name":"a"}`, `{"name":"a"}{}`,
		`{"name":"a"} x`, "\ufeff{}", `{"secrets":{"token":"s","other":null}}`, `{"secrets":{"token":1}}`, `{"expires_at":"2030-01-01T00:00:00Z"}`,
		`{"expires_at":"2030-01-01T00:00:60Z"}`, `{"grace_seconds":1.0}`, `{"grace_seconds":1e3}`, `{"grace_seconds":-0}`,
		`{"grace_seconds":9223372036854775808}`, `{"name":"\ud800"}`, "{\"name\":\"\xff\"}", `{"name":"\u0000"}`, `{"__proto__":{}}`,
		`{"id":1}`, `{"scopes":["read",null]}`, `{"allow_unverified":"true"}`, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100),
		`{"name":"a",}`, `{'name':'a'}`, `{"name":"a"/**/}`, `{"":1}`, `{"a/b":1}`, `{"name":"a"}` + "\n\t ",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		read, err := readBody(httptest.NewRecorder(), r)
		var got fuzzed
		if err == nil {
			got, err = decode[fuzzed](&call{r: r, body: read})
		}
		if err != nil {
			p := problemOf(err)
			if s := p.status(); s != 400 && s != 413 && s != 422 {
				t.Fatalf("body %q = %d %s, want 400, 413 or 422", body, s, p.Code)
			}
			if s := p.status(); s == 422 && len(p.Errors) == 0 {
				t.Fatalf("body %q = 422 without an error", body)
			}
			for _, e := range p.Errors {
				if !knownDetails[e.Detail] {
					t.Fatalf("body %q: the detail %q is not one of ours", body, e.Detail)
				}
			}
			return
		}
		if !utf8.Valid(body) || len(body) > maxBody {
			t.Fatalf("body %q was accepted", body)
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		var want plain
		if err := d.Decode(&want); err != nil {
			t.Fatalf("body %q was accepted, but encoding/json says %v", body, err)
		}
		same(t, body, "name", got.Name, want.Name)
		same(t, body, "grace_seconds", got.Grace, want.Grace)
		same(t, body, "allow_unverified", got.Allow, want.Allow)
		if (want.ExpiresAt != nil) != (got.ExpiresAt.set && !got.ExpiresAt.null) || want.ExpiresAt != nil && !want.ExpiresAt.Equal(got.ExpiresAt.value) {
			t.Fatalf("body %q: expires_at = %v, encoding/json says %v", body, got.ExpiresAt.value, want.ExpiresAt)
		}
		if len(got.Secrets.value) != len(want.Secrets) || len(got.Scopes.value) != len(want.Scopes) {
			t.Fatalf("body %q: %d secrets and %d scopes, encoding/json has %d and %d", body,
				len(got.Secrets.value), len(got.Scopes.value), len(want.Secrets), len(want.Scopes))
		}
		for name, value := range got.Secrets.value {
			same(t, body, name, value, want.Secrets[name])
		}
	})
}

// knownDetails are all that a refused body is told.
var knownDetails = map[string]bool{
	"there is no such member": true, "the member cannot be written": true, "the value has another type or form": true,
}

func same[T comparable](t *testing.T, body []byte, name string, got member[T], want *T) {
	t.Helper()
	if (want != nil) != (got.set && !got.null) || want != nil && got.value != *want {
		t.Fatalf("body %q: %s = %v, encoding/json says otherwise", body, name, got.value)
	}
}

// A header either is refused or decides for itself: the change goes to the
// current version, or nowhere.
func FuzzIfMatch(f *testing.F) {
	for _, seed := range []string{
		``, `*`, ` * `, `"1"`, `"7"`, `W/"7"`, `"1", "7"`, `"1","7"`, `"7" "1"`, `"7`, `7`, `*, "7"`, `,`, `, "7" ,`, `""`, `"a,b"`, `"7"x`,
		`w/"7"`, `W/`, `W/W/"7"`, "\"7\"\t,\t\"8\"", `"\"7"`, "\"\x80\"", `"07"`, `"+7"`, `"7 "`,
	} {
		f.Add(seed)
	}
	const current = 7
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPatch, "/", nil)
		r.Header["If-Match"] = []string{header}
		version, err := precondition(&call{r: r}, func() (int64, error) { return current, nil })
		if err != nil {
			if s := problemOf(err).status(); version != 0 || s != http.StatusBadRequest && s != http.StatusPreconditionFailed {
				t.Fatalf("If-Match %q = version %d with %d, want 0 with 400 or 412", header, version, s)
			}
			return
		}
		if version != current {
			t.Fatalf("If-Match %q lets through version %d, want the current one", header, version)
		}
		if trimmed := strings.TrimSpace(header); trimmed != "*" && !strings.Contains(header, `"7"`) {
			t.Fatalf("If-Match %q names neither * nor the current version and was let through", header)
		}
		// Without the current tag among them, the same list is stale.
		if !strings.Contains(header, "*") {
			_, err := precondition(&call{r: r}, func() (int64, error) { return 1 << 60, nil })
			if problemOf(err).Code != codeStale && !strings.Contains(header, "1152921504606846976") {
				t.Fatalf("If-Match %q with another version = %v, want stale", header, err)
			}
		}
		if _, err := precondition(&call{r: r}, func() (int64, error) { return 0, lanyard.ErrNotFound }); !errors.Is(err, lanyard.ErrNotFound) {
			t.Fatalf("If-Match %q of an unknown record = %v, want not found", header, err)
		}
	})
}
