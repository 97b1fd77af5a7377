package servers

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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

// DurableVault is a server that keeps what it has, and so can be restarted.
type DurableVault struct {
	*Transit
	binary string
	dir    string
	kill   func()
}

// NewDurableVault starts a server of the test's own that keeps what it has on
// disk. It is a process of this machine, so where only containers will do there
// is none.
func NewDurableVault(t testing.TB) *DurableVault {
	t.Helper()
	binary, err := vaultBinary(t.Context())
	vault.need(t, nil, err)
	ports := make([]string, 2)
	for i := range ports {
		free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = free.Addr().String()
		_ = free.Close()
	}
	v := &DurableVault{binary: binary, dir: t.TempDir()}
	config := fmt.Sprintf(`
storage "raft" {
  path    = %q
  node_id = "one"
}
listener "tcp" {
  address     = %q
  tls_disable = true
}
api_addr      = "http://%[2]s"
cluster_addr  = "http://%[3]s"
disable_mlock = true
`, v.dir, ports[0], ports[1])
	if err := os.WriteFile(v.config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := newClient("http://"+ports[0], "")
	if err != nil {
		t.Fatal(err)
	}
	root.SetClientTimeout(startTime) // it takes its time to make its storage
	v.Transit = &Transit{Root: root}
	t.Cleanup(func() { v.kill() })
	v.run(t)
	v.initialize(t)
	if err := root.Sys().MountWithContext(t.Context(), "durable", &api.MountInput{Type: "transit"}); err != nil {
		t.Fatalf("mount a transit engine: %v", err)
	}
	v.Mount = "durable"
	return v
}

// vaultBinary returns where the server is.
func vaultBinary(ctx context.Context) (string, error) {
	if os.Getenv(dockerVariable) != "" {
		return "", fmt.Errorf("%w: only containers will do", errNone)
	}
	script, err := scriptNamed(vault.name)
	if err != nil {
		return "", err
	}
	if exec.CommandContext(ctx, script, "found").Run() != nil {
		return "", fmt.Errorf("%w: no binaries", errNone)
	}
	out, err := exec.CommandContext(ctx, script, "binary").Output()
	return strings.TrimSpace(string(out)), err
}

func (v *DurableVault) config() string { return filepath.Join(v.dir, "vault.hcl") }

// run starts the process and waits until it answers. Its shell reads from a
// pipe that ends with us, and kills it then.
func (v *DurableVault) run(t testing.TB) {
	t.Helper()
	v.kill = func() {}
	shell := exec.CommandContext(context.Background(), "sh", "-c",
		`"$@" & cat; kill -9 $!; wait`, "sh", v.binary, "server", "-config="+v.config())
	shell.Env = []string{"HOME=" + v.dir, "PATH=" + os.Getenv("PATH")}
	leash, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		t.Fatalf("start the test's Vault: %v", err)
	}
	v.kill = func() {
		_ = leash.Close()
		_ = shell.Wait()
	}
	err = await(func() error {
		_, err := v.Root.Sys().InitStatusWithContext(context.WithoutCancel(t.Context()))
		return err
	})
	if err != nil {
		t.Fatalf("the test's Vault: %v", err)
	}
}

// initialize makes the server's keys and opens it.
func (v *DurableVault) initialize(t testing.TB) {
	t.Helper()
	made, err := v.Root.Sys().InitWithContext(t.Context(), &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		t.Fatalf("initialize the test's Vault: %v", err)
	}
	v.Key = made.KeysB64[0]
	v.Root.SetToken(made.RootToken)
	v.Unseal(t)
	v.awaitActive(t)
}

// Restart kills the server, starts it again and unseals it.
func (v *DurableVault) Restart(t testing.TB) {
	t.Helper()
	v.kill()
	v.run(t)
	v.Unseal(t)
	v.awaitActive(t)
}

// StepDown makes a standby of the server, which is without an active node then,
// for about ten seconds.
func (v *DurableVault) StepDown(t testing.TB) {
	t.Helper()
	if err := v.Root.Sys().StepDownWithContext(t.Context()); err != nil {
		t.Fatalf("have the test's Vault step down: %v", err)
	}
}

func (v *DurableVault) awaitActive(t testing.TB) {
	t.Helper()
	err := await(func() error {
		_, err := v.Root.Auth().Token().LookupSelfWithContext(context.WithoutCancel(t.Context()))
		return err
	})
	if err != nil {
		t.Fatalf("the test's Vault: %v", err)
	}
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
