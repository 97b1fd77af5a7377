package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Spans, metrics and log hold what an operator wants to know, from both
// instances, and no secret, however it might be written down. Neither do the
// answers, the letters, the files and the tables.
func TestOutputHoldsNoSecret(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		secrets := make(map[string]string) // what it is to the secret
		plant := func(what, before string) string {
			secrets[what] = before + rand.Text()
			return secrets[what]
		}
		vault := newVault(t)
		secrets["the token for Vault"] = vault.token
		env = vault.env(env)
		if database := env["DATABASE_URL"]; database != "" {
			env["DATABASE_URL"], secrets["the database's password"] = withPassword(t, database)
		}
		s := configure(t, env)
		box := new(letterbox)
		s.post = box
		secrets["a saved token"] = withJira(t, &s)
		a := start(t, s)

		id, key := a.createKey(a.url)
		secrets["a living key"] = secretOf(key)
		deletedID, deleted := a.createKey(a.url)
		secrets["a deleted key"] = secretOf(deleted)
		a.deleteKey(a.url, deletedID)
		var made struct{ ID string }
		if r := a.connectJira(a.url, secrets["a saved token"]); r.status == http.StatusCreated {
			r.decode(t, &made)
		} else {
			t.Fatalf("connecting = %d, want 201", r.status)
		}
		_, agents := created(t, a.call(http.MethodPost, a.url+"/account/api/v1/api-keys",
			`{"name":"agents","scopes":["mcp","provider-tokens:use"]}`, userHeader, "ana"))
		secrets["an agent's key"] = secretOf(agents)
		a.connectJira(a.url, plant("a refused token", ""))
		a.connectJira(a.url, `"`+plant("a token in broken JSON", ""))
		for _, at := range a.instances { // so that both have something to tell
			for _, path := range []string{"/api/hello", "/api/agent/issues", "/account/api/v1/whoami"} {
				a.call(http.MethodGet, at+path, "", "Authorization", "Bearer "+key)
				a.call(http.MethodGet, at+path, "", "Authorization", "Bearer "+deleted)
				a.call(http.MethodGet, at+path, "", "Authorization", "Bearer "+plant("a made up key", "aic_"))
				a.call(http.MethodGet, at+path+"?key="+key+"&token="+plant("a key in a query", ""), "")
				a.call(http.MethodGet, at+path+"/"+plant("a key in a path", ""), "")
			}
			a.call(http.MethodGet, at+"/readyz", "")
			for _, key := range []string{agents, key, deleted, plant("an agent's made up key", "aic_")} {
				a.call(http.MethodGet, at+"/agents/"+made.ID+"/rest/api/2/myself", "", "Authorization", "Bearer "+key)
				a.call(http.MethodGet, at+"/agents/"+made.ID+"/nothing?token="+plant("a token in an agent's query", ""), "", "Authorization", "Bearer "+key)
				a.call(http.MethodPost, at+"/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"my_issues","arguments":{"purpose":"report"}}}`,
					"Accept", "application/json, text/event-stream", "Authorization", "Bearer "+key)
			}
			for _, page := range []string{"/account/provider-tokens", "/account/api-keys", "/account/activity", "/account/api/v1/activity"} {
				a.call(http.MethodGet, at+page, "", userHeader, "ana")
			}
		}
		vault.sealed.Store(true) // errors speak, too
		untilStatus(t, a, a.instances["a"]+"/readyz", http.StatusServiceUnavailable)
		untilStatus(t, a, a.instances["b"]+"/readyz", http.StatusServiceUnavailable)
		a.stop()

		eventually(t, closeTimeout, "the letters are written", func() bool { return len(box.all()) > 0 })
		places := map[string]string{"an answer": a.heard.String(), "a letter": fmt.Sprintf("%+v", box.all())}
		files, err := filepath.Glob(filepath.Join(s.data, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			places["the file "+filepath.Base(file)] = string(raw)
		}
		if database := env["DATABASE_URL"]; database != "" {
			places["the database"] = dump(t, database)
		} else if len(files) == 0 {
			t.Error("there is no file: the scan looks in the wrong place")
		}
		if heard := places["an answer"]; !strings.Contains(heard, `"structuredContent"`) || !strings.Contains(heard, "Lanyard-Answer") || !strings.Contains(heard, made.ID) {
			t.Error("too little was answered for this scan to mean anything")
		}
		scan := func() {
			t.Helper()
			for place, text := range places {
				for what, secret := range secrets {
					for form, written := range forms(secret) {
						if strings.Contains(text, string(written)) {
							t.Errorf("%s is in %s, as %s", what, place, form)
						}
					}
				}
			}
		}
		scan()
		sum := sha256.Sum256([]byte(key))
		secrets["the hash of a key"] = string(sum[:]) // which the database has
		places = map[string]string{"standard output": a.stdout.String(), "the log": a.stderr.String(), "an answer": a.heard.String()}
		scan()
		wantTelemetry(t, a.stdout.String())
		if !strings.Contains(a.stderr.String(), id) {
			t.Error("the public id of a key is not in the log: the scan looks in the wrong place")
		}
	})
}

// wantTelemetry expects spans and metrics of each instance, one document a line.
func wantTelemetry(t *testing.T, stdout string) {
	t.Helper()
	type attribute struct {
		Key   string
		Value struct{ Value any }
	}
	spans, metrics := make(map[string]bool), make(map[string]bool)
	for line := range strings.Lines(stdout) {
		var said struct {
			Name         string // of a span
			Resource     []attribute
			ScopeMetrics []struct{ Metrics []struct{ Name string } }
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("standard output holds a line that is no JSON: %v", err)
		}
		from := ""
		for _, a := range said.Resource {
			if a.Key == "service.instance.id" {
				from, _ = a.Value.Value.(string)
			}
		}
		if said.Name != "" {
			spans[from+" "+said.Name] = true
		}
		for _, scope := range said.ScopeMetrics {
			for _, m := range scope.Metrics {
				metrics[from+" "+m.Name] = true
			}
		}
	}
	for _, instance := range []string{"a ", "b "} {
		for _, name := range []string{"/api/", "GET /readyz", "apikey.Check", "crypto.Check", "providertoken.Client"} {
			if !spans[instance+name] {
				t.Errorf("there is no span %q of instance %s, but %v", name, instance, spans)
			}
		}
		for _, name := range []string{"http.server.request.duration", "lanyard.apikey.verifications"} {
			if !metrics[instance+name] {
				t.Errorf("there is no metric %q of instance %s, but %v", name, instance, metrics)
			}
		}
	}
}

// What cannot be opened is named without what opens it.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	canary := rand.Text()
	for name, env := range map[string]map[string]string{
		"a database that is away":    {"DATABASE_URL": "postgres://lanyard:" + canary + "@127.0.0.1:1/lanyard"},
		"a database without a name":  {"DATABASE_URL": "postgres://lanyard:" + canary + "@%zz/"},
		"a Vault that is away":       {"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": canary},
		"a Vault without encryption": {"VAULT_ADDR": "http://vault.example:8200", "VAULT_TOKEN": canary},
		"a Vault without an address": {"VAULT_ADDR": "http://%zz", "VAULT_TOKEN": canary},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newOutput()
			err := run(t.Context(), configure(t, env), io.Discard, log)
			if err == nil {
				t.Fatal("run = nil, want an error")
			}
			if strings.Contains(err.Error()+log.String(), canary) {
				t.Errorf("the error or the log holds the secret")
			}
		})
	}
}

// dump returns every row of every table, as text.
func dump(t *testing.T, database string) string {
	t.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	column := func(query string) (values []string) {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var value string
			if err := rows.Scan(&value); err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return values
	}
	var all []string
	for _, table := range column(`SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'`) {
		all = append(all, column(`SELECT row::text FROM `+table+` AS row`)...)
	}
	if len(all) < 20 {
		t.Errorf("%d rows in the database: the scan looks in the wrong place", len(all))
	}
	return strings.Join(all, "\n")
}

// withPassword returns an address of the database with a password in it: the
// server's, or where the server trusts everybody any.
func withPassword(t *testing.T, database string) (withIt, password string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal("the database's URL is none")
	}
	if password, given := u.User.Password(); given {
		return database, password
	}
	password = rand.Text()
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), password
}

// secretOf is the part of a key that is not public: 30 characters before the
// checksum of 6.
func secretOf(key string) string { return key[len(key)-36 : len(key)-6] }

// forms are the ways in which a secret might be written down.
func forms(secret string) map[string][]byte {
	forms := map[string][]byte{
		"text":        []byte(secret),
		"quoted text": bytes.Trim(quoted(secret), `"`),
		"hexadecimal": []byte(hex.EncodeToString([]byte(secret))),
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 { // the secret may stand anywhere in what was encoded
			text := encoding.EncodeToString(append(make([]byte, shift), secret...))
			first, last := (shift*8+5)/6, (shift+len(secret))*8/6
			forms[name+" shifted by "+string(rune('0'+shift))] = []byte(text[first:last])
		}
	}
	return forms
}

func quoted(text string) []byte {
	q, _ := json.Marshal(text)
	return q
}
