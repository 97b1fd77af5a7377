package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// latencyOptions says how often each call is made.
type latencyOptions struct{ times int }

func prepareLatency(flags *flag.FlagSet) func(context.Context, io.Writer) error {
	var o latencyOptions
	flags.IntVar(&o.times, "times", 500, "how often each call is made, one after another")
	return func(ctx context.Context, out io.Writer) error {
		p, clean, err := newPlace(ctx)
		if err != nil {
			return err
		}
		l, err := latency(ctx, p, o)
		if err := errors.Join(err, clean()); err != nil {
			return err
		}
		l.print(out)
		return nil
	}
}

// backends are what a host can stand on, in the order of the table.
var backends = []string{"memory", "SQLite", "PostgreSQL", "PostgreSQL + Vault"}

// latencies are the samples of each call on each backend.
type latencies struct {
	calls   []string // in the order they were made
	samples map[string][][]time.Duration
}

func (l *latencies) print(w io.Writer) {
	head := []any{"p50 / p99"}
	for _, b := range backends {
		head = append(head, b)
	}
	rows := [][]string{row(head...)}
	for _, call := range l.calls {
		cells := []any{call}
		for _, samples := range l.samples[call] {
			cells = append(cells, fmt.Sprintf("%v / %v", rounded(quantile(samples, .5)), rounded(quantile(samples, .99))))
		}
		rows = append(rows, row(cells...))
	}
	table(w, rows...)
}

// latency makes each service call on each backend. The platform whose tokens
// are saved is in this process.
func latency(ctx context.Context, p place, o latencyOptions) (l *latencies, err error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lanyard-measure")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	platform, err := providertest.NewServer(providertest.JiraDataCenter(func(string) (providertest.Account, bool) {
		return providertest.Account{ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"}, true
	}))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, platform.Close(ctx)) }()

	l = &latencies{samples: make(map[string][][]time.Duration)}
	for _, name := range backends {
		say("%s", name)
		h, err := l.host(ctx, name, dir, p, platform)
		if err == nil {
			h.times = o.times
			err = errors.Join(h.measure(ctx), h.keys.Close(ctx), h.store.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return l, nil
}

// host is one host on one backend.
type host struct {
	*latencies
	name    string
	times   int
	store   store.Store
	secrets crypto.Secrets
	keys    *apikey.Service
	tokens  *providertoken.Service
	people  *profile.Service
}

func (l *latencies) host(ctx context.Context, backend, dir string, p place, platform *providertest.Server) (*host, error) {
	h := &host{latencies: l, name: backend}
	ring, err := keyring.Create(filepath.Join(dir, backend+".keys"), nil)
	if err != nil {
		return nil, err
	}
	h.secrets = ring
	switch backend {
	case "memory":
		h.store = memory.New()
	case "SQLite":
		st, err := sqlite.Open(ctx, filepath.Join(dir, "lanyard.db"), nil)
		if err != nil {
			return nil, err
		}
		h.store = st
		if err := st.Migrate(ctx); err != nil {
			return nil, err
		}
	default:
		if h.store, err = postgres.Open(ctx, p.Postgres, nil); err != nil {
			return nil, err
		}
	}
	if backend == "PostgreSQL + Vault" {
		// What the keyring has wrapped is in the way of the system key.
		if err := execute(ctx, p.Postgres, `TRUNCATE lanyard_owner_keys CASCADE`); err != nil {
			return nil, err
		}
		if h.secrets, err = p.secrets(nil); err != nil {
			return nil, err
		}
	}
	sealer, err := crypto.NewSealer(h.secrets, h.store, nil)
	if err != nil {
		return nil, err
	}
	if h.keys, err = apikey.NewService(h.store, &apikey.Options{Prefix: "aic", Sealer: sealer, Limit: -1}); err != nil {
		return nil, err
	}
	h.tokens, err = providertoken.NewService(h.store, sealer, &providertoken.Options{
		Providers: catalog.All(), Limit: -1,
		Instances: []providertoken.Instance{{
			ID: "jira", Provider: "jira-data-center", Base: platform.URL(), RootCAs: platform.RootCAs(), Networks: platform.Networks(),
		}},
	})
	h.people = profile.NewService(h.store, nil)
	return h, err
}

// owner is one of this host alone: two of them share a database.
func (h *host) owner(i int) lanyard.Owner {
	return lanyard.Owner{Tenant: h.name, Subject: owner(i).Subject}
}

// each makes a call for so many owners, one after another.
func (h *host) each(call string, do func(i int) error) error {
	samples := make([]time.Duration, h.times)
	for i := range samples {
		began := time.Now()
		if err := do(i); err != nil {
			return fmt.Errorf("%s: %w", call, err)
		}
		samples[i] = time.Since(began)
	}
	if h.samples[call] == nil {
		h.calls = append(h.calls, call)
	}
	h.samples[call] = append(h.samples[call], samples)
	return nil
}

func (h *host) measure(ctx context.Context) error {
	return errors.Join(h.measureKeys(ctx), h.measureTokens(ctx), h.measureProfiles(ctx), h.measureSealer(ctx))
}

func (h *host) measureKeys(ctx context.Context) error {
	made := make([]apikey.Created, h.times)
	return inTurn(
		func() error {
			return h.each("api key: create", func(i int) (err error) {
				made[i], err = h.keys.Create(ctx, h.owner(i), apikey.CreateRequest{Name: "laptop"})
				return err
			})
		},
		func() error {
			return h.each("api key: verify, cold", func(i int) error {
				_, err := h.keys.Verify(ctx, made[i].Secret.Reveal())
				return err
			})
		},
		func() error {
			return h.each("api key: list", func(i int) error {
				_, err := h.keys.Keys(ctx, h.owner(i))
				return err
			})
		},
		func() error {
			return h.each("api key: rename", func(i int) error {
				_, err := h.keys.Rename(ctx, h.owner(i), made[i].Key.ID, 0, "desk")
				return err
			})
		},
		func() error {
			return h.each("api key: rotate", func(i int) error {
				_, err := h.keys.Rotate(ctx, h.owner(i), made[i].Key.ID, apikey.RotateRequest{})
				return err
			})
		},
		func() error {
			return h.each("api key: delete", func(i int) error { return h.keys.Delete(ctx, h.owner(i), made[i].Key.ID, 0) })
		},
	)
}

func (h *host) measureTokens(ctx context.Context) error {
	saved, label := make([]providertoken.Token, h.times), "work"
	request := providertoken.CreateRequest{ProviderID: "jira", Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret("a-token")}}
	return inTurn(
		func() error {
			return h.each("provider token: save, an owner's first", func(i int) (err error) {
				saved[i], err = h.tokens.Create(ctx, h.owner(i), request)
				return err
			})
		},
		func() error {
			return h.each("provider token: list", func(i int) error {
				_, err := h.tokens.Tokens(ctx, h.owner(i))
				return err
			})
		},
		func() error {
			return h.each("provider token: edit label", func(i int) error {
				_, err := h.tokens.Update(ctx, h.owner(i), saved[i].ID, providertoken.UpdateRequest{Label: &label})
				return err
			})
		},
		func() error {
			return h.each("provider token: client, and one request", func(i int) error {
				client, err := h.tokens.Client(ctx, h.owner(i), providertoken.Ref{Provider: "jira"}, nil)
				if err != nil {
					return err
				}
				return get(ctx, client, saved[i].Base+"/rest/api/2/myself")
			})
		},
		func() error {
			return h.each("provider token: delete", func(i int) error { return h.tokens.Delete(ctx, h.owner(i), saved[i].ID, 0) })
		},
	)
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the platform answered %s", res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

func (h *host) measureProfiles(ctx context.Context) error {
	person := func(i int) lanyard.Principal {
		return lanyard.Principal{Owner: h.owner(i), GivenName: "Ana", FamilyName: "Lima", Name: "Ana Lima"}
	}
	return inTurn(
		func() error {
			return h.each("profile: seen, the first time", func(i int) error {
				_, err := h.people.Seen(ctx, person(i))
				return err
			})
		},
		func() error {
			return h.each("profile: seen again", func(i int) error {
				_, err := h.people.Seen(ctx, person(i))
				return err
			})
		},
		func() error {
			return h.each("profile: update", func(i int) error {
				_, err := h.people.Update(ctx, h.owner(i), 0, profile.Update{GivenName: profile.Set("Anna")})
				return err
			})
		},
		func() error {
			return h.each("profile: activity", func(i int) error {
				_, err := h.people.Activity(ctx, h.owner(i), profile.Page{})
				return err
			})
		},
	)
}

func (h *host) measureSealer(ctx context.Context) error {
	open := func(call string, ttl time.Duration) error {
		sealer, err := crypto.NewSealer(h.secrets, h.store, &crypto.SealerOptions{CacheTTL: ttl})
		if err != nil {
			return err
		}
		sealed, err := sealer.Seal(ctx, binding(h.owner(0)), lanyard.NewSecret(plaintext(h.owner(0))))
		if err != nil {
			return err
		}
		return h.each(call, func(int) error { return use(ctx, sealer, h.owner(0), sealed.Envelope) })
	}
	return inTurn(
		func() error { return open("sealer: open, cold", -1) },
		func() error { return open("sealer: open, warm", 0) },
	)
}

// inTurn does one thing after another, up to the first that fails.
func inTurn(things ...func() error) error {
	for _, do := range things {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}
