package httpadapter_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
)

func jiraBody(label, secret string) string {
	return fmt.Sprintf(`{"provider_id":%q,"label":%q,"secrets":{"token":%q}}`, apiJira, label, secret)
}

func TestListProviders(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	a := w.call(session(ana), "GET", "/providers", "").is(200)
	items, _ := a.get("items").([]any)
	found := map[string]bool{}
	for i := range items {
		at := fmt.Sprintf("items.%d.", i)
		found[a.text(at+"id")] = true
		if a.text(at+"id") != apiCloud {
			continue
		}
		for path, want := range map[string]any{
			"methods.0.id": "api_token", "methods.0.ask_expiry": true,
			"methods.0.fields.0.name": "site", "methods.0.fields.0.type": "dns_label", "methods.0.fields.0.public": true,
			"methods.0.fields.0.required": true, "methods.0.fields.0.suffix": ".atlassian.net",
			"methods.0.fields.2.name": "api_token", "methods.0.fields.2.type": "secret", "methods.0.fields.2.public": false,
		} {
			if got := a.get(at + path); got != want {
				t.Errorf("GET /providers: %s of %s = %v, want %v", path, apiCloud, got, want)
			}
		}
	}
	if !found[apiJira] || !found["github"] || found["jira-data-center"] {
		t.Errorf("GET /providers has %v, want the instance and the public platforms, not the definition without an address", found)
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		a := w.call(session(ana), "POST", "/provider-tokens", jiraBody("work", apiSecretAna)).is(201)
		id := a.text("id")
		for path, want := range map[string]any{
			"provider_id": apiJira, "method_id": "pat", "label": "work", "status": "connected", "account.id": "ana",
			"account.name": "Ana Lima", "account.email": "ana@acme.example", "secrets.token.set": true,
			"secrets.token.updated_at": "2026-11-24T09:30:00.123456Z", "created_at": "2026-11-24T09:30:00.123456Z",
		} {
			if got := a.get(path); got != want {
				t.Errorf("%s = %v, want %v", path, got, want)
			}
		}
		if !strings.HasPrefix(a.text("origin"), "https://127.0.0.1:") {
			t.Errorf("origin = %q, want the instance's", a.text("origin"))
		}
		if got := a.header.Get("Location"); got != "provider-tokens/"+id {
			t.Errorf("Location = %q, want one relative to the request", got)
		}
		if got := a.header.Get("ETag"); got != `"1"` {
			t.Errorf("ETag = %s, want \"1\"", got)
		}
		one := w.call(session(ana), "GET", "/provider-tokens/"+id, "").is(200)
		if string(one.body) != string(a.body) || one.header.Get("ETag") != `"1"` {
			t.Errorf("GET of the new connection = %s, want what POST answered", one.body)
		}
		list := w.call(session(ana), "GET", "/provider-tokens", "").is(200)
		if list.text("items.0.id") != id || list.get("items.1") != nil {
			t.Errorf("GET /provider-tokens = %s, want the one connection", list.body)
		}
		w.call(session(ana), "POST", "/provider-tokens", jiraBody("work", apiSecretNew)).refused(409, "exists")
		w.call(session(ben), "POST", "/provider-tokens", jiraBody("work", apiSecretAna)).is(201)

		v := w.call(session(ana), "POST", "/provider-tokens/"+id+"/verifications", "").is(200)
		if v.text("verdict") != "ok" || v.text("account.id") != "ana" || v.text("checked_at") == "" || v.get("reason") != nil {
			t.Errorf("POST …/verifications = %s, want ok for ana", v.body)
		}
		w.call(session(ana), "DELETE", "/provider-tokens/"+id, "").is(204)
		w.call(session(ana), "DELETE", "/provider-tokens/"+id, "").refused(404, "not-found")
		w.call(session(ana), "GET", "/provider-tokens/"+id, "").refused(404, "not-found")
		w.call(session(ana), "PATCH", "/provider-tokens/"+id, `{"label":"x"}`).refused(404, "not-found")
		w.call(session(ana), "POST", "/provider-tokens/"+id+"/verifications", "{}").refused(404, "not-found")
	})
}

func TestLimitOfConnections(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open, tokens: func(o *providertoken.Options) { o.Limit = 1 }})
		w.call(session(ana), "POST", "/provider-tokens", jiraBody("a", apiSecretAna)).is(201)
		w.call(session(ana), "POST", "/provider-tokens", jiraBody("b", apiSecretAna)).refused(409, "limit-reached")
		w.call(session(ben), "POST", "/provider-tokens", jiraBody("b", apiSecretAna)).is(201)
	})
}

// A verdict against a credential is the code of a 422, and nothing is stored.
func TestConnectRefusesWhatIsNotProven(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	w.call(session(ana), "GET", "/whoami", "").is(200)
	before := w.dump()
	for _, c := range []struct {
		secret string
		lie    providertest.Lie
		want   string
	}{
		{apiSecretDead, providertest.Truth, "invalid  invalid"},
		{apiSecretAna, providertest.Captcha, "invalid  invalid"},
		{apiSecretAna, providertest.Anonymous, "invalid  invalid"},
		{apiSecretAna, providertest.NoRight, "insufficient_scope  insufficient_scope"},
		{apiSecretAna, providertest.Missing, "wrong_instance  wrong_instance"},
		{apiSecretAna, providertest.Busy, "rate_limited  rate_limited"},
		{apiSecretAna, providertest.Broken, "unreachable  unreachable"},
	} {
		w.jira.Tell(c.lie)
		a := w.call(session(ana), "POST", "/provider-tokens", jiraBody("", c.secret)).refused(422, c.want)
		if detail := a.text("errors.0.detail"); detail == "" {
			t.Errorf("a platform that is %q: no detail in %s", c.lie, a.body)
		}
	}
	w.unplugAll()
	w.call(session(ana), "POST", "/provider-tokens", jiraBody("", apiSecretAna)).refused(422, "unreachable  unreachable")
	w.unchanged(before, "a refused connection")
	allowed := strings.Replace(jiraBody("", apiSecretAna), "{", `{"allow_unverified":true,`, 1)
	a := w.call(session(ana), "POST", "/provider-tokens", allowed).is(201)
	if a.text("status") != "unverified" || a.get("account") != nil {
		t.Errorf("a connection stored unverified = %s", a.body)
	}
	v := w.call(session(ana), "POST", "/provider-tokens/"+a.text("id")+"/verifications", "").is(200)
	if v.text("verdict") != "unreachable" || v.get("account") != nil {
		t.Errorf("POST …/verifications = %s, want unreachable", v.body)
	}
}

func TestEditConnection(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		a := w.call(session(ana), "POST", "/provider-tokens", fmt.Sprintf(
			`{"provider_id":%q,"expires_at":"2027-01-01T00:00:00Z","fields":{"site":"acme","email":"ana@acme.example"},"secrets":{"api_token":%q}}`,
			apiCloud, apiSecretAna)).is(201)
		one := "/provider-tokens/" + a.text("id")
		asked := len(w.cloud.Requests())
		patch := func(body string) apiAnswer { return w.call(session(ana), "PATCH", one, body) }

		// A label edit asks nobody, and null takes it away.
		if got := patch(`{"label":"work"}`).is(200); got.text("label") != "work" || got.header.Get("ETag") != `"2"` {
			t.Errorf("PATCH of the label = %s with ETag %s", got.body, got.header.Get("ETag"))
		}
		if got := patch(`{"label":null}`).is(200); got.text("label") != "" {
			t.Errorf("PATCH of the label with null = %s", got.body)
		}
		// The platform's longest life stands where the user knows none.
		if got := patch(`{"expires_at":null}`).is(200); got.text("expires_at") == "2027-01-01T00:00:00Z" {
			t.Errorf("PATCH of expires_at with null = %s", got.body)
		}
		if got := len(w.cloud.Requests()); got != asked {
			t.Errorf("edits of label and date asked the platform %d times", got-asked)
		}

		before := w.dump()
		for body, want := range map[string]string{
			`{"fields":{"site":"evil"}}`:                               "invalid-input /secrets/api_token secret-required",
			`{"secrets":null}`:                                         "invalid-input /secrets invalid",
			`{"secrets":{"api_token":null}}`:                           "invalid-input /secrets/api_token invalid",
			`{"secrets":{"api_token":""}}`:                             "invalid-input /secrets/api_token required",
			`{"secrets":{"api_token":"********"}}`:                     "invalid-input /secrets/api_token masked",
			`{"secrets":{"api_token":"••••••••"}}`:                     "invalid-input /secrets/api_token masked",
			`{"secrets":{"api_token":7}}`:                              "invalid-input /secrets/api_token invalid",
			`{"secrets":["x"]}`:                                        "invalid-input /secrets invalid",
			`{"secrets":{"email":"x"}}`:                                "invalid-input /secrets/email unknown",
			`{"fields":{"api_token":"x"}}`:                             "invalid-input /fields/api_token unknown",
			`{"fields":{"email":null}}`:                                "invalid-input /fields/email required",
			`{"fields":{"nothing":null}}`:                              "invalid-input /fields/nothing unknown",
			`{"fields":{"site":"acme.evil.example/#"}}`:                "invalid-input /fields/site invalid",
			`{"fields":null}`:                                          "invalid-input /fields invalid",
			`{"allow_unverified":null}`:                                "invalid-input /allow_unverified invalid",
			`{"allow_unverified":"yes"}`:                               "invalid-input /allow_unverified invalid",
			`{"provider_id":"github"}`:                                 "invalid-input /provider_id read-only",
			`{"method_id":"api_token"}`:                                "invalid-input /method_id read-only",
			`{"owner":"ben"}`:                                          "invalid-input /owner read-only",
			`{"origin":"https://evil.example"}`:                        "invalid-input /origin read-only",
			`{"expires_at":"2020-01-01T00:00:00Z"}`:                    "invalid-input /expires_at invalid",
			`{"expires_at":"0001-01-01T00:00:00Z"}`:                    "invalid-input /expires_at invalid",
			fmt.Sprintf(`{"secrets":{"api_token":%q}}`, apiSecretDead): "invalid  invalid",
		} {
			patch(body).refused(422, want)
		}
		w.unchanged(before, "a refused edit")

		got := patch(fmt.Sprintf(`{"fields":{"site":"other"},"secrets":{"api_token":%q}}`, apiSecretNew)).is(200)
		if got.text("fields.site") != "other" || got.text("fields.email") != "ana@acme.example" || got.text("status") != "connected" {
			t.Errorf("PATCH of site and secret = %s", got.body)
		}
		asked = len(w.cloud.Requests())
		if got := patch(`{"fields":{"email":"ana.lima@acme.example"}}`).is(200); got.text("fields.email") != "ana.lima@acme.example" {
			t.Errorf("PATCH of a field that decides nothing = %s", got.body)
		}
		if got := len(w.cloud.Requests()); got != asked+1 {
			t.Errorf("an edit of a field asked the platform %d times, want once, with the kept secret", got-asked)
		}
	})
}

// A connection whose provider is not offered any more can be deleted and
// nothing else.
func TestConnectionThatIsNotOffered(t *testing.T) {
	t.Parallel()
	st := openSQLite(t)
	shared := func(testing.TB) store.Store { return st }
	first := newAPIWorld(t, apiOptions{store: shared})
	one := "/provider-tokens/" + first.newToken(ana, "")
	w := newAPIWorld(t, apiOptions{store: shared, tokens: func(o *providertoken.Options) { o.Instances = nil }})
	if got := w.call(session(ana), "GET", one, "").is(200); got.text("status") != "not_offered" {
		t.Errorf("GET %s = %s, want not_offered", one, got.body)
	}
	w.call(session(ana), "PATCH", one, `{"label":"x"}`).refused(403, "forbidden")
	w.call(session(ana), "POST", one+"/verifications", "").refused(403, "forbidden")
	w.call(session(ana), "DELETE", one, "").is(204)
}

// A rejected credential shows, and a test of it says why.
func TestVerifyMarksTheConnection(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	one := "/provider-tokens/" + w.newToken(ana, "")
	w.jira.Tell(providertest.Captcha)
	v := w.call(session(ana), "POST", one+"/verifications", `{}`).is(200)
	if v.text("verdict") != "invalid" || v.text("reason") != "captcha" {
		t.Errorf("POST …/verifications = %s, want invalid because of a captcha", v.body)
	}
	if got := w.call(session(ana), "GET", one, "").is(200).text("status"); got != "needs_attention" {
		t.Errorf("status = %q, want needs_attention", got)
	}
	w.call(session(ana), "POST", one+"/verifications", `{"force":true}`).refused(422, "invalid-input /force unknown")
	w.call(session(ana), "POST", one+"/verifications", `null`).is(200)
	w.call(session(ana), "POST", one+"/verifications", `[]`).refused(400, "malformed-request")
	w.call(session(ana), http.MethodPost, one+"/verifications", `x`, "Content-Type", "text/plain").refused(415, "unsupported-media-type")
}

// A member of "fields" that is null is removed, as in every merge patch; what
// is absent stays.
func TestNullRemovesAField(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{tokens: func(o *providertoken.Options) {
		for i := range o.Providers {
			if d := &o.Providers[i]; d.ID == "jira-data-center" {
				d.Methods[0].Fields = append(d.Methods[0].Fields,
					providertoken.Field{Name: "note", Label: "Note", Public: true, Optional: true},
					providertoken.Field{Name: "team", Label: "Team", Public: true, Optional: true})
			}
		}
	}})
	body := strings.Replace(jiraBody("", apiSecretAna), "{", `{"fields":{"note":"mine","team":"ours"},`, 1)
	one := "/provider-tokens/" + w.call(session(ana), "POST", "/provider-tokens", body).is(201).text("id")
	got := w.call(session(ana), "PATCH", one, `{"fields":{"note":null}}`).is(200)
	if got.get("fields.note") != nil || got.text("fields.team") != "ours" || got.header.Get("ETag") != `"2"` {
		t.Errorf("PATCH of a field with null = %s with ETag %s", got.body, got.header.Get("ETag"))
	}
	// Once more is no edit.
	got = w.call(session(ana), "PATCH", one, `{"fields":{"note":null}}`).is(200)
	if got.header.Get("ETag") != `"2"` {
		t.Errorf("PATCH of a field that is gone with null has ETag %s, want \"2\"", got.header.Get("ETag"))
	}
	// A new connection is no patch.
	body = strings.Replace(jiraBody("b", apiSecretAna), "{", `{"fields":{"note":null},`, 1)
	w.call(session(ana), "POST", "/provider-tokens", body).refused(422, "invalid-input /fields/note invalid")
}

// A provider is described so that a client can draw its form, and say before it
// asks what deleting and testing will do.
func TestProvidersSayWhatAFormNeeds(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{tokens: memo})
	a := w.call(session(ana), "GET", "/providers", "").is(200)
	items, _ := a.get("items").([]any)
	found := 0
	for i := range items {
		at := fmt.Sprintf("items.%d.", i)
		want := map[string]map[string]any{
			apiCloud: {
				"unverifiable": false, "methods.0.revokes": false, "methods.0.fields.0.address": true, "methods.0.fields.1.address": false,
				"methods.0.fields.0.patterns": nil, "methods.0.fields.2.patterns.1": "^[A-Za-z0-9]{24}$",
			},
			"slack": {"unverifiable": false, "methods.0.revokes": true, "methods.0.fields.0.address": false},
			"memo":  {"unverifiable": true, "methods.0.revokes": false, "methods.0.fields.0.patterns": nil},
		}[a.text(at+"id")]
		if want != nil {
			found++
		}
		for path, value := range want {
			if got := a.get(at + path); got != value {
				t.Errorf("GET /providers: %s of %s = %v, want %v", path, a.text(at+"id"), got, value)
			}
		}
	}
	if found != 3 {
		t.Errorf("GET /providers has %d of the three", found)
	}
}

// What nobody can prove is stored only where the caller says so, and the refusal
// does not speak of a platform that was not reached.
func TestConnectUnverifiable(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{tokens: memo})
	body := fmt.Sprintf(`{"provider_id":"memo","secrets":{"key":%q}}`, apiSecretAna)
	a := w.call(session(ana), "POST", "/provider-tokens", body).refused(422, "unreachable  unreachable")
	if detail := a.text("errors.0.detail"); strings.Contains(detail, "reached") || !strings.Contains(detail, "allow_unverified") {
		t.Errorf("the detail is %q, want what to do", detail)
	}
	a = w.call(session(ana), "POST", "/provider-tokens", strings.Replace(body, "{", `{"allow_unverified":true,`, 1)).is(201)
	if a.text("status") != "unverified" || a.get("verdict") != nil || a.get("checked_at") != nil || a.get("revoke_url") != nil {
		t.Errorf("POST of what cannot be proven = %s", a.body)
	}
	v := w.call(session(ana), "POST", "/provider-tokens/"+a.text("id")+"/verifications", "").is(200)
	if v.text("verdict") != "unreachable" || v.text("reason") != "not_verifiable" {
		t.Errorf("POST …/verifications = %s, want not_verifiable", v.body)
	}
}

// Why a connection needs attention, and where its token is revoked, stand with
// the connection.
func TestConnectionSaysWhy(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	one := "/provider-tokens/" + w.newToken(ana, "")
	a := w.call(session(ana), "GET", one, "").is(200)
	if a.text("verdict") != "ok" || a.get("reason") != nil || a.text("checked_at") != "2026-11-24T09:30:00.123456Z" {
		t.Errorf("GET %s = %s, want the verdict ok and when", one, a.body)
	}
	if got := a.text("revoke_url"); !strings.HasPrefix(got, a.text("origin")+"/secure/ViewProfile.jspa?") {
		t.Errorf("revoke_url = %q, want one at %s", got, a.text("origin"))
	}
	w.jira.Tell(providertest.Captcha)
	w.call(session(ana), "POST", one+"/verifications", "").is(200)
	a = w.call(session(ana), "GET", one, "").is(200)
	if a.text("status") != "needs_attention" || a.text("verdict") != "invalid" || a.text("reason") != "captcha" {
		t.Errorf("GET %s = %s, want invalid because of a captcha", one, a.body)
	}
	for _, member := range []string{"verdict", "reason", "checked_at", "revoke_url"} {
		w.call(session(ana), "PATCH", one, fmt.Sprintf(`{%q:"ok"}`, member)).refused(422, "invalid-input /"+member+" read-only")
	}
}

// Another platform's token has a problem of its own, which names who takes it,
// and is sent nowhere.
func TestConnectWithAnotherPlatformsToken(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{tokens: func(o *providertoken.Options) {
		for i, d := range o.Providers {
			if d.ID == "figma" { // known, and offered to nobody
				o.Providers[i].Instance = providertoken.InstanceSpec{Mode: providertoken.ModeOperator}
			}
		}
	}})
	github := "ghp_" + strings.Repeat("0", 36)
	w.call(session(ana), "GET", "/whoami", "").is(200)
	before := w.dump()
	a := w.call(session(ana), "POST", "/provider-tokens", jiraBody("", github)).refused(422, "looks-like-other /secrets/token looks-like-other")
	if a.text("token") != "GitHub token" || a.text("provider_ids.0") != "github" || a.get("provider_ids.1") != nil {
		t.Errorf("the problem is %s, want a GitHub token that github takes", a.body)
	}
	a = w.call(session(ana), "POST", "/provider-tokens", jiraBody(strings.Repeat("x", 101), github)).
		refused(422, "looks-like-other /label too-long /secrets/token looks-like-other")
	if strings.Contains(string(a.body), github) {
		t.Error("the problem repeats the token")
	}
	a = w.call(session(ana), "POST", "/provider-tokens", jiraBody("", "figd_"+strings.Repeat("0", 30))).
		refused(422, "looks-like-other /secrets/token looks-like-other")
	if a.text("token") != "Figma token" || a.get("provider_ids") != nil {
		t.Errorf("the problem is %s, want a Figma token that nobody takes", a.body)
	}
	w.unchanged(before, "another platform's token")
	if n := len(w.jira.Requests()); n != 0 {
		t.Errorf("the platform was asked %d times", n)
	}
	one := "/provider-tokens/" + w.newToken(ben, "")
	w.call(session(ben), "PATCH", one, fmt.Sprintf(`{"secrets":{"token":%q}}`, github)).
		refused(422, "looks-like-other /secrets/token looks-like-other")
	a = w.call(session(ana), "POST", "/provider-tokens", jiraBody("", "")).refused(422, "invalid-input /secrets/token required")
	if a.get("token") != nil || a.get("provider_ids") != nil {
		t.Errorf("the problem %s has members of another", a.body)
	}
}

// The two-step theft by the API: a stale page's version and a changed address do
// not bring the stored secret anywhere.
func TestEditOfAddressAndOldVersion(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	a := w.call(session(ana), "POST", "/provider-tokens", fmt.Sprintf(
		`{"provider_id":%q,"fields":{"site":"acme","email":"ana@acme.example"},"secrets":{"api_token":%q}}`, apiCloud, apiSecretAna)).is(201)
	one := "/provider-tokens/" + a.text("id")
	w.call(session(ana), "PATCH", one, `{"label":"x"}`, "If-Match", `"1"`).is(200)
	before, asked := w.dump(), len(w.cloud.Requests())
	w.call(session(ana), "PATCH", one, `{"fields":{"site":"evil"}}`, "If-Match", `"2"`).refused(422, "invalid-input /secrets/api_token secret-required")
	w.call(session(ana), "PATCH", one, fmt.Sprintf(`{"secrets":{"api_token":%q}}`, apiSecretNew), "If-Match", `"1"`).refused(412, "stale")
	w.call(session(ana), "DELETE", one, "", "If-Match", `"1"`).refused(412, "stale")
	w.unchanged(before, "a refused edit")
	if n := len(w.cloud.Requests()) - asked; n != 0 {
		t.Errorf("edits that were refused asked the platform %d times", n)
	}
	w.call(session(ana), "DELETE", one, "", "If-Match", `"2"`).is(204)
}
