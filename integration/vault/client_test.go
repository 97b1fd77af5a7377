package vault_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// The environment may say what it likes once the host has its client: it
// neither leads token and key elsewhere, nor lends a token, nor lets a
// certificate pass that nobody knows.
func TestEnvironment(t *testing.T) { //nolint:paralleltest // sets the environment
	e := newEngine(t)
	client := e.client(t, e.token)
	unseen := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request went where the environment says")
	}))
	t.Cleanup(unseen.Close)
	private := unstarted(t, e.Root.Address())
	private.Config.ErrorLog = log.New(io.Discard, "", 0)
	private.StartTLS()
	r, tokenless := e.newRole(t, nil), e.client(t, "")
	login := r.login(r.secretID(t))
	knowing, ignorant := e.overTLS(t, private, true), e.overTLS(t, private, false)

	for name, value := range map[string]string{
		"VAULT_ADDR": unseen.URL, "VAULT_AGENT_ADDR": unseen.URL, "VAULT_PROXY_ADDR": unseen.URL, "VAULT_TOKEN": e.Root.Token(),
		"VAULT_NAMESPACE": "nowhere", "VAULT_HEADERS": `{"X-From":"the environment"}`, "VAULT_SKIP_VERIFY": "true",
		"VAULT_WRAP_TTL": "5m", "VAULT_MAX_RETRIES": "9", "VAULT_CLIENT_TIMEOUT": "1ms", "VAULT_RATE_LIMIT": "0.001",
		"VAULT_DISABLE_REDIRECTS": "false", "VAULT_HTTP_PROXY": unseen.URL, "HTTP_PROXY": unseen.URL,
	} {
		t.Setenv(name, value)
	}
	secrets := e.with(t, client, "lanyard")
	x := newSample(t, secrets, "place")
	x.opens(t, secrets, "in a hostile environment", x.wrapped)

	own, err := vaulttransit.New(tokenless, "lanyard", &vaulttransit.Options{Mount: e.Mount, Auth: login})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = own.Close() }()
	x.opens(t, own, "with a login in a hostile environment", x.wrapped)

	client.ClearToken()
	e.refuses(t, e.with(t, client, "lanyard"), "without a token but the environment's", x, crypto.ErrDenied, crypto.ErrDenied)

	x.opens(t, e.with(t, knowing, "lanyard"), "over TLS", x.wrapped)
	before := private.requests()
	e.refuses(t, e.with(t, ignorant, "lanyard"), "of a certificate nobody knows", x, lanyard.ErrUnavailable, lanyard.ErrUnavailable)
	if n := private.requests() - before; n != 0 {
		t.Errorf("%d requests went to a server with a certificate nobody knows, want none", n)
	}
}

// overTLS returns a client of a proxy, which knows its certificate or not.
func (e *engine) overTLS(t *testing.T, through *proxy, knows bool) *api.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if knows {
		roots.AddCert(through.Certificate())
	}
	config := e.Client(t, "").CloneConfig()
	config.Address = through.URL
	config.HttpClient.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(e.token)
	return client
}

// What the host's client does for the host, it does not for us: answers are
// not wrapped away, and its namespace is its own affair.
func TestClientOfTheHost(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	client := e.client(t, e.token)
	client.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	client.SetMaxRetries(5)
	secrets := e.with(t, client, "lanyard")
	x := newSample(t, secrets, "place")
	x.opens(t, secrets, "of a client that has answers wrapped", x.wrapped)

	// A Vault without namespaces ignores that one is named. OpenBao, and Vault
	// Enterprise, find nothing there.
	client.SetNamespace("team-a")
	_, err := secrets.Unwrap(t.Context(), x.wrapped, x.place)
	if err != nil && !errors.Is(err, crypto.ErrDenied) && !errors.Is(err, crypto.ErrUnknownKey) {
		t.Errorf("Unwrap() in a namespace = %v, want nil, ErrDenied or ErrUnknownKey", err)
	}
	client.ClearNamespace()
	x.opens(t, secrets, "out of the namespace again", x.wrapped)
}
