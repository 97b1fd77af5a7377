package clients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/andygrunwald/go-jira"
	"github.com/google/go-github/v74/github"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7/core"
	"github.com/slack-go/slack"
	gitlab "gitlab.com/gitlab-org/api/client-go"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store/memory"
)

var (
	ana      = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	accounts = providertest.Tokens{canary: {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"}}
)

const canary = "canary-clients-4fJr0c9wTq"

// client is a third-party client of one platform.
type client struct {
	definition providertoken.Definition
	below      string // where the base is on the platform
	request    providertoken.CreateRequest
	platform   http.Handler
	carries    func(*http.Request) string // the credential, as it arrived

	// use makes calls by the client, which is given c and no token, and returns
	// what they found.
	use  func(ctx context.Context, c *http.Client, base string) (string, error)
	want string
}

func secret(name string) map[string]lanyard.Secret {
	return map[string]lanyard.Secret{name: lanyard.NewSecret(canary)}
}

func password(r *http.Request) string { _, p, _ := r.BasicAuth(); return p }
func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func clients(t *testing.T) map[string]client {
	t.Helper()
	return map[string]client{
		"go-jira": {
			definition: shipped(t, "jira-data-center"), platform: providertest.JiraDataCenter(accounts.Account),
			request: providertoken.CreateRequest{Secrets: secret("token")}, carries: bearer,
			use: func(ctx context.Context, c *http.Client, base string) (string, error) {
				j, err := jira.NewClient(c, base)
				if err != nil {
					return "", err
				}
				self, _, err := j.User.GetSelfWithContext(ctx)
				if err != nil {
					return "", err
				}
				issues, _, err := j.Issue.SearchWithContext(ctx, "assignee = currentUser()", nil)
				return fmt.Sprint(self.DisplayName, " ", len(issues)), err
			},
			want: "Ana Lima 3",
		},
		"go-github": {
			definition: shipped(t, "github"), platform: providertest.GitHub(accounts.Account),
			request: providertoken.CreateRequest{Secrets: secret("token")}, carries: bearer,
			use: func(ctx context.Context, c *http.Client, base string) (string, error) {
				g := github.NewClient(c)
				var err error
				if g.BaseURL, err = g.BaseURL.Parse(base + "/"); err != nil {
					return "", err
				}
				user, _, err := g.Users.Get(ctx, "")
				return user.GetName(), err
			},
			want: "Ana Lima",
		},
		"gitlab client-go": {
			definition: shipped(t, "gitlab"), below: "/api/v4", platform: gitLab{providertest.GitLab(accounts.Account)},
			request: providertoken.CreateRequest{Secrets: secret("token")},
			carries: func(r *http.Request) string { return r.Header.Get("PRIVATE-TOKEN") },
			use: func(ctx context.Context, c *http.Client, base string) (string, error) {
				g, err := gitlab.NewClient("", gitlab.WithBaseURL(base), gitlab.WithHTTPClient(c), gitlab.WithCustomRetryMax(0))
				if err != nil {
					return "", err
				}
				user, _, err := g.Users.CurrentUser(gitlab.WithContext(ctx))
				if err != nil {
					return "", err
				}
				project, _, err := g.Projects.GetProject("acme/hub", nil, gitlab.WithContext(ctx))
				if err != nil {
					return "", err
				}
				return user.Name + " " + project.PathWithNamespace, nil
			},
			want: "Ana Lima acme/hub",
		},
		"slack-go": {
			definition: shipped(t, "slack"), below: "/api", platform: slackAPI{providertest.Slack(accounts.Account)},
			request: providertoken.CreateRequest{Secrets: secret("token")}, carries: bearer,
			use: func(ctx context.Context, c *http.Client, base string) (string, error) {
				s := slack.New("", slack.OptionHTTPClient(c), slack.OptionAPIURL(base+"/"))
				me, err := s.AuthTestContext(ctx)
				if err != nil {
					return "", err
				}
				_, at, err := s.PostMessageContext(ctx, "C1", slack.MsgOptionText("hello", false))
				return me.User + " " + at, err
			},
			want: "Ana Lima 1700000000.000100",
		},
		"azure-devops-go-api": {
			definition: shipped(t, "azure-devops"), platform: azureDevOps{providertest.AzureDevOps(accounts.Account)},
			request: providertoken.CreateRequest{Secrets: secret("pat")}, carries: password,
			use: func(ctx context.Context, c *http.Client, base string) (string, error) {
				connection := azuredevops.NewAnonymousConnection(base)
				projects := core.ClientImpl{Client: *azuredevops.NewClientWithOptions(connection, base, azuredevops.WithHTTPClient(c))}
				all, err := projects.GetProjects(ctx, core.GetProjectsArgs{})
				if err != nil {
					return "", err
				}
				return *all.Value[0].Name, nil
			},
			want: "Hub",
		},
	}
}

// shipped is a definition of the catalogue.
func shipped(t *testing.T, id string) providertoken.Definition {
	t.Helper()
	all := catalog.All()
	i := slices.IndexFunc(all, func(d providertoken.Definition) bool { return d.ID == id })
	if i < 0 {
		t.Fatalf("the catalogue has no %s", id)
	}
	return all[i]
}

// gitLab answers besides who its client is: with a project, as
// docs.gitlab.com/api/projects shows.
type gitLab struct{ http.Handler }

func (g gitLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.EscapedPath() == "/api/v4/projects/acme%2Fhub" && r.Header.Get("PRIVATE-TOKEN") == canary {
		answer(w, http.StatusOK, map[string]any{"id": 8, "path_with_namespace": "acme/hub"})
		return
	}
	g.Handler.ServeHTTP(w, r)
}

// slackAPI takes a message besides, as docs.slack.dev/reference/methods shows.
type slackAPI struct{ http.Handler }

func (s slackAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/chat.postMessage" && bearer(r) == canary {
		answer(w, http.StatusOK, map[string]any{"ok": true, "channel": "C1", "ts": "1700000000.000100"})
		return
	}
	s.Handler.ServeHTTP(w, r)
}

// azureDevOps answers besides what its client asks first: where each resource is.
type azureDevOps struct{ http.Handler }

func (a azureDevOps) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, path, _ := strings.Cut(r.URL.Path, "/_apis")
	switch {
	case password(r) != canary:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodOptions && path == "":
		answer(w, http.StatusOK, map[string]any{"count": 1, "value": []any{map[string]any{
			"id": "603fe2ac-9723-48b9-88ad-09305aa6c6e1", "area": "core", "resourceName": "projects", "routeTemplate": "_apis/{resource}/{*projectId}",
			"resourceVersion": 4, "minVersion": "1.0", "maxVersion": "7.2", "releasedVersion": "7.1",
		}}})
	case path == "/projects":
		answer(w, http.StatusOK, map[string]any{"count": 1, "value": []any{map[string]any{"id": "a7573007-bbb3-4341-b726-0c4148a07853", "name": "Hub"}}})
	default:
		a.Handler.ServeHTTP(w, r)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// gate stands in front of a platform. It notes what arrives, and sends
// everything elsewhere once it was told to.
type gate struct {
	platform http.Handler

	mu     sync.Mutex
	away   string
	status int
	seen   []*http.Request
}

func (g *gate) send(status int, away string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status, g.away, g.seen = status, away, nil
}

func (g *gate) arrived() []*http.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.seen = append(g.seen, r)
	away, status := g.away, g.status
	g.mu.Unlock()
	if away == "" {
		g.platform.ServeHTTP(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Location", away+r.URL.RequestURI())
	w.WriteHeader(status)
}

// Each client works with what is lent to it, and without a token of its own.
// When the platform sends it elsewhere, nothing arrives there.
func TestThirdPartyClients(t *testing.T) {
	t.Parallel()
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := &gate{platform: c.platform}
			thief := &gate{platform: http.NotFoundHandler()}
			server, elsewhere := serve(t, own), serve(t, thief)
			st := memory.New()
			ring, err := keyring.Create(filepath.Join(t.TempDir(), "keys"), nil)
			ok(t, err)
			sealer, err := crypto.NewSealer(ring, st, nil)
			ok(t, err)
			tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
				Providers: []providertoken.Definition{c.definition},
				Instances: []providertoken.Instance{{
					ID: "own", Provider: c.definition.ID, Base: server.URL() + c.below, RootCAs: server.RootCAs(), Networks: server.Networks(),
				}},
			})
			ok(t, err)
			c.request.ProviderID = "own"
			token, err := tokens.Create(t.Context(), ana, c.request)
			ok(t, err)
			lent, err := tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "own"}, &providertoken.Use{AgentID: name})
			ok(t, err)

			own.send(0, "")
			found, err := c.use(t.Context(), lent, token.Base)
			if err != nil || found != c.want {
				t.Errorf("the client found %q, %v, want %q", found, err, c.want)
			}
			if len(own.arrived()) == 0 {
				t.Error("nothing arrived")
			}
			for _, r := range own.arrived() {
				if c.carries(r) != canary || len(r.Header.Values("Authorization")) > 1 {
					t.Errorf("%s %s came without the connection's credential", r.Method, r.URL.Path)
				}
			}

			for _, status := range []int{301, 302, 303, 307, 308} {
				own.send(status, elsewhere.URL())
				found, err := c.use(t.Context(), lent, token.Base)
				if err == nil && found == c.want {
					t.Errorf("after a %d the client found %q", status, found)
				}
				if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, canary) {
					t.Errorf("after a %d the error holds the credential", status)
				}
				if len(own.arrived()) == 0 {
					t.Errorf("nothing arrived that a %d could send elsewhere", status)
				}
			}
			if n := len(thief.arrived()); n != 0 {
				t.Errorf("%d requests arrived elsewhere", n)
			}
		})
	}
}

func serve(t *testing.T, h http.Handler) *providertest.Server {
	t.Helper()
	server, err := providertest.NewServer(h)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.WithoutCancel(t.Context())) })
	return server
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}
