package providertoken_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store/memory"
)

// A user connects a platform, and an agent works for him without seeing his
// token.
func Example() {
	ctx := context.Background()
	jira, tokens, done := demo(ctx)
	defer done()

	ana := lanyard.Owner{Tenant: "acme", Subject: "ana"}
	token, err := tokens.Create(ctx, ana, providertoken.CreateRequest{
		ProviderID: "jira",
		Secrets:    map[string]lanyard.Secret{"token": lanyard.NewSecret("anas-token")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("connected as %s (%s)\n", token.Account.Name, token.Account.Email)

	client, err := tokens.Client(ctx, ana, providertoken.Ref{Provider: "jira"},
		&providertoken.Use{AgentID: "planner", Purpose: "weekly report", ReadOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, token.Base+"/rest/api/2/search", nil)
	if err != nil {
		log.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	fmt.Println("the platform answers", res.Status, "to", len(res.Request.Header), "headers of the agent")

	requests := jira.Requests()
	fmt.Println("the platform saw a credential:", requests[len(requests)-1].Header.Get("Authorization") != "")
	// Output:
	// connected as Ana Lima (ana@acme.example)
	// the platform answers 200 OK to 0 headers of the agent
	// the platform saw a credential: true
}

// A token is proven before it is stored. What was found is the verdict.
func ExampleService_Create() {
	ctx := context.Background()
	jira, tokens, done := demo(ctx)
	defer done()
	ana := lanyard.Owner{Subject: "ana"}
	request := providertoken.CreateRequest{
		ProviderID: "jira",
		Secrets:    map[string]lanyard.Secret{"token": lanyard.NewSecret("anas-token")},
	}

	// An expired token, served as anonymous with status 200.
	jira.Tell(providertest.Anonymous)
	_, err := tokens.Create(ctx, ana, request)
	var refused *providertoken.VerificationError
	if errors.As(err, &refused) {
		fmt.Println(refused.Verdict, refused.Reason)
	}

	// Nobody answers: it can be stored if the user says so.
	jira.Tell(providertest.Broken)
	request.AllowUnverified = true
	token, err := tokens.Create(ctx, ana, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Status)
	// Output:
	// invalid anonymous
	// unverified
}

// Where there is no connection a host shows the way to the page.
func ExampleService_Client() {
	ctx := context.Background()
	_, tokens, done := demo(ctx)
	defer done()

	_, err := tokens.Client(ctx, lanyard.Owner{Subject: "ana"}, providertoken.Ref{Provider: "jira"}, nil)
	var missing *lanyard.NotConnectedError
	if errors.As(err, &missing) {
		fmt.Printf("please connect %s at /account/\n", missing.Provider)
	}
	// Output: please connect jira at /account/
}

// Definitions can be written in Go as well as in YAML. Validate says everything
// that is wrong with one.
func ExampleDefinition_Validate() {
	d := providertoken.Definition{
		ID: "acme", Name: "Acme",
		Instance: providertoken.InstanceSpec{Mode: providertoken.ModeFixed, Base: "http://api.acme.example"},
		Methods: []providertoken.Method{{
			ID: "key", Label: "API key",
			Fields:  []providertoken.Field{{Name: "key", Label: "API key"}},
			Headers: map[string]string{"Authorization": "Bearer {token}"},
		}},
		Verify: []providertoken.Probe{{Path: "/me", Identity: providertoken.Identity{ID: "id"}}},
	}
	fmt.Println(d.Validate())
	// Output:
	// provider definition "acme": /instance/base: a base URL begins with https://
	// provider definition "acme": /methods/0/headers/Authorization: the method has no field token
	// provider definition "acme": /methods/0/fields/0: no header uses this secret
}

// demo is a service in memory that offers one Jira, which runs here.
func demo(ctx context.Context) (*providertest.Fake, *providertoken.Service, func()) {
	jira := providertest.JiraDataCenter(providertest.Tokens{
		"anas-token": {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
	}.Account)
	server, err := providertest.NewServer(jira)
	must(err)
	dir, err := os.MkdirTemp("", "lanyard")
	must(err)
	secrets, err := keyring.Create(filepath.Join(dir, "lanyard.keys"), nil)
	must(err)
	st := memory.New()
	sealer, err := crypto.NewSealer(secrets, st, nil)
	must(err)
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{
		Providers: catalog.All(),
		Instances: []providertoken.Instance{{
			ID: "jira", Provider: "jira-data-center", Name: "Our Jira", Base: server.URL(),
			RootCAs: server.RootCAs(), Networks: server.Networks(),
		}},
	})
	must(err)
	return jira, tokens, func() {
		for _, c := range []io.Closer{st, closer(func() error { return server.Close(ctx) }), closer(func() error { return os.RemoveAll(dir) })} {
			must(c.Close())
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

type closer func() error

func (c closer) Close() error { return c() }
