package vaulttransit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// AppRole logs in with a role id and a secret id, for [Options.Auth].
// https://developer.hashicorp.com/vault/docs/auth/approle
type AppRole struct {
	// Mount is where the method is mounted. Defaults to "approle".
	Mount string

	// RoleID and SecretID are what Vault gave for the role. A secret id must be
	// good for more than one login.
	RoleID   string
	SecretID lanyard.Secret
}

// Kubernetes logs in with the token of the pod's service account, for
// [Options.Auth]. https://developer.hashicorp.com/vault/docs/auth/kubernetes
type Kubernetes struct {
	// Mount is where the method is mounted. Defaults to "kubernetes".
	Mount string

	// Role is the name of the role in Vault.
	Role string

	// TokenFile holds the service account's token, and is read at each login,
	// because Kubernetes replaces the token. Defaults to
	// "/var/run/secrets/kubernetes.io/serviceaccount/token".
	TokenFile string
}

const (
	defaultAppRole    = "approle"
	defaultKubernetes = "kubernetes"

	// https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
	defaultTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path

	// maxJWT is far above what a header of Kubernetes takes, in bytes.
	maxJWT = 64 << 10
)

var _, _ api.AuthMethod = AppRole{}, Kubernetes{}

// Login implements [api.AuthMethod]. Its errors hold nothing of what the server
// said.
func (a AppRole) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	return login(ctx, client, cmp.Or(a.Mount, defaultAppRole), map[string]any{
		"role_id": a.RoleID, "secret_id": a.SecretID.Reveal(),
	})
}

func (a AppRole) validate() error {
	if a.RoleID == "" || a.SecretID.IsZero() {
		return errors.New("an AppRole needs a role id and a secret id")
	}
	return validMount(cmp.Or(a.Mount, defaultAppRole))
}

// Login implements [api.AuthMethod]. Its errors hold nothing of the file, nor
// of what the server said.
func (k Kubernetes) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	jwt, err := k.token()
	if err != nil {
		return nil, err
	}
	return login(ctx, client, cmp.Or(k.Mount, defaultKubernetes), map[string]any{"role": k.Role, "jwt": jwt})
}

func (k Kubernetes) validate() error {
	if k.Role == "" {
		return errors.New("Kubernetes needs the name of a role")
	}
	return validMount(cmp.Or(k.Mount, defaultKubernetes))
}

// token reads the service account's token, which may come back at any time.
func (k Kubernetes) token() (string, error) {
	f, err := os.Open(cmp.Or(k.TokenFile, defaultTokenFile))
	if err != nil {
		return "", fmt.Errorf("the service account's token cannot be read: %w", lanyard.ErrUnavailable)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxJWT+1))
	defer clear(raw)
	jwt := strings.TrimSpace(string(raw))
	if err != nil || jwt == "" || len(raw) > maxJWT {
		return "", fmt.Errorf("the service account's token cannot be read: %w", lanyard.ErrUnavailable)
	}
	return jwt, nil
}

// login writes to the login path of an auth method.
func login(ctx context.Context, client *api.Client, mount string, data map[string]any) (*api.Secret, error) {
	secret, err := client.Logical().WriteWithContext(ctx, "auth/"+mount+"/login", data)
	if err != nil {
		return nil, reduceLogin(ctx, err)
	}
	return secret, nil
}

// loginError is a login or a renewal that failed.
type loginError struct {
	status int // of the answer, 0 = there was none
	why    error
}

func (e *loginError) Error() string {
	if e.status == 0 {
		return e.why.Error()
	}
	return fmt.Sprintf("status %d: %v", e.status, e.why)
}

func (e *loginError) Unwrap() error { return e.why }

// reduceLogin returns what an error of the client, or of an auth method, stands
// for, without its text. Vault answers wrong credentials with 400 or 403, and
// a method that is not there with 403 or 404.
func reduceLogin(ctx context.Context, err error) *loginError {
	var ours *loginError
	if errors.As(err, &ours) {
		return ours
	}
	var said *api.ResponseError
	switch {
	case errors.As(err, &said):
		refusals := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
		if slices.Contains(refusals, said.StatusCode) {
			return &loginError{said.StatusCode, crypto.ErrDenied}
		}
		return &loginError{said.StatusCode, lanyard.ErrUnavailable}
	case ctx.Err() != nil:
		return &loginError{0, gaveUp(ctx.Err())}
	default:
		return &loginError{0, lanyard.ErrUnavailable}
	}
}

func validMount(path string) error {
	if slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return !validName(s) }) {
		return fmt.Errorf("%q is no path of a mount", path)
	}
	return nil
}
