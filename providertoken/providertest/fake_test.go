package providertest_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aichub/lanyard/providertoken/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "good-token"

// platforms is how each fake is asked who a token belongs to.
var platforms = map[string]struct {
	fake   func(func(string) (providertest.Account, bool)) *providertest.Fake
	path   string
	header func(token string) (name, value string)
	names  []string // what a true answer says
}{
	"jira data center": {providertest.JiraDataCenter, "/rest/api/2/myself", bearer, []string{`"name":"ana"`, `"displayName":"Ana Lima"`}},
	"jira cloud":       {providertest.JiraCloud, "/rest/api/3/myself", basic, []string{`"accountId":"ana"`, `"displayName":"Ana Lima"`}},
	"azure devops":     {providertest.AzureDevOps, "/_apis/connectionData", basic, []string{`"id":"ana"`, `"providerDisplayName":"Ana Lima"`, `"$value":"ana@acme.example"`}},
	"businessmap":      {providertest.Businessmap, "/api/v2/me", named("apikey"), []string{`"user_id":"ana"`, `"realname":"Ana Lima"`}},
	"servicenow":       {providertest.ServiceNow, "/api/now/ui/user/current_user", named("x-sn-apikey"), []string{`"user_sys_id":"sys-ana"`, `"user_name":"ana"`}},
	"confluence cloud": {providertest.ConfluenceCloud, "/wiki/rest/api/user/current", basic, []string{`"accountId":"ana"`, `"displayName":"Ana Lima"`}},
	"gitlab":           {providertest.GitLab, "/api/v4/user", named("PRIVATE-TOKEN"), []string{`"username":"ana"`, `"id":4711`}},
	"bitbucket cloud":  {providertest.BitbucketCloud, "/2.0/user", basic, []string{`"account_id":"ana"`, `"display_name":"Ana Lima"`}},
	"slack":            {providertest.Slack, "/api/auth.test", bearer, []string{`"ok":true`, `"user_id":"ana"`}},
	"notion":           {providertest.Notion, "/v1/users/me", bearer, []string{`"id":"ana"`, `"email":"ana@acme.example"`}},
	"figma":            {providertest.Figma, "/v1/me", named("X-Figma-Token"), []string{`"id":"ana"`, `"handle":"Ana Lima"`}},
	"github":           {providertest.GitHub, "/user", bearer, []string{`"login":"ana"`, `"id":583231`}},
}

// methods of the probes that are not GET, and what an unknown token is answered
// where that is not 401.
var (
	methods  = map[string]string{"slack": http.MethodPost}
	rejected = map[string]int{"slack": http.StatusOK, "figma": http.StatusForbidden}
)

func bearer(token string) (string, string) { return "Authorization", "Bearer " + token }

func basic(token string) (string, string) {
	req := &http.Request{Header: http.Header{}}
	req.SetBasicAuth("ana@acme.example", token)
	return "Authorization", req.Header.Get("Authorization")
}

func named(name string) func(string) (string, string) {
	return func(token string) (string, string) { return name, token }
}

// answer is what came back; broken says that it did not come whole.
type answer struct {
	status int
	header http.Header
	body   string
	broken bool
}

func ask(t *testing.T, c *http.Client, req *http.Request) answer {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		return answer{broken: true}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return answer{res.StatusCode, res.Header, string(body), err != nil || len(body) == 1<<20}
}

// serve serves a platform and returns how to ask it.
func serve(t *testing.T, name string) (*providertest.Fake, func(token string, wait time.Duration) answer) {
	t.Helper()
	p := platforms[name]
	fake := p.fake(providertest.Tokens{token: {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"}}.Account)
	server, err := providertest.NewServer(fake)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	c := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.RootCAs(), MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(c.CloseIdleConnections)
	return fake, func(token string, wait time.Duration) answer {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, methods[name], server.URL()+p.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(p.header(token))
		return ask(t, c, req)
	}
}

func TestTheTruth(t *testing.T) {
	t.Parallel()
	for name, p := range platforms {
		fake, who := serve(t, name)
		got := who(token, time.Minute)
		if got.status != http.StatusOK || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: status %d, %s", name, got.status, got.header.Get("Content-Type"))
		}
		for _, want := range p.names {
			if !strings.Contains(got.body, want) {
				t.Errorf("%s answers %s, want %s in it", name, got.body, want)
			}
		}
		if got := who("other", time.Minute); got.status != cmp.Or(rejected[name], http.StatusUnauthorized) || strings.Contains(got.body, "ana") {
			t.Errorf("%s: status %d for an unknown token: %s", name, got.status, got.body)
		}
		seen := fake.Requests()
		if header, value := p.header(token); len(seen) != 2 || seen[0].Header.Get(header) != value || seen[0].Path != p.path || seen[0].Method != cmp.Or(methods[name], http.MethodGet) {
			t.Errorf("%s saw %+v", name, seen)
		}
	}
}

// Each lie is told as the platform tells it.
func TestLies(t *testing.T) {
	t.Parallel()
	status := func(want int) func(answer) bool { return func(a answer) bool { return a.status == want && !a.broken } }
	html := func(want int) func(answer) bool {
		return func(a answer) bool {
			return a.status == want && strings.HasPrefix(a.header.Get("Content-Type"), "text/html")
		}
	}
	with := func(want int, name, value string) func(answer) bool {
		return func(a answer) bool { return a.status == want && a.header.Get(name) == value }
	}
	says := func(want int, text string) func(answer) bool {
		return func(a answer) bool { return a.status == want && strings.Contains(a.body, text) }
	}
	broken := func(a answer) bool { return a.broken }
	for name := range platforms {
		fake, who := serve(t, name)
		tell := func(lie providertest.Lie, told func(answer) bool) {
			t.Helper()
			fake.Tell(lie)
			wait := time.Minute
			if lie == providertest.Silent || lie == providertest.Stalled {
				wait = 50 * time.Millisecond
			}
			if got := who(token, wait); !told(got) {
				t.Errorf("%s, %s: %d %v %.80s", name, lie, got.status, got.header, got.body)
			}
		}
		tell(providertest.CutOff, broken)
		tell(providertest.Endless, broken)
		tell(providertest.Silent, broken)
		tell(providertest.Stalled, broken)
		tell(providertest.Broken, status(500))
		tell(providertest.Down, status(503))
		tell(providertest.Missing, status(404))
		tell(providertest.NotJSON, says(200, "trailing"))
		tell(providertest.HTMLPage, html(200))
		tell(providertest.SingleSignOn, html(200))
		tell(providertest.Nobody, says(200, "null"))
		if name != "slack" { // which says so in its own words
			tell(providertest.NoIdentity, says(200, `{"status":"ok"}`))
		}
		tell(providertest.Unfit, says(200, `{"status":"ok"}`))
		tell(providertest.WrongType, func(a answer) bool {
			return a.status == 200 && a.header.Get("Content-Type") == "text/plain" && strings.Contains(a.body, "Ana") || (name == "github" || name == "gitlab") && a.status == 200
		})
		switch name {
		case "jira data center", "jira cloud":
			tell(providertest.Captcha, with(200, "X-Seraph-LoginReason", "AUTHENTICATION_DENIED"))
			tell(providertest.LoginFailed, with(200, "X-Seraph-LoginReason", "AUTHENTICATED_FAILED"))
			tell(providertest.Anonymous, with(200, "X-AUSERNAME", "anonymous"))
			tell(providertest.Down, with(503, "X-AUSERNAME", "anonymous"))
			tell(providertest.SignInPage, html(200))
			tell(providertest.NoRight, status(403))
			tell(providertest.Busy, with(429, "Retry-After", "60"))
		case "azure devops":
			tell(providertest.SignInPage, html(203))
			tell(providertest.Redirect, with(302, "Location", "https://spsprodeus1.vssps.visualstudio.com/_signin"))
			tell(providertest.NoRight, with(403, "X-VSS-UserData", "ana:ana@acme.example"))
			tell(providertest.Unseen, with(404, "X-VSS-UserData", "ana:ana@acme.example"))
			tell(providertest.Anonymous, says(200, "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"))
		case "businessmap":
			tell(providertest.Busy, says(429, `"code":"RL02"`))
			tell(providertest.Busy, with(429, "X-RateLimit-PerMinute-Remaining", "0"))
			tell(providertest.Redirect, with(302, "Location", "/login"))
		case "servicenow":
			tell(providertest.SignInPage, says(200, "hibernating"))
			tell(providertest.Anonymous, says(200, `"user_name":"guest"`))
			tell(providertest.OldRelease, status(404))
			tell(providertest.DroppedFilter, status(404))
		case "confluence cloud":
			tell(providertest.Anonymous, says(200, `"type":"anonymous"`))
		case "gitlab":
			tell(providertest.Expired, says(401, "Token is expired"))
			tell(providertest.Revoked, says(401, "Token was revoked"))
			tell(providertest.NoRight, says(403, "insufficient_scope"))
		case "slack":
			tell(providertest.Expired, says(200, `"error":"token_expired"`))
			tell(providertest.Revoked, says(200, `"error":"token_revoked"`))
			tell(providertest.LoginFailed, says(200, `"error":"account_inactive"`))
			tell(providertest.NoIdentity, says(200, `{"ok":true}`))
		case "figma":
			tell(providertest.NoRight, says(403, "Invalid scope(s)"))
			tell(providertest.Revoked, says(403, "Invalid token"))
		case "notion":
			tell(providertest.Busy, says(429, "rate_limited"))
		case "github":
			tell(providertest.Busy, with(403, "X-RateLimit-Remaining", "0"))
		}
		tell(providertest.Truth, status(200))
	}
}

// A token with scopes works at the gateway of Atlassian's clouds, any other at
// the site, and anybody may ask for the site's id.
func TestGateways(t *testing.T) {
	t.Parallel()
	tokens := providertest.Tokens{token: {ID: "ana"}, "scoped": {ID: "ana", Scoped: true}}.Account
	for _, c := range []struct {
		fake           *providertest.Fake
		whoami, prefix string
	}{
		{providertest.JiraCloud(tokens), "/rest/api/3/myself", providertest.JiraGateway},
		{providertest.ConfluenceCloud(tokens), "/wiki/rest/api/user/current", providertest.ConfluenceGateway},
	} {
		server, err := providertest.NewServer(c.fake)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close(context.Background()) })
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.RootCAs(), MinVersion: tls.VersionTLS12}}}
		t.Cleanup(client.CloseIdleConnections)
		for path, want := range map[string]map[string]int{
			c.whoami: {token: 200, "scoped": 401, "other": 401}, c.prefix + c.whoami: {token: 401, "scoped": 200, "other": 401},
			"/_edge/tenant_info": {token: 200, "other": 200},
		} {
			for token, status := range want {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set(basic(token))
				if got := ask(t, client, req); got.status != status {
					t.Errorf("%s with %s: %d, want %d", path, token, got.status, status)
				}
			}
		}
	}
}

func TestAServerIsTrustedByItsOwnRootsOnly(t *testing.T) {
	t.Parallel()
	server, err := providertest.NewServer(providertest.GitHub(providertest.Tokens{}.Account))
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, c, req); !got.broken {
		t.Errorf("a stranger was answered with %d", got.status)
	}
	if n := server.Networks(); len(n) != 1 || !n[0].Addr().IsLoopback() {
		t.Errorf("Networks = %v, want the loopback address", n)
	}
	if err := server.Close(context.Background()); err != nil {
		t.Errorf("Close = %v", err)
	}
	c.CloseIdleConnections()
	if got := ask(t, c, req); !got.broken {
		t.Error("a closed server answers")
	}
}
