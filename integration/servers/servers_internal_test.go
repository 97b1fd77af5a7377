package servers

import (
	"errors"
	"testing"
)

func TestSplitImage(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{
		"postgres":                     {"postgres", "latest"},
		"postgres:17-alpine":           {"postgres", "17-alpine"},
		"hashicorp/vault:1.21":         {"hashicorp/vault", "1.21"},
		"localhost:5000/team/vault":    {"localhost:5000/team/vault", "latest"},
		"localhost:5000/team/vault:v1": {"localhost:5000/team/vault", "v1"},
	} {
		if repository, tag := splitImage(name); repository != want[0] || tag != want[1] {
			t.Errorf("splitImage(%q) = %q, %q, want %q, %q", name, repository, tag, want[0], want[1])
		}
	}
}

// A server that is named and does not answer is an error. No other is taken in
// its place.
func TestNamed(t *testing.T) { //nolint:paralleltest // sets the environment
	t.Setenv("LANYARD_TEST_DOCKER", "")
	t.Setenv("LANYARD_TEST_VAULT", "http://127.0.0.1:1")
	t.Setenv("LANYARD_TEST_VAULT_TOKEN", "")
	if s, err := vault.find(); err == nil || errors.Is(err, errNone) {
		t.Errorf("find() of Vault without a token = %v, %v, want an error", s, err)
	}
	t.Setenv("LANYARD_TEST_VAULT_TOKEN", "root")
	if s, err := vault.find(); err == nil || errors.Is(err, errNone) {
		t.Errorf("find() of a Vault that does not answer = %v, %v, want an error", s, err)
	}
	t.Setenv("LANYARD_TEST_POSTGRES", "postgres://lanyard@127.0.0.1:1/postgres")
	if s, err := postgres.find(); err == nil || errors.Is(err, errNone) {
		t.Errorf("find() of a PostgreSQL that does not answer = %v, %v, want an error", s, err)
	}
}

// Where only containers will do and there is no engine, there is no server,
// whatever the machine has.
func TestContainersOnly(t *testing.T) { //nolint:paralleltest // sets the environment
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	t.Setenv("LANYARD_TEST_DOCKER", "1")
	for _, k := range []kind{postgres, vault} {
		if s, err := k.find(); !errors.Is(err, errNone) {
			t.Errorf("find() of %s = %v, %v, want none", k.name, s, err)
		}
	}
}
