package browser_test

import (
	"context"
	"html/template"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

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

// jiraName is what the quickstart calls its Jira: pictures here stand in for it.
const jiraName = "Jira (demo)"

// What is typed into secret fields here.
const (
	anasToken     = "canary-browser-4fJr0c9wTq"
	anasNextToken = "canary-browser-8sWm2hYv5x"
	wrong         = "canary-browser-0pQz7dLk2m"
)

// host is an application with the page, on SQLite, for Ana Lima.
type host struct {
	url      string // of the page, with a slash at its end
	jira     *providertest.Fake
	jiraURL  string
	profiles *profile.Service
	keys     *apikey.Service
	tokens   *providertoken.Service
}

var ana = lanyard.Owner{Subject: "ana"}

// newHost serves the page in a language at account/, and beside it as other
// hosts have it: see others.
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
	h.jiraURL = server.URL()
	definitions := catalog.All()
	var words fs.FS
	if isPseudo(language) {
		definitions, words = pseudoDefinitions(language, definitions), pseudoTexts(t, language)
	}
	keys := func(limit int) *apikey.Service {
		s, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer, Scopes: []string{"read", "write"}, Limit: limit})
		ok(t, err)
		t.Cleanup(func() { ok(t, s.Close(context.Background())) })
		return s
	}
	tokens := func(limit int, offered ...providertoken.Definition) *providertoken.Service {
		o := providertoken.Options{Providers: offered, Limit: limit}
		if len(offered) > 0 {
			o.Instances = []providertoken.Instance{{
				ID: "jira", Provider: "jira-data-center", Name: jiraName,
				Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
			}}
		}
		s, err := providertoken.NewService(st, sealer, &o)
		ok(t, err)
		return s
	}
	h.keys, h.tokens = keys(0), tokens(0, definitions...)
	h.profiles = profile.NewService(st, &profile.Options{OwnerChanged: h.keys.Refresh})
	config := httpadapter.Config{
		Profiles: h.profiles, APIKeys: h.keys, ProviderTokens: h.tokens, Product: "Demo Hub", Texts: words,
		Docs: []httpadapter.Link{{Title: "Handbook", URL: "https://docs.example/handbook"}},
		Identify: func(*http.Request) (lanyard.Principal, error) {
			return lanyard.Principal{
				Owner: ana, Email: "ana@example.com", GivenName: "Ana", FamilyName: "Lima",
				Locale: language, ZoneInfo: "America/Sao_Paulo",
			}, nil
		},
	}
	mux := http.NewServeMux()
	mount := func(at string, config httpadapter.Config) {
		page, err := httpadapter.New(config)
		ok(t, err)
		httpadapter.Mount(mux, at, page)
	}
	mount("/account", config)
	few := config
	few.APIKeys, few.ProviderTokens = keys(1), tokens(1, definitions...)
	mount("/few", few)
	bare := config
	bare.ProviderTokens = tokens(0)
	mount("/bare", bare)
	others(config, mount)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	listener := httptest.NewServer(mux)
	t.Cleanup(listener.Close)
	at, err := url.Parse(listener.URL)
	ok(t, err)
	h.url = "http://" + site + ":" + at.Port() + "/account/"
	return h
}

// others mounts the page as hosts have it that frame it, brand it, and refuse.
func others(config httpadapter.Config, mount func(at string, config httpadapter.Config)) {
	framed := config
	framed.Layout = func(w http.ResponseWriter, _ *http.Request, p httpadapter.Page) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(p.Status)
		_ = layout.Execute(w, p)
	}
	mount("/framed", framed)
	branded := config
	branded.Brand = httpadapter.Brand{
		Home: "https://hub.example/",
		Logo: "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4'/%3E%3C/svg%3E",
	}
	mount("/branded", branded)
	nobody := config
	nobody.Identify = func(*http.Request) (lanyard.Principal, error) { return lanyard.Principal{}, lanyard.ErrUnauthenticated }
	mount("/nobody", nobody)
	down := config
	down.Identify = func(*http.Request) (lanyard.Principal, error) { return lanyard.Principal{}, lanyard.ErrUnavailable }
	mount("/down", down)
	busy := config
	busy.Limit = func(*http.Request, lanyard.Principal) time.Duration { return time.Minute }
	mount("/busy", busy)
	again := config
	again.MaxAuthAge, again.LoginURL = time.Minute, "/login"
	mount("/again", again)
}

var layout = template.Must(template.New("").Parse(`<!doctype html>
<html lang="{{.Lang}}" dir="{{.Dir}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
{{.Head}}
</head>
<body>
<header><p>Demo Hub</p></header>
<main>
{{.Body}}
</main>
</body>
</html>
`))

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
