package vaulttransit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// item is one element of batch_input. Bytes travel as base64. The binding is
// the context of a derived key: associated_data would be refused by rewrap.
// https://developer.hashicorp.com/vault/api-docs/secret/transit
type item struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Context    []byte `json:"context"`
	Reference  string `json:"reference"`
}

// result is one element of batch_results.
type result struct {
	Plaintext  []byte `json:"plaintext"`
	Ciphertext string `json:"ciphertext"`
	Error      string `json:"error"` // the server's text: never passed on
	Reference  string `json:"reference"`
}

// encodeBatch numbers the items, so that the results can be told apart.
func encodeBatch(items []item) ([]byte, error) {
	numbered := make([]item, len(items))
	for i, it := range items {
		it.Reference = strconv.Itoa(i)
		numbered[i] = it
	}
	return json.Marshal(struct {
		Items []item `json:"batch_input"`
		// Without it one bad item of many makes the status 400, where it is not
		// rewrap that is asked: Vault 1.21 answers that with 200 either way.
		PartialFailure int `json:"partial_failure_response_code"`
	}{numbered, http.StatusOK})
}

// decodeAnswer returns the results of n items, in the order of the items.
func decodeAnswer(status int, raw []byte, n int) ([]result, error) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return nil, fmt.Errorf("status %d: %w", status, crypto.ErrDenied)
	}
	var a struct {
		Data struct {
			Results []result `json:"batch_results"`
		} `json:"data"`
		Errors *[]json.RawMessage `json:"errors"`
	}
	malformed := json.Unmarshal(raw, &a) != nil
	switch {
	case malformed:
	case status == http.StatusOK, status == http.StatusBadRequest && allFailed(a.Data.Results):
		return inOrder(a.Data.Results, n)
	case a.Errors == nil:
		// Not the server's own answer, but of something before it.
	case status == http.StatusBadRequest, status == http.StatusNotFound:
		// No such key, or no transit engine at that mount.
		return nil, fmt.Errorf("status %d: %w", status, crypto.ErrUnknownKey)
	}
	return nil, fmt.Errorf("status %d: %w", status, lanyard.ErrUnavailable)
}

func allFailed(results []result) bool {
	return len(results) > 0 && !slices.ContainsFunc(results, func(r result) bool { return r.Error == "" })
}

// inOrder sorts results by their reference. Every item must have exactly one.
func inOrder(results []result, n int) ([]result, error) {
	if len(results) != n {
		return nil, fmt.Errorf("%d answers to %d items: %w", len(results), n, lanyard.ErrUnavailable)
	}
	out := make([]result, n)
	seen := make([]bool, n)
	for _, r := range results {
		i, err := strconv.Atoi(r.Reference)
		if err != nil || i < 0 || i >= n || seen[i] || r.Reference != strconv.Itoa(i) {
			return nil, fmt.Errorf("an answer to no item: %w", lanyard.ErrUnavailable)
		}
		out[i], seen[i] = r, true
	}
	return out, nil
}
