package vaulttransit_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// FuzzVaultResponse has a server answer anything. Whatever it is, a call ends
// with something well-formed or with one of our errors, which says nothing of
// it, and nothing panics.
func FuzzVaultResponse(f *testing.F) {
	sealed := "vault:v1:" + strings.Repeat("A", 80)
	for _, body := range []string{
		"", "null", "{}", "[]", `{"errors":["` + canaryText + `"]}`,
		`{"data":{"batch_results":[{"reference":"0","ciphertext":"` + sealed + `"}]}}`,
		`{"data":{"batch_results":[{"reference":"0","plaintext":"` + strings.Repeat("A", 43) + `="}]}}`,
		`{"data":{"batch_results":[{"reference":"0","error":"` + canaryText + `"}]}}`,
		`{"data":{"batch_results":[{"reference":"0","plaintext":"AAAA","ciphertext":"vault:v1:AAAA","error":""},null]}}`,
		`{"data":{"batch_results":null},"wrap_info":{},"auth":null,"warnings":["x"]}`,
	} {
		for _, status := range []int{200, 204, 307, 400, 403, 404, 429, 500, 503} {
			f.Add(status, body)
		}
	}
	s := newServer(f)
	secrets := s.transit(f)
	key, it := sample(f, secrets, "place")
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return // no final status
		}
		s.instead(answers(status, body))
		ours := func(what string, err error) {
			t.Helper()
			for _, known := range []error{lanyard.ErrUnavailable, crypto.ErrDenied, crypto.ErrUnknownKey, crypto.ErrIntegrity} {
				if errors.Is(err, known) {
					wantSilent(t, what, err, key)
					return
				}
			}
			t.Errorf("%s answered %d %q = %v, want one of our errors", what, status, body, err)
		}
		if w, err := secrets.Wrap(t.Context(), key, it.Binding); err != nil {
			ours("Wrap()", err)
		} else if status != http.StatusOK || len(w.Ciphertext) > crypto.MaxWrapped || !strings.HasPrefix(string(w.Ciphertext), "vault:"+w.KeyVersion+":") {
			t.Errorf("Wrap() answered %d %q = %+v, want an error", status, body, w)
		}
		if got, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding); err != nil {
			ours("Unwrap()", err)
		} else if status != http.StatusOK || len(got) != crypto.KeySize {
			t.Errorf("Unwrap() answered %d %q = %d bytes, want an error", status, body, len(got))
		}
		results := secrets.Rewrap(t.Context(), []rewrapItem{it})
		if len(results) != 1 {
			t.Fatalf("Rewrap() gave %d answers, want 1", len(results))
		}
		if results[0].Err != nil {
			ours("Rewrap()", results[0].Err)
		}
	})
}
