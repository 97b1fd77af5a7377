package faults_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	driver "modernc.org/sqlite"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/integration/servers"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/bunstore"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// place is what the processes of one deployment share: a database and a
// keyring.
type place struct {
	Postgres string // a URL; or
	SQLite   string // a path
	Ring     string // a path
}

// onPostgres returns a migrated database of the shared server.
func onPostgres(t testing.TB) place {
	t.Helper()
	return newPlace(t, place{Postgres: servers.Postgres(t)})
}

// onSQLite returns a migrated file.
func onSQLite(t testing.TB) place {
	t.Helper()
	return newPlace(t, place{SQLite: filepath.Join(t.TempDir(), "lanyard.db")})
}

// onEach runs a test on either database.
func onEach(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, onPostgres(t)) })
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, onSQLite(t)) })
}

func newPlace(t testing.TB, p place) place {
	t.Helper()
	p.Ring = filepath.Join(t.TempDir(), "keys")
	if _, err := keyring.Create(p.Ring, nil); err != nil {
		t.Fatalf("keyring.Create() = %v", err)
	}
	st, err := p.open(t.Context())
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	defer func() { _ = st.Close() }()
	if err := st.(interface{ Migrate(context.Context) error }).Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate() = %v", err)
	}
	return p
}

// open opens the store as a host does.
func (p place) open(ctx context.Context) (store.Store, error) {
	if p.SQLite != "" {
		return sqlite.Open(ctx, p.SQLite, nil)
	}
	return postgres.Open(ctx, p.Postgres, nil)
}

// pool opens the database past any store, over steps where there are some.
func (p place) pool(s *steps) (*bun.DB, error) {
	if s == nil {
		s = &steps{}
	}
	if p.SQLite != "" {
		dsn := "file:" + p.SQLite + "?_txlock=immediate&_busy_timeout=5000&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
		c, err := driver.NewConnector(dsn)
		s.Connector = c
		return bun.NewDB(sql.OpenDB(s), sqlitedialect.New()), err
	}
	config, err := pgx.ParseConfig(p.Postgres)
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	s.Connector = stdlib.GetConnector(*config)
	return bun.NewDB(sql.OpenDB(s), pgdialect.New()), nil
}

// beside returns a pool past any store.
func (p place) beside(t testing.TB) *bun.DB {
	t.Helper()
	db, err := p.pool(nil)
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// host is one process of a host: every service over one store.
type host struct {
	store    store.Store
	pool     *sql.DB // where it stands on steps
	sealer   *crypto.Sealer
	keys     *apikey.Service
	tokens   *providertoken.Service
	profiles *profile.Service

	platform *providertest.Server
}

// host starts a host on the store as it opens it.
func (p place) host(t testing.TB, hear func(context.Context, lanyard.Event)) *host {
	t.Helper()
	st, err := p.open(t.Context())
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	h, err := newHost(st, p.Ring, hear)
	if err != nil {
		t.Fatalf("start a host: %v", err)
	}
	t.Cleanup(func() { h.close(context.WithoutCancel(t.Context())) })
	return h
}

// stepped starts a host whose pool stops at each step.
func (p place) stepped(t testing.TB, hear func(context.Context, lanyard.Event)) (*host, *steps) {
	t.Helper()
	s := &steps{}
	h, err := p.newStepped(s, hear)
	if err != nil {
		t.Fatalf("start a host: %v", err)
	}
	t.Cleanup(func() {
		s.at(nil)
		h.close(context.WithoutCancel(t.Context()))
	})
	return h, s
}

func (p place) newStepped(s *steps, hear func(context.Context, lanyard.Event)) (*host, error) {
	db, err := p.pool(s)
	if err != nil {
		return nil, err
	}
	st, err := bunstore.New(db, nil)
	if err != nil {
		return nil, err
	}
	h, err := newHost(st, p.Ring, hear)
	if err != nil {
		return nil, err
	}
	h.pool = db.DB
	return h, nil
}

const (
	provider       = "jira-data-center-x"
	providerSecret = "canary-ana-4fJr0c9wTq"
	newSecret      = "canary-new-8sLk2m5xZv"
)

func newHost(st store.Store, ringPath string, hear func(context.Context, lanyard.Event)) (*host, error) {
	if hear == nil {
		hear = func(context.Context, lanyard.Event) {}
	}
	ring, err := keyring.Open(ringPath, nil)
	if err != nil {
		return nil, err
	}
	h := &host{store: st}
	if h.sealer, err = crypto.NewSealer(ring, st, nil); err != nil {
		return nil, err
	}
	if h.keys, err = apikey.NewService(st, &apikey.Options{Limit: -1, Sealer: h.sealer, OnEvent: hear}); err != nil {
		return nil, err
	}
	account := providertest.Account{ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"}
	h.platform, err = providertest.NewServer(providertest.JiraDataCenter(
		providertest.Tokens{providerSecret: account, newSecret: account}.Account))
	if err != nil {
		return nil, err
	}
	h.tokens, err = providertoken.NewService(st, h.sealer, &providertoken.Options{
		Providers: catalog.All(), Limit: -1, OnEvent: hear,
		Instances: []providertoken.Instance{{
			ID: provider, Provider: "jira-data-center", Base: h.platform.URL(),
			RootCAs: h.platform.RootCAs(), Networks: h.platform.Networks(),
		}},
	})
	if err != nil {
		return nil, err
	}
	h.profiles = profile.NewService(st, &profile.Options{OnEvent: hear, OwnerChanged: h.keys.Refresh})
	return h, nil
}

func (h *host) close(ctx context.Context) {
	_ = h.keys.Close(ctx)
	_ = h.platform.Close(ctx)
	_ = h.store.Close()
	if h.pool != nil {
		_ = h.pool.Close()
	}
}

// opens reports whether a connection's secret still speaks for its owner.
func (h *host) opens(ctx context.Context, owner lanyard.Owner, label string) error {
	client, err := h.tokens.Client(ctx, owner, providertoken.Ref{Provider: provider, Label: label}, nil)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.platform.URL()+"/rest/api/2/myself", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func connectRequest(label string) providertoken.CreateRequest {
	return providertoken.CreateRequest{
		ProviderID: provider, Label: label,
		Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(providerSecret)},
	}
}

// self is this binary, for another process.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}
