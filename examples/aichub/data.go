package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	vault "github.com/hashicorp/vault/api"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// database is what the two stores have in common.
type database interface {
	store.Store
	Migrate(context.Context) error
}

// openDatabase opens PostgreSQL where the settings name it, else a file.
func openDatabase(ctx context.Context, s settings, spans trace.TracerProvider) (database, error) {
	if !s.database.IsZero() {
		return opened(postgres.Open(ctx, s.database.Reveal(), &postgres.Options{TracerProvider: spans}))
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return nil, err
	}
	return opened(sqlite.Open(ctx, filepath.Join(s.data, "lanyard.db"), &sqlite.Options{TracerProvider: spans}))
}

// opened keeps a nil pointer from becoming a database that is not nil.
func opened[D database](d D, err error) (database, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

// openSecrets opens Vault where the settings name it, else a keyring. A
// keyring beside Vault is from before: what it wrapped still opens. What is to
// be closed is pushed to open.
func openSecrets(ctx context.Context, s settings, keys store.OwnerKeys, logger *slog.Logger, open *closers) (secrets crypto.Secrets, previous []crypto.Secrets, err error) {
	path := filepath.Join(s.data, "lanyard.keys")
	if s.vault.address == "" {
		secrets, err = openKeyring(ctx, path, keys)
		return secrets, nil, err
	}
	transit, err := openVault(s.vault, logger)
	if err != nil {
		return nil, nil, err
	}
	open.push(func(context.Context) error { return transit.Close() })
	ring, err := keyring.Open(path, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return transit, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return transit, []crypto.Secrets{ring}, nil
}

// openKeyring opens the keyring at path. It makes one only before anything was
// sealed: a new one would open nothing of that.
func openKeyring(ctx context.Context, path string, keys store.OwnerKeys) (*keyring.Ring, error) {
	ring, err := keyring.Open(path, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	_, asked := keys.OwnerKey(ctx, lanyard.Owner{}) // the system key, made at the first start
	if asked == nil {
		return nil, fmt.Errorf("the database was sealed with a key service that is not configured now: %w", err)
	}
	if !errors.Is(asked, lanyard.ErrNotFound) {
		return nil, asked
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	ring, err = keyring.Create(path, nil)
	if errors.Is(err, fs.ErrExist) { // another process was faster
		return keyring.Open(path, nil)
	}
	return ring, err
}

// openVault makes a client that takes its certificates from the environment,
// as VAULT_CACERT, and address and login from the settings alone. With a login
// tokens are renewed and replaced; a host with a token of its own renews it,
// and tells its client by SetToken.
func openVault(s vaultSettings, logger *slog.Logger) (*vaulttransit.Transit, error) {
	config := vault.DefaultConfig()
	if config.Error != nil {
		return nil, config.Error
	}
	config.Address, config.AgentAddress = s.address, ""
	client, err := vault.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.SetToken(s.token.Reveal())
	return vaulttransit.New(client, s.key, &vaulttransit.Options{Mount: s.mount, Auth: s.auth, Logger: logger})
}
