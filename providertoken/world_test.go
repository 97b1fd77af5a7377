package providertoken_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// What a service leaves behind ends by itself when the platforms are gone.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ana = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	ben = lanyard.Owner{Tenant: "acme", Subject: "ben"}
)

const (
	anaSecret = "canary-ana-4fJr0c9wTq"
	newSecret = "canary-new-8sLk2m5xZv"

	// scopedSecret works at the gateway of Atlassian's clouds alone.
	scopedSecret = "canary-scoped-2kTq7wPd"
)

var accounts = providertest.Tokens{
	anaSecret: {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
	newSecret: {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},

	scopedSecret: {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example", Scoped: true},
}

// world is a service over a memory store with one fake of each platform, each
// an instance called after its definition with "-x".
type world struct {
	tokens *providertoken.Service
	store  *memory.Store
	sealer *crypto.Sealer
	ring   *keyring.Ring
	fakes  map[string]*providertest.Fake
	urls   map[string]string
	clock  *clock

	options providertoken.Options

	mu     sync.Mutex
	events []lanyard.Event
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newWorld(t *testing.T, change func(*providertoken.Options)) *world {
	t.Helper()
	w := &world{
		store: memory.New(), urls: map[string]string{},
		clock: &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)},
		fakes: map[string]*providertest.Fake{
			"jira-data-center":  providertest.JiraDataCenter(accounts.Account),
			"jira-cloud":        providertest.JiraCloud(accounts.Account),
			"confluence-cloud":  providertest.ConfluenceCloud(accounts.Account),
			"azure-devops":      providertest.AzureDevOps(accounts.Account),
			"businessmap":       providertest.Businessmap(accounts.Account),
			"servicenow":        providertest.ServiceNow(accounts.Account),
			"github":            providertest.GitHub(accounts.Account),
			"github-enterprise": providertest.GitHub(accounts.Account),
			"gitlab":            providertest.GitLab(accounts.Account),
			"bitbucket-cloud":   providertest.BitbucketCloud(accounts.Account),
			"slack":             providertest.Slack(accounts.Account),
			"notion":            providertest.Notion(accounts.Account),
			"figma":             providertest.Figma(accounts.Account),
		},
	}
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "keys"), nil)
	ok(t, err)
	w.ring = ring
	w.sealer, err = crypto.NewSealer(ring, w.store, nil)
	ok(t, err)
	o := &providertoken.Options{
		Providers: catalog.All(), Now: w.clock.Now,
		OnEvent: w.hear,
	}
	for id, fake := range w.fakes {
		server, err := providertest.NewServer(fake)
		ok(t, err)
		t.Cleanup(func() { _ = server.Close(context.Background()) })
		w.urls[id] = server.URL()
		i := providertoken.Instance{
			ID: id + "-x", Provider: id, Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
		}
		switch id {
		case "jira-cloud":
			i.Alternatives = map[string]string{"gateway": server.URL() + "/ex/jira/{cloud_id}"}
		case "confluence-cloud":
			i.Alternatives = map[string]string{"gateway": server.URL() + "/ex/confluence/{cloud_id}"}
		}
		o.Instances = append(o.Instances, i)
	}
	if change != nil {
		change(o)
	}
	w.options = *o
	w.tokens, err = providertoken.NewService(w.store, w.sealer, o)
	ok(t, err)
	return w
}

// newWorldOver is w with another store in front of its own.
func newWorldOver(t *testing.T, w *world, st providertoken.Store) *world {
	t.Helper()
	over := &world{store: w.store, sealer: w.sealer, fakes: w.fakes, urls: w.urls, clock: w.clock, options: w.options}
	over.options.OnEvent = over.hear
	var err error
	over.tokens, err = providertoken.NewService(st, w.sealer, &over.options)
	ok(t, err)
	return over
}

func (w *world) hear(_ context.Context, e lanyard.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// request asks for a connection to the fake of that definition.
func request(definition, secret string) providertoken.CreateRequest {
	r := providertoken.CreateRequest{ProviderID: definition + "-x", Fields: map[string]string{}, Secrets: map[string]lanyard.Secret{}}
	name := "token"
	switch definition {
	case "bitbucket-cloud":
		r.Fields["email"] = "ana@acme.example"
		name = "api_token"
	case "jira-cloud", "confluence-cloud":
		r.Fields["email"] = "ana@acme.example"
		name = "api_token"
	case "azure-devops":
		name = "pat"
	case "businessmap":
		name = "api_key"
	case "servicenow":
		r.MethodID = "api_key"
		name = "api_key"
	}
	r.Secrets[name] = lanyard.NewSecret(secret)
	return r
}

// connect makes ana's connection to the Jira Data Center fake.
func (w *world) connect(t *testing.T) providertoken.Token {
	t.Helper()
	token, err := w.tokens.Create(t.Context(), ana, request("jira-data-center", anaSecret))
	ok(t, err)
	return token
}

// row returns the stored row of a connection.
func (w *world) row(t *testing.T, id string) store.ProviderToken {
	t.Helper()
	row, err := w.store.ProviderToken(t.Context(), ana, id)
	ok(t, err)
	return row
}

func (w *world) actions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, e := range w.events {
		out = append(out, e.Action)
	}
	return out
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// inputCode returns the code of the InputError for a field in err, or "".
func inputCode(err error, field string) string {
	if joined, isJoined := err.(interface{ Unwrap() []error }); isJoined {
		for _, e := range joined.Unwrap() {
			if code := inputCode(e, field); code != "" {
				return code
			}
		}
		return ""
	}
	if wrapped := errors.Unwrap(err); wrapped != nil {
		return inputCode(wrapped, field)
	}
	var in *lanyard.InputError
	if errors.As(err, &in) && in.Field == field {
		return in.Code
	}
	return ""
}
