package vault_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// The documented policy suffices, see [TestSecrets], and nothing else is
// allowed: who steals the token can use the key, but neither read it nor change
// it nor make another.
func TestPolicy(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	e.write(t, "keys/other", keyOptions(t))
	x := newSample(t, e.transit(t, "lanyard"), "place")
	client := e.Client(t, e.token)
	encrypt := map[string]any{"plaintext": "AAAA", "context": "AAAA"}
	for _, tt := range []struct {
		method, path string
		data         map[string]any
	}{
		{http.MethodGet, "keys/lanyard", nil},
		{"LIST", "keys", nil},
		{http.MethodPut, "keys/lanyard", map[string]any{"derived": true}},
		{http.MethodPut, "keys/new", map[string]any{"derived": true}},
		{http.MethodPut, "keys/lanyard/rotate", nil},
		{http.MethodPut, "keys/lanyard/config", map[string]any{"exportable": true, "allow_plaintext_backup": true}},
		{http.MethodPut, "keys/lanyard/config", map[string]any{"deletion_allowed": true}},
		{http.MethodPut, "keys/lanyard/trim", map[string]any{"min_available_version": 1}},
		{http.MethodDelete, "keys/lanyard", nil},
		{http.MethodGet, "export/encryption-key/lanyard", nil},
		{http.MethodGet, "export/encryption-key/lanyard/1", nil},
		{http.MethodGet, "backup/lanyard", nil},
		{http.MethodPut, "restore/lanyard", map[string]any{"backup": "AAAA", "force": true}},
		{http.MethodPut, "datakey/plaintext/lanyard", map[string]any{"context": "AAAA"}},
		{http.MethodPut, "encrypt/other", encrypt},
		{http.MethodPut, "encrypt/new", encrypt},
		{http.MethodPut, "encrypt/lanyard/more", encrypt},
		{http.MethodPut, "decrypt/other", map[string]any{"ciphertext": string(x.wrapped.Ciphertext), "context": "AAAA"}},
		{http.MethodPut, "rewrap/other", map[string]any{"ciphertext": string(x.wrapped.Ciphertext), "context": "AAAA"}},
		{http.MethodPut, "hmac/lanyard", map[string]any{"input": "AAAA"}},
		{http.MethodPut, "sign/lanyard", map[string]any{"input": "AAAA"}},
		{http.MethodGet, "cache-config", nil},
		{http.MethodPut, "config/keys", map[string]any{"disable_upsert": false}},
		{http.MethodGet, "../sys/mounts", nil},
		{http.MethodGet, "../sys/policies/acl/" + e.Mount, nil},
		{http.MethodPut, "../auth/token/create", nil},
		{http.MethodGet, "../auth/token/lookup-self", nil},
		{http.MethodPut, "../sys/seal", nil},
		{http.MethodGet, "../secret/data/x", nil},
	} {
		path, elsewhere := strings.CutPrefix(tt.path, "../")
		if !elsewhere {
			path = e.Mount + "/" + path
		}
		request := client.NewRequest(tt.method, "/v1/"+path)
		if tt.data != nil {
			if err := request.SetJSONBody(tt.data); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := client.RawRequestWithContext(t.Context(), request) //nolint:staticcheck // any method, any path
		if resp != nil {
			_ = resp.Body.Close()
		}
		var refused *api.ResponseError
		if !errors.As(err, &refused) || refused.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s = %v, want status 403", tt.method, tt.path, err)
		}
	}
	x.opens(t, e.transit(t, "lanyard"), "after all that", x.wrapped)
}
