package docs_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/crypto/secretstest"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/storetest"
)

// What follows is shown in the documents. Most of it only has to compile.

var _ = func(ctx context.Context) error {
	st, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), nil)
	if err != nil {
		return err
	}
	return st.Close()
}

var _ = func(vaultClient *vault.Client) (crypto.Secrets, error) {
	secrets, err := vaulttransit.New(vaultClient, "lanyard", nil)
	return secrets, err
}

var _ = func(client *vault.Client, use func(crypto.Secrets)) error {
	secrets, err := vaulttransit.New(client, "lanyard", &vaulttransit.Options{
		Auth: vaulttransit.AppRole{
			RoleID:   os.Getenv("VAULT_ROLE_ID"),
			SecretID: lanyard.NewSecret(os.Getenv("VAULT_SECRET_ID")),
		},
		Logger: slog.Default(),
	})
	if err != nil {
		return err
	}
	defer func() { _ = secrets.Close() }()
	use(secrets)
	return nil
}

var _ = func(client *vault.Client) (crypto.Secrets, error) {
	secrets, err := vaulttransit.New(client, "lanyard", &vaulttransit.Options{
		Auth: vaulttransit.Kubernetes{Role: "lanyard"},
	})
	return secrets, err
}

var _ = func(client *vault.Client) (crypto.Secrets, error) {
	vault, err := vaulttransit.New(client, "lanyard", &vaulttransit.Options{Name: "vault-2:transit/lanyard"})
	return vault, err
}

var _ = func(vault, ring crypto.Secrets, st store.Store) error {
	sealer, err := crypto.NewSealer(vault, st, &crypto.SealerOptions{Previous: []crypto.Secrets{ring}})
	if err != nil {
		return err
	}
	return sealer.Check(context.Background())
}

var _ = func(ctx context.Context, sealer *crypto.Sealer, st store.Store, cursor string) error {
	report, err := sealer.Rewrap(ctx, st, &crypto.RewrapOptions{After: cursor})
	if err != nil {
		return err
	}
	_ = report
	return nil
}

var _ = func(ctx context.Context, sealer *crypto.Sealer, st store.Store) (providertoken.Inspection, apikey.Inspection, error) {
	found, err := providertoken.Inspect(ctx, st, sealer, catalog.All(), nil)
	signed, err2 := apikey.Inspect(ctx, st, sealer)
	return found, signed, errors.Join(err, err2)
}

var _ = func(st store.Store, sealer *crypto.Sealer) (*providertoken.Service, error) {
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
		Providers: catalog.All(),
		Instances: []providertoken.Instance{{
			ID: "jira-acme", Provider: "jira-data-center", Name: "Jira of Acme",
			Base:     "https://jira.acme.example/jira",
			Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")},
		}},
	})
	return tokens, err
}

var _ = func() ([]providertoken.Definition, error) {
	own, err := catalog.Load(os.DirFS("providers"))
	return append(catalog.All(), own...), err
}

var _ = func(ctx context.Context, tokens *providertoken.Service, owner lanyard.Owner) (*http.Client, error) {
	client, err := tokens.Client(ctx, owner, providertoken.Ref{Provider: "jira-cloud"},
		&providertoken.Use{AgentID: "weekly-report", Purpose: "list open issues", ReadOnly: true})
	return client, err
}

var _ = func(ctx context.Context, profiles *profile.Service, owner lanyard.Owner) error {
	err := profiles.Deactivate(ctx, owner)
	return err
}

var _ = func(st store.Store, sealer *crypto.Sealer, rightsOf func(context.Context, lanyard.Owner) ([]string, error)) (*apikey.Service, error) {
	keys, err := apikey.NewService(st, &apikey.Options{
		Prefix: "aic", Sealer: sealer,
		Scopes:  []string{"read", "write"},
		MaxLife: 365 * 24 * time.Hour, DefaultLife: 90 * 24 * time.Hour,
		Rate: 20, Burst: 100,
		Rights: rightsOf,
	})
	return keys, err
}

var _ = func(st store.Store, sealer *crypto.Sealer) (*apikey.Service, error) {
	keys, err := apikey.NewService(st, &apikey.Options{
		Prefix: "aic", Sealer: sealer,
		Scopes: []string{"read", "write"},
	})
	return keys, err
}

var _ = apikey.Options{
	Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
}

var _ = func(st store.Store, sealer *crypto.Sealer) (*apikey.Service, error) {
	keys, err := apikey.NewService(st, &apikey.Options{
		Prefix: "aic", Scopes: []string{"read", "write"}, Sealer: sealer,
		AcceptForeign: func(token string) (hashed string, ok bool) {
			return token, len(token) == 30 && strings.HasPrefix(token, "hub_")
		},
	})
	return keys, err
}

var _ = apikey.Options{
	AcceptForeign: func(token string) (hashed string, ok bool) {
		id, secret, found := strings.Cut(token, "|")
		return secret, found && id != "" && len(secret) >= 40
	},
}

type oldKey struct {
	UserID, Name, Hash, Start string
	CreatedAt, LastUsedAt     time.Time
}

var _ = func(ctx context.Context, keys *apikey.Service, oldKeys []oldKey, logger *slog.Logger) error {
	var requests []apikey.ImportRequest
	for _, k := range oldKeys {
		requests = append(requests, apikey.ImportRequest{
			Owner: lanyard.Owner{Subject: k.UserID}, Name: k.Name, Hash: k.Hash, Hint: k.Start,
			Scopes: []string{"read"}, CreatedAt: k.CreatedAt, LastUsedAt: k.LastUsedAt,
		})
	}
	results, err := keys.Import(ctx, requests)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Err != nil && !errors.Is(r.Err, lanyard.ErrExists) {
			logger.WarnContext(ctx, "key was not imported", slog.String("name", oldKeys[i].Name), slog.Any("error", r.Err))
		}
	}
	return nil
}

var _ = func(mux *http.ServeMux, keys *apikey.Service) {
	mux.Handle("/hooks/github/secret-scanning", httpadapter.SecretScanning(keys, nil))
}

var _ = func(ctx context.Context, keys *apikey.Service, found string) error {
	results, err := keys.ReportLeaks(ctx, []apikey.Leak{
		{Token: lanyard.NewSecret(found), Source: "gitleaks", URL: "https://git.acme.example/app/config.yml"},
	})
	if err != nil {
		return err
	}
	_ = results
	err = keys.DeleteByToken(ctx, found)
	return err
}

var _ = func(enqueue func(ctx context.Context, e lanyard.Event)) *apikey.Options {
	return &apikey.Options{
		OnEvent: func(ctx context.Context, e lanyard.Event) {
			switch e.Action {
			case apikey.ActionLeaked, apikey.ActionExpiring, apikey.ActionUsedAfterDelete:
				enqueue(ctx, e)
			}
		},
	}
}

var _ = func(ctx context.Context, keys *apikey.Service, st store.Store, logger *slog.Logger) {
	for tick := time.NewTicker(time.Hour); ; {
		if _, err := keys.Sweep(ctx, st); err != nil {
			logger.WarnContext(ctx, "api keys were not swept", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

var _ = func(ctx context.Context, mux *http.ServeMux, st store.Store, sealer *crypto.Sealer, logger *slog.Logger, audit func(context.Context, providertoken.Call)) error {
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
		Providers: catalog.All(),
		Policy:    providertoken.Policy{RequireAgent: true, RequirePurpose: true},
		Policies: map[string]providertoken.Policy{
			"jira-cloud": {Agents: []string{"planner", "weekly-report"}},
			"servicenow": {ReadOnly: true},
		},
		OnCall: func(ctx context.Context, c providertoken.Call) {
			audit(ctx, c)
		},
	})
	if err != nil {
		return err
	}
	return mountAgents(ctx, mux, tokens, st, sealer, logger)
}

func mountAgents(ctx context.Context, mux *http.ServeMux, tokens *providertoken.Service, st store.Store, sealer *crypto.Sealer, logger *slog.Logger) error {
	keys, err := apikey.NewService(st, &apikey.Options{
		Prefix: "aic", Sealer: sealer,
		Scopes: []string{"issues:read", httpadapter.ScopeUseProviderTokens},
	})
	if err != nil {
		return err
	}
	httpadapter.Mount(mux, "/agents", httpadapter.Proxy(tokens, keys, nil))
	if _, err := tokens.Sweep(ctx, st); err != nil {
		logger.WarnContext(ctx, "provider tokens were not swept", slog.Any("error", err))
	}
	if _, err := tokens.Recheck(ctx, st, nil); err != nil {
		logger.WarnContext(ctx, "provider tokens were not checked", slog.Any("error", err))
	}
	return nil
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return memory.New() })
}

func TestSecrets(t *testing.T) {
	secretstest.Run(t, func(t *testing.T) crypto.Secrets { return newMySecrets(t) })
}

func newMySecrets(t *testing.T) crypto.Secrets {
	t.Helper()
	ring, err := keyring.Create(t.TempDir()+"/lanyard.keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
