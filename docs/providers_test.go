package docs_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// What follows is shown in add-a-provider.md, and runs here.

func TestDefinitions(t *testing.T) {
	t.Parallel()
	for _, problem := range catalog.Lint(os.DirFS("providers"), time.Now()) {
		t.Error(problem)
	}
}

func TestAcmeDesk(t *testing.T) {
	t.Parallel()
	definitions, err := catalog.Load(os.DirFS("providers"))
	if err != nil {
		t.Fatal(err)
	}
	me := func(w http.ResponseWriter, id any, name, role string) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"user": map[string]any{"id": id, "name": name, "role": role}})
	}
	keys := providertest.Tokens{"desk_000000000000000000000000": {ID: "7", Name: "Ana Lima"}}
	fake := providertest.New(keys.Account, providertest.Platform{
		Token:  func(r *http.Request) string { return r.Header.Get("X-Desk-Key") },
		WhoAmI: "/api/v1/me",
		Tell:   func(w http.ResponseWriter, a providertest.Account) { me(w, a.ID, a.Name, "user") },
		Lies: map[providertest.Lie]func(http.ResponseWriter, *http.Request, providertest.Account){
			providertest.Anonymous: func(w http.ResponseWriter, _ *http.Request, _ providertest.Account) { me(w, "0", "Guest", "guest") },
		},
	})
	server, err := providertest.NewServer(fake)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close(t.Context()) }()
	at := providertoken.Instance{
		ID: "desk", Provider: "acme-desk", Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
	}
	for lie, want := range map[providertest.Lie]providertoken.Verdict{
		providertest.Truth:      providertoken.VerdictOK,
		providertest.Revoked:    providertoken.VerdictInvalid,
		providertest.Anonymous:  providertoken.VerdictInvalid,
		providertest.Nobody:     providertoken.VerdictInvalid,
		providertest.HTMLPage:   providertoken.VerdictInvalid,
		providertest.NoIdentity: providertoken.VerdictInvalid,
		providertest.NoRight:    providertoken.VerdictInsufficientScope,
		providertest.Missing:    providertoken.VerdictWrongInstance,
		providertest.Busy:       providertoken.VerdictRateLimited,
		providertest.Broken:     providertoken.VerdictUnreachable,
		providertest.CutOff:     providertoken.VerdictUnreachable,
	} {
		fake.Tell(lie)
		got, err := providertoken.Try(t.Context(), definitions[0], at, providertoken.CreateRequest{
			Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret("desk_000000000000000000000000")},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.Verdict != want || want == providertoken.VerdictOK && got.Account.ID != "7" {
			t.Errorf("%q: %s as %+v, want %s", lie, got.Verdict, got.Account, want)
		}
	}
}

// The document shows the file as it is.
func TestTheDocumentShowsTheDefinition(t *testing.T) {
	t.Parallel()
	if file := read(t, "providers/acme-desk.yaml"); !strings.Contains(read(t, "add-a-provider.md"), file) {
		t.Error("add-a-provider.md does not show providers/acme-desk.yaml as it is")
	}
}
