package browser_test

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
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
	"github.com/aichub/lanyard/store/sqlite"
)

// What is typed into secret fields here.
const (
	anasToken     = "canary-browser-4fJr0c9wTq"
	anasNextToken = "canary-browser-8sWm2hYv5x"
	wrong         = "canary-browser-0pQz7dLk2m"
)

// host is an application with the page, on SQLite, for Ana Lima.
type host struct {
	url    string // of the page, with a slash at its end
	jira   *providertest.Fake
	keys   *apikey.Service
	tokens *providertoken.Service
}

var ana = lanyard.Owner{Subject: "ana"}

// newHost serves the page in a language.
func newHost(t *testing.T, language string) *host {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "hub.db"), nil)
	ok(t, err)
	t.Cleanup(func() { ok(t, st.Close()) })
	ok(t, st.Migrate(t.Context()))
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "hub.keys"), nil)
	ok(t, err)
	sealer, err := crypto.NewSealer(ring, st, nil)
	ok(t, err)
	h := &host{jira: providertest.JiraDataCenter(providertest.Tokens{
		anasToken:     {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
		anasNextToken: {ID: "ana", Name: "Ana Souza Lima", Email: "ana@acme.example"},
	}.Account)}
	server, err := providertest.NewServer(h.jira)
	ok(t, err)
	t.Cleanup(func() { ok(t, server.Close(context.Background())) })
	definitions := catalog.All()
	var words fs.FS
	if isPseudo(language) {
		definitions, words = pseudoDefinitions(language, definitions), pseudoTexts(t, language)
	}
	h.tokens, err = providertoken.NewService(st, sealer, &providertoken.Options{
		Providers: definitions,
		Instances: []providertoken.Instance{{
			ID: "jira", Provider: "jira-data-center", Name: "Jira",
			Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
		}},
	})
	ok(t, err)
	h.keys, err = apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer, Scopes: []string{"read", "write"}})
	ok(t, err)
	t.Cleanup(func() { ok(t, h.keys.Close(context.Background())) })
	page, err := httpadapter.New(httpadapter.Config{
		Profiles: profile.NewService(st, &profile.Options{OwnerChanged: h.keys.Refresh}),
		APIKeys:  h.keys, ProviderTokens: h.tokens, Product: "AIC Hub", Texts: words,
		Docs: []httpadapter.Link{{Title: "Handbook", URL: "https://docs.example/handbook"}},
		Identify: func(*http.Request) (lanyard.Principal, error) {
			return lanyard.Principal{
				Owner: ana, Email: "ana@example.com", GivenName: "Ana", FamilyName: "Lima",
				Locale: language, ZoneInfo: "America/Sao_Paulo",
			}, nil
		},
	})
	ok(t, err)
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	listener := httptest.NewServer(mux)
	t.Cleanup(listener.Close)
	at, err := url.Parse(listener.URL)
	ok(t, err)
	h.url = "http://" + site + ":" + at.Port() + "/account/"
	return h
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
