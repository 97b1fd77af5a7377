package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/store/sqlite"
)

// fakeVault has one derived transit key with one version.
func fakeVault(t *testing.T) *httptest.Server {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "vault:v1:"
	type item struct {
		Plaintext  []byte `json:"plaintext,omitempty"`
		Ciphertext string `json:"ciphertext,omitempty"`
		Context    []byte `json:"context,omitempty"`
		Reference  string `json:"reference"`
		Error      string `json:"error,omitempty"`
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Items []item `json:"batch_input"`
		}
		operation, known := strings.CutPrefix(r.URL.Path, "/v1/secrets/transit/")
		operation, named := strings.CutSuffix(operation, "/lanyard")
		if !known || !named || r.Header.Get("X-Vault-Token") != "a-token" || json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var results []item
		for _, it := range body.Items {
			out := item{Reference: it.Reference}
			sealed, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(it.Ciphertext, prefix))
			switch key, err := aead.Open(nil, nil, sealed, it.Context); {
			case operation == "encrypt":
				out.Ciphertext = prefix + base64.StdEncoding.EncodeToString(aead.Seal(nil, nil, it.Plaintext, it.Context))
			case err != nil:
				out.Error = "cipher: message authentication failed"
			case operation == "rewrap":
				out.Ciphertext = prefix + base64.StdEncoding.EncodeToString(aead.Seal(nil, nil, key, it.Context))
			default:
				out.Plaintext = key
			}
			results = append(results, out)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"batch_results": results}})
	}))
	t.Cleanup(server.Close)
	return server
}

// The host moves to Vault and back.
func TestMoveToVault(t *testing.T) {
	t.Setenv("VAULT_ADDR", fakeVault(t).URL)
	t.Setenv("VAULT_TOKEN", "a-token")
	s := newSite(t)
	vault := []string{"-vault", "lanyard", "-vault-mount", "secrets/transit"}
	both := append([]string{"-keyring", s.keyring}, vault...)
	on := func(command string, flags ...string) []string {
		return append([]string{command, "-json", "-database", s.database}, flags...)
	}

	if got := status(t, s, exitProblem, vault...); got["key service"].Status != statusProblem {
		t.Errorf("the key service before the move: %+v, want a problem: it did not wrap the system key", got["key service"])
	}
	there := decode[rewrapReport](t, call(t, on("rewrap", append(both, "-to", "vault")...)...).want(t, "rewrap -to vault", exitOK))
	if there.KeyService != "vault:secrets/transit/lanyard" || there.KeyVersion != "v1" || there.Rewrapped != owners+1 {
		t.Errorf("rewrap -to vault says %+v, want all under Vault", there)
	}
	for _, c := range status(t, s, exitOK, vault...) { // without the keyring
		if c.Status != statusOK {
			t.Errorf("%s after the move: %+v, want ok", c.Name, c)
		}
	}
	again := decode[rewrapReport](t, call(t, on("rewrap", vault...)...).want(t, "rewrap -vault", exitOK))
	if again.Current != owners+1 || again.Rewrapped != 0 {
		t.Errorf("rewrap of what is in Vault says %+v, want that all were current", again)
	}
	s.with(t, func(_ *sqlite.Store, ring *crypto.Sealer) {
		if err := ring.Check(t.Context()); err == nil {
			t.Error("the keyring opens what is in Vault")
		}
	})

	back := decode[rewrapReport](t, call(t, on("rewrap", append(both, "-to", "keyring")...)...).want(t, "rewrap -to keyring", exitOK))
	if back.KeyService != "keyring" || back.Rewrapped != owners+1 {
		t.Errorf("rewrap -to keyring says %+v, want all under the keyring", back)
	}
	s.wantSound(t)

	t.Setenv("VAULT_TOKEN", "another")
	call(t, on("rewrap", vault...)...).want(t, "rewrap without the right", exitProblem, "denies access")
}

// Who does not answer has not said that anything is wrong.
func TestDoctorWhileVaultIsAway(t *testing.T) {
	server := fakeVault(t)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "a-token")
	t.Setenv("VAULT_MAX_RETRIES", "0")
	s := newSite(t)
	token := s.connect(t, ownerNamed(1))
	vault := []string{"-vault", "lanyard", "-vault-mount", "secrets/transit"}
	call(t, append([]string{"rewrap", "-database", s.database, "-keyring", s.keyring, "-to", "vault"}, vault...)...).want(t, "rewrap -to vault", exitOK)
	if got := status(t, s, exitOK, vault...)["connections"]; got.Status != statusOK || got.Checked != 1 {
		t.Errorf("connections: %+v, want one, which opens", got)
	}

	t.Setenv("VAULT_TOKEN", "another")
	wantProblem(t, status(t, s, exitProblem, vault...), "key service")
	t.Setenv("VAULT_TOKEN", "a-token")

	server.Close()
	away := status(t, s, exitAway, vault...)
	wantProblem(t, away, "")
	if got := away["key service"]; got.Status != statusUnavailable {
		t.Errorf("the key service: %+v, want that it is unavailable", got)
	}
	for _, name := range []string{"owner keys", "connections"} {
		if got := away[name]; got.Status != statusSkipped {
			t.Errorf("%s: %+v, want that they were not looked at", name, got)
		}
	}
	text := call(t, append([]string{"doctor", "-database", s.database}, vault...)...).want(t, "doctor", exitAway, "unavailable")
	if strings.Contains(text.out+text.err, token.ID) || strings.Contains(text.out+text.err, "integrity") {
		t.Errorf("doctor holds it against a connection:\n%s%s", text.out, text.err)
	}

	s.exec(t, `DROP INDEX lanyard_api_keys_owner`)
	wantProblem(t, status(t, s, exitProblem, vault...), "indexes")
}

// A key service that goes away on the way leaves what is left unjudged.
func TestDoctorWhenVaultGoesAway(t *testing.T) {
	server := fakeVault(t)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "a-token")
	t.Setenv("VAULT_MAX_RETRIES", "0")
	s := newSite(t)
	s.connect(t, ownerNamed(1))
	k := &keyServices{ring: &ring{}, vault: "lanyard", mount: "secrets/transit"}
	call(t, "rewrap", "-database", s.database, "-keyring", s.keyring, "-vault", k.vault, "-vault-mount", k.mount, "-to", "vault").want(t, "rewrap -to vault", exitOK)
	d := &database{flag: s.database}
	st, err := d.open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	sealer, err := k.sealer(st)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	j := &job{stderr: io.Discard}
	for _, c := range append(j.examineOwnerKeys(t.Context(), st, sealer), j.examineConnections(t.Context(), d, st, sealer, catalog.All())) {
		if c.Status != statusUnavailable || len(c.Items) != 0 {
			t.Errorf("%s: %+v, want that it is unavailable", c.Name, c)
		}
	}
}
