package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/jackc/pgx/v5"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/integration/servers"
	"github.com/aichub/lanyard/store/postgres"
)

// transitKey is the name of the key in Vault.
const transitKey = "lanyard"

// place is where a measurement has its data: a database and a transit engine
// of its own. Other processes are told of it.
type place struct {
	Postgres string // a URL
	Vault    string // an address
	Token    string
	Mount    string
}

// newPlace makes a database on the servers that are found or started. clean
// removes it.
func newPlace(ctx context.Context) (p place, clean func() error, err error) {
	environment, err := servers.Start()
	if err != nil {
		return place{}, nil, err
	}
	found := make(map[string]string)
	for _, line := range environment {
		name, value, _ := strings.Cut(line, "=")
		found[name] = value
	}
	server := found["LANYARD_TEST_POSTGRES"]
	p = place{Vault: found["LANYARD_TEST_VAULT"], Token: found["LANYARD_TEST_VAULT_TOKEN"], Mount: "measure-" + lanyard.NewID()}
	name := "lanyard_measure_" + lanyard.NewID()
	u, err := url.Parse(server)
	if err != nil {
		return place{}, nil, errors.New("LANYARD_TEST_POSTGRES is no URL")
	}
	if err := execute(ctx, server, `CREATE DATABASE `+name+` TEMPLATE template0`); err != nil {
		return place{}, nil, fmt.Errorf("create a database: %w", err)
	}
	u.Path = "/" + name
	p.Postgres = u.String()
	return p, func() error {
		return execute(context.WithoutCancel(ctx), server, `DROP DATABASE `+name+` WITH (FORCE)`)
	}, nil
}

func execute(ctx context.Context, database, statement string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// client returns a client of Vault as a host has it, whose requests are counted.
func (p place) client(c *calls) (*api.Client, error) {
	config := api.DefaultConfig()
	config.Address, config.AgentAddress = p.Vault, ""
	config.Timeout = 10 * time.Second
	if c != nil {
		config.HttpClient.Transport = counting{c, config.HttpClient.Transport}
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.SetToken(p.Token)
	client.ClearNamespace()
	return client, nil
}

// prepare migrates the database and makes the key in Vault.
func (p place) prepare(ctx context.Context) error {
	st, err := postgres.Open(ctx, p.Postgres, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(st.Migrate(ctx), st.Close()); err != nil {
		return err
	}
	client, err := p.client(nil)
	if err != nil {
		return err
	}
	mounts, err := client.Sys().ListMountsWithContext(ctx)
	if err != nil {
		return err
	}
	if mounts[p.Mount+"/"] == nil { // a test has one already
		if err := client.Sys().MountWithContext(ctx, p.Mount, &api.MountInput{Type: "transit"}); err != nil {
			return err
		}
	}
	_, err = client.Logical().WriteWithContext(ctx, p.Mount+"/keys/"+transitKey, map[string]any{"type": "aes256-gcm96", "derived": true})
	return err
}

// rotate adds a version to the key in Vault.
func (p place) rotate(ctx context.Context) error {
	client, err := p.client(nil)
	if err != nil {
		return err
	}
	_, err = client.Logical().WriteWithContext(ctx, p.Mount+"/keys/"+transitKey+"/rotate", nil)
	return err
}

// secrets returns the key in Vault as a key service.
func (p place) secrets(c *calls) (*vaulttransit.Transit, error) {
	client, err := p.client(c)
	if err != nil {
		return nil, err
	}
	return vaulttransit.New(client, transitKey, &vaulttransit.Options{Mount: p.Mount})
}

// open opens store and Sealer as a process of a host does.
func (p place) open(ctx context.Context, ttl time.Duration, c *calls) (*postgres.Store, *crypto.Sealer, error) {
	secrets, err := p.secrets(c)
	if err != nil {
		return nil, nil, err
	}
	st, err := postgres.Open(ctx, p.Postgres, nil)
	if err != nil {
		return nil, nil, err
	}
	sealer, err := crypto.NewSealer(secrets, st, &crypto.SealerOptions{CacheTTL: ttl})
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return st, sealer, nil
}

// calls counts the requests that were made to Vault, by operation.
type calls struct {
	mu sync.Mutex
	by map[string]int
}

func (c *calls) add(operation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = make(map[string]int)
	}
	c.by[operation]++
}

// counted returns the counts so far.
func (c *calls) counted() requests {
	c.mu.Lock()
	defer c.mu.Unlock()
	return requests{Encrypt: c.by["encrypt"], Decrypt: c.by["decrypt"], Rewrap: c.by["rewrap"]}
}

// requests are the requests to Vault's transit engine, by kind.
type requests struct{ Encrypt, Decrypt, Rewrap int }

func (r requests) plus(o requests) requests {
	return requests{r.Encrypt + o.Encrypt, r.Decrypt + o.Decrypt, r.Rewrap + o.Rewrap}
}

func (r requests) String() string {
	return fmt.Sprintf("%d encrypt, %d decrypt, %d rewrap", r.Encrypt, r.Decrypt, r.Rewrap)
}

// counting counts requests on their way, those that are retried each time.
type counting struct {
	calls *calls
	next  http.RoundTripper
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.calls.add(path.Base(path.Dir(r.URL.Path))) // of /v1/MOUNT/OPERATION/KEY
	return c.next.RoundTrip(r)
}
