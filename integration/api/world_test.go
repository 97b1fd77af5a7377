package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/sqlite"
)

// What must stand in no answer and no line of the log. The first begins every
// secret of a connection, the second is in all that is Ben's.
const (
	canary     = "canary-7f3Q"
	bensCanary = "bens-9dK2"
)

const (
	goodToken  = canary + "-good-4fJr0c9wTq"
	otherToken = canary + "-other-8sLk2m5xZv"
	badToken   = canary + "-dead-1bNc6pYhRd"
)

// jiraID is the instance that people of a world can connect.
const jiraID = "jira-x"

var (
	ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	ben = lanyard.Owner{Tenant: "acme", Subject: "ben"}
)

// world is a handler over a fresh store, a fake Jira, and Ben, who is not to be
// seen or touched by Ana.
type world struct {
	t       *testing.T
	handler *httpadapter.Handler
	log     *logs
	store   store.Store
	bensKey string // an id
	bensJob string // the id of a connection
	bens    string // all that is stored of him
}

func newWorld(t *testing.T, st store.Store) *world {
	t.Helper()
	w := &world{t: t, log: new(logs), store: st}
	logger := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "keys"), nil)
	must(t, err)
	sealer, err := crypto.NewSealer(ring, st, nil)
	must(t, err)
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Scopes: []string{"read", "write"}, Sealer: sealer, Logger: logger})
	must(t, err)
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	account := providertest.Account{ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"}
	jira, err := providertest.NewServer(providertest.JiraDataCenter(providertest.Tokens{goodToken: account, otherToken: account}.Account))
	must(t, err)
	t.Cleanup(func() { _ = jira.Close(context.Background()) })
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
		Providers: catalog.All(), Logger: logger,
		Instances: []providertoken.Instance{{
			ID: jiraID, Provider: "jira-data-center", Base: jira.URL(), RootCAs: jira.RootCAs(), Networks: jira.Networks(),
		}},
	})
	must(t, err)
	profiles := profile.NewService(st, &profile.Options{OwnerChanged: keys.Refresh, Logger: logger})
	w.handler, err = httpadapter.New(httpadapter.Config{
		Identify: identify, Profiles: profiles, APIKeys: keys, ProviderTokens: tokens, LoginURL: "/login", Logger: logger,
		KeyRoutes: []string{"GET /api-keys", "GET /profile"},
	})
	must(t, err)

	made, err := keys.Create(t.Context(), ben, apikey.CreateRequest{Name: bensCanary})
	must(t, err)
	w.bensKey = made.Key.ID
	job, err := tokens.Create(t.Context(), ben, providertoken.CreateRequest{
		ProviderID: jiraID, Label: bensCanary, Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(goodToken)},
	})
	must(t, err)
	w.bensJob = job.ID
	w.bens = w.dump(ben)
	return w
}

// identify is a host's session: the cookie says who it is.
func identify(r *http.Request) (lanyard.Principal, error) {
	c, err := r.Cookie("session")
	if err != nil || c.Value == "" {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return lanyard.Principal{
		Owner: lanyard.Owner{Tenant: "acme", Subject: c.Value}, GivenName: "Ana", FamilyName: "Lima", Name: "Ana Lima",
		Email: c.Value + "@acme.example", EmailVerified: true,
	}, nil
}

// serve hands the handler a request as a server would that lets everything
// through, and returns the exchange.
func (w *world) serve(r *http.Request, body []byte) exchange {
	e := exchange{Method: r.Method, Target: strings.TrimPrefix(r.URL.RequestURI(), below), Header: r.Header.Clone(), Body: body}
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	e.Status, e.AnswerHeader, e.Answer = out.Code, out.Header(), out.Body.Bytes()
	return e
}

// dump is all that is stored of somebody's keys and connections.
func (w *world) dump(owner lanyard.Owner) string {
	w.t.Helper()
	keys, err := w.store.APIKeys(w.t.Context(), owner)
	must(w.t, err)
	tokens, err := w.store.ProviderTokens(w.t.Context(), owner)
	must(w.t, err)
	text, err := json.Marshal([]any{keys, tokens})
	must(w.t, err)
	return string(text)
}

// eachStore runs test over the stores that need no server.
func eachStore(t *testing.T, test func(t *testing.T, st store.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, memory.New())
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lanyard.db"), nil)
		must(t, err)
		t.Cleanup(func() { _ = st.Close() })
		must(t, st.Migrate(t.Context()))
		test(t, st)
	})
}

// logs is a log for several writers that only knows what it must not hold.
type logs struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

// take returns what was written since it was last asked.
func (l *logs) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.lines.Reset()
	return l.lines.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("unexpected error: %w", err))
	}
}
