package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// What the variables of a Vault begin with. Address, token and the rest of the
// first are those of Vault's own command, VAULT_ADDR, VAULT_TOKEN, …
const (
	vaultPrefix    = "LANYARD_VAULT_"
	previousPrefix = "LANYARD_PREVIOUS_VAULT_"
)

// What they end in.
const (
	varAddr      = "ADDR" // these three are the previous one's only
	varNamespace = "NAMESPACE"
	varToken     = "TOKEN"

	varRoleID       = "ROLE_ID"
	varSecretID     = "SECRET_ID"
	varSecretIDFile = "SECRET_ID_FILE"
	varKubernetes   = "KUBERNETES_ROLE"
	varJWTFile      = "JWT_FILE"
	varAuthMount    = "AUTH_MOUNT"
)

// transitKey is the flags that name a key of Vault's.
type transitKey struct{ flag, key, mount, name string }

func transitFlags(flags *flag.FlagSet, name, about string) *transitKey {
	v := &transitKey{flag: name}
	flags.StringVar(&v.key, name, "", about)
	flags.StringVar(&v.mount, name+"-mount", "transit", "the `PATH` where that transit engine is mounted")
	flags.StringVar(&v.name, name+"-name", "", "the `NAME` by which what it wrapped names it, if the host gave it one (default vault:PATH/KEY)")
	return v
}

func (v *transitKey) given() bool { return v.key != "" }

func (v *transitKey) serviceName() string { return cmp.Or(v.name, "vault:"+v.mount+"/"+v.key) }

// check refuses flags of a Vault that is not named.
func (v *transitKey) check() error {
	if !v.given() && (v.name != "" || v.mount != "transit") {
		return usagef("-%s-mount and -%[1]s-name are for -%[1]s", v.flag)
	}
	return nil
}

// vaultServer is what the environment says of one, beyond what the client
// reads there itself.
type vaultServer struct{ prefix string }

func (s vaultServer) get(name string) string { return os.Getenv(s.prefix + name) }

// own reports whether the environment says anything of the server.
func (s vaultServer) own() bool {
	return slices.ContainsFunc(os.Environ(), func(pair string) bool {
		name, value, _ := strings.Cut(pair, "=")
		return strings.HasPrefix(name, s.prefix) && value != ""
	})
}

// previousServer is where the previous key is: on a server of its own, or on
// the same with the same login.
func previousServer() vaultServer {
	if s := (vaultServer{previousPrefix}); s.own() {
		return s
	}
	return vaultServer{vaultPrefix}
}

// check refuses a login that is half of one, or two.
func (s vaultServer) check() error {
	appRole, kubernetes := s.get(varRoleID) != "", s.get(varKubernetes) != ""
	secrets := 0
	for _, name := range []string{varSecretID, varSecretIDFile} {
		if s.get(name) != "" {
			secrets++
		}
	}
	switch {
	case appRole && kubernetes:
		return usagef("%s%s and %[1]s%s are two logins", s.prefix, varRoleID, varKubernetes)
	case appRole && secrets != 1, !appRole && secrets != 0:
		return usagef("%s%s wants %[1]s%s or %[1]s%s, and they want it", s.prefix, varRoleID, varSecretIDFile, varSecretID)
	case !kubernetes && s.get(varJWTFile) != "":
		return usagef("%s%s is for %[1]s%s", s.prefix, varJWTFile, varKubernetes)
	case !kubernetes && !appRole && s.get(varAuthMount) != "":
		return usagef("%s%s is for a login", s.prefix, varAuthMount)
	case s.prefix == previousPrefix && !kubernetes && !appRole && s.get(varToken) == "":
		// The token of another server is not for this one.
		return usagef("%s… names a server of its own and no login: it wants %[1]s%s, %[1]s%s or %[1]s%s", s.prefix, varToken, varRoleID, varKubernetes)
	}
	return nil
}

// login returns how to log in; nil = with the client's token.
func (s vaultServer) login() (api.AuthMethod, error) {
	switch {
	case s.get(varKubernetes) != "":
		return vaulttransit.Kubernetes{Mount: s.get(varAuthMount), Role: s.get(varKubernetes), TokenFile: s.get(varJWTFile)}, nil
	case s.get(varRoleID) == "":
		return nil, nil //nolint:nilnil // documented
	}
	secretID := lanyard.NewSecret(s.get(varSecretID))
	if path := s.get(varSecretIDFile); path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the secret id: %w", err)
		}
		secretID = lanyard.NewSecret(string(bytes.TrimSpace(raw)))
		clear(raw)
		if secretID.IsZero() {
			return nil, fmt.Errorf("%s holds no secret id", path)
		}
	}
	return vaulttransit.AppRole{Mount: s.get(varAuthMount), RoleID: s.get(varRoleID), SecretID: secretID}, nil
}

// client returns a client of the server, configured as Vault's own command is.
func (s vaultServer) client() (*api.Client, error) {
	// The errors may hold what the environment holds.
	unreachable := fmt.Errorf("the environment does not say how to reach Vault: %w", lanyard.ErrUnavailable)
	config := api.DefaultConfig() // reads VAULT_ADDR and the rest
	if config.Error != nil {
		return nil, unreachable
	}
	addr := ""
	if s.prefix == previousPrefix {
		if addr = s.get(varAddr); addr != "" {
			config.Address, config.AgentAddress = addr, ""
		}
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, unreachable
	}
	if s.prefix == previousPrefix {
		client.SetToken(s.get(varToken))
		if namespace := s.get(varNamespace); addr != "" || namespace != "" {
			client.SetNamespace(namespace)
		}
	}
	return client, nil
}

// open opens a key of the server's. Close what it returns.
func (s vaultServer) open(v *transitKey) (*vaulttransit.Transit, error) {
	auth, err := s.login()
	if err != nil {
		return nil, err
	}
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	return vaulttransit.New(client, v.key, &vaulttransit.Options{Mount: v.mount, Name: v.name, Auth: auth})
}
