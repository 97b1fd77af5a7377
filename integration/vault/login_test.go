package vault_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/secretstest"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// role is an AppRole of the engine's own, with the documented policy.
type role struct {
	*engine
	mount string
	id    string
}

// newRole makes one. Its tokens have these options besides the policy.
func (e *engine) newRole(t *testing.T, options map[string]any) *role {
	t.Helper()
	r := &role{engine: e, mount: e.enable(t, "approle")}
	all := map[string]any{"token_policies": e.Mount}
	for name, value := range options {
		all[name] = value
	}
	e.root(t, "auth/"+r.mount+"/role/lanyard", all)
	answer, err := e.Root.Logical().ReadWithContext(t.Context(), "auth/"+r.mount+"/role/lanyard/role-id")
	if err != nil {
		t.Fatalf("read the role's id: %v", err)
	}
	r.id = answer.Data["role_id"].(string)
	return r
}

// enable enables an auth method for the time of the test.
func (e *engine) enable(t *testing.T, kind string) (mount string) {
	t.Helper()
	mount = kind + "-" + strings.ToLower(rand.Text())
	if err := e.Root.Sys().EnableAuthWithOptionsWithContext(t.Context(), mount, &api.EnableAuthOptions{Type: kind}); err != nil {
		t.Fatalf("enable %s: %v", kind, err)
	}
	t.Cleanup(func() { _ = e.Root.Sys().DisableAuthWithContext(context.WithoutCancel(t.Context()), mount) })
	return mount
}

// root writes something as root, anywhere.
func (e *engine) root(t *testing.T, path string, data map[string]any) *api.Secret {
	t.Helper()
	answer, err := e.Root.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	return answer
}

// secretID returns a fresh secret id.
func (r *role) secretID(t *testing.T) string {
	t.Helper()
	return r.root(t, "auth/"+r.mount+"/role/lanyard/secret-id", nil).Data["secret_id"].(string)
}

func (r *role) login(secretID string) vaulttransit.AppRole {
	return vaulttransit.AppRole{Mount: r.mount, RoleID: r.id, SecretID: lanyard.NewSecret(secretID)}
}

// revokeAll revokes every token that a login at the mount gave.
func (e *engine) revokeAll(t *testing.T, mount string) {
	t.Helper()
	e.root(t, "sys/leases/revoke-prefix/auth/"+mount+"/login", nil)
}

// loggedIn returns the key "lanyard" for who logs in like that. What the server
// is asked then is counted apart.
func (e *engine) loggedIn(t *testing.T, auth api.AuthMethod) (*vaulttransit.Transit, *heard) {
	t.Helper()
	own := *e
	own.heard = &heard{}
	secrets, err := vaulttransit.New(own.client(t, ""), "lanyard", &vaulttransit.Options{Mount: e.Mount, Auth: auth})
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	t.Cleanup(func() { _ = secrets.Close() })
	return secrets, own.heard
}

// useFor uses secrets for a time, which must succeed.
func useFor(t *testing.T, secrets *vaulttransit.Transit, x sample, limit time.Duration) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); ; {
		x.opens(t, secrets, "by who logged in", x.wrapped)
		select {
		case <-tick.C:
		case <-end:
			return
		}
	}
}

// The conformance suite for who logs in, with and without the default policy.
func TestAppRole(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	for name, options := range map[string]map[string]any{
		"as documented":              optionsOf(t, "vault write auth/approle/role/lanyard "),
		"without the default policy": {"token_no_default_policy": true},
	} {
		delete(options, "token_policies") // newRole names it, as the engine has it
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := e.newRole(t, options)
			login := r.login(r.secretID(t))
			secretstest.Run(t, func(t *testing.T) crypto.Secrets {
				secrets, _ := e.loggedIn(t, login)
				return secrets
			})
		})
	}
}

// Short tokens are renewed, and replaced before all their time is over; where
// they cannot be renewed they are replaced at once. Nobody is refused meanwhile.
func TestTokensOfLogins(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	x := newSample(t, e.transit(t, "lanyard"), "place")
	for name, tt := range map[string]struct {
		options  map[string]any
		renewals bool // that succeed
		logins   bool // more than one
	}{
		"renewable":         {map[string]any{"token_ttl": "3s"}, true, false},
		"periodic":          {map[string]any{"token_period": "3s"}, true, false},
		"of a limited time": {map[string]any{"token_ttl": "3s", "token_max_ttl": "5s"}, true, true},
		"of one lease":      {map[string]any{"token_ttl": "3s", "token_max_ttl": "3s"}, true, true},
		"not to be renewed": {map[string]any{"token_ttl": "3s", "token_no_default_policy": true}, false, true},
		"batch tokens":      {map[string]any{"token_ttl": "3s", "token_type": "batch"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := e.newRole(t, tt.options)
			secrets, heard := e.loggedIn(t, r.login(r.secretID(t)))
			useFor(t, secrets, x, 10*time.Second)
			logins, renewals, denied := heard.times("login"), heard.times("renew-self"), heard.denials()
			if !tt.renewals { // a token that may not renew itself is refused that, and only that
				denied -= renewals
			}
			if denied != 0 || (logins > 1) != tt.logins || logins > 6 || tt.renewals && renewals == 0 || renewals > 12 {
				t.Errorf("ten seconds took %d logins, %d renewals and %d refusals, want some and none of the last", logins, renewals, denied)
			}
		})
	}
}

// A token that was revoked, or is over, is replaced once, however many come
// with it.
func TestRevokedTokenOfALogin(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	x := newSample(t, e.transit(t, "lanyard"), "place")
	r := e.newRole(t, map[string]any{"token_ttl": "1h"})
	secrets, heard := e.loggedIn(t, r.login(r.secretID(t)))
	x.opens(t, secrets, "at first", x.wrapped)
	e.revokeAll(t, r.mount)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { x.opens(t, secrets, "with a revoked token", x.wrapped) })
	}
	all.Wait()
	if n := heard.times("login"); n != 2 {
		t.Errorf("fifty with a revoked token took %d logins, want 2 in all", n)
	}
	if n := heard.times("decrypt"); n > 101 {
		t.Errorf("fifty with a revoked token took %d requests, want at most two each", n)
	}
	if heard.denials() == 0 {
		t.Error("nobody was refused, so the token was not revoked")
	}
}

// A secret id that was destroyed refuses the next login, and nothing before
// it. It is not tried again at once, so the role is not locked for others.
func TestDestroyedSecretID(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	x := newSample(t, e.transit(t, "lanyard"), "place")
	r := e.newRole(t, map[string]any{"token_ttl": "1h"})
	bad := r.secretID(t)
	secrets, heard := e.loggedIn(t, r.login(bad))
	x.opens(t, secrets, "at first", x.wrapped)
	r.root(t, "auth/"+r.mount+"/role/lanyard/secret-id/destroy", map[string]any{"secret_id": bad})
	x.opens(t, secrets, "while the token is good", x.wrapped)
	e.revokeAll(t, r.mount)
	for range 20 {
		_, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
		e.wantError(t, "Unwrap() with a destroyed secret id", err, crypto.ErrDenied, []byte(bad))
	}
	if n := heard.times("login"); n != 2 {
		t.Errorf("%d logins with a destroyed secret id, want 2 in all", n)
	}
	other, _ := e.loggedIn(t, r.login(r.secretID(t)))
	x.opens(t, other, "with another secret id of the role", x.wrapped)

	for what, login := range map[string]vaulttransit.AppRole{
		"of no role":     {Mount: r.mount, RoleID: "CANARY-role", SecretID: lanyard.NewSecret("CANARY-secret")},
		"of no method":   {Mount: r.mount + "-nowhere", RoleID: r.id, SecretID: lanyard.NewSecret(r.secretID(t))},
		"of no approle":  {Mount: "token", RoleID: r.id, SecretID: lanyard.NewSecret("CANARY-secret")},
		"of a wrong one": {Mount: r.mount, RoleID: r.id, SecretID: lanyard.NewSecret("CANARY-secret")},
	} {
		secrets, _ := e.loggedIn(t, login)
		_, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
		e.wantError(t, "Unwrap() with a login "+what, err, crypto.ErrDenied, []byte("CANARY-secret"))
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("Unwrap() with a login %s = %v", what, err)
		}
	}
}

// A sealed server ends no session: it goes on when it is unsealed, by itself,
// also where the token had its end meanwhile.
func TestSealedSession(t *testing.T) {
	t.Parallel()
	e := ownEngine(t)
	x := newSample(t, e.transit(t, "lanyard"), "place")
	long, short := e.newRole(t, map[string]any{"token_ttl": "1h"}), e.newRole(t, map[string]any{"token_ttl": "2s"})
	var sessions []*vaulttransit.Transit
	for _, r := range []*role{long, short} {
		secrets, _ := e.loggedIn(t, r.login(r.secretID(t)))
		x.opens(t, secrets, "at first", x.wrapped)
		sessions = append(sessions, secrets)
	}
	if err := e.Root.Sys().SealWithContext(t.Context()); err != nil {
		t.Fatalf("Seal() = %v", err)
	}
	unopened := 0
	within(t, 10*time.Second, "the end of the short token", func() bool {
		for _, secrets := range sessions {
			_, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
			e.wantError(t, "Unwrap() of a sealed server", err, lanyard.ErrUnavailable, x.key)
		}
		unopened++
		return unopened > 60 // three seconds
	})
	e.Unseal(t)
	for _, secrets := range sessions {
		within(t, 10*time.Second, "Unwrap() after the server was unsealed", func() bool {
			_, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
			return err == nil
		})
	}
}
