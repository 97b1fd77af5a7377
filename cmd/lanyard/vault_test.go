package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
	// By a name that nothing has yet it may be a mistake, and the host would open nothing.
	call(t, on("rewrap", append(both, "-to", "vault")...)...).want(t, "rewrap to a name that is not known", exitUsage, "vault:secrets/transit/lanyard", "-first")
	wantProblem(t, status(t, s, exitProblem, append(both, "-to", "vault")...), "key versions")
	call(t, "doctor", "-database", s.database, "-keyring", s.keyring, "-vault", "lanyard", "-vault-mount", "secrets/transit", "-to", "vault").
		want(t, "doctor before the move", exitProblem, "none is under vault:secrets/transit/lanyard yet")
	call(t, on("rewrap", append(both, "-to", "vault", "-dry-run")...)...).want(t, "rewrap -dry-run", exitOK)
	s.wantSound(t)
	there := decode[rewrapReport](t, call(t, on("rewrap", append(both, "-to", "vault", "-first")...)...).want(t, "rewrap -to vault -first", exitOK))
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
	call(t, append([]string{"rewrap", "-database", s.database, "-keyring", s.keyring, "-to", "vault", "-first"}, vault...)...).want(t, "rewrap -to vault", exitOK)
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
	k := &keyServices{ring: &ring{}, vault: &transitKey{key: "lanyard", mount: "secrets/transit"}, previous: &transitKey{mount: "transit"}}
	call(t, "rewrap", "-database", s.database, "-keyring", s.keyring, "-vault", k.vault.key, "-vault-mount", k.vault.mount, "-to", "vault", "-first").want(t, "rewrap -to vault", exitOK)
	d := &database{flag: s.database}
	st, err := d.open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	err = k.with(st, func(sealer *crypto.Sealer) error {
		server.Close()
		j := &job{stderr: io.Discard}
		for _, c := range append(j.examineOwnerKeys(t.Context(), st, k, sealer), j.examineConnections(t.Context(), d, st, sealer, catalog.All())) {
			if c.Status != statusUnavailable || len(c.Items) != 0 {
				t.Errorf("%s: %+v, want that it is unavailable", c.Name, c)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A pod logs in with the token of its service account.
func TestKubernetesLogin(t *testing.T) {
	fake := fakeVault(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Role, JWT string }
		switch {
		case r.URL.Path != "/v1/auth/k8s/login":
			fake.Config.Handler.ServeHTTP(w, r)
		case json.NewDecoder(r.Body).Decode(&body) != nil || body.Role != "host" || body.JWT != "a-jwt":
			w.WriteHeader(http.StatusForbidden)
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"auth": map[string]any{"client_token": "a-token", "lease_duration": 3600}})
		}
	}))
	t.Cleanup(server.Close)
	jwt := filepath.Join(t.TempDir(), "jwt")
	if err := os.WriteFile(jwt, []byte("a-jwt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "") // and not that one
	t.Setenv(vaultPrefix+varKubernetes, "host")
	t.Setenv(vaultPrefix+varJWTFile, jwt)
	t.Setenv(vaultPrefix+varAuthMount, "k8s")
	s := newSite(t)
	flags := []string{"-database", s.database, "-keyring", s.keyring, "-vault", "lanyard", "-vault-mount", "secrets/transit", "-to", "vault", "-first"}
	call(t, append([]string{"rewrap"}, flags...)...).want(t, "rewrap", exitOK, "121 rewrapped")
	t.Setenv(vaultPrefix+varKubernetes, "another")
	call(t, append([]string{"rewrap"}, flags...)...).want(t, "rewrap as another role", exitProblem, "denies access")
}

// Half a login, or two, is refused before anything is opened.
func TestLoginsThatCannotBeMeant(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	none := filepath.Join(t.TempDir(), "none")
	for _, suffixes := range [][]string{
		{varRoleID}, {varSecretID}, {varSecretIDFile}, {varRoleID, varSecretID, varSecretIDFile}, {varJWTFile}, {varAuthMount},
		{varRoleID, varSecretID, varKubernetes},
	} {
		for _, prefix := range []string{vaultPrefix, previousPrefix} {
			t.Run(prefix+strings.Join(suffixes, " "), func(t *testing.T) {
				for _, suffix := range suffixes {
					t.Setenv(prefix+suffix, "canary")
				}
				got := call(t, "rewrap", "-database", none, "-vault", "a", "-previous-vault", "b").want(t, "rewrap", exitUsage, prefix)
				if strings.Contains(got.err, "canary") {
					t.Errorf("it repeats what is in the environment: %s", got.err)
				}
			})
		}
	}
	// A token is for the server that gave it.
	t.Setenv("VAULT_TOKEN", "canary")
	t.Setenv(previousPrefix+varAddr, "http://127.0.0.1:2")
	call(t, "rewrap", "-database", none, "-vault", "a", "-previous-vault", "b").want(t, "rewrap", exitUsage, "no login")
	t.Setenv(vaultPrefix+varRoleID, "canary")
	t.Setenv(vaultPrefix+varSecretIDFile, none)
	s := newSite(t)
	call(t, "rewrap", "-database", s.database, "-vault", "a").want(t, "rewrap with a missing file", exitProblem, "read the secret id")
}

// The previous Vault has an address, namespace and token of its own, and never
// the other's.
func TestPreviousServer(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	t.Setenv("VAULT_AGENT_ADDR", "http://127.0.0.1:2")
	t.Setenv("VAULT_NAMESPACE", "one")
	t.Setenv("VAULT_TOKEN", "a-token")
	for name, tt := range map[string]struct {
		env                      map[string]string
		address, namespace, said string
	}{
		"the same":          {nil, "http://127.0.0.1:2", "one", "a-token"},
		"another token":     {map[string]string{varToken: "t"}, "http://127.0.0.1:2", "one", "t"},
		"another namespace": {map[string]string{varToken: "t", varNamespace: "two"}, "http://127.0.0.1:2", "two", "t"},
		"another server":    {map[string]string{varToken: "t", varAddr: "http://127.0.0.1:3"}, "http://127.0.0.1:3", "", "t"},
		"another login":     {map[string]string{varRoleID: "r", varSecretID: "s"}, "http://127.0.0.1:2", "one", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range tt.env {
				t.Setenv(previousPrefix+variable, value)
			}
			client, err := previousServer().client()
			if err != nil {
				t.Fatal(err)
			}
			if client.Address() != tt.address || client.Namespace() != tt.namespace || client.Token() != tt.said {
				t.Errorf("it is asked at %s in %q with the token %q, want %s, %q and %q",
					client.Address(), client.Namespace(), client.Token(), tt.address, tt.namespace, tt.said)
			}
		})
	}
}
