package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/store/sqlite"
)

// ownPlatform is the file of a definition of the host's own.
func ownPlatform(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../providertoken/catalog/jira-data-center.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	own := strings.Replace(string(raw), "id: jira-data-center", "id: forge", 1)
	if err := os.WriteFile(filepath.Join(dir, "forge.yaml"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// connect makes an owner's connection to an instance that nobody reaches, of
// a platform of the catalogue or, where dir holds one, of the host's own.
func (s *site) connect(t *testing.T, owner lanyard.Owner, dir ...string) (token providertoken.Token) {
	t.Helper()
	defs, platform := catalog.All(), "jira-data-center"
	for _, dir := range dir {
		var err error
		if defs, err = catalog.Load(os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		platform = defs[0].ID
	}
	s.with(t, func(st *sqlite.Store, sealer *crypto.Sealer) {
		tokens, err := providertoken.NewService(st, sealer, &providertoken.Options{Providers: defs, Instances: []providertoken.Instance{{
			ID: platform + "-x", Provider: platform, Base: "https://127.0.0.1:1", Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		token, err = tokens.Create(t.Context(), owner, providertoken.CreateRequest{
			ProviderID: platform + "-x", AllowUnverified: true,
			Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret("canary-connection")},
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.secrets["connection"] = []byte("canary-connection")
	return token
}

// Every sealed field of every connection is opened, and what does not open is
// named.
func TestDoctorOpensConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ring := []string{"-keyring", s.keyring}
	var tokens []providertoken.Token
	for i := range 3 {
		tokens = append(tokens, s.connect(t, ownerNamed(i)))
	}
	if got := status(t, s, exitOK, ring...)["connections"]; got.Status != statusOK || got.Checked != len(tokens) {
		t.Errorf("connections of a healthy site: %+v, want that %d were opened", got, len(tokens))
	}
	if got := status(t, s, exitOK)["connections"]; got.Status != statusSkipped {
		t.Errorf("connections without a key service: %+v, want that they were skipped", got)
	}
	call(t, "doctor", "-database", s.database, ring[0], ring[1]).want(t, "doctor", exitOK, "all 3 secrets of 3 open", "100% 3 of 3")

	s.exec(t, `UPDATE lanyard_provider_tokens SET secrets = (SELECT secrets FROM lanyard_provider_tokens WHERE id = ?) WHERE id = ?`, tokens[0].ID, tokens[1].ID)
	got := status(t, s, exitProblem, ring...)
	wantProblem(t, got, "connections", tokens[1].ID+" token  unknown_key")
	if got["connections"].Checked != len(tokens) {
		t.Errorf("connections: %+v, want that %d were opened", got["connections"], len(tokens))
	}
	s.exec(t, `DELETE FROM lanyard_provider_tokens WHERE id = ?`, tokens[1].ID)
	s.exec(t, `UPDATE lanyard_provider_tokens SET provider_id = 'elsewhere' WHERE id = ?`, tokens[2].ID)
	wantProblem(t, status(t, s, exitProblem, ring...), "connections", tokens[2].ID+" token  integrity")
	s.exec(t, `UPDATE lanyard_provider_tokens SET method_id = 'elsewhere' WHERE id = ?`, tokens[2].ID)
	wantProblem(t, status(t, s, exitProblem, ring...), "connections", tokens[2].ID+" token  unknown_provider")
	said := call(t, "doctor", "-database", s.database, ring[0], ring[1]).want(t, "doctor", exitProblem, "1 of 2 secrets of 2 do not open", tokens[2].ID)
	if strings.Contains(said.out+said.err, "canary") {
		t.Errorf("doctor says a secret:\n%s%s", said.out, said.err)
	}
}

// A host has platforms of its own.
func TestDoctorTakesDefinitions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := ownPlatform(t)
	token := s.connect(t, ownerNamed(1), dir)
	wantProblem(t, status(t, s, exitProblem, "-keyring", s.keyring), "connections", token.ID+" token  integrity")
	if got := status(t, s, exitOK, "-keyring", s.keyring, "-providers", dir)["connections"]; got.Checked != 1 {
		t.Errorf("connections of a platform of the host's own: %+v, want one", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "other.yaml"), []byte("id: X"), 0o600); err != nil {
		t.Fatal(err)
	}
	call(t, "doctor", "-database", s.database, "-providers", dir).want(t, "doctor with a bad definition", exitProblem, "other.yaml")
}
