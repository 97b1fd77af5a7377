package embed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard/httpadapter"
)

// nginxConfig is a proxy of one process that keeps everything in its folder.
// docs/embed.md shows its locations.
const nginxConfig = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		%[3]s
	}
}
`

// startNginx puts the machine's nginx in front, and returns its address.
func startNginx(t *testing.T, listen, locations string) string {
	t.Helper()
	path := nginxPath(t)
	dir := t.TempDir()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	ok(t, err)
	address := l.Addr().String()
	ok(t, l.Close())
	file := filepath.Join(dir, "nginx.conf")
	ok(t, os.WriteFile(file, []byte(fmt.Sprintf(nginxConfig, dir, address+listen, locations)), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-c", file, "-e", filepath.Join(dir, "error.log"))
	ok(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			ok(t, conn.Close())
			return address
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Fatalf("nginx does not listen: %v: %s", err, log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// nginxPath is where Debian puts nginx, which is not on everybody's PATH.
func nginxPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if errors.Is(err, exec.ErrNotFound) {
		path, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		t.Fatalf("there is no nginx; on Debian: apt-get install nginx-light: %v", err)
	}
	return path
}

// host is the application behind the proxy; the port is %s in a location.
func behindNginx(t *testing.T, change func(*httpadapter.Config)) string {
	t.Helper()
	server := httptest.NewServer(newHost(t, underNetHTTP, change))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// The page works under any prefix, whether the proxy takes it off or not.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		locations string
		page, api string
		login     string
	}{
		"prefix kept": {
			locations: `location / { proxy_pass http://%[1]s; proxy_set_header Host $http_host; }`,
			page:      "/account/", api: "/api/",
		},
		"prefix taken off": {
			locations: `location /hub/ { proxy_pass http://%[1]s/; proxy_set_header Host $http_host; }`,
			page:      "/hub/account/", api: "/hub/api/", login: "/hub/login",
		},
		"another prefix": {
			locations: `location = /me { return 308 ./me/; } location /me/ { proxy_pass http://%[1]s/account/; proxy_set_header Host $http_host; }
				location = /login { proxy_pass http://%[1]s; proxy_redirect ./account/ ./me/; }
				location /api/ { proxy_pass http://%[1]s; } absolute_redirect off;`,
			page: "/me/", api: "/api/",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := startNginx(t, "", fmt.Sprintf(tt.locations, behindNginx(t, func(c *httpadapter.Config) {
				if tt.login != "" {
					c.LoginURL = tt.login
				}
			})))
			newVisitor(t, new(http.Client), "http://"+address+tt.page, "http://"+address+tt.api).use()
		})
	}
}

// The lines of docs/embed-proxy.md are all that nginx needs, with and without
// taking a prefix off.
func TestNginxAsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/embed-proxy.md")
	ok(t, err)
	_, block, _ := strings.Cut(string(text), "```nginx\n")
	block, _, found := strings.Cut(block, "```")
	if !found || strings.Count(block, "proxy_pass http://127.0.0.1:8080;") != 1 {
		t.Fatal("docs/embed-proxy.md shows no nginx that leads to 127.0.0.1:8080")
	}
	whole := strings.Replace(block, "location /account/", "location /", 1) // the login and the host's API, too
	const prefixOff = "location /hub/ { proxy_pass http://127.0.0.1:8080/; }"
	if !strings.Contains(string(text), "`"+prefixOff+"`") {
		t.Fatalf("docs/embed-proxy.md does not say `%s`", prefixOff)
	}
	behind := strings.Replace(strings.Replace(whole, "location /", "location /hub/", 1), "127.0.0.1:8080;", "127.0.0.1:8080/;", 1)
	for name, tt := range map[string]struct{ locations, prefix string }{
		"as it stands": {block + whole, ""}, "with a prefix taken off": {behind, "/hub"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := behindNginx(t, func(c *httpadapter.Config) {
				c.Development, c.LoginURL = true, tt.prefix+"/login"
				c.ClientIP = func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }
			})
			address := "http://" + startNginx(t, "", strings.ReplaceAll(tt.locations, "127.0.0.1:8080", upstream)) + tt.prefix
			v := newVisitor(t, new(http.Client), address+"/account/", address+"/api/")
			v.use()
			if activity := v.get(v.page + "activity"); !strings.Contains(activity.body, "127.0.0.1") || strings.Contains(activity.body, `<p class="ly-note ly-warn">`) {
				t.Error("the history lacks the visitor's address, or something is said to be wrong")
			}
		})
	}
}

// TLS ends at the proxy, which says so in X-Forwarded-Proto.
func TestTLSAtNginx(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, pool := certificate(t, dir)
	address := startNginx(t, " ssl", fmt.Sprintf(`ssl_certificate %s; ssl_certificate_key %s;
		location / { proxy_pass http://%s; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https; }`,
		cert, cert, behindNginx(t, nil)))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	v := newVisitor(t, client, "https://"+address+"/account/", "https://"+address+"/api/")
	v.use()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if cookie := v.get("https://" + address + "/login").header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") {
		t.Errorf("the session's cookie is %q, want it for TLS alone", cookie)
	}
	if docs := v.get(v.page + "docs"); !strings.Contains(docs.body, "https://"+address+"/account/api/v1/whoami") {
		t.Error("the snippets do not say https")
	}
}

// certificate writes that of a test server, with its key, for 127.0.0.1.
func certificate(t *testing.T, dir string) (file string, pool *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	ok(t, err)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	file = filepath.Join(dir, "tls.pem")
	ok(t, os.WriteFile(file, text, 0o600))
	pool = x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return file, pool
}

// A proxy that puts its own name into Host gets each form refused. While
// somebody develops, the page says what to change, and both ways of it work.
func TestNginxWithAnotherHost(t *testing.T) {
	t.Parallel()
	const wrong, right = `location / { proxy_pass http://%s; proxy_set_header X-Forwarded-Host $http_host; }`,
		`location / { proxy_pass http://%s; proxy_set_header Host $http_host; }`
	var origin string
	visit := func(locations string, change func(*httpadapter.Config)) *visitor {
		upstream := behindNginx(t, func(c *httpadapter.Config) {
			c.Development = true
			if change != nil {
				change(c)
			}
		})
		address := startNginx(t, "", fmt.Sprintf(locations, upstream))
		origin = "http://" + address
		return newVisitor(t, new(http.Client), origin+"/account/", origin+"/api/")
	}
	save := func(v *visitor) answer {
		v.get(v.page) // signs in
		edit := v.get(v.page + "profile/edit")
		return v.post("profile/edit", url.Values{"version": {first(version, edit.body)}, "given_name": {"Anabela"}, "family_name": {"Lima"}})
	}

	v := visit(wrong, nil)
	if home := v.get(v.page); !strings.Contains(home.body, "proxy_set_header Host $http_host") {
		t.Errorf("the page does not say that the proxy hides the host")
	}
	refused := save(v)
	if refused.status != http.StatusForbidden || !strings.Contains(refused.body, "Config.TrustedOrigins") || !strings.Contains(refused.body, origin) {
		t.Errorf("a form under another host = %d, want 403 that names %s and Config.TrustedOrigins", refused.status, origin)
	}

	if saved := save(visit(right, nil)); saved.status != http.StatusOK || strings.Contains(saved.body, "TrustedOrigins") {
		t.Errorf("with the host passed on a form = %d", saved.status)
	}

	// The origin is only known once nginx listens.
	trusted := &trustLater{}
	server := httptest.NewServer(trusted)
	t.Cleanup(server.Close)
	address := startNginx(t, "", fmt.Sprintf(wrong, strings.TrimPrefix(server.URL, "http://")))
	trusted.Handler = newHost(t, underNetHTTP, func(c *httpadapter.Config) {
		c.Development, c.TrustedOrigins = true, []string{"http://" + address}
	})
	v = newVisitor(t, new(http.Client), "http://"+address+"/account/", "http://"+address+"/api/")
	if saved := save(v); saved.status != http.StatusOK || strings.Contains(saved.body, "TrustedOrigins") {
		t.Errorf("from a trusted origin a form = %d", saved.status)
	}
	newVisitor(t, new(http.Client), v.page, v.api).use()
}

// trustLater is a handler that is there before its configuration is.
type trustLater struct{ http.Handler }

// What a proxy does not lead to the page, the page says while somebody
// develops: its style sheet would hide it, its script take it away.
func TestNginxThatBlocksAssets(t *testing.T) {
	t.Parallel()
	address := startNginx(t, "", fmt.Sprintf(`location / { proxy_pass http://%s; proxy_set_header Host $http_host; }
		location /account/assets/ { return 403; }`, behindNginx(t, func(c *httpadapter.Config) { c.Development = true })))
	v := newVisitor(t, new(http.Client), "http://"+address+"/account/", "")
	home := v.get(v.page)
	for _, want := range []string{`<p class="ly-check-style">lanyard.css is not there`, "lanyard.js did not run"} {
		if !strings.Contains(home.body, want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
	if a := v.get(v.page + strings.TrimPrefix(first(anAsset, home.body), "./")); a.status != http.StatusForbidden {
		t.Errorf("the asset = %d, want the 403 of the proxy", a.status)
	}
}
