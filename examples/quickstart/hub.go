package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/store/sqlite"
)

// hub is the host application: its handler, and what has to be closed after it.
type hub struct {
	handler http.Handler
	logger  *slog.Logger
	closers []func(context.Context) error
}

// openHub composes the host over the database and the keyring in dir. It is
// reached at url and has the page at prefix.
func openHub(ctx context.Context, dir, url, prefix string, logger *slog.Logger) (*hub, error) {
	h := &hub{logger: logger}
	if err := h.open(ctx, dir, url, prefix); err != nil {
		return nil, errors.Join(err, h.Close(context.WithoutCancel(ctx)))
	}
	return h, nil
}

func (h *hub) open(ctx context.Context, dir, url, prefix string) error {
	st, sealer, err := h.openData(ctx, dir)
	if err != nil {
		return err
	}
	jira, err := startJira()
	if err != nil {
		return err
	}
	h.onClose(jira.Close)
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
		Providers: providers(), Instances: []providertoken.Instance{jiraInstance(jira)}, Logger: h.logger,
	})
	if err != nil {
		return err
	}
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer, Logger: h.logger})
	if err != nil {
		return err
	}
	h.onClose(keys.Close)
	page, err := httpadapter.New(httpadapter.Config{
		Identify: identify, APIKeys: keys, ProviderTokens: tokens,
		Profiles: profile.NewService(st, &profile.Options{OwnerChanged: keys.Refresh, Logger: h.logger}),
		Product:  "Demo Hub", LoginURL: "/login?return={return}", Logger: h.logger,
	})
	if err != nil {
		return err
	}

	api := http.NewServeMux()
	api.HandleFunc("GET /api/hello", hello)
	api.Handle("GET /api/agent/issues", &agent{
		tokens: tokens, jira: jira.URL(), page: url + prefix + "/provider-tokens", logger: h.logger,
	})

	mux := http.NewServeMux()
	httpadapter.Mount(mux, prefix, page)
	mux.Handle("/api/", httpadapter.RequireKey(keys, nil)(api))
	mux.Handle("GET /login", login(prefix))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent) // browsers ask every host for one
	})
	mux.Handle("GET /{$}", http.RedirectHandler(prefix+"/", http.StatusSeeOther))
	h.handler = mux
	return nil
}

// openData opens the database and the keyring, and proves that they belong
// together.
func (h *hub) openData(ctx context.Context, dir string) (*sqlite.Store, *crypto.Sealer, error) {
	database := filepath.Join(dir, "lanyard.db")
	ring, err := openKeyring(filepath.Join(dir, "lanyard.keys"), database)
	if err != nil {
		return nil, nil, err
	}
	st, err := sqlite.Open(ctx, database, nil)
	if err != nil {
		return nil, nil, err
	}
	h.onClose(func(context.Context) error { return st.Close() })
	if err := st.Migrate(ctx); err != nil {
		return nil, nil, err
	}
	sealer, err := crypto.NewSealer(ring, st, &crypto.SealerOptions{Logger: h.logger})
	if err != nil {
		return nil, nil, err
	}
	if err := sealer.Check(ctx); err != nil {
		return nil, nil, fmt.Errorf("lanyard.keys is not the keyring of lanyard.db: %w", err)
	}
	return st, sealer, nil
}

// openKeyring opens the keyring at path, and makes it only before there is a
// database: a new one would open nothing of what that holds. Of processes that
// start together one makes it and the others open that.
func openKeyring(path, database string) (*keyring.Ring, error) {
	if _, err := os.Stat(database); err == nil {
		ring, err := keyring.Open(path, nil)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is a database and no keyring for it; put the keyring back: %w", err)
		}
		return ring, err
	}
	ring, err := keyring.Create(path, nil)
	if errors.Is(err, fs.ErrExist) {
		return keyring.Open(path, nil)
	}
	return ring, err
}

func (h *hub) onClose(f func(context.Context) error) { h.closers = append(h.closers, f) }

// Close closes in the reverse order of opening.
func (h *hub) Close(ctx context.Context) error {
	var errs []error
	for i := range h.closers {
		errs = append(errs, h.closers[len(h.closers)-1-i](ctx))
	}
	return errors.Join(errs...)
}
