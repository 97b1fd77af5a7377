package providertoken_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// public is a world whose public addresses all lead to one handler.
func public(t *testing.T, fake http.Handler) *world {
	t.Helper()
	server, err := providertest.NewServer(fake)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newWorld(t, nil)
	providertoken.Reroute(w.tokens, server.URL(), server.RootCAs())
	return w
}

// siteRequest asks for a connection to a public site of Jira Cloud.
func siteRequest(site, secret string) providertoken.CreateRequest {
	r := request("jira-cloud", secret)
	r.ProviderID, r.Fields["site"] = "jira-cloud", site
	return r
}

// trace is what a fake was asked, and whether with a credential.
func trace(fake *providertest.Fake, from int) []string {
	var out []string
	for _, r := range fake.Requests()[from:] {
		with := "without"
		if r.Header.Get("Authorization") != "" {
			with = "with"
		}
		out = append(out, fmt.Sprintf("%s%s %s", r.Host, r.Path, with))
	}
	return out
}

// A token with scopes is found out by asking: the site first, and the gateway
// where the site does not take it. What works is kept and used.
func TestTheBaseThatWorksIsKept(t *testing.T) {
	t.Parallel()
	const (
		site    = "acme.atlassian.net/rest/api/3/myself with"
		tenant  = "acme.atlassian.net/_edge/tenant_info without"
		gateway = "api.atlassian.com" + providertest.JiraGateway + "/rest/api/3/myself with"
	)
	fake := providertest.JiraCloud(accounts.Account)
	w := public(t, fake)
	for _, c := range []struct {
		secret, base string
		asked        []string
	}{
		{anaSecret, "https://acme.atlassian.net", []string{site}},
		{scopedSecret, "https://api.atlassian.com" + providertest.JiraGateway, []string{site, tenant, gateway}},
		{"canary-unknown-5gHj", "", []string{site, tenant, gateway}},
	} {
		from := len(fake.Requests())
		r := siteRequest("acme", c.secret)
		r.Label = c.base
		token, err := w.tokens.Create(t.Context(), ana, r)
		if got := trace(fake, from); !equal(got, c.asked) {
			t.Errorf("%s: asked %v, want %v", c.base, got, c.asked)
		}
		if c.base == "" {
			if v, _ := verdict(t, err); v != providertoken.VerdictInvalid {
				t.Errorf("a token that works nowhere is %s", v)
			}
			continue
		}
		ok(t, err)
		if token.Base != c.base || token.Origin+strings.TrimPrefix(token.Base, token.Origin) != token.Base || len(token.Fields) != 2 {
			t.Errorf("connected at %s, origin %s, with fields %v, want %s", token.Base, token.Origin, token.Fields, c.base)
		}
		client, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "jira-cloud", Label: c.base}, nil)
		ok(t, err)
		if status := fetch(t, client, token.Base+"/rest/api/3/myself"); status != http.StatusOK {
			t.Errorf("a client at %s is answered %d", token.Base, status)
		}
		from = len(fake.Requests())
		v, err := w.tokens.Verify(t.Context(), ana, token.ID)
		ok(t, err)
		if got := trace(fake, from); v.Verdict != providertoken.VerdictOK || !equal(got, c.asked[len(c.asked)-1:]) {
			t.Errorf("Verify at %s = %s after %v, want it to ask there alone", token.Base, v.Verdict, got)
		}
	}
	// Each is lent for its own base and for no other.
	client, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "jira-cloud", Label: "https://acme.atlassian.net"}, nil)
	ok(t, err)
	_, err = reach(t, client, "https://api.atlassian.com"+providertest.JiraGateway+"/rest/api/3/myself")
	is(t, "a classic token at the gateway", err, providertoken.ErrForeignOrigin)
}

func reach(t *testing.T, client *http.Client, url string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	ok(t, err)
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Body.Close()
}

func fetch(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	status, err := reach(t, client, url)
	ok(t, err)
	return status
}

// Which base a secret was sealed for is part of the seal: who can write the row
// can lead it nowhere else, not even to another tenant of the same platform.
func TestAChangedBaseOpensNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secret string
		spoil  func(fields map[string]string)
		want   error
	}{
		"another tenant":        {scopedSecret, func(f map[string]string) { f[":base.cloud_id"] = "evil" }, crypto.ErrIntegrity},
		"another path":          {scopedSecret, func(f map[string]string) { f[":base.cloud_id"] = "../../evil" }, providertoken.ErrNotOffered},
		"a longer path":         {scopedSecret, func(f map[string]string) { f[":base.cloud_id"] += "/evil" }, crypto.ErrIntegrity},
		"a query":               {scopedSecret, func(f map[string]string) { f[":base.cloud_id"] += "?x" }, providertoken.ErrNotOffered},
		"no tenant":             {scopedSecret, func(f map[string]string) { delete(f, ":base.cloud_id") }, crypto.ErrIntegrity},
		"no such base":          {scopedSecret, func(f map[string]string) { f[":base"] = "evil" }, providertoken.ErrNotOffered},
		"back to the first":     {scopedSecret, func(f map[string]string) { delete(f, ":base") }, crypto.ErrIntegrity},
		"as if it never was":    {scopedSecret, func(f map[string]string) { delete(f, ":base"); delete(f, ":base.cloud_id") }, crypto.ErrIntegrity},
		"another site":          {scopedSecret, func(f map[string]string) { f["site"] = "evil" }, crypto.ErrIntegrity},
		"from site to gateway":  {anaSecret, func(f map[string]string) { f[":base"], f[":base.cloud_id"] = "gateway", "evil" }, crypto.ErrIntegrity},
		"something more to say": {anaSecret, func(f map[string]string) { f[":base.more"] = "x" }, crypto.ErrIntegrity},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := providertest.JiraCloud(accounts.Account)
			w := public(t, fake)
			token, err := w.tokens.Create(t.Context(), ana, siteRequest("acme", c.secret))
			ok(t, err)
			row := w.row(t, token.ID)
			c.spoil(row.Fields)
			ok(t, w.store.UpdateProviderToken(t.Context(), row, lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "by.hand", row.ID)))
			asked := len(fake.Requests())
			_, err = w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "jira-cloud"}, nil)
			is(t, "Client", err, c.want)
			_, err = w.tokens.Verify(t.Context(), ana, token.ID)
			is(t, "Verify", err, c.want)
			_, err = w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Fields: map[string]string{"email": "ben@acme.example"}})
			if err == nil {
				t.Error("an edit carried the secret over")
			}
			if got := len(fake.Requests()) - asked; got != 0 {
				t.Errorf("%d requests went out", got)
			}
		})
	}
}

// An answer to the question for a tenant chooses a path and nothing more.
func TestWhatADiscoveryMayAnswer(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]providertoken.Verdict{
		`{"cloudId": "abc-1"}`:                           providertoken.VerdictOK,
		`{"cloudId": 7}`:                                 providertoken.VerdictOK,
		`{"cloudId": "../../evil"}`:                      providertoken.VerdictInvalid,
		`{"cloudId": "a/b"}`:                             providertoken.VerdictInvalid,
		`{"cloudId": "a%2fb"}`:                           providertoken.VerdictInvalid,
		`{"cloudId": "a?b"}`:                             providertoken.VerdictInvalid,
		`{"cloudId": "@evil.example"}`:                   providertoken.VerdictInvalid,
		`{"cloudId": "` + strings.Repeat("a", 65) + `"}`: providertoken.VerdictInvalid,
		`{"cloudId": ""}`:                                providertoken.VerdictInvalid,
		`{"cloudId": null}`:                              providertoken.VerdictInvalid,
		`{"cloudId": ["a"]}`:                             providertoken.VerdictInvalid,
		`not json`:                                       providertoken.VerdictInvalid,
		`{"cloudId": "` + strings.Repeat("a", 300<<10) + `"}`: providertoken.VerdictUnreachable,
	} {
		h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/me":
				says(401, "text/plain", "no")(rw, r)
			case "/tenant":
				says(200, "application/json", body)(rw, r)
			default: // whatever path was chosen
				says(200, "application/json", `{"id": "ana"}`)(rw, r)
			}
		})
		if got := tenantVerdict(t, h); got != want {
			t.Errorf("%.60s: %s, want %s", body, got, want)
		}
	}
	// Where the question was not answered, nothing is proven against the secret.
	for status, want := range map[int]providertoken.Verdict{
		404: providertoken.VerdictInvalid, 302: providertoken.VerdictInvalid, 401: providertoken.VerdictInvalid,
		429: providertoken.VerdictUnreachable, 500: providertoken.VerdictUnreachable, 503: providertoken.VerdictUnreachable,
	} {
		h := script{"/me": says(401, "text/plain", "no"), "/tenant": says(status, "application/json", `{"cloudId": "abc"}`)}
		if got := tenantVerdict(t, h); got != want {
			t.Errorf("status %d: %s, want %s", status, got, want)
		}
	}
}

// What two bases say of one secret.
func TestTwoBasesOneVerdict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, second int
		want          providertoken.Verdict
	}{
		{401, 200, providertoken.VerdictOK},
		{404, 200, providertoken.VerdictOK},
		{500, 200, providertoken.VerdictOK},
		{401, 401, providertoken.VerdictInvalid},
		{401, 404, providertoken.VerdictInvalid},
		{404, 401, providertoken.VerdictInvalid},
		{404, 404, providertoken.VerdictWrongInstance},
		{401, 403, providertoken.VerdictInsufficientScope},
		{403, 200, providertoken.VerdictInsufficientScope}, // known at the first: the second is not asked
		{429, 200, providertoken.VerdictRateLimited},
		{401, 429, providertoken.VerdictRateLimited},
		{401, 500, providertoken.VerdictUnreachable},
		{500, 401, providertoken.VerdictUnreachable},
	} {
		h := script{
			"/me": says(c.first, "application/json", `{"id": "ana"}`), "/tenant": says(200, "application/json", `{"cloudId": "abc"}`),
			"/tenants/abc/me": says(c.second, "application/json", `{"id": "ana"}`),
		}
		if got := tenantVerdict(t, h); got != c.want {
			t.Errorf("%d and then %d: %s, want %s", c.first, c.second, got, c.want)
		}
	}
}

// tenantVerdict connects to a platform with an alternative below /tenants/.
func tenantVerdict(t *testing.T, h http.Handler) providertoken.Verdict {
	t.Helper()
	w := tenants(t, h, nil)
	_, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	if err != nil {
		v, _ := verdict(t, err)
		return v
	}
	return providertoken.VerdictOK
}

func tenants(t *testing.T, h http.Handler, change func(*providertoken.Definition)) *world {
	t.Helper()
	return scripted(t, h, func(d *providertoken.Definition, _ *providertoken.Options) {
		d.Instance = providertoken.InstanceSpec{
			Mode: providertoken.ModeFixed, Base: "https://acme.example",
			Alternatives: []providertoken.Alternative{{
				ID: "tenant", Base: "https://acme.example/tenants/{tenant}",
				Discover: []providertoken.Discovery{{Name: "tenant", Path: "/tenant", JSON: "cloudId"}},
			}},
		}
		d.Verify[0].Rules = []providertoken.Rule{
			{When: providertoken.Condition{Status: []int{404}}, Verdict: providertoken.VerdictWrongInstance},
			{When: providertoken.Condition{Status: []int{403}}, Verdict: providertoken.VerdictInsufficientScope},
		}
		d.Verify[0].Accept.Status = []int{200}
		if change != nil {
			change(d)
		}
	}, func(i *providertoken.Instance) {
		i.Alternatives = map[string]string{"tenant": i.Base + "/tenants/{tenant}"}
	})
}

// A wrong password would count at each base.
func TestAPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	w := tenants(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		says(401, "application/json", `{"cloudId": "abc"}`)(rw, nil)
	}), func(d *providertoken.Definition) { d.Methods[0].Lockout = true })
	_, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	if v, _ := verdict(t, err); v != providertoken.VerdictInvalid || asked.Load() != 1 {
		t.Errorf("%s after %d requests, want invalid after 1", v, asked.Load())
	}
}

// What was stored while the platform was away finds its base when it is back.
func TestAnUnverifiedConnectionFindsItsBase(t *testing.T) {
	t.Parallel()
	fake := providertest.JiraCloud(accounts.Account)
	w := public(t, fake)
	fake.Tell(providertest.Broken)
	r := siteRequest("acme", scopedSecret)
	r.AllowUnverified = true
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	if token.Base != "https://acme.atlassian.net" || token.Status != providertoken.StatusUnverified {
		t.Fatalf("stored at %s as %s", token.Base, token.Status)
	}
	fake.Tell(providertest.Truth)
	written := w.clock.Now()
	w.clock.Add(1)
	v, err := w.tokens.Verify(t.Context(), ana, token.ID)
	ok(t, err)
	token, err = w.tokens.Token(t.Context(), ana, token.ID)
	ok(t, err)
	if v.Verdict != providertoken.VerdictOK || token.Base != "https://api.atlassian.com"+providertest.JiraGateway || token.Origin != "https://api.atlassian.com" {
		t.Errorf("Verify = %s, and the connection is at %s, %s", v.Verdict, token.Base, token.Origin)
	}
	if !token.Secrets["api_token"].UpdatedAt.Equal(written.UTC()) {
		t.Errorf("the secret is said to be of %v, want %v", token.Secrets["api_token"].UpdatedAt, written)
	}
	client, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "jira-cloud"}, nil)
	ok(t, err)
	if status := fetch(t, client, token.Base+"/rest/api/3/myself"); status != http.StatusOK {
		t.Errorf("a client is answered %d", status)
	}
}

// An edit keeps the base or finds the new one, and with it the secrets that
// were not typed again.
func TestAnEditFindsTheBase(t *testing.T) {
	t.Parallel()
	fake := providertest.JiraCloud(accounts.Account)
	w := public(t, fake)
	token, err := w.tokens.Create(t.Context(), ana, siteRequest("acme", scopedSecret))
	ok(t, err)
	from := len(fake.Requests())
	token, err = w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Fields: map[string]string{"email": "lima@acme.example"}})
	ok(t, err)
	if got := trace(fake, from); len(got) != 1 || !strings.HasPrefix(got[0], "api.atlassian.com/") || token.Base != "https://api.atlassian.com"+providertest.JiraGateway {
		t.Errorf("an edit of the address asked %v and left it at %s", got, token.Base)
	}
	token, err = w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{
		Secrets: map[string]lanyard.Secret{"api_token": lanyard.NewSecret(anaSecret)},
	})
	ok(t, err)
	if token.Base != "https://acme.atlassian.net" || token.Origin != token.Base {
		t.Errorf("with a classic token it is at %s", token.Base)
	}
	if row := w.row(t, token.ID); row.Fields[":base"] != "" || row.Fields[":base.cloud_id"] != "" {
		t.Errorf("the row keeps %v", row.Fields)
	}
	_, err = w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Fields: map[string]string{":base": "gateway"}})
	if err == nil {
		t.Error("a user chose the base")
	}
	_, err = w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Fields: map[string]string{"site": "other"}})
	if inputCode(err, "secrets/api_token") != providertoken.CodeSecretRequired {
		t.Errorf("Update of the site = %v, want secret-required", err)
	}
}

// Who types all secrets again is asked for where they belong, whatever the row
// says: a base that somebody wrote into it by hand had kept nothing that opens.
func TestSecretsTypedAgainFindTheirBase(t *testing.T) {
	t.Parallel()
	fake := providertest.JiraCloud(accounts.Account)
	w := public(t, fake)
	token, err := w.tokens.Create(t.Context(), ana, siteRequest("acme", scopedSecret))
	ok(t, err)
	row := w.row(t, token.ID)
	row.Fields[":base.cloud_id"] = "evil"
	ok(t, w.store.UpdateProviderToken(t.Context(), row, lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "test", row.ID)))
	from := len(fake.Requests())
	token, err = w.tokens.Update(t.Context(), ana, token.ID, secrets("api_token", scopedSecret))
	if want := "https://api.atlassian.com" + providertest.JiraGateway; err != nil || token.Base != want {
		t.Errorf("Update = %s, %v, want %s", token.Base, err, want)
	}
	if got := fmt.Sprint(trace(fake, from)); strings.Contains(got, "evil") {
		t.Errorf("it asked %s", got)
	}
}

// A secret that is kept moves along when another one changes the base.
func TestAKeptSecretMovesAlong(t *testing.T) {
	t.Parallel()
	base := func(second string) string {
		if second == "at-tenant" {
			return "/tenants/abc/me"
		}
		return "/me"
	}
	w := tenants(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/tenant":
			says(200, "application/json", `{"cloudId": "abc"}`)(rw, r)
		case r.Header.Get("X-Key") == anaSecret && r.URL.Path == base(r.Header.Get("X-Second")):
			says(200, "application/json", `{"id": "ana"}`)(rw, r)
		default:
			rw.WriteHeader(http.StatusUnauthorized)
		}
	}), func(d *providertoken.Definition) {
		d.Methods[0].Fields = append(d.Methods[0].Fields, providertoken.Field{Name: "second", Label: "Second"})
		d.Methods[0].Headers["X-Second"] = "{second}"
	})
	r := providertoken.CreateRequest{ProviderID: "acme-x", Secrets: map[string]lanyard.Secret{
		"key": lanyard.NewSecret(anaSecret), "second": lanyard.NewSecret("at-first"),
	}}
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	was := w.row(t, token.ID).Secrets["key"]
	token, err = w.tokens.Update(t.Context(), ana, token.ID, secrets("second", "at-tenant"))
	ok(t, err)
	if !strings.HasSuffix(token.Base, "/tenants/abc") {
		t.Errorf("it is at %s", token.Base)
	}
	now := w.row(t, token.ID).Secrets["key"]
	if now.Version != was.Version+1 || !now.UpdatedAt.Equal(was.UpdatedAt) {
		t.Errorf("the kept secret is version %d of %v, want %d of %v", now.Version, now.UpdatedAt, was.Version+1, was.UpdatedAt)
	}
	v, err := w.tokens.Verify(t.Context(), ana, token.ID)
	ok(t, err)
	if v.Verdict != providertoken.VerdictOK {
		t.Errorf("Verify = %s", v.Verdict)
	}
}

// Inspect opens what is sealed for an alternative.
func TestInspectReadsAlternatives(t *testing.T) {
	t.Parallel()
	w := public(t, providertest.JiraCloud(accounts.Account))
	_, err := w.tokens.Create(t.Context(), ana, siteRequest("acme", scopedSecret))
	ok(t, err)
	found, err := providertoken.Inspect(t.Context(), w.store, w.sealer, catalog.All(), nil)
	if err != nil || found.Secrets != 1 || len(found.Unreadable) != 0 {
		t.Errorf("Inspect = %+v, %v", found, err)
	}
}

// An instance has the alternatives that its operator gave it, at his address.
func TestAnInstancesAlternatives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token, err := w.tokens.Create(t.Context(), ana, request("jira-cloud", scopedSecret))
	ok(t, err)
	if token.Base != w.urls["jira-cloud"]+providertest.JiraGateway {
		t.Errorf("connected at %s", token.Base)
	}
	without := newWorldOver(t, w, w.store)
	for i := range without.options.Instances {
		without.options.Instances[i].Alternatives = nil
	}
	without.tokens, err = providertoken.NewService(w.store, w.sealer, &without.options)
	ok(t, err)
	r := request("jira-cloud", scopedSecret)
	r.Label = "second"
	_, err = without.tokens.Create(t.Context(), ana, r)
	if v, _ := verdict(t, err); v != providertoken.VerdictInvalid {
		t.Errorf("without alternatives: %s, want invalid", v)
	}
	now, err := without.tokens.Token(t.Context(), ana, token.ID)
	ok(t, err)
	if now.Status != providertoken.StatusNotOffered {
		t.Errorf("a connection at an alternative that was taken away is %s", now.Status)
	}
	for name, bases := range map[string]map[string]string{
		"unknown": {"other": "https://api.atlassian.com"}, "http": {"gateway": "http://api.atlassian.com/{cloud_id}"},
		"chosen host": {"gateway": "https://{cloud_id}.atlassian.com"}, "user's field": {"gateway": "https://api.atlassian.com/{site}"},
		"userinfo": {"gateway": "https://a@api.atlassian.com/{cloud_id}"}, "not a template": {"gateway": "https://api.atlassian.com/{"},
	} {
		o := &providertoken.Options{Providers: catalog.All(), Instances: []providertoken.Instance{{
			ID: "jira", Provider: "jira-cloud", Base: "https://acme.atlassian.net", Alternatives: bases,
		}}}
		if _, err := providertoken.NewService(w.store, w.sealer, o); err == nil {
			t.Errorf("%s: NewService took the alternatives %v", name, bases)
		}
	}
}

// A secret that once was good somewhere is not shown anywhere else when it is
// not good there any more.
func TestAProvenConnectionStays(t *testing.T) {
	t.Parallel()
	fake := providertest.JiraCloud(accounts.Account)
	w := public(t, fake)
	token, err := w.tokens.Create(t.Context(), ana, siteRequest("acme", anaSecret))
	ok(t, err)
	fake.Tell(providertest.Revoked)
	from := len(fake.Requests())
	v, err := w.tokens.Verify(t.Context(), ana, token.ID)
	ok(t, err)
	if got := trace(fake, from); v.Verdict != providertoken.VerdictInvalid || len(got) != 1 {
		t.Errorf("Verify = %s after %v, want invalid after the site alone", v.Verdict, got)
	}
}

// A Businessmap that is at its newer domain only is found there.
func TestBusinessmapsOtherDomain(t *testing.T) {
	t.Parallel()
	fake := providertest.Businessmap(accounts.Account)
	for name, gone := range map[string]http.HandlerFunc{
		"no such tenant": says(404, "text/html", "not here"),
		"a landing page": says(200, "text/html", "welcome"),
		"another tenant": says(401, "application/json", `{"error": {"message": "no"}}`),
	} {
		w := public(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Host, ".kanbanize.com") {
				gone(rw, r)
				return
			}
			fake.ServeHTTP(rw, r)
		}))
		r := request("businessmap", anaSecret)
		r.ProviderID, r.Fields["subdomain"] = "businessmap", "https://acme.businessmap.io/ctrl_board/1"
		token, err := w.tokens.Create(t.Context(), ana, r)
		ok(t, err)
		if token.Base != "https://acme.businessmap.io" || token.Fields["subdomain"] != "acme" {
			t.Errorf("%s: connected at %s with %v", name, token.Base, token.Fields)
		}
		client, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "businessmap"}, nil)
		ok(t, err)
		if status := fetch(t, client, token.Base+"/api/v2/me"); status != http.StatusOK {
			t.Errorf("%s: a client is answered %d", name, status)
		}
	}
}
