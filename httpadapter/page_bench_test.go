package httpadapter_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
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

// BenchmarkPages is what each tab costs the server, on SQLite, for a user with
// 50 keys and 20 connections.
func BenchmarkPages(b *testing.B) {
	mount := newBenchPage(b, 50, 20)
	for _, path := range []string{"", "profile/edit", "api-keys", "api-keys/new", "provider-tokens", "activity", "docs", "docs/api/createApiKey"} {
		b.Run("/"+path, func(b *testing.B) {
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/account/"+path, http.NoBody)
				w := httptest.NewRecorder()
				began := time.Now()
				mount.ServeHTTP(w, r)
				took = append(took, time.Since(began))
				if w.Code != http.StatusOK {
					b.Fatalf("GET %s = %d, want 200", path, w.Code)
				}
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
		})
	}
}

// newBenchPage is a page for Ana, who has so many keys and connections.
func newBenchPage(b *testing.B, keys, connections int) http.Handler {
	b.Helper()
	ana := lanyard.Owner{Subject: "ana"}
	st, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "page.db"), nil)
	mustAPI(b, err)
	b.Cleanup(func() { _ = st.Close() })
	mustAPI(b, st.Migrate(b.Context()))
	ring, err := keyring.Create(filepath.Join(b.TempDir(), "keys"), nil)
	mustAPI(b, err)
	sealer, err := crypto.NewSealer(ring, st, nil)
	mustAPI(b, err)
	service, err := apikey.NewService(st, &apikey.Options{Sealer: sealer, Limit: keys})
	mustAPI(b, err)
	b.Cleanup(func() { _ = service.Close(context.Background()) })
	for i := range keys {
		_, err := service.Create(b.Context(), ana, apikey.CreateRequest{Name: fmt.Sprint("tool ", i)})
		mustAPI(b, err)
	}
	jira := providertest.JiraDataCenter(providertest.Tokens{pageSecret: {ID: "ana", Name: "Ana Lima"}}.Account)
	server, err := providertest.NewServer(jira)
	mustAPI(b, err)
	b.Cleanup(func() { _ = server.Close(context.Background()) })
	tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{Providers: catalog.All(), Limit: connections, Instances: []providertoken.Instance{{
		ID: "jira", Provider: "jira-data-center", Name: "Jira", Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
	}}})
	mustAPI(b, err)
	for i := range connections {
		_, err := tokens.Create(b.Context(), ana, providertoken.CreateRequest{
			ProviderID: "jira", Label: fmt.Sprint("account ", i), Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(pageSecret)},
		})
		mustAPI(b, err)
	}
	h, err := httpadapter.New(httpadapter.Config{
		Profiles: profile.NewService(st, nil), APIKeys: service, ProviderTokens: tokens, Product: "Hub",
		Identify: func(*http.Request) (lanyard.Principal, error) {
			return lanyard.Principal{Owner: ana, Email: "ana@example.com", GivenName: "Ana", FamilyName: "Lima"}, nil
		},
	})
	mustAPI(b, err)
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", h)
	return mux
}
