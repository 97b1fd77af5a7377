package vaulttransit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What a login knows, and never tells anybody but the server.
const (
	canarySecretID = "CANARY-secret-id-9c2e"
	canaryJWT      = "CANARY.service.account-3b7d"
)

// authority is a server that lets in who logs in. It answers without a network,
// so that it can be in a bubble of package synctest.
type authority struct {
	engine *server

	mu        sync.Mutex
	lease     time.Duration // of a token; 0 = for ever
	max       time.Duration // of all renewals together; 0 = for ever
	lasting   bool          // tokens are not renewable
	secretID  string        // that is good
	jwt       string
	narrow    bool // no token may do anything
	tokens    map[string]*lifetime
	logins    []time.Time
	renewals  []time.Time
	refused   int // requests with a token that is none
	onLogin   http.HandlerFunc
	onRenewal http.HandlerFunc
	heard     []http.Header // of logins
}

type lifetime struct{ ends, last time.Time }

func newAuthority() *authority {
	a := &authority{
		engine: &server{keys: map[string]*transitKey{"lanyard": {derived: true}}},
		lease:  time.Minute, secretID: canarySecretID, jwt: canaryJWT, tokens: make(map[string]*lifetime),
	}
	a.engine.rotate("lanyard")
	return a
}

// approle is how a host logs in to it.
func approle() vaulttransit.AppRole {
	return vaulttransit.AppRole{RoleID: "role-1", SecretID: lanyard.NewSecret(canarySecretID)}
}

// transit returns its key for a client that has no token, which is closed at
// the end of the test.
func (a *authority) transit(t testing.TB, auth api.AuthMethod, o *vaulttransit.Options) *vaulttransit.Transit {
	t.Helper()
	var opt vaulttransit.Options
	if o != nil {
		opt = *o
	}
	opt.Auth = auth
	secrets := newTransit(t, a.client(t), "lanyard", &opt)
	t.Cleanup(func() { _ = secrets.Close() })
	return secrets
}

func (a *authority) client(t testing.TB) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	config.Address, config.AgentAddress = "http://127.0.0.1:1", ""
	config.HttpClient.Transport = a
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatalf("api.NewClient() = %v", err)
	}
	client.ClearToken()
	return client
}

// RoundTrip implements [http.RoundTripper].
func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("X-Vault-Token")
	switch method, isLogin := strings.CutSuffix(r.URL.Path, "/login"); {
	case isLogin:
		a.login(w, r, strings.TrimPrefix(method, "/v1/auth/"))
	case !a.valid(token):
		fails(w, http.StatusForbidden)
	case r.URL.Path == "/v1/auth/token/renew-self":
		a.renew(w, r, token)
	default:
		r.Header.Set("X-Vault-Token", canaryToken)
		a.engine.ServeHTTP(w, r)
	}
}

func (a *authority) valid(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.tokens[token]
	if l == nil || !l.ends.IsZero() && !time.Now().Before(l.ends) || a.narrow {
		a.refused++
		return false
	}
	return true
}

func (a *authority) login(w http.ResponseWriter, r *http.Request, method string) {
	raw, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(raw))
	var said struct {
		RoleID   string `json:"role_id"`
		SecretID string `json:"secret_id"`
		Role     string `json:"role"`
		JWT      string `json:"jwt"`
	}
	_ = json.Unmarshal(raw, &said)
	a.mu.Lock()
	a.logins, a.heard = append(a.logins, time.Now()), append(a.heard, r.Header.Clone())
	n, instead := len(a.logins), a.onLogin
	byRole := method == "approle" && said.RoleID == "role-1" && said.SecretID == a.secretID
	byJWT := method == "kubernetes" && said.Role == "lanyard" && said.JWT == a.jwt
	a.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, r)
		return
	case method == "approle" && !byRole:
		fails(w, http.StatusBadRequest)
		return
	case !byRole && !byJWT:
		fails(w, http.StatusForbidden)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &lifetime{}
	if a.max > 0 {
		l.last = time.Now().Add(a.max)
	}
	token := fmt.Sprintf("hvs.CANARY-login-%d", n)
	a.tokens[token] = l
	writeJSON(w, http.StatusOK, a.granted(token, l))
}

func (a *authority) renew(w http.ResponseWriter, r *http.Request, token string) {
	a.mu.Lock()
	a.renewals = append(a.renewals, time.Now())
	instead := a.onRenewal
	a.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	writeJSON(w, http.StatusOK, a.granted(token, a.tokens[token]))
}

// granted prolongs a lifetime and is what the server says to that.
func (a *authority) granted(token string, l *lifetime) map[string]any {
	lease := a.lease
	if left := time.Until(l.last); !l.last.IsZero() && left < lease {
		lease = left
	}
	if lease > 0 {
		l.ends = time.Now().Add(lease.Truncate(time.Second))
	}
	return map[string]any{"auth": map[string]any{
		"client_token": token, "lease_duration": int(lease / time.Second), "renewable": !a.lasting,
		"accessor": "CANARY-accessor", "policies": []string{"lanyard"}, "token_type": "service",
	}}
}

// change changes how it behaves.
func (a *authority) change(f func(a *authority)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

// revoke makes every token of now none.
func (a *authority) revoke() { a.change(func(a *authority) { clear(a.tokens) }) }

// counts returns how often somebody logged in, renewed a token, or came with
// one that is none.
func (a *authority) counts() (logins, renewals, refused int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.logins), len(a.renewals), a.refused
}

// since returns when somebody logged in, counted from a time.
func (a *authority) since(began time.Time) []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []time.Duration
	for _, at := range a.logins {
		out = append(out, at.Sub(began))
	}
	return out
}
