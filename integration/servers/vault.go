package servers

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/ory/dockertest/v3"
)

var vault = kind{
	name:    "vault",
	address: "LANYARD_TEST_VAULT",
	secret:  true,
	ready: func(s *server) error {
		client, err := newClient(s.address, s.token)
		if err != nil {
			return err
		}
		client.SetMaxRetries(0) // who waits for the server asks again
		_, err = client.Auth().Token().LookupSelfWithContext(context.Background())
		return err
	},
	image: image{
		variable: "LANYARD_TEST_VAULT_IMAGE",
		standard: "hashicorp/vault:1.21",
		port:     "8200/tcp",
		options: func(secret string) dockertest.RunOptions {
			return dockertest.RunOptions{
				Env:    []string{"VAULT_DEV_ROOT_TOKEN_ID=" + secret, "VAULT_DEV_LISTEN_ADDRESS=0.0.0.0:8200"},
				Cmd:    []string{"server", "-dev"},
				CapAdd: []string{"IPC_LOCK"},
			}
		},
		unseal:  regexp.MustCompile(`Unseal Key: *(\S+)`),
		address: func(hostPort, _ string) string { return (&url.URL{Scheme: "http", Host: hostPort}).String() },
	},
}

var findVault = sync.OnceValues(vault.find)

// Transit is an empty transit engine of a test's own.
type Transit struct {
	// Root may do anything, on the whole server.
	Root *api.Client

	// Mount is where the engine is mounted.
	Mount string

	// Key unseals the server; see [OwnVault]. It is empty where nobody knows it.
	Key string
}

// Vault returns an empty transit engine. Its mount is removed when the test
// ends. The server is shared: seal [OwnVault].
func Vault(t testing.TB) *Transit {
	t.Helper()
	s, err := findVault()
	transit := mounted(t, vault.need(t, s, err))
	t.Cleanup(func() {
		if err := transit.Root.Sys().UnmountWithContext(context.WithoutCancel(t.Context()), transit.Mount); err != nil {
			t.Errorf("remove the mount of a test: %v", err)
		}
	})
	return transit
}

// OwnVault returns an empty transit engine on a server that is started for
// this test alone, and stopped with it. The environment's server is not used.
func OwnVault(t testing.TB) *Transit {
	t.Helper()
	s, err := vault.start()
	s = vault.need(t, s, err)
	t.Cleanup(func() {
		if err := stopNow(s); err != nil {
			t.Errorf("stop the test's Vault: %v", err)
		}
	})
	return mounted(t, s)
}

// StartVault starts a server for a command that seals it. It runs until [Stop].
func StartVault() (address, token, unseal string, err error) {
	s, err := vault.start()
	if err != nil {
		return "", "", "", fmt.Errorf("%s: %w", vault.name, err)
	}
	vault.say("using %s", s.what)
	return s.address, s.token, s.unseal, nil
}

func mounted(t testing.TB, s *server) *Transit {
	t.Helper()
	client, err := newClient(s.address, s.token)
	if err != nil {
		t.Fatalf("make a client of Vault: %v", err)
	}
	transit := &Transit{Root: client, Mount: "test-" + randomText(), Key: s.unseal}
	if err := client.Sys().MountWithContext(t.Context(), transit.Mount, &api.MountInput{Type: "transit"}); err != nil {
		t.Fatalf("mount a transit engine: %v", err)
	}
	return transit
}

// Unseal opens a server that was sealed; see [OwnVault].
func (v *Transit) Unseal(t testing.TB) {
	t.Helper()
	status, err := v.Root.Sys().UnsealWithContext(t.Context(), v.Key)
	if err != nil || status.Sealed {
		t.Fatalf("unseal the test's Vault: %v", err)
	}
}

// Client returns a client of the same server with another token, as a host
// would have it: with the standard configuration, and nothing of the
// environment.
func (v *Transit) Client(t testing.TB, token string) *api.Client {
	t.Helper()
	client, err := newClient(v.Root.Address(), token)
	if err != nil {
		t.Fatalf("make a client of Vault: %v", err)
	}
	return client
}

func newClient(address, token string) (*api.Client, error) {
	config := api.DefaultConfig()
	config.Address, config.AgentAddress = address, ""
	config.Timeout = 10 * time.Second
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.SetToken(token)
	client.ClearNamespace()
	return client, nil
}
