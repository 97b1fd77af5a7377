package lanyard_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/aichub/lanyard"

// A host compiles what it asked for: who wants keys and a store of his own
// gets neither a database driver nor Vault.
func TestDependencies(t *testing.T) {
	t.Parallel()
	databases := []string{"github.com/uptrace/", "github.com/jackc/", "modernc.org/", "github.com/pressly/"}
	keyServices := []string{"github.com/hashicorp/", module + "/crypto/keyring", module + "/crypto/vaulttransit"}
	stores := []string{module + "/store/"}
	examples := []string{"github.com/modelcontextprotocol/", "github.com/google/jsonschema-go/", "golang.org/x/oauth2"}
	testTools := []string{"testing", "net/http/httptest", "go.uber.org/goleak", "pgregory.net/", "go.opentelemetry.io/otel/sdk"}
	tests := []struct {
		name     string
		packages []string
		without  [][]string
	}{
		{"the vocabulary", []string{"."}, [][]string{{"github.com/", "go.opentelemetry.io/", "golang.org/"}}},
		{"keys in memory", []string{"./apikey", "./store/memory"}, [][]string{databases, keyServices, testTools}},
		{"profiles", []string{"./profile"}, [][]string{databases, keyServices, stores, testTools}},
		{"provider tokens", []string{"./providertoken", "./providertoken/catalog"}, [][]string{databases, keyServices, stores, testTools, examples}},
		{"the adapter", []string{"./httpadapter"}, [][]string{databases, keyServices, stores, testTools, examples}},
		{"the stores", []string{"./store/sqlite", "./store/postgres"}, [][]string{keyServices, testTools, {module + "/apikey", module + "/crypto"}}},
		{"the keyring", []string{"./crypto/keyring"}, [][]string{databases, testTools, {"github.com/hashicorp/"}}},
		{"vault", []string{"./crypto/vaulttransit"}, [][]string{databases, stores, testTools}},
		{"the quickstart and the command", []string{"./examples/quickstart", "./cmd/lanyard"}, [][]string{testTools, examples}},
		{"the quickstart without Vault", []string{"./examples/quickstart"}, [][]string{{"github.com/hashicorp/"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			own := make(map[string]bool, len(tt.packages))
			for _, p := range tt.packages {
				own[strings.TrimSuffix(module+strings.TrimPrefix(p, "."), "/")] = true
			}
			for _, dep := range deps(t, tt.packages) {
				for _, unwanted := range tt.without {
					for _, prefix := range unwanted {
						if strings.HasPrefix(dep, prefix) && !own[dep] {
							t.Errorf("%v import %s", tt.packages, dep)
						}
					}
				}
			}
		})
	}
}

// deps lists what the packages import, directly or not.
func deps(t *testing.T, packages []string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps"}, packages...)...).Output()
	if err != nil {
		t.Fatalf("go list -deps %v: %v", packages, err)
	}
	list := strings.Fields(string(out))
	if len(list) < 10 {
		t.Fatalf("go list -deps %v printed %d packages", packages, len(list))
	}
	return list
}
