package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	vault "github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// realVault is a transit engine on a real Vault, and an AppRole that may use
// its key "lanyard" and nothing else.
type realVault struct {
	root             *vault.Client
	name             string // of both mounts
	roleID, secretID string
}

func newRealVault(t *testing.T) *realVault {
	t.Helper()
	address := os.Getenv("LANYARD_TEST_VAULT")
	if address == "" {
		t.Skip("needs Vault: run it under `scripts/vault run`, or let LANYARD_TEST_VAULT and LANYARD_TEST_VAULT_TOKEN name one")
	}
	config := vault.DefaultConfig()
	config.Address, config.AgentAddress = address, ""
	root, err := vault.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	root.SetToken(os.Getenv("LANYARD_TEST_VAULT_TOKEN"))
	root.ClearNamespace()
	t.Cleanup(config.HttpClient.CloseIdleConnections)

	v := &realVault{root: root, name: "aichub-" + lanyard.NewID()}
	v.write(t, "sys/mounts/"+v.name, map[string]any{"type": "transit"})
	v.write(t, "sys/auth/"+v.name, map[string]any{"type": "approle"})
	t.Cleanup(func() {
		for _, path := range []string{"sys/mounts/", "sys/auth/", "sys/policies/acl/"} {
			if _, err := root.Logical().DeleteWithContext(context.WithoutCancel(t.Context()), path+v.name); err != nil {
				t.Errorf("remove %s%s: %v", path, v.name, err)
			}
		}
	})
	v.write(t, v.name+"/keys/lanyard", map[string]any{"derived": true})
	var policy strings.Builder
	for _, operation := range []string{"encrypt", "decrypt", "rewrap"} {
		fmt.Fprintf(&policy, "path \"%s/%s/lanyard\" { capabilities = [\"update\"] }\n", v.name, operation)
	}
	v.write(t, "sys/policies/acl/"+v.name, map[string]any{"policy": policy.String()})
	role := "auth/" + v.name + "/role/lanyard"
	v.write(t, role, map[string]any{"token_policies": v.name})
	id, err := root.Logical().ReadWithContext(t.Context(), role+"/role-id")
	if err != nil {
		t.Fatal(err)
	}
	v.roleID, _ = id.Data["role_id"].(string)
	v.secretID, _ = v.write(t, role+"/secret-id", nil).Data["secret_id"].(string)
	return v
}

// write does something that only root may.
func (v *realVault) write(t *testing.T, path string, data map[string]any) *vault.Secret {
	t.Helper()
	answer, err := v.root.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	return answer
}

func (v *realVault) env(env map[string]string) map[string]string {
	with := map[string]string{
		"VAULT_ADDR": v.root.Address(), "VAULT_TRANSIT_MOUNT": v.name, "VAULT_AUTH_MOUNT": v.name,
		"VAULT_ROLE_ID": v.roleID, "VAULT_SECRET_ID": v.secretID, "VAULT_TOKEN": "left over",
	}
	maps.Copy(with, env)
	return with
}

// Logged in by itself it survives that its tokens are revoked, and its end
// leaves nothing running.
func TestAppRole(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		v := newRealVault(t) // its own: who revokes its tokens revokes nobody else's
		s := configure(t, v.env(env))
		token := withJira(t, &s)
		a := start(t, s)
		_, key := a.createKey(a.url)
		v.write(t, "sys/leases/revoke-prefix/auth/"+v.name+"/login", nil)
		for name, at := range a.instances {
			untilStatus(t, a, at+"/readyz", http.StatusOK)
			if r := a.hello(at, key); r.status != http.StatusOK {
				t.Errorf("hello at %s = %d, want 200", name, r.status)
			}
		}
		if r := a.connectJira(a.url, token); r.status != http.StatusCreated { // asks Vault for an owner's key
			t.Errorf("connecting after the tokens were revoked = %d %s, want 201", r.status, r.body)
		}
		a.stop()
		if text := a.stdout.String() + a.stderr.String(); strings.Contains(text, v.secretID) {
			t.Error("the secret id is in what it said")
		}
	})
}

// A login that is refused ends the start, and the log says so.
func TestAppRoleRefused(t *testing.T) {
	t.Parallel()
	env := newRealVault(t).env(nil)
	env["VAULT_SECRET_ID"] += "-canary"
	log := newOutput()
	err := run(t.Context(), configure(t, env), io.Discard, log)
	if !errors.Is(err, crypto.ErrDenied) {
		t.Errorf("run = %v, want crypto.ErrDenied", err)
	}
	if text := log.String(); !strings.Contains(text, "login to Vault failed") || strings.Contains(text+err.Error(), "-canary") {
		t.Errorf("the log says %s and the error %v, want that the login failed and no secret id", text, err)
	}
}
