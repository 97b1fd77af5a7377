package embed

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
)

// provider is an OpenID Connect provider at which everybody is Ana. It holds a
// login to what it asked for, as a real one does.
type provider struct {
	oidctest.Server
	t   *testing.T
	key *rsa.PrivateKey
	url string

	mu     sync.Mutex
	asked  map[string]url.Values // by code
	change func(map[string]any)  // the claims
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	ok(t, err)
	p := &provider{t: t, key: key, asked: map[string]url.Values{}}
	p.PublicKeys = []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "1", Algorithm: oidc.RS256}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	p.SetIssuer(p.url)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.URL.Path {
	case "/auth":
		code, q := rand.Text(), r.URL.Query()
		p.asked[code] = q
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
	case "/token":
		asked := p.asked[r.FormValue("code")]
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if _, secret, _ := r.BasicAuth(); asked == nil || secret != "s3cret" && r.FormValue("client_secret") != "s3cret" ||
			asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		said := map[string]any{
			"iss": p.url, "aud": "hub", "sub": "u-17", "nonce": asked.Get("nonce"), "exp": time.Now().Add(time.Hour).Unix(),
			"email": "ana@example.com", "email_verified": true, "given_name": "Ana", "family_name": "Lima", "zoneinfo": "America/Sao_Paulo",
		}
		if asked.Get("max_age") != "" {
			said["auth_time"] = time.Now().Unix()
		}
		if p.change != nil {
			p.change(said)
		}
		raw, _ := json.Marshal(said)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": "x", "token_type": "Bearer", "id_token": oidctest.SignIDToken(p.key, "1", oidc.RS256, string(raw)),
		})
	default:
		p.Server.ServeHTTP(w, r)
	}
}

// newOIDCHost is a host over TLS that signs in at a provider, and a browser.
func newOIDCHost(t *testing.T, p *provider) (base string, client *http.Client) {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	l, err := newLogin(t.Context(), p.url, "hub", lanyard.NewSecret("s3cret"), server.URL+"/login/done")
	ok(t, err)
	mux.HandleFunc("GET /login", l.begin)
	mux.HandleFunc("GET /login/done", l.finish)
	mux.Handle("/account/", newHost(t, underNetHTTP, func(c *httpadapter.Config) {
		c.Identify, c.MaxAuthAge, c.LoginURL = l.identify, time.Minute, "/login?return={return}"
	}))
	client = server.Client()
	client.Jar, err = cookiejar.New(nil)
	ok(t, err)
	return server.URL, client
}

// A user is led to the provider and back to the page that he asked for, is who its claims say, and may do what
// asks for a fresh login.
func TestOIDC(t *testing.T) {
	t.Parallel()
	base, client := newOIDCHost(t, newProvider(t))
	v := &visitor{t: t, client: client, page: base + "/account/"}
	if a := v.get(v.page + "api-keys"); a.status != http.StatusOK || a.url.String() != v.page+"api-keys" {
		t.Fatalf("signing in ends at %s with %d, want the page that was asked for", a.url, a.status)
	}
	if a := v.get(base + "/login?return=//evil.example/"); a.status != http.StatusOK || a.url.String() != v.page {
		t.Errorf("a login with another site in its address ends at %s with %d, want the page", a.url, a.status)
	}
	var said map[string]any
	ok(t, json.Unmarshal([]byte(v.get(v.page+"api/v1/profile").body), &said))
	for name, want := range map[string]any{
		"sub": "u-17", "email": "ana@example.com", "email_verified": true, "given_name": "Ana", "family_name": "Lima",
	} {
		if said[name] != want {
			t.Errorf("the profile says %s %v, want %v", name, said[name], want)
		}
	}
	form := v.get(v.page + "api-keys/new")
	if made := v.post("api-keys/new", url.Values{"nonce": {first(aNonce, form.body)}, "name": {"ci"}, "expiry": {"never"}}); made.status != http.StatusCreated {
		t.Errorf("making a key after a fresh login = %d", made.status)
	}
	u, err := url.Parse(base)
	ok(t, err)
	for _, cookie := range client.Jar.Cookies(u) {
		if cookie.Name == loginCookie {
			t.Error("what the login remembered is left behind")
		}
	}
}

// What was not made for this login of this browser signs nobody in.
func TestOIDCRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(said map[string]any){
		"a token of another login":  func(said map[string]any) { said["nonce"] = "another" },
		"a token without a nonce":   func(said map[string]any) { delete(said, "nonce") },
		"a token for somebody else": func(said map[string]any) { said["aud"] = "another-app" },
		"a token of another issuer": func(said map[string]any) { said["iss"] = "https://evil.example" },
		"a token that is over":      func(said map[string]any) { said["exp"] = time.Now().Add(-time.Hour).Unix() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.change = change
			base, client := newOIDCHost(t, p)
			v := &visitor{t: t, client: client, page: base + "/account/"}
			if a := v.get(v.page); a.status != http.StatusForbidden || strings.Contains(a.body, "Ana") {
				t.Errorf("signing in = %d %q, want 403", a.status, a.body)
			}
			if a := v.get(v.page + "api/v1/profile"); a.status != http.StatusUnauthorized {
				t.Errorf("the profile afterwards = %d, want 401", a.status)
			}
		})
	}

	// Ben is given an address with Ana's code in it.
	p := newProvider(t)
	base, client := newOIDCHost(t, p)
	v := &visitor{t: t, client: client, page: base + "/account/"}
	code := rand.Text()
	p.asked[code] = url.Values{}
	for _, query := range []string{"code=" + code, "code=" + code + "&state=", "code=" + code + "&state=guess"} {
		if a := v.get(base + "/login/done?" + query); a.status != http.StatusBadRequest {
			t.Errorf("GET /login/done?%s without a login = %d, want 400", query, a.status)
		}
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if begun := v.get(base + "/login"); begun.status != http.StatusSeeOther || !strings.Contains(begun.header.Get("Set-Cookie"), "; Secure") {
		t.Fatalf("GET /login = %d, cookie %q", begun.status, begun.header.Get("Set-Cookie"))
	}
	if a := v.get(fmt.Sprintf("%s/login/done?code=%s&state=guess", base, code)); a.status != http.StatusBadRequest {
		t.Errorf("another state = %d, want 400", a.status)
	}
}
