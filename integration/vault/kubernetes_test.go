package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
)

// cluster is as much of a Kubernetes API as Vault asks: whether a service
// account's token is good.
// https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
type cluster struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu   sync.Mutex
	good map[string]bool
	down bool
}

// newCluster starts one, on all addresses, since Vault may run in a container.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{key: key, good: make(map[string]bool)}
	c.Server = httptest.NewUnstartedServer(c)
	_ = c.Listener.Close()
	if c.Listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", ":0"); err != nil {
		t.Fatal(err)
	}
	c.Start()
	t.Cleanup(c.Close)
	return c
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Spec struct {
			Token string `json:"token"`
		} `json:"spec"`
	}
	_ = json.NewDecoder(r.Body).Decode(&review)
	c.mu.Lock()
	good, down := c.good[review.Spec.Token], c.down
	c.mu.Unlock()
	if down || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	status := map[string]any{"authenticated": good}
	if good {
		status["audiences"] = []string{"vault"}
		status["user"] = map[string]any{
			"username": "system:serviceaccount:apps:host", "uid": "0f1e2d3c",
			"groups": []string{"system:serviceaccounts", "system:serviceaccounts:apps"},
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
}

func (c *cluster) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

// issue returns a token of the service account, the only good one from now on.
func (c *cluster) issue(t *testing.T) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	now := time.Now()
	text := part(map[string]any{"alg": "ES256", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:apps:host", "aud": []string{"vault"}, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "apps", "serviceaccount": map[string]any{"name": "host", "uid": "0f1e2d3c"}},
	})
	digest := sha256.Sum256([]byte(text))
	x, y, err := ecdsa.Sign(rand.Reader, c.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	x.FillBytes(signature[:32])
	y.FillBytes(signature[32:])
	jwt := text + "." + base64.RawURLEncoding.EncodeToString(signature)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good = map[string]bool{jwt: true}
	return jwt
}

// addresses returns where Vault may reach the cluster from: its own machine, or
// a container on this one.
func (c *cluster) addresses() []string {
	_, port, _ := net.SplitHostPort(c.Listener.Addr().String())
	out := []string{"http://127.0.0.1:" + port}
	if bridge, err := net.InterfaceByName("docker0"); err == nil {
		addresses, _ := bridge.Addrs()
		for _, a := range addresses {
			if network, ok := a.(*net.IPNet); ok && network.IP.To4() != nil {
				out = append(out, "http://"+net.JoinHostPort(network.IP.String(), port))
			}
		}
	}
	return out
}

// A pod logs in with the token of its service account, and with the next one
// once Kubernetes has replaced it.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	x := newSample(t, e.transit(t, "lanyard"), "place")
	c := newCluster(t)
	file := filepath.Join(t.TempDir(), "token")
	put := func(jwt string) {
		if err := os.WriteFile(file, []byte(jwt), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mount := e.enable(t, "kubernetes")
	role := optionsOf(t, "vault write auth/kubernetes/role/lanyard ")
	role["token_policies"] = e.Mount
	e.root(t, "auth/"+mount+"/role/lanyard", role)
	login := vaulttransit.Kubernetes{Mount: mount, Role: "lanyard", TokenFile: file}
	put(c.issue(t))
	configure := func(address string) {
		e.root(t, "auth/"+mount+"/config", map[string]any{
			"kubernetes_host": address, "disable_local_ca_jwt": true, "token_reviewer_jwt": c.issue(t),
		})
		put(c.issue(t))
	}
	var secrets *vaulttransit.Transit
	var heard *heard
	reached := false
	for _, address := range c.addresses() {
		configure(address)
		secrets, heard = e.loggedIn(t, login)
		if _, err := secrets.Unwrap(t.Context(), x.wrapped, x.place); err == nil {
			reached = true
			break
		}
		t.Logf("Vault at %s: %q", address, heard.all())
	}
	if !reached {
		t.Fatalf("Vault reaches the cluster at none of %q", c.addresses())
	}
	x.opens(t, secrets, "by a pod", x.wrapped)

	old := c.issue(t)
	put(c.issue(t))
	e.revokeAll(t, mount)
	x.opens(t, secrets, "with the next token of the service account", x.wrapped)
	if n := heard.times("login"); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}

	put(old)
	late, _ := e.loggedIn(t, login)
	_, err := late.Unwrap(t.Context(), x.wrapped, x.place)
	e.wantError(t, "Unwrap() with a token that is good no more", err, crypto.ErrDenied, []byte(old))

	put(c.issue(t))
	stranger, _ := e.loggedIn(t, vaulttransit.Kubernetes{Mount: mount, Role: "another", TokenFile: file})
	_, err = stranger.Unwrap(t.Context(), x.wrapped, x.place)
	e.wantError(t, "Unwrap() with a role that is not there", err, crypto.ErrDenied, nil)

	// When Vault cannot ask the cluster, it refuses logins too. Who is logged in
	// goes on, and who was refused tries again after some seconds.
	c.setDown(true)
	during, said := e.loggedIn(t, login)
	_, err = during.Unwrap(t.Context(), x.wrapped, x.place)
	e.wantError(t, "Unwrap() with the cluster down", err, crypto.ErrDenied, nil)
	x.opens(t, secrets, "by who is logged in, with the cluster down", x.wrapped)
	c.setDown(false)
	within(t, 20*time.Second, "Unwrap() with the cluster up", func() bool {
		_, err := during.Unwrap(t.Context(), x.wrapped, x.place)
		return err == nil
	})
	if n := said.times("login"); n != 2 {
		t.Errorf("%d logins with the cluster down and up, want 2", n)
	}
}
