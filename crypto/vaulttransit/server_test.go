package vaulttransit_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// What must never come out of the package.
const (
	canaryToken = "hvs.CANARY-token-d41f"
	canaryText  = "CANARY-text-of-the-server-77ab"
)

// server is a transit engine as Vault 1.21.0 and OpenBao have it, in what
// matters here; builtin/logical/transit of both says so:
//
//   - a key that is not derived ignores the context in silence, a derived one
//     binds to it and refuses to go without;
//   - a key that does not exist is a 400 with "errors", and creating one by
//     encrypting needs another capability than the token has: 403. For who has
//     it the key is made derived, since there is a context;
//   - items that fail are a 400 with "batch_results", unless some succeed and
//     partial_failure_response_code says another status (of rewrap the real one
//     makes it a 200 always);
//   - rewrap encrypts anew also under the newest version;
//   - an engine that is not mounted is a 404.
type server struct {
	*httptest.Server

	mu       sync.Mutex
	keys     map[string]*transitKey
	asked    []asked
	override http.HandlerFunc            // answers instead, where not nil
	rewrite  func(answer map[string]any) // changes an answer, where not nil
}

type transitKey struct {
	derived    bool
	versions   [][]byte
	minDecrypt int
}

// asked is a request the server saw.
type asked struct {
	path      string
	token     string
	namespace string
	protocol  string
	header    http.Header
	batch     batchRequest
}

type batchRequest struct {
	Items          []batchItem `json:"batch_input"`
	PartialFailure int         `json:"partial_failure_response_code"`
}

type batchItem struct {
	Plaintext  string `json:"plaintext"`
	Ciphertext string `json:"ciphertext"`
	Context    string `json:"context"`
	Reference  string `json:"reference"`
}

// newServer starts a server with the derived key "lanyard" and the key
// "plain", which is not derived.
func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{keys: map[string]*transitKey{"lanyard": {derived: true}, "plain": {}}}
	for name := range s.keys {
		s.rotate(name)
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// client returns a client of the server, with the canary as its token.
func (s *server) client(t testing.TB) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	config.Address, config.AgentAddress = s.URL, ""
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatalf("api.NewClient() = %v", err)
	}
	client.SetToken(canaryToken)
	return client
}

// transit returns the key "lanyard" of the server.
func (s *server) transit(t testing.TB) *vaulttransit.Transit {
	t.Helper()
	return newTransit(t, s.client(t), "lanyard", nil)
}

func newTransit(t testing.TB, client *api.Client, key string, o *vaulttransit.Options) *vaulttransit.Transit {
	t.Helper()
	secrets, err := vaulttransit.New(client, key, o)
	if err != nil {
		t.Fatalf("New(%q) = %v, want nil", key, err)
	}
	return secrets
}

// rotate adds a version to a key.
func (s *server) rotate(name string) {
	version := make([]byte, 32)
	_, _ = rand.Read(version)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name].versions = append(s.keys[name].versions, version)
}

// instead lets h answer from now on; nil undoes it.
func (s *server) instead(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.override = h
}

// requests returns what the server was asked so far.
func (s *server) requests() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]asked(nil), s.asked...)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	a := asked{path: r.Method + " " + r.URL.Path, token: r.Header.Get("X-Vault-Token"), namespace: r.Header.Get("X-Vault-Namespace"), protocol: r.Proto, header: r.Header.Clone()}
	_ = json.Unmarshal(raw, &a.batch)
	s.mu.Lock()
	s.asked = append(s.asked, a)
	override := s.override
	s.mu.Unlock()
	if override != nil {
		override(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transitEngine(w, r, a)
}

func (s *server) transitEngine(w http.ResponseWriter, r *http.Request, a asked) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch {
	case a.token != canaryToken:
		fails(w, http.StatusForbidden)
		return
	case len(path) != 3 || path[0] != "transit" || r.Method != http.MethodPut:
		fails(w, http.StatusNotFound)
		return
	}
	operation, key := path[1], s.keys[path[2]]
	switch {
	case key == nil && operation == "encrypt":
		fails(w, http.StatusForbidden)
		return
	case key == nil || len(a.batch.Items) == 0:
		fails(w, http.StatusBadRequest)
		return
	}
	var results []map[string]any
	succeeded, failed := false, false
	for _, it := range a.batch.Items {
		if (it.Context == "") != (a.batch.Items[0].Context == "") {
			fails(w, http.StatusBadRequest)
			return
		}
		result, err := key.do(operation, it)
		if err != nil {
			failed = true
			result = map[string]any{"error": err.Error()}
		} else {
			succeeded = true
		}
		result["reference"] = it.Reference
		results = append(results, result)
	}
	status := http.StatusOK
	if failed {
		status = http.StatusBadRequest
		if succeeded && a.batch.PartialFailure != 0 {
			status = a.batch.PartialFailure
		}
	}
	answer := map[string]any{"request_id": "f0c1", "lease_duration": 0, "data": map[string]any{"batch_results": results}, "mount_type": "transit"}
	if s.rewrite != nil {
		s.rewrite(answer)
	}
	writeJSON(w, status, answer)
}

func (k *transitKey) do(operation string, it batchItem) (map[string]any, error) {
	place, err := base64.StdEncoding.DecodeString(it.Context)
	if err != nil || k.derived && len(place) == 0 {
		return nil, fmt.Errorf("missing context, %s", canaryText)
	}
	switch operation {
	case "encrypt":
		plaintext, err := base64.StdEncoding.DecodeString(it.Plaintext)
		if err != nil {
			return nil, err
		}
		return k.encrypt(plaintext, place), nil
	case "decrypt", "rewrap":
		plaintext, err := k.decrypt(it.Ciphertext, place)
		if err != nil {
			return nil, err
		}
		if operation == "rewrap" {
			return k.encrypt(plaintext, place), nil
		}
		return map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plaintext)}, nil
	default:
		return nil, fmt.Errorf("no operation %q", operation)
	}
}

func (k *transitKey) encrypt(plaintext, place []byte) map[string]any {
	version := len(k.versions)
	sealed := k.aead(version, place).Seal(nil, nil, plaintext, nil)
	return map[string]any{
		"ciphertext":  fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(sealed)),
		"key_version": version,
	}
}

func (k *transitKey) decrypt(ciphertext string, place []byte) ([]byte, error) {
	digits, encoded, _ := strings.Cut(strings.TrimPrefix(ciphertext, "vault:v"), ":")
	version, err := strconv.Atoi(digits)
	if version == 0 {
		version = 1 // as the real one
	}
	sealed, err2 := base64.StdEncoding.DecodeString(encoded)
	if err != nil || err2 != nil || version > len(k.versions) || version < k.minDecrypt || version < 1 {
		return nil, fmt.Errorf("invalid ciphertext, %s", canaryText)
	}
	plaintext, err := k.aead(version, place).Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("cipher: message authentication failed, %s", canaryText)
	}
	return plaintext, nil
}

func (k *transitKey) aead(version int, place []byte) cipher.AEAD {
	key := k.versions[version-1]
	if k.derived {
		derived, err := hkdf.Key(sha256.New, key, nil, string(place), 32)
		if err != nil {
			panic(err)
		}
		key = derived
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// fails answers as Vault does to a request that fails as a whole. Its text
// repeats what it may know.
func fails(w http.ResponseWriter, status int) {
	writeJSON(w, status, map[string]any{"errors": []string{canaryText + " " + canaryToken}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// answers returns a handler that gives this answer to everything.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// sample wraps a fresh key.
func sample(t testing.TB, s *vaulttransit.Transit, place string) (key []byte, item rewrapItem) {
	t.Helper()
	key = make([]byte, 32)
	_, _ = rand.Read(key)
	w, err := s.Wrap(context.Background(), bytes.Clone(key), []byte(place))
	if err != nil {
		t.Fatalf("Wrap() = %v, want nil", err)
	}
	return key, rewrapItem{Wrapped: w, Binding: []byte(place)}
}
