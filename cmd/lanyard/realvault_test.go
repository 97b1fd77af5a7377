package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
)

// vaultVariable names a Vault where anything may be done, by its address; a
// root token is in the other.
const (
	vaultVariable      = "LANYARD_TEST_VAULT"
	vaultTokenVariable = "LANYARD_TEST_VAULT_TOKEN"
)

// realVault is a transit engine on a real server, at an address where it alone
// is mounted as "transit", with an AppRole that may use its one key and nothing
// else.
type realVault struct {
	*httptest.Server
	authMount, roleID, secretID string
}

func newRealVault(t *testing.T) *realVault {
	t.Helper()
	address := os.Getenv(vaultVariable)
	if address == "" {
		t.Skipf("needs Vault: run it under `scripts/vault run`, or let %s and %s name one", vaultVariable, vaultTokenVariable)
	}
	config := api.DefaultConfig()
	config.Address, config.AgentAddress = address, ""
	root, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	root.SetToken(os.Getenv(vaultTokenVariable))
	root.ClearNamespace()
	t.Cleanup(config.HttpClient.CloseIdleConnections)

	name := "lanyard-" + lanyard.NewID()
	write := func(path string, data map[string]any) *api.Secret {
		t.Helper()
		answer, err := root.Logical().WriteWithContext(t.Context(), path, data)
		if err != nil {
			t.Fatalf("write %s: %v", path, err)
		}
		return answer
	}
	write("sys/mounts/"+name, map[string]any{"type": "transit"})
	write("sys/auth/"+name, map[string]any{"type": "approle"})
	t.Cleanup(func() {
		for _, path := range []string{"sys/mounts/", "sys/auth/", "sys/policies/acl/"} {
			if _, err := root.Logical().DeleteWithContext(context.WithoutCancel(t.Context()), path+name); err != nil {
				t.Errorf("remove %s%s: %v", path, name, err)
			}
		}
	})
	write(name+"/keys/lanyard", map[string]any{"derived": true})
	var policy strings.Builder
	for _, operation := range []string{"encrypt", "decrypt", "rewrap"} {
		fmt.Fprintf(&policy, "path \"%s/%s/lanyard\" { capabilities = [\"update\"] }\n", name, operation)
	}
	write("sys/policies/acl/"+name, map[string]any{"policy": policy.String()})
	write("auth/"+name+"/role/lanyard", map[string]any{"token_policies": name})
	id, err := root.Logical().ReadWithContext(t.Context(), "auth/"+name+"/role/lanyard/role-id")
	if err != nil {
		t.Fatal(err)
	}
	v := &realVault{authMount: name}
	v.roleID, _ = id.Data["role_id"].(string)
	v.secretID, _ = write("auth/"+name+"/role/lanyard/secret-id", nil).Data["secret_id"].(string)

	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: config.HttpClient.Transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if rest, ok := strings.CutPrefix(r.Out.URL.Path, "/v1/transit/"); ok {
			r.Out.URL.Path = "/v1/" + name + "/" + rest
		}
	}}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Vault answers before it has seen the end of a body, and a proxy that
		// still reads it then breaks the answer off.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(v.Close)
	return v
}

// login lets the environment say how to log in, with the secret id in a file.
func (v *realVault) login(t *testing.T, prefix string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret-id")
	if err := os.WriteFile(file, []byte(v.secretID+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(prefix+varRoleID, v.roleID)
	t.Setenv(prefix+varSecretIDFile, file)
	t.Setenv(prefix+varAuthMount, v.authMount)
}

// The host moves to Vault, from there to another Vault with the same mount and
// key, and back to its keyring, each time logged in by AppRole.
func TestMoveBetweenVaults(t *testing.T) {
	one, two := newRealVault(t), newRealVault(t)
	s := newSite(t)
	var heard []string
	ask := func(code int, command string, flags ...string) said {
		t.Helper()
		got := call(t, append([]string{command, "-json", "-database", s.database}, flags...)...).want(t, command+" "+strings.Join(flags, " "), code)
		heard = append(heard, got.out, got.err)
		return got
	}
	moved := func(to string, got said) {
		t.Helper()
		r := decode[rewrapReport](t, got)
		if r.KeyService != to || r.Rewrapped != owners+1 || len(r.Remaining) != 0 || !r.Done {
			t.Errorf("the move to %s says %+v, want that all are there", to, r)
		}
	}
	sound := func(vault ...string) {
		t.Helper()
		for _, c := range status(t, s, exitOK, vault...) {
			if c.Status != statusOK {
				t.Errorf("%s under %q: %+v, want ok", c.Name, vault, c)
			}
		}
	}

	t.Setenv("VAULT_TOKEN", "")
	t.Setenv("VAULT_ADDR", one.URL)
	one.login(t, vaultPrefix)
	moved("vault:transit/lanyard", ask(exitOK, "rewrap", "-keyring", s.keyring, "-vault", "lanyard", "-to", "vault", "-first"))
	sound("-vault", "lanyard")

	t.Setenv("VAULT_ADDR", two.URL)
	two.login(t, vaultPrefix)
	t.Setenv(previousPrefix+varAddr, one.URL)
	between := []string{"-vault", "lanyard", "-vault-name", "vault-2:transit/lanyard", "-previous-vault", "lanyard"}
	ask(exitUsage, "rewrap", between...) // the login at one is not for the other
	one.login(t, previousPrefix)
	ask(exitUsage, "rewrap", slices.Concat(between[:2], between[4:])...) // both have one name
	dry := decode[rewrapReport](t, ask(exitOK, "rewrap", append(between, "-dry-run")...))
	if dry.Rewrapped != owners+1 || len(dry.Remaining) != 1 {
		t.Errorf("rewrap -dry-run says %+v, want that all would move", dry)
	}
	wantProblem(t, status(t, s, exitProblem, between...), "key versions", fmt.Sprint(owners+1, " under vault:transit/lanyard v1"))
	moved("vault-2:transit/lanyard", ask(exitOK, "rewrap", between...))
	one.Close()
	t.Setenv(previousPrefix+varAddr, "")
	sound(between[:4]...)
	wantProblem(t, status(t, s, exitProblem, between[:2]...), "key service") // by another name it is another one

	moved("keyring", ask(exitOK, "rewrap", append([]string{"-keyring", s.keyring, "-to", "keyring"}, between[:4]...)...))
	s.wantSound(t)

	t.Setenv(vaultPrefix+varSecretIDFile, "")
	t.Setenv(vaultPrefix+varSecretID, "wrong-"+one.secretID)
	if got := ask(exitProblem, "rewrap", between[:4]...); !strings.Contains(got.err, "denies access") {
		t.Errorf("rewrap with a wrong secret id says %s, want that access is denied", got.err)
	}
	t.Setenv(vaultPrefix+varSecretID, two.secretID)
	ask(exitOK, "rewrap", append([]string{"-keyring", s.keyring, "-to", "vault", "-first"}, between[:4]...)...)
	for _, text := range heard {
		if strings.Contains(text, one.secretID) || strings.Contains(text, two.secretID) {
			t.Fatalf("a secret id was said:\n%s", text)
		}
	}
}
