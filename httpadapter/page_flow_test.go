package httpadapter_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
)

// The whole of the page by links and plain forms, wherever it is mounted.
func TestPageWithoutScript(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]pageOptions{
		"at account":     {prefix: "/account"},
		"at the root":    {prefix: "/"},
		"deep":           {prefix: "/a/b/c"},
		"behind a proxy": {prefix: "/account", outer: "/gateway/x"},
		"proxy and root": {prefix: "/", outer: "/gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPageWorld(t, o)
			v := w.visit(t, "ana")
			editName(v)
			keyLife(v)
			tokenLife(v)
			v.open("activity")
			v.says("Name changed", "API key created", "API key renamed", "API key deleted", "Provider token added",
				"Provider token tested", "Provider token deleted")
			v.click("Docs")
			v.says("Handbook", "GET api/v1/api-keys", "curl")
		})
	}
}

func editName(v *visitor) {
	v.t.Helper()
	v.open("")
	v.is(http.StatusOK, "Profile")
	v.says("Ana Lima", "ana@example.com", "cannot be changed here")
	v.click("Edit your name")
	v.is(http.StatusOK, "Edit your name")
	v.submit("Save", "given_name", "Anna", "family_name", "")
	v.is(http.StatusOK, "Profile")
	v.says("Your name was saved.", "Your directory says Ana Lima.")
	v.click("Edit your name")
	v.submit("Use the name from my directory")
	v.is(http.StatusOK, "Profile")
	v.says("Your name is now the one from your directory.", "Ana Lima")
}

func keyLife(v *visitor) {
	v.t.Helper()
	v.click("API Keys")
	v.is(http.StatusOK, "API Keys")
	v.says("No API keys yet", "Treat API Keys like passwords.")
	v.click("Create API Key")
	v.submit("Create key", "name", "ci", "expiry", "30")
	v.is(http.StatusCreated, "Your new API key")
	key := attr(v.byID("ly-key"), "value")
	v.click("I have stored it")
	v.is(http.StatusOK, "API Keys")
	v.says("ci", "never used", "23 Dec 2026")
	if strings.Contains(v.body, key) {
		v.t.Error("the list shows the key")
	}
	if p, err := v.w.keys.Verify(v.t.Context(), key); err != nil || p.Owner.Subject != "ana" {
		v.t.Errorf("Verify(the revealed key) = %v, %v, want ana's", p.Owner, err)
	}
	v.click("Rename key ci")
	v.submit("Save", "name", "pipeline")
	v.is(http.StatusOK, "API Keys")
	v.says("The key was renamed.", "pipeline")
	v.click("Delete key pipeline")
	v.is(http.StatusOK, "Delete key pipeline?")
	v.says("This cannot be undone.")
	v.submit("Delete key pipeline")
	v.is(http.StatusOK, "API Keys")
	v.says("The key was deleted", "No API keys yet")
	if !hasAttr(v.all("h1")[0], "autofocus") || attr(v.all("h1")[0], "tabindex") != "-1" {
		v.t.Error("after a deletion the focus is not on the heading")
	}
	if _, err := v.w.keys.Verify(v.t.Context(), key); err == nil {
		v.t.Error("the deleted key still works")
	}
}

func tokenLife(v *visitor) {
	v.t.Helper()
	v.click("Provider Tokens")
	v.is(http.StatusOK, "Provider Tokens")
	v.says("not connected")
	v.click("Add Token for Jira")
	v.is(http.StatusOK, "Connect Jira")
	v.submit("Save", "secrets/token", pageSecret, "expires_on", "2026-12-01")
	v.is(http.StatusOK, "Provider Tokens")
	v.says("Saved. Jira confirmed your account.", "Connected as Ana Lima (ana@acme.example) on 127.0.0.1", "expires in 8 days")
	v.click("Edit the token for Jira")
	v.is(http.StatusOK, "Edit your token for Jira")
	v.says("Leave blank to keep the one saved on 23 Nov 2026.")
	asked := len(v.w.jira.Requests())
	v.submit("Save", "label", "work")
	v.says("Jira: the change was saved.", "work")
	if n := len(v.w.jira.Requests()); n != asked {
		v.t.Errorf("a change of the label asked the platform %d times", n-asked)
	}
	v.click("Edit the token for Jira “work”")
	v.is(http.StatusOK, "Edit your token for Jira “work”")
	v.submit("Save", "secrets/token", pageNewSecret)
	v.says("Connected as Ana Zwei")
	v.submit("Test the token for Jira “work”")
	v.says("Jira was asked: the connection works.")
	v.click("Delete the token for Jira “work”")
	v.is(http.StatusOK, "Delete your token for Jira “work”?")
	v.submit("Delete token for Jira “work”")
	v.is(http.StatusOK, "Now revoke your token for Jira “work”")
	v.says("its secret is gone")
	if !hasAttr(v.all("h1")[0], "autofocus") {
		v.t.Error("after a deletion the focus is not on the heading")
	}
	v.click("Back to Provider Tokens")
	v.is(http.StatusOK, "Provider Tokens")
	if all, err := v.w.tokens.Tokens(v.t.Context(), lanyard.Owner{Subject: "ana"}); err != nil || len(all) != 0 {
		v.t.Errorf("Tokens = %d, %v, want none", len(all), err)
	}
}

// Saving an untouched form leaves the names the directory's: they follow it.
func TestPageKeepsDirectoryName(t *testing.T) {
	t.Parallel()
	given := "Ana"
	w := newPageWorld(t, pageOptions{identify: func(_ string, p *lanyard.Principal) { p.GivenName = given }})
	v := w.visit(t, "ana")
	v.open("profile/edit")
	v.submit("Save")
	v.says("Ana Lima")
	v.open("profile/edit")
	v.submit("Save", "family_name", "Souza")
	given = "Anna"
	v.open("")
	v.says("Anna Souza")
	me, err := w.profiles.Profile(t.Context(), lanyard.Owner{Subject: "ana"})
	if err != nil || me.GivenNameEdited || !me.FamilyNameEdited {
		t.Errorf("Profile = %+v, %v, want the given name the directory's and the family name the user's", me, err)
	}
}

// A directory may say what no form would take. It is kept all the same.
func TestPageKeepsStrangeDirectoryName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 150)
	w := newPageWorld(t, pageOptions{identify: func(_ string, p *lanyard.Principal) { p.GivenName = long }})
	v := w.visit(t, "ana")
	v.open("profile/edit")
	v.submit("Save", "family_name", "Souza")
	v.is(http.StatusOK, "Profile")
	v.says(long + " Souza")
}

// Only a change of what the platform sees asks the platform.
func TestPageChangeOfLabelAsksNobody(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=cloud")
	v.submit("Save", "fields/site", "acme", "fields/email", "ana@acme.example", "secrets/api_token", pageSecret)
	v.is(http.StatusOK, "Provider Tokens")
	v.click("Edit the token for Cloud")
	if got := attr(v.byID("fields-email"), "value"); got != "ana@acme.example" {
		t.Errorf("the stored address = %q, want it filled in", got)
	}
	asked, ends := len(w.cloud.Requests()), w.tokenEnds(t, "ana")
	w.pass(48 * time.Hour)
	v.submit("Save", "label", "work")
	v.says("Cloud: the change was saved.")
	if got := w.tokenEnds(t, "ana"); !got.Equal(ends) || got.IsZero() {
		t.Errorf("a change of the label moved the end from %v to %v", ends, got)
	}
	if n := len(w.cloud.Requests()) - asked; n != 0 {
		t.Errorf("a change of the label asked the platform %d times", n)
	}
	v.click("Edit the token for Cloud “work”")
	v.submit("Save", "fields/email", "other@acme.example")
	v.says("Saved. Cloud confirmed your account.")
	if n := len(w.cloud.Requests()) - asked; n == 0 {
		t.Error("a change of the address asked nobody")
	}
	v.click("Edit the token for Cloud “work”")
	v.submit("Save", "fields/site", "elsewhere")
	v.is(http.StatusUnprocessableEntity, "Edit your token for Cloud “work”")
	v.says("please enter every secret again")
}

// tokenEnds is when the user's one connection expires.
func (w *pageWorld) tokenEnds(t *testing.T, user string) time.Time {
	t.Helper()
	tokens, err := w.tokens.Tokens(t.Context(), lanyard.Owner{Subject: user})
	pageOK(t, err)
	if len(tokens) != 1 {
		t.Fatalf("%s has %d connections, want 1", user, len(tokens))
	}
	return tokens[0].ExpiresAt
}

// Every link of every page leads to a page.
func TestPageLinks(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.newKey("ci")
	v.connect()
	seen := map[string]bool{}
	todo := []string{w.mount("").String()}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if seen[at] {
			continue
		}
		seen[at] = true
		to, err := w.mount("").Parse(at)
		pageOK(t, err)
		d := v.follow(v.request(http.MethodGet, to, nil))
		if d.status != http.StatusOK {
			t.Errorf("GET %s = %d", at, d.status)
		}
		if d.root == nil {
			continue
		}
		for _, name := range []string{"a", "link", "script"} {
			for _, n := range d.all(name) {
				href := attr(n, "href") + attr(n, "src")
				next, err := d.url.Parse(href)
				pageOK(t, err)
				if next.Host == w.mount("").Host {
					next.Fragment = ""
					todo = append(todo, next.String())
				}
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d addresses were found: %v", len(seen), seen)
	}
}
