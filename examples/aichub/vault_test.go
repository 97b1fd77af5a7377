package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aichub/lanyard/crypto"
)

// With Vault there is no keyring, and readiness says when Vault is away. Keys
// that were verified before go on to work.
func TestVault(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		vault := newVault(t)
		s := configure(t, vault.env(env))
		token := withJira(t, &s)
		a := start(t, s)
		_, key := a.createKey(a.url)
		if r := a.connectJira(a.url, token); r.status != http.StatusCreated {
			t.Fatalf("connecting = %d, want 201", r.status)
		}
		if _, err := os.Stat(filepath.Join(s.data, "lanyard.keys")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("beside Vault there is a keyring: %v", err)
		}
		if vault.asked.Load() == 0 {
			t.Error("Vault was asked nothing")
		}
		a.hello(a.instances["a"], key)

		vault.sealed.Store(true)
		h := a.instances["a"]
		untilStatus(t, a, h+"/readyz", http.StatusServiceUnavailable)
		if r := a.hello(h, key); r.status != http.StatusOK {
			t.Errorf("hello with Vault sealed = %d, want 200", r.status)
		}
		if r := a.call(http.MethodGet, h+"/healthz", ""); r.status != http.StatusOK {
			t.Errorf("healthz with Vault sealed = %d, want 200", r.status)
		}
		vault.sealed.Store(false)
		untilStatus(t, a, h+"/readyz", http.StatusOK)
	})
}

// What a keyring wrapped opens after the move to Vault, as long as the keyring
// is there.
func TestMoveToVault(t *testing.T) {
	t.Parallel()
	s := configure(t, nil)
	token := withJira(t, &s)
	a := start(t, s)
	_, key := a.createKey(a.url)
	if r := a.connectJira(a.url, token); r.status != http.StatusCreated {
		t.Fatalf("connecting = %d, want 201", r.status)
	}
	a.stop()

	vault := newVault(t)
	moved := configure(t, vault.env(nil), "-data", s.data)
	moved.jira = s.jira
	b := start(t, moved)
	if r := b.hello(b.url, key); r.status != http.StatusOK {
		t.Errorf("hello after the move = %d, want 200", r.status)
	}
	if r := b.call(http.MethodGet, b.url+"/api/agent/issues", "", "Authorization", "Bearer "+key); r.status != http.StatusOK {
		t.Errorf("issues after the move = %d %s, want 200", r.status, r.body)
	}
	b.stop()

	if err := os.Remove(filepath.Join(s.data, "lanyard.keys")); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), moved, io.Discard, io.Discard); !errors.Is(err, crypto.ErrUnknownKey) {
		t.Errorf("run with Vault and without the keyring = %v, want crypto.ErrUnknownKey", err)
	}
}

// A Vault that ignores the binding, or refuses the token, is found out at start.
func TestVaultOfNoUse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		key, token string
		want       error
	}{
		"not derived": {"plain", "", crypto.ErrUnbound},
		"denied":      {"lanyard", "another", crypto.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newVault(t).env(nil)
			env["VAULT_TRANSIT_KEY"] = tt.key
			if tt.token != "" {
				env["VAULT_TOKEN"] = tt.token
			}
			if err := run(t.Context(), configure(t, env), io.Discard, io.Discard); !errors.Is(err, tt.want) {
				t.Errorf("run = %v, want %v", err, tt.want)
			}
		})
	}
}

// fakeVault is the transit engine in what a host needs to start and run: keys
// "lanyard", which is derived, and "plain", which is not. The real one is
// tested elsewhere.
type fakeVault struct {
	url, token string
	asked      atomic.Int64
	sealed     atomic.Bool
	aead       cipher.AEAD
}

func newVault(t *testing.T) *fakeVault {
	t.Helper()
	block, err := aes.NewCipher([]byte(rand.Text()[:16]))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	v := &fakeVault{token: "hvs." + rand.Text(), aead: aead}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	v.url = server.URL
	return v
}

// env adds Vault to an environment.
func (v *fakeVault) env(env map[string]string) map[string]string {
	with := map[string]string{"VAULT_ADDR": v.url, "VAULT_TOKEN": v.token}
	maps.Copy(with, env)
	return with
}

func (v *fakeVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.asked.Add(1)
	var batch struct {
		Input []struct{ Plaintext, Ciphertext, Context, Reference string } `json:"batch_input"`
	}
	operation, key, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	switch {
	case v.sealed.Load():
		writeJSON(w, http.StatusServiceUnavailable, "application/json", map[string]any{"errors": []string{"Vault is sealed"}})
		return
	case r.Header.Get("X-Vault-Token") != v.token:
		writeJSON(w, http.StatusForbidden, "application/json", map[string]any{"errors": []string{"permission denied"}})
		return
	case !found || json.NewDecoder(r.Body).Decode(&batch) != nil:
		writeJSON(w, http.StatusNotFound, "application/json", map[string]any{"errors": []string{}})
		return
	}
	status, results := http.StatusOK, []map[string]any{}
	for _, it := range batch.Input {
		place := []byte(it.Context)
		if key == "plain" {
			place = nil
		}
		result := map[string]any{"reference": it.Reference}
		switch operation {
		case "encrypt":
			sealed := v.aead.Seal(nil, nil, []byte(it.Plaintext), place)
			result["ciphertext"], result["key_version"] = "vault:v1:"+base64.StdEncoding.EncodeToString(sealed), 1
		case "decrypt":
			sealed, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(it.Ciphertext, "vault:v1:"))
			plaintext, err := v.aead.Open(nil, nil, sealed, place)
			if err != nil {
				result["error"], status = "cipher: message authentication failed", http.StatusBadRequest
				break
			}
			result["plaintext"] = string(plaintext)
		}
		results = append(results, result)
	}
	writeJSON(w, status, "application/json", map[string]any{"data": map[string]any{"batch_results": results}})
}

// untilStatus asks until the answer is the one wanted.
func untilStatus(t *testing.T, a *app, url string, want int) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("%s answers %d", url, want), func() bool {
		return a.call(http.MethodGet, url, "").status == want
	})
}
