// Package vault_test tests crypto/vaulttransit against the server it is for.
package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/integration/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }

// engine is a real transit engine with the key "lanyard" as docs/vault.md has
// it made, and a token as docs/vault.md has it allowed.
type engine struct {
	*servers.Transit
	token string
	heard *heard
}

func newEngine(t *testing.T) *engine { t.Helper(); return prepare(t, servers.Vault(t)) }

// ownEngine is an engine on a server of the test's own.
func ownEngine(t *testing.T) *engine { t.Helper(); return prepare(t, servers.OwnVault(t)) }

func prepare(t *testing.T, transit *servers.Transit) *engine {
	t.Helper()
	e := &engine{Transit: transit, heard: &heard{}}
	e.write(t, "keys/lanyard", keyOptions(t))
	e.allow(t, e.Mount, documented(t, e.Mount))
	e.token = e.newToken(t, e.Mount, "1h")
	return e
}

// write does something as root.
func (e *engine) write(t *testing.T, path string, data map[string]any) {
	t.Helper()
	if _, err := e.Root.Logical().WriteWithContext(t.Context(), e.Mount+"/"+path, data); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
}

func (e *engine) rotate(ctx context.Context, key string) error {
	_, err := e.Root.Logical().WriteWithContext(ctx, e.Mount+"/keys/"+key+"/rotate", nil)
	return err
}

// allow makes a policy, for the time of the test.
func (e *engine) allow(t *testing.T, name, policy string) {
	t.Helper()
	if err := e.Root.Sys().PutPolicyWithContext(t.Context(), name, policy); err != nil {
		t.Fatalf("make a policy: %v", err)
	}
	t.Cleanup(func() { _ = e.Root.Sys().DeletePolicyWithContext(context.WithoutCancel(t.Context()), name) })
}

// newToken makes a token with one policy and no other, not even the default.
func (e *engine) newToken(t *testing.T, policy, ttl string) string {
	t.Helper()
	made, err := e.Root.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{
		Policies: []string{policy}, NoDefaultPolicy: true, TTL: ttl,
	})
	if err != nil {
		t.Fatalf("make a token: %v", err)
	}
	return made.Auth.ClientToken
}

// client returns a client with a token, what is said to which is heard.
func (e *engine) client(t *testing.T, token string) *api.Client {
	t.Helper()
	config := e.Client(t, "").CloneConfig()
	config.HttpClient.Transport = listening{to: e.heard, next: config.HttpClient.Transport}
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	client.SetToken(token)
	return client
}

// transit returns a key of the engine under the documented token.
func (e *engine) transit(t *testing.T, key string) *vaulttransit.Transit {
	t.Helper()
	return e.with(t, e.client(t, e.token), key)
}

func (e *engine) with(t *testing.T, client *api.Client, key string) *vaulttransit.Transit {
	t.Helper()
	secrets, err := vaulttransit.New(client, key, &vaulttransit.Options{Mount: e.Mount})
	if err != nil {
		t.Fatalf("New(%q) = %v", key, err)
	}
	return secrets
}

// document returns the blocks of docs/vault.md that are in a language.
func document(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/vault.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for i, part := range strings.Split(string(text), "```") {
		if block, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("docs/vault.md has no block of %s", language)
	}
	return blocks
}

// documented returns the documented policy, for another mount.
func documented(t *testing.T, mount string) string {
	t.Helper()
	return strings.ReplaceAll(document(t, "hcl")[0], `"transit/`, `"`+mount+`/`)
}

// keyOptions returns how the documented command makes the key.
func keyOptions(t *testing.T) map[string]any {
	t.Helper()
	return optionsOf(t, "vault write -f transit/keys/lanyard ")
}

// optionsOf returns with which options a documented command is given.
func optionsOf(t *testing.T, command string) map[string]any {
	t.Helper()
	_, line, ok := strings.Cut(strings.Join(document(t, "sh"), ""), command)
	if !ok {
		t.Fatalf("docs/vault.md does not say %q", command)
	}
	line, _, _ = strings.Cut(strings.ReplaceAll(line, "\\\n", ""), "\n")
	options := make(map[string]any)
	for _, option := range strings.Fields(line) {
		name, value, _ := strings.Cut(option, "=")
		options[name] = value
	}
	return options
}

// heard is what a server said in error.
type heard struct {
	mu     sync.Mutex
	texts  map[string]bool
	asked  map[string]int // by operation, as "encrypt" or "login"
	denied int            // 403s
	calls  int
	status int // of the last answer
}

// times returns how often the server was asked for an operation.
func (h *heard) times(operation string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[operation]
}

func (h *heard) denials() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.denied
}

func (h *heard) requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

func (h *heard) lastStatus() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.texts))
}

// wantHeard fails the test unless the server said that, so that not saying it
// means something.
func (e *engine) wantHeard(t *testing.T, text string) {
	t.Helper()
	if all := e.heard.all(); !slices.Contains(all, text) {
		t.Errorf("the server said %q, want %q among it", all, text)
	}
}

// listening hears what is answered.
type listening struct {
	to   *heard
	next http.RoundTripper
}

func (l listening) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	raw, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(raw))
	var answer struct {
		Errors []string
		Data   struct {
			Results []struct{ Error string } `json:"batch_results"`
		}
	}
	_ = json.Unmarshal(raw, &answer)
	for _, result := range answer.Data.Results {
		answer.Errors = append(answer.Errors, result.Error)
	}
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	l.to.calls, l.to.status = l.to.calls+1, resp.StatusCode
	if l.to.texts == nil {
		l.to.texts, l.to.asked = make(map[string]bool), make(map[string]int)
	}
	operation := path.Base(r.URL.Path)
	if path.Base(path.Dir(r.URL.Path)) != "token" && operation != "login" {
		operation = path.Base(path.Dir(r.URL.Path)) // the last is the key
	}
	l.to.asked[operation]++
	if resp.StatusCode == http.StatusForbidden {
		l.to.denied++
	}
	for _, said := range answer.Errors {
		// A long text is a list, its lines begin with a star.
		for line := range strings.Lines(said) {
			if line = strings.TrimSpace(strings.TrimLeft(line, "\t *")); line != "" {
				l.to.texts[line] = true
			}
		}
	}
	return resp, nil
}

// sample is a key that is wrapped for a place.
type sample struct {
	key     []byte
	wrapped crypto.Wrapped
	place   []byte
}

func (x sample) item() crypto.RewrapItem {
	return crypto.RewrapItem{Wrapped: x.wrapped, Binding: x.place}
}

func newSample(t *testing.T, secrets *vaulttransit.Transit, place string) sample {
	t.Helper()
	x := sample{key: make([]byte, crypto.KeySize), place: []byte(place)}
	_, _ = rand.Read(x.key) // never fails
	var err error
	if x.wrapped, err = secrets.Wrap(t.Context(), bytes.Clone(x.key), x.place); err != nil {
		t.Fatalf("Wrap() = %v", err)
	}
	return x
}

// opens fails the test unless w is the key of x, in its place.
func (x sample) opens(t *testing.T, secrets *vaulttransit.Transit, what string, w crypto.Wrapped) {
	t.Helper()
	if key, err := secrets.Unwrap(t.Context(), w, x.place); err != nil || !bytes.Equal(key, x.key) {
		t.Errorf("Unwrap() %s = %v, want the key", what, err)
	}
}

// refuses fails the test unless everything that secrets can be asked ends as
// wanted: Wrap in wrap, Unwrap and Rewrap of x in open.
func (e *engine) refuses(t *testing.T, secrets *vaulttransit.Transit, what string, x sample, wrap, open error) {
	t.Helper()
	w, err := secrets.Wrap(t.Context(), bytes.Clone(x.key), x.place)
	e.wantError(t, "Wrap() "+what, err, wrap, x.key)
	if err != nil && len(w.Ciphertext) != 0 {
		t.Errorf("Wrap() %s gave a ciphertext beside an error", what)
	}
	key, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
	e.wantError(t, "Unwrap() "+what, err, open, x.key)
	if err != nil && len(key) != 0 {
		t.Errorf("Unwrap() %s gave a key beside an error", what)
	}
	answer := secrets.Rewrap(t.Context(), []crypto.RewrapItem{x.item()})[0]
	e.wantError(t, "Rewrap() "+what, answer.Err, open, x.key)
}

// wantError fails the test unless err is want, no other of our errors, and
// silent about token, key, server and what the server said.
func (e *engine) wantError(t *testing.T, what string, err, want error, key []byte) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s = %v, want %v", what, err, want)
		return
	}
	if err == nil {
		return
	}
	for _, other := range []error{crypto.ErrIntegrity, crypto.ErrUnknownKey, crypto.ErrDenied, crypto.ErrUnbound, lanyard.ErrUnavailable} {
		if errors.Is(err, other) && !errors.Is(want, other) {
			t.Errorf("%s = %v, which is %v too", what, err, other)
		}
	}
	secrets := append(e.heard.all(), e.token, e.Root.Token(), e.Root.Address(), string(key), hex.EncodeToString(key),
		base64.StdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key))
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s = %q, which holds %q", what, text, secret)
		}
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if _, foreign := e.(*api.ResponseError); foreign { //nolint:errorlint // each link of the chain
			t.Errorf("%s carries a %T", what, e)
		}
	}
}
