package httpadapter_test

import (
	"html/template"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// Each page and each state of it renders, passes checkDocument, and has a
// title that no other has.
func TestPageStates(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{scopes: []string{"read", "write"}})
	v := w.visit(t, "ana")
	titles := map[string]string{}
	state := func(name string, status int, says ...string) {
		t.Helper()
		if v.root == nil || v.status != status {
			t.Fatalf("%s: %d, want a page with %d", name, v.status, status)
		}
		v.says(says...)
		if other, taken := titles[v.title()]; taken {
			t.Errorf("%s and %s have the title %q", name, other, v.title())
		}
		titles[v.title()] = name
		if !strings.Contains(v.title(), v.h1()) {
			t.Errorf("%s: the title %q lacks the heading %q", name, v.title(), v.h1())
		}
	}
	owner := lanyard.Owner{Subject: "ana"}

	v.open("")
	state("profile", http.StatusOK)
	v.open("profile/edit")
	state("profile form", http.StatusOK, "First name", "Last name", "(optional)")
	v.submit("Save", "given_name", strings.Repeat("x", 101))
	state("profile form with error", http.StatusUnprocessableEntity, "First name: this is too long.")
	v.open("api-keys")
	state("no keys", http.StatusOK, "No API keys yet")
	v.open("api-keys/new")
	state("key form", http.StatusOK, "until 23 Dec 2026", "until 22 Jan 2027", "until 21 Feb 2027", "until 23 Nov 2027", "works until you delete it")
	v.submit("Create key")
	state("key form with error", http.StatusUnprocessableEntity, "Name: please fill this in.")
	v.submit("Create key", "name", "reader", "scope", "read")
	state("reveal", http.StatusCreated)
	for _, name := range []string{"b", "c"} {
		v.newKey(name)
	}
	_, err := w.keys.Create(t.Context(), owner, apikey.CreateRequest{Name: "soon", ExpiresAt: w.now.Load().Add(72 * time.Hour)})
	pageOK(t, err)
	w.pass(time.Minute)
	delete(titles, v.title())
	v.open("api-keys")
	if strings.Count(textOf(v.root), "expires in 3 days") != 1 {
		t.Error("the key that ends on the third day has no badge that says so")
	}
	v.says("read", "Filter by name", "never used", "never")
	w.pass(72 * time.Hour)
	v.open("api-keys")
	v.says("expired")
	v.click("Rename key soon")
	state("rename", http.StatusOK)
	v.submit("Save", "name", "")
	state("rename with error", http.StatusUnprocessableEntity, "Name: please fill this in.")
	v.open("api-keys")
	v.click("Rotate key b")
	state("rotation", http.StatusOK, "The old key works on for", "for a key that got out", "until 27 Nov 2026, 12:01 UTC")
	v.submit("Rotate key", "grace", "3600")
	v.says("The old key works until 26 Nov 2026, 13:01 UTC.")
	v.open("api-keys")
	v.says("Not used since: safe to delete once all your tools have run.")
	v.open("api-keys")
	v.click("Delete key soon")
	state("key deletion", http.StatusOK)
	v.open("provider-tokens")
	state("no connections", http.StatusOK, "not connected", "How to get a token")
	v.open("provider-tokens/new?provider=jira-cloud")
	state("token form", http.StatusOK, ".atlassian.net", "How to get a token from Jira Cloud")
	v.open("provider-tokens/new?provider=servicenow&method=api_key")
	state("another method", http.StatusOK, "Sign in with")
	v.open("provider-tokens/new?provider=jira")
	state("token form of an instance", http.StatusOK)
	v.submit("Save", "secrets/token", pageBadSecret)
	state("token form with error", http.StatusUnprocessableEntity, "Jira did not accept this token.", "It does not look like one of Jira")
	v.connect()
	w.jira.Tell(providertest.Broken)
	v.submit("Test the token for Jira")
	v.says("Jira could not be reached", "connected")
	w.jira.Tell(providertest.NoRight)
	v.submit("Test the token for Jira")
	v.says("needs attention", "may not read your account")
	w.jira.Tell(providertest.Truth)
	v.click("Edit the token for Jira")
	state("edit a connection", http.StatusOK)
	v.open("provider-tokens")
	v.click("Delete the token for Jira")
	state("token deletion", http.StatusOK, "Ana Lima (ana@acme.example)", "works on until you revoke it with Jira")
	v.submit("Delete token for Jira")
	state("deleted, not revoked", http.StatusOK, "Revoke it there, at this address:")
	v.open("activity")
	state("activity", http.StatusOK, "API key created", "Provider token was rejected", "192.0.2.1")
	v.open("docs")
	state("docs", http.StatusOK, "Bearer $AIC_API_KEY", "http://hub.example/account/api/v1/whoami", "Create a key")
	v.click("Create a key")
	state("an operation", http.StatusOK, "POST api/v1/api-keys", "no API key opens it", "Idempotency-Key", "expires_at", "api_key.hint",
		`"secret": "shown-here-and-never-again"`, "201 Created", "422 Unprocessable Entity")
	v.open("docs/api/whoAmI")
	v.says("and for your API keys")
	v.click("All operations")
	v.is(http.StatusOK, "Docs")
	v.open("nothing/at/all")
	state("not found", http.StatusNotFound)
}

// Each operation has a page, and says of each member what it is.
func TestPageOfEachOperation(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("docs")
	var pages []string
	for _, a := range v.all("a") {
		if href := attr(a, "href"); strings.Contains(href, "docs/api/") {
			pages = append(pages, strings.TrimPrefix(href, "./"))
		}
	}
	if len(pages) != 19 {
		t.Errorf("the reference has %d pages, want 19", len(pages))
	}
	for _, page := range pages {
		v.open(page)
		if v.status != http.StatusOK {
			t.Errorf("GET %s = %d, want 200", page, v.status)
		}
		checkDocument(t, w, v.document)
		for _, list := range v.all("dl") {
			for n := range list.Descendants() {
				if (n.Data == "dt" || n.Data == "dd") && textOf(n) == "" {
					t.Errorf("%s has an empty <%s>", page, n.Data)
				}
			}
		}
	}
}

// A provider that is not offered any more can only be deleted.
func TestPageOfProviderThatIsGone(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	w.visit(t, "ana").connect()
	tokens, err := w.tokens.Tokens(t.Context(), lanyard.Owner{Subject: "ana"})
	if err != nil || len(tokens) != 1 {
		t.Fatal(tokens, err)
	}
	// The same store with a service that knows no Jira.
	gone := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) { c.ProviderTokens = withoutProviders(t, w) }})
	v := gone.visit(t, "ana")
	v.open("provider-tokens")
	v.says("no longer offered", "You can delete the connection.")
	for _, a := range v.all("a") {
		if text := textOf(a); strings.HasPrefix(text, "Edit") || strings.HasPrefix(text, "Add") {
			t.Errorf("there is a link %q", text)
		}
	}
	if v.open("provider-tokens/" + tokens[0].ID + "/edit"); v.status != http.StatusNotFound {
		t.Errorf("edit = %d, want 404", v.status)
	}
	v.open("provider-tokens")
	v.click("Delete the token for jira")
	v.submit("Delete token for jira")
	v.says("its secret is gone")
}

// Times are in the user's zone, and a key lives to the end of his day.
func TestPageTimeZone(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{identify: func(_ string, p *lanyard.Principal) { p.ZoneInfo = "America/Sao_Paulo" }})
	v := w.visit(t, "ana")
	v.open("")
	v.says("America/Sao_Paulo")
	v.open("api-keys/new")
	v.submit("Create key", "name", "ci", "expiry", "custom", "expires_on", "2026-11-25")
	v.is(http.StatusCreated, "Your new API key")
	v.says("Works until 25 Nov 2026.")
	keys, err := w.keys.Keys(t.Context(), lanyard.Owner{Subject: "ana"})
	pageOK(t, err)
	if want := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC); !keys[0].ExpiresAt.Equal(want) {
		t.Errorf("ExpiresAt = %s, want %s, the midnight after the 25th in São Paulo", keys[0].ExpiresAt, want)
	}
	v.open("api-keys")
	v.says("23 Nov 2026, 09:00 -03", "25 Nov 2026", "expires in 2 days")
}

// What others wrote is text, wherever it is shown.
func TestPageShowsTextAsText(t *testing.T) {
	t.Parallel()
	const nasty = `"><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}'</title>`
	w := newPageWorld(t, pageOptions{
		config: func(c *httpadapter.Config) {
			c.Product = nasty
			c.Docs = []httpadapter.Link{{Title: nasty, URL: "https://docs.example/?a=" + `"><script>`}}
		},
		identify: func(_ string, p *lanyard.Principal) { p.FamilyName = nasty; p.Email = nasty },
	})
	v := w.visit(t, "ana")
	shown := func() {
		t.Helper()
		for _, name := range []string{"img", "script"} {
			for _, n := range v.all(name) {
				if name == "img" || !strings.HasPrefix(attr(n, "src"), "./assets/") && !strings.HasPrefix(attr(n, "src"), "../") {
					t.Errorf("%s: markup of a user became an element", v.url)
				}
			}
		}
	}
	v.open("")
	v.says(nasty)
	shown()
	v.open("profile/edit")
	v.submit("Save", "given_name", nasty)
	v.says(nasty)
	v.newKey(nasty)
	if got := textOf(labelOf(v.document, "ly-key")); !strings.Contains(got, nasty) {
		t.Errorf("the label of the key = %q", got)
	}
	shown()
	v.open("api-keys")
	v.says(nasty)
	shown()
	v.click("Delete key " + nasty)
	v.says(nasty)
	shown()
	v.open("provider-tokens/new?provider=jira")
	v.submit("Save", "secrets/token", pageSecret, "label", nasty)
	v.says(nasty)
	shown()
	v.open("provider-tokens/new?provider=jira-cloud")
	v.submit("Save", "fields/site", nasty, "fields/email", nasty)
	if got := attr(v.byID("fields-site"), "value"); got != nasty {
		t.Errorf("the typed site = %q, want it kept", got)
	}
	shown()
	// Nothing is said to be done but by what we do, where we say it.
	for _, path := range []string{
		"?done=key-deleted", "docs?done=token-deleted", "api-keys?done=profile-saved", "nothing?done=key-deleted", "nothing?done=", "api-keys?done=-deleted",
		"provider-tokens?done=token-saved", "provider-tokens?done=token-saved&provider=nothing", "provider-tokens?done=token-revoked-deleted",
	} {
		v.open(path)
		if said := textOf(v.byID("ly-status")); said != "" {
			t.Errorf("GET %s says %q", path, said)
		}
	}
	for _, path := range []string{"activity", "docs", `provider-tokens?done=token-saved&provider=<script>alert(1)</script>`, "api-keys?done=<script>alert(1)</script>"} {
		v.open(path)
		shown()
		if said := textOf(v.byID("ly-status")); strings.Contains(said, "script") || strings.Contains(path, "?done=<") && said != "" {
			t.Errorf("GET %s says %q", path, said)
		}
	}
}

func labelOf(d *document, id string) *html.Node {
	for _, l := range d.all("label") {
		if attr(l, "for") == id {
			return l
		}
	}
	return nil
}

// In a host's layout the page brings no landmarks and no policy of its own.
func TestPageInLayout(t *testing.T) {
	t.Parallel()
	var got httpadapter.Page
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.Layout = func(rw http.ResponseWriter, _ *http.Request, p httpadapter.Page) {
			got = p
			rw.Header().Set("Content-Type", "text/plain") // the visitor checks whole pages only
			rw.WriteHeader(p.Status)
			_, _ = io.WriteString(rw, string(template.HTML("<!doctype html><title>"+template.HTMLEscapeString(p.Title)+"</title>")+p.Head+"<main>"+p.Body+"</main>"))
		}
	}})
	v := w.visit(t, "ana")
	for path, status := range map[string]int{"": 200, "api-keys": 200, "api-keys/new": 200, "docs": 200, "nothing": 404} {
		d := v.open(path)
		if d.status != status || got.Status != status {
			t.Errorf("GET %s = %d, and Page.Status = %d, want %d", path, d.status, got.Status, status)
		}
		if d.header.Get("Content-Security-Policy") != "" {
			t.Errorf("GET %s sets the host's policy", path)
		}
		root, err := html.Parse(strings.NewReader(d.body))
		pageOK(t, err)
		d.root = root
		for name, want := range map[string]int{"main": 1, "h1": 1, "header": 0, "title": 1} {
			if n := len(d.all(name)); n != want {
				t.Errorf("GET %s has %d <%s>, want %d", path, n, name, want)
			}
		}
		if !strings.Contains(string(got.Head), "assets/lanyard.css?v=") || !strings.Contains(string(got.Body), `<div class="ly-root" lang="en" dir="ltr">`) {
			t.Errorf("GET %s: head %q", path, got.Head)
		}
		if got.Lang != "en" || got.Dir != "ltr" {
			t.Errorf("GET %s: the host is told of the language %q, %q", path, got.Lang, got.Dir)
		}
		if got.Title == "" {
			t.Errorf("GET %s has no title", path)
		}
	}
}

// Without a service its tab is not there, and its addresses lead nowhere.
func TestPageWithoutServices(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) { c.APIKeys, c.ProviderTokens = nil, nil }})
	v := w.visit(t, "ana")
	v.open("")
	for _, a := range v.all("a") {
		if text := textOf(a); text == "API Keys" || text == "Provider Tokens" {
			t.Errorf("there is a tab %q", text)
		}
	}
	for _, path := range []string{"api-keys", "api-keys/new", "provider-tokens", "provider-tokens/new?provider=jira"} {
		if v.open(path); v.status != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, v.status)
		}
	}
	v.open("docs")
	if strings.Contains(textOf(v.root), "api-keys") {
		t.Error("the reference lists operations that are not there")
	}
	v.open("docs/api/createApiKey")
	v.is(http.StatusNotFound, "There is nothing here")
	v.open("activity")
	v.is(http.StatusOK, "Activity")
}
