package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// A key made on one instance works on the other, and once deleted through one
// it is dead on the other within two seconds.
func TestInstancesShareKeys(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		a := start(t, configure(t, env))
		one, other := a.instances["a"], a.instances["b"]
		id, key := a.createKey(one)
		if !strings.HasPrefix(key, "aic_") {
			t.Errorf("the key does not begin with aic_")
		}
		for _, at := range []string{one, other, a.url, a.url} { // twice: each instance in its turn
			r := a.hello(at, key)
			var said map[string]string
			r.decode(t, &said)
			if r.status != http.StatusOK || said["subject"] != "ana" || said["key_id"] != id {
				t.Errorf("hello at %s = %d %s, want 200, ana and %s", at, r.status, r.body, id)
			}
		}
		a.deleteKey(other, id)
		if r := a.hello(other, key); r.status != http.StatusUnauthorized {
			t.Errorf("hello where the key was deleted = %d, want 401", r.status)
		}
		eventually(t, 2*time.Second, "the deleted key is dead on the other instance", func() bool {
			return a.hello(one, key).status == http.StatusUnauthorized
		})
	})
}

// Who is deactivated through one instance is refused there at once, and within
// two seconds on the other, which had just believed his key.
func TestDeactivationReachesInstances(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		s := configure(t, env)
		one, other := openHost(t, s), openHost(t, s)
		owner := lanyard.Owner{Subject: "ana"}
		made, err := one.keys.Create(t.Context(), owner, apikey.CreateRequest{Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		verify := func(at *services) error {
			_, err := at.keys.Verify(t.Context(), made.Secret.Reveal())
			return err
		}
		for range 2 {
			if err := errors.Join(verify(one), verify(other)); err != nil {
				t.Fatalf("Verify = %v, want nil", err)
			}
		}
		if err := one.profiles.Deactivate(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
		if err := verify(one); !errors.Is(err, lanyard.ErrUnauthenticated) {
			t.Errorf("Verify where the owner was deactivated = %v, want lanyard.ErrUnauthenticated", err)
		}
		eventually(t, 2*time.Second, "the owner's key is dead on the other instance", func() bool {
			return errors.Is(verify(other), lanyard.ErrUnauthenticated)
		})
		if err := other.profiles.Reactivate(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
		if err := verify(other); err != nil {
			t.Errorf("Verify where the owner was reactivated = %v, want nil", err)
		}
		eventually(t, 2*time.Second, "the owner's key works again on the first instance", func() bool { return verify(one) == nil })
	})
}

// openHost opens the services of an instance that serves nothing.
func openHost(t *testing.T, s settings) *services {
	t.Helper()
	var open closers
	t.Cleanup(func() {
		if err := open.close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close = %v", err)
		}
	})
	spans, err := newTelemetry("x", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	open.push(spans.close)
	parts, err := openServices(t.Context(), s, spans, slog.New(slog.DiscardHandler), &open)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// The front hands requests to the instances in turn, as they came.
func TestFront(t *testing.T) {
	t.Parallel()
	a := start(t, configure(t, nil))
	seen := make(map[string]int)
	for range 6 {
		var said struct{ Instance string }
		a.call(http.MethodGet, a.url+"/healthz", "").decode(t, &said)
		seen[said.Instance]++
	}
	if seen["a"] != 3 || seen["b"] != 3 {
		t.Errorf("six requests went to %v, want three to each", seen)
	}

	// What the front says of a caller, an instance believes, also of a late use
	// of a key.
	keys := a.instances["a"] + "/account/api/v1/api-keys"
	var created struct {
		Key    struct{ ID string } `json:"api_key"`
		Secret string
	}
	a.call(http.MethodPost, keys, `{"name":"x"}`, userHeader, "bob", "X-Forwarded-For", "198.51.100.9").decode(t, &created)
	a.call(http.MethodDelete, keys+"/"+created.Key.ID, "", userHeader, "bob")
	a.call(http.MethodGet, a.instances["a"]+"/api/hello", "", "Authorization", "Bearer "+created.Secret, "X-Forwarded-For", "198.51.100.10")
	for _, ip := range []string{"198.51.100.9", "198.51.100.10"} {
		eventually(t, 10*time.Second, "the history tells the address "+ip+" that the front told", func() bool {
			return strings.Contains(a.call(http.MethodGet, a.url+"/account/api/v1/activity", "", userHeader, "bob").body, `"ip":"`+ip+`"`)
		})
	}

	// A form of the page's own origin passes, which it would not if the front
	// had changed the Host; nobody decides where he comes from.
	r := a.call(http.MethodPost, a.url+"/account/api/v1/api-keys", `{"name":"laptop"}`,
		userHeader, "ana", "Origin", a.url, "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Host", "evil.example")
	if r.status != http.StatusCreated {
		t.Errorf("a request from the page's own origin = %d, want 201", r.status)
	}
	if r := a.call(http.MethodPost, a.url+"/account/api/v1/api-keys", `{"name":"x"}`, userHeader, "ana", "Origin", "http://evil.example"); r.status != http.StatusForbidden {
		t.Errorf("a request from another origin = %d, want 403", r.status)
	}
	history := a.call(http.MethodGet, a.url+"/account/api/v1/activity", "", userHeader, "ana").body
	if !strings.Contains(history, `"ip":"127.0.0.1"`) || strings.Contains(history, "203.0.113.7") {
		t.Errorf("the history is %s, want the address the front saw", history)
	}
}

// An instance that is gone is a 503 for the caller, who may try again.
func TestFrontWithoutInstance(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close() // nobody is there now
	log := newOutput()
	f := newFront([]*instance{{addr: listener.Addr().String()}}, slog.New(slog.NewJSONHandler(log, nil)))
	defer func() { _ = f.close(t.Context()) }()
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/hello?key=canary", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("the front without an instance = %d, want 503 and Retry-After", w.Code)
	}
	if text := log.String(); !strings.Contains(text, "instance did not answer") || strings.Contains(text, "canary") {
		t.Errorf("the log says %s, want what failed and no query", text)
	}
}

// Keys open the API; a session does not.
func TestAPITakesKeysOnly(t *testing.T) {
	t.Parallel()
	a := start(t, configure(t, nil))
	for _, path := range []string{"/api/hello", "/api/agent/issues", "/api/unknown"} {
		if r := a.call(http.MethodGet, a.url+path, "", userHeader, "ana"); r.status != http.StatusUnauthorized {
			t.Errorf("GET %s with a session = %d, want 401", path, r.status)
		}
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	a := start(t, configure(t, nil))
	if r := a.call(http.MethodGet, a.url+"/account/", "", "Accept", "text/html"); r.status != http.StatusSeeOther || !strings.HasPrefix(r.header.Get("Location"), "/login") {
		t.Errorf("the page signed out = %d %q, want 303 to the login", r.status, r.header.Get("Location"))
	}
	if r := a.call(http.MethodGet, a.url+"/login", ""); r.status != http.StatusBadRequest {
		t.Errorf("login without a name = %d, want 400", r.status)
	}
	r := a.call(http.MethodGet, a.url+"/login?as=ana+b%C3%A9%3B", "")
	cookie, err := http.ParseSetCookie(r.header.Get("Set-Cookie"))
	if err != nil || r.status != http.StatusSeeOther || r.header.Get("Location") != "/account/" || !cookie.HttpOnly {
		t.Fatalf("login = %d %q with cookie %v, %v; want 303 to the page", r.status, r.header.Get("Location"), cookie, err)
	}
	r = a.call(http.MethodGet, a.url+"/account/api/v1/whoami", "", "Cookie", cookie.Name+"="+cookie.Value)
	var who struct{ Sub string }
	r.decode(t, &who)
	if who.Sub != "ana bé;" {
		t.Errorf("whoami = %q, want %q", who.Sub, "ana bé;")
	}
	for _, value := range []string{"", "%zz", "%00"} {
		if r := a.call(http.MethodGet, a.url+"/account/api/v1/whoami", "", "Cookie", loginCookie+"="+value); r.status != http.StatusUnauthorized {
			t.Errorf("whoami with the cookie %q = %d, want 401", value, r.status)
		}
	}
}

// The agent pulls from the organisation's Jira for a user who connected his
// account, whichever instance he did it on, and says where to connect otherwise.
func TestAgent(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		s := configure(t, env)
		token := withJira(t, &s)
		a := start(t, s)
		_, key := a.createKey(a.url)
		r := a.call(http.MethodGet, a.url+"/api/agent/issues", "", "Authorization", "Bearer "+key)
		var problem struct {
			ConnectURL string `json:"connect_url"`
		}
		r.decode(t, &problem)
		if r.status != http.StatusConflict || problem.ConnectURL != "/account/provider-tokens" {
			t.Fatalf("issues of somebody not connected = %d %s, want 409 and a link", r.status, r.body)
		}
		if r := a.call(http.MethodGet, a.url+problem.ConnectURL, "", userHeader, "ana"); r.status != http.StatusOK {
			t.Errorf("the linked page = %d, want 200", r.status)
		}
		if r := a.connectJira(a.instances["a"], token); r.status != http.StatusCreated {
			t.Fatalf("connecting = %d %s, want 201", r.status, r.body)
		}
		for name, at := range a.instances {
			r := a.call(http.MethodGet, at+"/api/agent/issues", "", "Authorization", "Bearer "+key)
			var found struct{ Issues []issue }
			r.decode(t, &found)
			if r.status != http.StatusOK || len(found.Issues) == 0 {
				t.Errorf("issues at %s = %d %s, want 200 and some", name, r.status, r.body)
			}
		}
		if r := a.call(http.MethodGet, a.url+"/api/agent/issues?label=other", "", "Authorization", "Bearer "+key); r.status != http.StatusConflict {
			t.Errorf("issues over a connection that is not there = %d, want 409", r.status)
		}
	})
}

func TestBaseOf(t *testing.T) {
	t.Parallel()
	connections := []providertoken.Token{
		{ProviderID: "github", Label: "work", Base: "https://api.github.com"},
		{ProviderID: "jira-cloud", Label: "home", Base: "https://home.atlassian.net"},
		{ProviderID: "jira-cloud", Label: "work", Base: "https://work.atlassian.net"},
	}
	for label, want := range map[string]string{"": "https://home.atlassian.net", "work": "https://work.atlassian.net", "other": ""} {
		if got, ok := baseOf(connections, "jira-cloud", label); got != want || ok != (want != "") {
			t.Errorf("baseOf(%q) = %q, %v, want %q", label, got, ok, want)
		}
	}
}

// A Jira that begins to answer and never ends keeps no agent.
func TestAgentEnds(t *testing.T) {
	t.Parallel()
	s := configure(t, nil)
	token, fake := withFakeJira(t, &s)
	host := openHost(t, s)
	ana := lanyard.Owner{Subject: "ana"}
	_, err := host.tokens.Create(t.Context(), ana, providertoken.CreateRequest{
		ProviderID: "jira", Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(token)},
	})
	if err != nil {
		t.Fatal(err)
	}
	fake.Tell(providertest.Stalled)
	a := newAgent(host.tokens, s.jira, slog.New(slog.DiscardHandler))
	a.timeout = 100 * time.Millisecond
	if found, err := a.issues(t.Context(), ana, "", providertoken.Use{}); err == nil {
		t.Errorf("issues of a Jira that stalls = %v, want an error", found)
	}
}

// Without a Jira of its own the agent goes to Jira Cloud.
func TestAgentWithoutInstance(t *testing.T) {
	t.Parallel()
	a := start(t, configure(t, nil))
	_, key := a.createKey(a.url)
	if r := a.call(http.MethodGet, a.url+"/api/agent/issues", "", "Authorization", "Bearer "+key); r.status != http.StatusConflict {
		t.Errorf("issues = %d %s, want 409", r.status, r.body)
	}
	if providers := a.call(http.MethodGet, a.url+"/account/api/v1/providers", "", userHeader, "ana").body; !strings.Contains(providers, `"jira-cloud"`) {
		t.Errorf("the providers are %s, want jira-cloud among them", providers)
	}
}

// withJira gives the settings a Jira and returns a token that it takes.
func withJira(t *testing.T, s *settings) (token string) {
	t.Helper()
	token, _ = withFakeJira(t, s)
	return token
}

func withFakeJira(t *testing.T, s *settings) (token string, fake *providertest.Fake) {
	t.Helper()
	token = "jira-" + lanyard.NewID()
	fake = providertest.JiraDataCenter(providertest.Tokens{token: {ID: "ana", Name: "Ana"}}.Account)
	server, err := providertest.NewServer(fake)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(context.WithoutCancel(t.Context())) })
	s.jira.Base, s.jira.RootCAs, s.jira.Networks = server.URL(), server.RootCAs(), server.Networks()
	return token, fake
}

func (a *app) connectJira(at, token string) answer {
	a.t.Helper()
	return a.call(http.MethodPost, at+"/account/api/v1/provider-tokens",
		`{"provider_id":"jira","secrets":{"token":"`+token+`"}}`, userHeader, "ana")
}

// What happens is a line of the log, by ids and names.
func TestEventsAreLogged(t *testing.T) {
	t.Parallel()
	a := start(t, configure(t, nil))
	id, _ := a.createKey(a.url)
	a.deleteKey(a.url, id)
	a.call(http.MethodPatch, a.url+"/account/api/v1/profile", `{"given_name":"Anna"}`, userHeader, "ana")
	a.stop()
	log := a.stderr.String()
	for _, want := range []string{
		`"msg":"event","instance":"`, `"action":"api_key.created","object":"` + id + `"`, `"action":"api_key.deleted"`,
		`"action":"profile.updated"`, `"owner":"ana"`, `"via":"session"`, `"ip":"127.0.0.1"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	l := new(limiter)
	ana, bob := lanyard.Principal{Owner: lanyard.Owner{Subject: "ana"}}, lanyard.Principal{Owner: lanyard.Owner{Subject: "bob"}}
	for i := range callsPerMinute {
		if wait := l.wait(nil, ana); wait != 0 {
			t.Fatalf("call %d must wait %v, want no wait", i+1, wait)
		}
	}
	if wait := l.wait(nil, ana); wait <= 0 || wait > time.Minute {
		t.Errorf("one call too many must wait %v, want up to a minute", wait)
	}
	if wait := l.wait(nil, bob); wait != 0 {
		t.Errorf("somebody else must wait %v, want no wait", wait)
	}
}

// A keyring that is gone is found out at the next start, and no other takes
// its place, although no user has sealed anything yet.
func TestKeyringOfTheDatabase(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		s, other := configure(t, env), configure(t, nil)
		start(t, s).stop()
		start(t, other).stop()
		ring := filepath.Join(s.data, "lanyard.keys")
		if err := os.Remove(ring); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), s, io.Discard, io.Discard); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("run without the keyring = %v, want fs.ErrNotExist", err)
		}
		if err := os.Rename(filepath.Join(other.data, "lanyard.keys"), ring); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), s, io.Discard, io.Discard); !errors.Is(err, crypto.ErrUnknownKey) && !errors.Is(err, crypto.ErrIntegrity) {
			t.Errorf("run with another keyring = %v, want an error of crypto", err)
		}
	})
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
	}{
		"an argument":                {[]string{"serve"}, nil},
		"an unknown flag":            {[]string{"-verbose"}, nil},
		"a Vault without a login":    {nil, map[string]string{"VAULT_ADDR": "https://vault:8200"}},
		"a role without its secret":  {nil, map[string]string{"VAULT_ADDR": "https://vault:8200", "VAULT_TOKEN": "t", "VAULT_ROLE_ID": "r"}},
		"a secret without its role":  {nil, map[string]string{"VAULT_ADDR": "https://vault:8200", "VAULT_TOKEN": "t", "VAULT_SECRET_ID": "s"}},
		"two logins":                 {nil, map[string]string{"VAULT_ADDR": "https://vault:8200", "VAULT_ROLE_ID": "r", "VAULT_SECRET_ID": "s", "VAULT_KUBERNETES_ROLE": "k"}},
		"a network that is none":     {nil, map[string]string{"JIRA_NETWORKS": "intranet"}},
		"a network without a prefix": {nil, map[string]string{"JIRA_NETWORKS": "10.0.0.1"}},
	} {
		if _, err := parseSettings(tt.args, func(name string) string { return tt.env[name] }, io.Discard); err == nil {
			t.Errorf("%s: parseSettings = nil, want an error", name)
		}
	}
	s, err := parseSettings(nil, func(name string) string {
		return map[string]string{"VAULT_TOKEN": "left over", "JIRA_URL": "https://jira.acme.example", "JIRA_NETWORKS": "10.1.0.0/16, 10.2.0.0/16"}[name]
	}, io.Discard)
	if err != nil || !s.database.IsZero() || s.vault.address != "" || s.vault.key != "lanyard" || len(s.jira.Networks) != 2 || s.drain <= 0 {
		t.Errorf("parseSettings = %+v, %v; want the embedded defaults", s, err)
	}
}

// A login goes before a token that is left over, and can be printed.
func TestVaultLogins(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		want func(vault.AuthMethod) bool
	}{
		"a token": {map[string]string{}, func(m vault.AuthMethod) bool { return m == nil }},
		"AppRole": {map[string]string{"VAULT_ROLE_ID": "r", "VAULT_SECRET_ID": "canary", "VAULT_AUTH_MOUNT": "m"}, func(m vault.AuthMethod) bool {
			a, ok := m.(vaulttransit.AppRole)
			return ok && a.Mount == "m" && a.RoleID == "r" && a.SecretID.Reveal() == "canary"
		}},
		"Kubernetes": {map[string]string{"VAULT_KUBERNETES_ROLE": "k"}, func(m vault.AuthMethod) bool { return m == vaulttransit.Kubernetes{Role: "k"} }},
	} {
		tt.env["VAULT_ADDR"], tt.env["VAULT_TOKEN"] = "https://vault:8200", "canary"
		s, err := vaultOf(func(name string) string { return tt.env[name] })
		if err != nil || !tt.want(s.auth) {
			t.Errorf("%s: vaultOf = %+v, %v; want that login", name, s.auth, err)
		}
		if text := fmt.Sprintf("%+v", s); strings.Contains(text, "canary") {
			t.Errorf("%s: the settings print as %s", name, text)
		}
	}
}

// Closers run last first, each with time of its own, also when one fails.
func TestClosers(t *testing.T) {
	t.Parallel()
	var order []string
	var open closers
	broken := errors.New("broken")
	for _, name := range []string{"first", "second", "third"} {
		open.push(func(ctx context.Context) error {
			order = append(order, name)
			if _, limited := ctx.Deadline(); !limited || ctx.Err() != nil {
				t.Errorf("%s has no time to close", name)
			}
			if name == "second" {
				return broken
			}
			return nil
		})
	}
	if err := open.close(t.Context()); !errors.Is(err, broken) {
		t.Errorf("close = %v, want %v", err, broken)
	}
	if want := []string{"third", "second", "first"}; !slices.Equal(order, want) {
		t.Errorf("closed %v, want %v", order, want)
	}
}
