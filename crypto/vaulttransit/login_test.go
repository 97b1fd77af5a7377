package vaulttransit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// kubernetes is how a pod logs in to the authority, and where its token lies.
func kubernetes(t *testing.T) (vaulttransit.Kubernetes, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, canaryJWT+"\n")
	return vaulttransit.Kubernetes{Role: "lanyard", TokenFile: file}, file
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The service account's token is read at each login, since Kubernetes replaces
// it.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	auth, file := kubernetes(t)
	a := newAuthority()
	secrets := a.transit(t, auth, nil)
	use(t, "of a pod", secrets, nil)

	a.change(func(a *authority) { a.jwt = "CANARY.the.next" })
	write(t, file, "CANARY.the.next")
	a.revoke()
	use(t, "with the next token of the service account", secrets, nil)

	// One that is not there may come back at any time.
	for name, spoil := range map[string]func(){
		"no file":       func() { _ = os.Remove(file) },
		"an empty file": func() { write(t, file, " \n") },
		"a huge file":   func() { write(t, file, strings.Repeat("x", 1<<20)) },
		"a file of its own": func() {
			_ = os.Remove(file)
			_ = os.Mkdir(file, 0o700)
		},
	} {
		a := newAuthority()
		spoil()
		secrets := a.transit(t, auth, nil)
		use(t, "with "+name, secrets, lanyard.ErrUnavailable)
		wantCounts(t, name, a, 0, 0, 0)
		_ = os.Remove(file)
		write(t, file, canaryJWT)
		use(t, "with its file again, after "+name, secrets, nil)
	}

	// Another's token is refused.
	a = newAuthority()
	write(t, file, "CANARY.another")
	use(t, "with another's token", a.transit(t, auth, nil), crypto.ErrDenied)
}

func TestNewRefusesLogins(t *testing.T) {
	t.Parallel()
	secret := lanyard.NewSecret(canarySecretID)
	a := newAuthority()
	for name, auth := range map[string]api.AuthMethod{
		"no role id":             vaulttransit.AppRole{SecretID: secret},
		"no secret id":           vaulttransit.AppRole{RoleID: "role-1"},
		"a mount that leads out": vaulttransit.AppRole{RoleID: "role-1", SecretID: secret, Mount: "../sys"},
		"a slash at the end":     &vaulttransit.AppRole{RoleID: "role-1", SecretID: secret, Mount: "approle/"},
		"no role":                vaulttransit.Kubernetes{},
		"a mount with a query":   &vaulttransit.Kubernetes{Role: "lanyard", Mount: "kubernetes?x"},
	} {
		_, err := vaulttransit.New(a.client(t), "lanyard", &vaulttransit.Options{Auth: auth})
		if err == nil {
			t.Errorf("New() with %s = nil, want an error", name)
		}
		wantSilent(t, "New() with "+name, err, nil)
	}
	wantCounts(t, "New()", a, 0, 0, 0)
}

// Mounts other than the usual ones, and the client's namespace, hold for logins
// too.
func TestWhereToLogIn(t *testing.T) {
	t.Parallel()
	a := newAuthority()
	client := a.client(t)
	client.SetNamespace("team-a")
	auth := approle()
	auth.Mount = "team/apps"
	secrets := newTransit(t, client, "lanyard", &vaulttransit.Options{Auth: &auth})
	defer func() { _ = secrets.Close() }()
	use(t, "at another mount", secrets, crypto.ErrDenied) // of which the authority knows nothing
	if got := a.heard[0].Get("X-Vault-Namespace"); got != "team-a" {
		t.Errorf("a login has namespace %q, want the client's", got)
	}
	if client.Token() != "" {
		t.Error("the client was given a token")
	}
}

// Whatever is printed of a login, it is not the secrets.
func TestNothingOfALoginIsPrinted(t *testing.T) {
	t.Parallel()
	pod, _ := kubernetes(t)
	for name, auth := range map[string]api.AuthMethod{"AppRole": approle(), "Kubernetes": pod} {
		a := newAuthority()
		var log bytes.Buffer
		client := a.client(t)
		client.SetToken("hvs.CANARY-of-the-host")
		others := struct{ secrets *vaulttransit.Transit }{newTransit(t, client, "lanyard", nil)}
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o := &vaulttransit.Options{Auth: auth, Logger: logger}
		secrets := a.transit(t, auth, o)
		use(t, "of "+name, secrets, nil)
		a.change(func(a *authority) {
			a.jwt, a.secretID = "another", "another"
			clear(a.tokens)
		})
		_, err := secrets.Wrap(t.Context(), make([]byte, crypto.KeySize), []byte("place"))
		if !errors.Is(err, crypto.ErrDenied) {
			t.Errorf("Wrap() after a refused login of %s = %v, want ErrDenied", name, err)
		}
		for _, value := range []any{auth, o, *o, secrets, *secrets, err, others, &others, others.secrets, *others.secrets} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
				fmt.Fprintf(&log, verb+"\n", value)
			}
			logger.Info("value", slog.Any("value", value))
			if text, err := json.Marshal(value); err == nil {
				log.Write(text)
			}
		}
		for _, secret := range []string{canarySecretID, canaryJWT, "hvs.CANARY", canaryText} {
			for _, form := range []string{secret, fmt.Sprintf("%x", secret)} {
				if strings.Contains(log.String(), form) {
					t.Errorf("of %s there was printed %q", name, form)
				}
			}
		}
	}
}
