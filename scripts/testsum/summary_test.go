package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	const pass = `{"Action":"pass","Package":"x/store/postgres","Test":"TestStore"}` + "\n"
	const using = "postgres: using PostgreSQL 15\nvault: using Vault 1.21\n"
	tests := []struct {
		name, in string
		require  []string
		ok       bool
		last     string
		contains string
	}{
		{name: "passes", in: using + pass, require: []string{"postgres"}, ok: true, last: "1 passed, 0 failed, 0 skipped"},
		{name: "nothing ran", in: "", last: "0 passed, 0 failed, 0 skipped"},
		{name: "the required store was skipped",
			in:      `{"Action":"pass","Package":"x","Test":"TestA"}` + "\n" + strings.Replace(pass, "pass", "skip", 1),
			require: []string{"postgres"}, last: "1 passed, 1 failed, 1 skipped", contains: "skipped x/store/postgres TestStore"},
		{name: "a failure shows its output",
			in: `{"Action":"output","Package":"x","Test":"TestA","Output":"a_test.go:1: why\n"}` + "\n" +
				`{"Action":"fail","Package":"x","Test":"TestA"}` + "\n" + `{"Action":"fail","Package":"x"}` + "\n!! exit status 1\n",
			last: "0 passed, 1 failed, 0 skipped", contains: "why"},
		{name: "a test that a time limit cut off",
			in: `{"Action":"output","Package":"x","Test":"TestA","Output":"panic: test timed out after 10m0s\n"}` + "\n" +
				`{"Action":"fail","Package":"x"}` + "\n",
			last: "0 passed, 1 failed, 0 skipped", contains: "--- UNFINISHED x TestA\n      panic: test timed out"},
		{name: "a build that failed",
			in: `{"ImportPath":"x","Action":"build-output","Output":"x.go:1: no\n"}` + "\n" + pass +
				`{"Action":"fail","Package":"x"}` + "\n",
			last: "1 passed, 1 failed, 0 skipped", contains: "x.go:1: no"},
		{name: "two packages that do not build", in: `{"Action":"fail","Package":"x"}` + "\n" + `{"Action":"fail","Package":"y"}` + "\n",
			last: "0 passed, 2 failed, 0 skipped"},
		{name: "a command that failed without a test", in: pass + "== vet\nx.go:2: odd\n!! exit status 1\n",
			last: "1 passed, 1 failed, 0 skipped", contains: "x.go:2: odd"},
		{name: "a subtest named after the store", in: using + `{"Action":"pass","Package":"x","Test":"TestA/Postgres/b"}` + "\n",
			require: []string{"postgres"}, ok: true, last: "1 passed, 0 failed, 0 skipped"},
		{name: "two are required, and one ran", in: using + pass, require: []string{"postgres", "vault"},
			last: "1 passed, 1 failed, 0 skipped", contains: "no test of vault passed, and it is required"},
		{name: "two are required, and both ran", in: using + pass + `{"Action":"pass","Package":"x/integration/vault","Test":"TestPolicy"}` + "\n",
			require: []string{"postgres", "vault"}, ok: true, last: "2 passed, 0 failed, 0 skipped",
			contains: "  Vault                                  1 passed, 0 failed, 0 skipped"},
		{name: "tests passed without a server", in: pass, require: []string{"postgres"},
			last: "1 passed, 1 failed, 0 skipped", contains: "no server of postgres was used, and it is required"},
		{name: "another package is not the server's", in: `{"Action":"pass","Package":"x/crypto/vaulttransit","Test":"TestVaults"}` + "\n",
			require: []string{"vault"}, last: "1 passed, 1 failed, 0 skipped"},
		{name: "nobody knows what is required", in: pass, require: []string{"oracle"},
			last: "1 passed, 1 failed, 0 skipped", contains: "no test of oracle passed"},
		{name: "which server", in: "postgres: using PostgreSQL 15, a throwaway\n" + pass, ok: true,
			last: "1 passed, 0 failed, 0 skipped", contains: "with PostgreSQL 15, a throwaway"},
		{name: "which server, said by a test",
			in: `{"Action":"output","Package":"x/vault","Test":"TestA","Output":"vault: using Vault 1.21\n"}` + "\n" +
				`{"Action":"pass","Package":"x/vault","Test":"TestA"}` + "\n",
			ok: true, last: "1 passed, 0 failed, 0 skipped", contains: "1 passed, 0 failed, 0 skipped\n    with Vault 1.21\n"},
		{name: "which servers, each once",
			in: "vault: using the server that LANYARD_TEST_VAULT names\nvault: using A\nvault: using B\n" +
				"vault: using A\nvault: using the server that LANYARD_TEST_VAULT names\n" + pass,
			ok: true, last: "1 passed, 0 failed, 0 skipped", contains: "0 skipped\n    with A\n    with B\n1 passed"},
		{name: "a server that only a variable names", in: "postgres: using the server that LANYARD_TEST_POSTGRES names\n" + pass,
			ok: true, last: "1 passed, 0 failed, 0 skipped", contains: "    with the server that LANYARD_TEST_POSTGRES names\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := newSummary(&out)
			if err := s.read(strings.NewReader(tt.in)); err != nil {
				t.Fatal(err)
			}
			ok := s.report(tt.require)
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; ok != tt.ok || last != tt.last {
				t.Errorf("report(%q) = %v and %q, want %v and %q", tt.require, ok, last, tt.ok, tt.last)
			}
			if !strings.Contains(out.String(), tt.contains) {
				t.Errorf("the report lacks %q:\n%s", tt.contains, &out)
			}
		})
	}
}
