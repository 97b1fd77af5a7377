package httpadapter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store"
)

func TestProfile(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		a := w.call(session(ana), "GET", "/profile", "").is(200)
		want := `{"email":"ana@acme.example","email_verified":true,"family_name":"Lima",` +
			`"fields":{"email":{"editable":false,"managed_by":"identity_provider"},"email_verified":{"editable":false,"managed_by":"identity_provider"},` +
			`"family_name":{"editable":true,"managed_by":"identity_provider"},"given_name":{"editable":true,"managed_by":"identity_provider"},` +
			`"name":{"editable":false,"managed_by":"identity_provider"}},"given_name":"Ana","name":"Ana Lima","sub":"ana","tenant":"acme"}`
		if got := canonical(t, a.body); got != want || a.header.Get("ETag") != `"1"` {
			t.Errorf("GET /profile = %s with ETag %s, want %s with \"1\"", got, a.header.Get("ETag"), want)
		}

		// Each form of a merge patch.
		a = w.call(session(ana), "PATCH", "/profile", `{"given_name":"Anna"}`, "Content-Type", "application/merge-patch+json").is(200)
		if a.text("given_name") != "Anna" || a.text("family_name") != "Lima" || a.text("name") != "Anna Lima" ||
			a.text("fields.given_name.managed_by") != "user" || a.header.Get("ETag") != `"2"` {
			t.Errorf("PATCH of one name = %s with ETag %s", a.body, a.header.Get("ETag"))
		}
		a = w.call(session(ana), "PATCH", "/profile", `{"family_name":""}`).is(200)
		if a.text("family_name") != "" || a.text("name") != "Anna" {
			t.Errorf("PATCH to no name = %s", a.body)
		}
		a = w.call(session(ana), "PATCH", "/profile", `{"given_name":null,"family_name":null}`).is(200)
		if a.text("given_name") != "Ana" || a.text("name") != "Ana Lima" || a.text("fields.given_name.managed_by") != "identity_provider" {
			t.Errorf("PATCH with null = %s, want the directory's names", a.body)
		}
		version := a.header.Get("ETag")
		for _, nothing := range []string{`{}`, `null`, `{"given_name":"Ana"}`, `{"given_name":null}`} {
			if got := w.call(session(ana), "PATCH", "/profile", nothing).is(200).header.Get("ETag"); got != version {
				t.Errorf("PATCH %s moved the version from %s to %s", nothing, version, got)
			}
		}
		if got := w.call(session(ana), "GET", "/profile", "").header.Get("ETag"); got != version {
			t.Errorf("seeing the same person again moved the version from %s to %s", version, got)
		}

		before := w.dump()
		for _, name := range []string{
			"email", "email_verified", "name", "sub", "tenant", "fields", "owner", "subject", "user_id", "id", "hash", "created_at", "version",
		} {
			w.call(session(ana), "PATCH", "/profile", fmt.Sprintf(`{"given_name":"Eve","%s":"x"}`, name)).
				refused(422, "invalid-input /"+name+" read-only")
		}
		w.call(session(ana), "PATCH", "/profile", `{"roles":["admin"]}`).refused(422, "invalid-input /roles unknown")
		w.call(session(ana), "PATCH", "/profile", fmt.Sprintf(`{"given_name":%q,"family_name":"a\u0000b"}`, strings.Repeat("x", 101))).
			refused(422, "invalid-input /family_name invalid /given_name too-long")
		w.call(session(ana), "PATCH", "/profile", "").refused(400, "malformed-request")
		w.unchanged(before, "refused edits")
	})
}

// A user without an e-mail address or tenant has an answer of the same form.
func TestProfileOfFewWords(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{config: identifiedAs(lanyard.Principal{Owner: lanyard.Owner{Subject: "svc:ci"}})})
	a := w.call(session(ana), "GET", "/profile", "").is(200)
	if a.get("tenant") != nil || a.get("email") != "" || a.get("email_verified") != false || a.text("name") != "svc:ci" {
		t.Errorf("GET /profile = %s, want no tenant, an empty e-mail and the subject as name", a.body)
	}
	if got := w.call(session(ana), "GET", "/whoami", "").is(200); string(got.body) != `{"sub":"svc:ci","via":"session"}` {
		t.Errorf("GET /whoami = %s", got.body)
	}
}

func TestActivity(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open, config: func(_ *apiWorld, c *httpadapter.Config) { c.ClientIP = nil }})
		const n = 60
		for i := range n {
			w.advance(time.Second)
			w.call(session(ana), "PATCH", "/profile", fmt.Sprintf(`{"given_name":"Ana %d"}`, i), "User-Agent", "curl/8", "X-Request-Id", "request-1").is(200)
		}
		w.call(session(ben), "GET", "/profile", "").is(200)
		first := w.call(session(ana), "GET", "/activity", "").is(200)
		for path, want := range map[string]any{
			"items.0.action": profile.ActionUpdated, "items.0.via": "session", "items.0.actor": "ana", "items.0.ip": "192.0.2.1",
			"items.0.user_agent": "curl/8", "items.0.object": nil, "items.0.detail.fields": "given_name",
		} {
			if got := first.get(path); got != want {
				t.Errorf("GET /activity: %s = %v, want %v", path, got, want)
			}
		}
		next := first.text("next_page_token")
		w.advance(time.Second)
		w.call(session(ana), "PATCH", "/profile", `{"given_name":"Late"}`).is(200)
		second := w.call(session(ana), "GET", "/activity?page_token="+next, "").is(200)
		if second.get("next_page_token") != nil {
			t.Errorf("the second part is not the last: %s", second.body)
		}
		ids := map[string]bool{}
		for _, part := range []apiAnswer{first, second} {
			items, _ := part.get("items").([]any)
			for i := range items {
				ids[part.text(fmt.Sprintf("items.%d.id", i))] = true
			}
		}
		if len(ids) != n+1 { // and the creation
			t.Errorf("two parts hold %d events, want %d: none skipped or repeated", len(ids), n+1)
		}
		w.call(session(ben), "GET", "/activity?page_token="+next, "").refused(422, "invalid-input /page_token invalid")
		for _, bad := range []string{next[:len(next)-1], next + "A", "x", "%00", "a%20b", strings.Repeat("A", 5000), next + "&page_token=" + next} {
			a := w.call(session(ana), "GET", "/activity?page_token="+bad, "").refused(422, "invalid-input /page_token invalid")
			if len(bad) > 3 && strings.Contains(string(a.body), bad) {
				t.Errorf("a bad page token is repeated in the answer")
			}
		}
		// What else stands in a query is nobody's business.
		w.call(session(ana), "GET", "/activity?page_token=&limit=-1&order=';--", "").is(200)
	})
}

func TestWhoAmI(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	if got := w.call(session(ana), "GET", "/whoami", "").is(200); string(got.body) != `{"sub":"ana","tenant":"acme","via":"session"}` {
		t.Errorf("GET /whoami = %s", got.body)
	}
	id, secret := w.newKey(ana, "read", "write")
	want := `{"sub":"ana","tenant":"acme","via":"api_key","key_id":"` + id + `","scopes":["read","write"]}`
	if got := w.call(withKey(secret), "GET", "/whoami", "").is(200); string(got.body) != want {
		t.Errorf("GET /whoami = %s, want %s", got.body, want)
	}
}

func TestMeta(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{config: func(_ *apiWorld, c *httpadapter.Config) {
		c.Docs = []httpadapter.Link{{Title: "First steps", URL: "/docs"}}
	}})
	want := `{"languages":["en","pt-BR"],"limits":{"body_bytes":65536,"api_keys":50,"provider_tokens":100},` +
		`"features":{"api_keys":true,"provider_tokens":true},"scopes":["read","write"],"docs":[{"title":"First steps","url":"/docs"}]}`
	if got := w.call(session(ana), "GET", "/meta", "").is(200); string(got.body) != want {
		t.Errorf("GET /meta = %s, want %s", got.body, want)
	}
}

// A host without keys and connections has neither their routes nor their
// limits.
func TestProfileAlone(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{config: func(_ *apiWorld, c *httpadapter.Config) { c.APIKeys, c.ProviderTokens = nil, nil }})
	want := `{"languages":["en","pt-BR"],"limits":{"body_bytes":65536},"features":{"api_keys":false,"provider_tokens":false},"scopes":[],"docs":[]}`
	if got := w.call(session(ana), "GET", "/meta", "").is(200); string(got.body) != want {
		t.Errorf("GET /meta = %s, want %s", got.body, want)
	}
	for _, path := range []string{"/api-keys", "/providers", "/provider-tokens", "/api-keys/x/rotations"} {
		w.call(session(ana), "GET", path, "").refused(404, "not-found")
	}
	w.call(nobody, "GET", "/whoami", "", "Authorization", "Bearer aic_0123456789").refused(401, "unauthenticated")
}

func TestOpenAPIIsServed(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	a := w.call(session(ana), "GET", "/openapi.json", "").is(200)
	if a.text("openapi") != "3.1.0" || a.get("paths./api-keys/{id}") == nil && !strings.Contains(string(a.body), `"/api-keys/{id}"`) {
		t.Errorf("GET /openapi.json = %.200s", a.body)
	}
}
