package browser_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// visit brings the page into each state that a user can meet, and calls at for
// each.
type visit struct {
	*tab
	at func(state string)
}

func visitStates(b *tab, at func(state string)) {
	b.t.Helper()
	b.expect("the server responded with a status of 4")
	b.expect("the server responded with a status of 503")
	v := visit{b, at}
	v.profile()
	v.keys()
	v.keyLife()
	v.connect()
	v.connections()
	v.rest()
	v.hosts()
}

func (v visit) show(state, path string) { v.t.Helper(); v.open(path); v.at(state) }

func (v visit) submit(state, button string) { v.t.Helper(); v.follow("button", button); v.at(state) }

// refuse sends a form that is refused.
func (v visit) refuse(state, button string) {
	v.t.Helper()
	eval[bool](v.tab, "[...document.forms].map(f => f.noValidate = true).length > 0") // else the browser refuses it first
	if status := v.follow("button", button); status < 400 {
		v.t.Errorf("%v: %s = %d, want a refusal", v.setting, state, status)
	}
	v.at(state)
}

func (v visit) profile() {
	v.t.Helper()
	v.show("no activity", "activity")
	v.show("profile", "")
	v.show("edit the name", "profile/edit")
	v.fill(v.labelOf("given_name"), strings.Repeat("x", 300))
	v.refuse("a name that is too long", v.say("form.save"))
	v.fill(v.labelOf("given_name"), "Anabela")
	v.submit("a name of one's own", v.say("form.save"))
	v.show("edit a name of one's own", "profile/edit")
	v.fill(v.labelOf("given_name"), "Anna")
	_, err := v.host.profiles.Update(v.t.Context(), ana, 0, profile.Update{FamilyName: profile.Set("Souza")})
	ok(v.t, err)
	v.refuse("a name that was changed meanwhile", v.say("form.save"))
}

func (v visit) keys() {
	v.t.Helper()
	v.show("no keys", "api-keys")
	v.show("create a key", "api-keys/new")
	v.refuse("a key without a name", v.say("key_new.submit"))
	v.fill(v.say("key_new.name"), "ci")
	v.submit("a key is shown", v.say("key_new.submit"))
	if v.script {
		v.press("button", v.say("reveal.copy"))
		v.says(v.say("reveal.copied"))
		v.at("a key was copied")
		v.press("button", v.say("reveal.test"))
		v.says(v.say("reveal.test_ok"))
		v.unfold()
		v.at("a key was tested, and all that uses it")
		keys, err := v.host.keys.Keys(v.t.Context(), ana)
		ok(v.t, err)
		ok(v.t, v.host.keys.Delete(v.t.Context(), ana, keys[0].ID, 0))
		v.press("button", v.say("reveal.test"))
		v.says(v.say("reveal.test_bad"))
		v.at("a key that is refused")
	}
	v.reload()
	v.at("a key was shown already")
	v.dialogs()
}

// unfold opens what can be opened.
func (v visit) unfold() {
	v.t.Helper()
	eval[int](v.tab, `[...document.querySelectorAll("details")].map(d => d.open = true).length`)
}

func (v visit) keyLife() {
	v.t.Helper()
	ctx := v.t.Context()
	var made []apikey.Created
	for i, end := range []time.Duration{0, 3 * 24 * time.Hour, 90 * 24 * time.Hour, time.Second} {
		r := apikey.CreateRequest{Name: fmt.Sprint("tool ", i), Scopes: []string{"read"}}
		if end > 0 {
			r.ExpiresAt = time.Now().Add(end)
		}
		c, err := v.host.keys.Create(ctx, ana, r)
		ok(v.t, err)
		made = append(made, c)
	}
	path := func(i int, action string) string { return "api-keys/" + made[i].Key.ID + "/" + action }
	_, err := v.host.keys.Verify(ctx, made[0].Secret.Reveal())
	ok(v.t, err)

	v.show("rotate a key", path(0, "rotate"))
	_, err = v.host.keys.Rename(ctx, ana, made[0].Key.ID, 0, "first tool")
	ok(v.t, err)
	v.refuse("rotate a key that was changed meanwhile", v.say("key_rotate.submit"))
	v.submit("a key was rotated", v.say("key_rotate.submit"))
	v.reload()
	v.at("a key was rotated already")
	v.dialogs()
	_, err = v.host.keys.Verify(ctx, made[0].Secret.Reveal())
	ok(v.t, err)
	for made[3].Key.ExpiresAt.After(time.Now()) {
		<-time.After(100 * time.Millisecond)
	}
	v.show("keys", "api-keys")
	v.says(v.say("keys.expired"), v.say("keys.still_used"))
	if v.script {
		v.typeInto("input[type=search]", "no such tool")
		v.at("no key passes the filter")
	}
	v.show("keys after something was done", "api-keys?done=key-renamed")
	v.show("rotate a key that has expired", path(3, "rotate"))
	v.show("rename a key", path(1, "rename"))
	v.fill(v.labelOf("name"), "")
	v.refuse("a new name that is empty", v.say("form.save"))
	v.show("delete a key", path(1, "delete"))
	_, err = v.host.keys.Rename(ctx, ana, made[1].Key.ID, 0, "another tool")
	ok(v.t, err)
	v.refuse("delete a key that was changed meanwhile", v.say("key_delete.submit", "Name", "tool 1"))
}

func (v visit) connect() {
	v.t.Helper()
	v.show("no connections", "provider-tokens")
	v.show("no platforms", "../bare/provider-tokens")
	providers := []string{"azure-devops", "jira-cloud", "servicenow", "slack"}
	if *whole {
		providers = nil
		for _, p := range v.host.tokens.Providers() {
			providers = append(providers, p.ID)
		}
	}
	for _, provider := range providers {
		v.show("connect "+provider, "provider-tokens/new?provider="+provider)
	}
	v.show("connect jira", "provider-tokens/new?provider=jira")
	v.fill(v.labelOf("secrets/token"), wrong)
	v.refuse("a token that is refused", v.say("form.save"))
	v.fill(v.labelOf("secrets/token"), strings.Repeat("\u2022", 12))
	v.refuse("a token that is a mask", v.say("form.save"))
	v.host.jira.Tell(providertest.Broken)
	v.fill(v.labelOf("secrets/token"), anasToken)
	v.refuse("a token that cannot be checked", v.say("form.save"))
	v.fill(v.labelOf("secrets/token"), anasToken)
	v.press("checkbox", v.say("token_form.unverified"))
	v.submit("a token that was not checked", v.say("form.save"))
	v.host.jira.Tell(providertest.Truth)
}

func (v visit) connections() {
	v.t.Helper()
	ctx := v.t.Context()
	token, err := v.host.tokens.Create(ctx, ana, providertoken.CreateRequest{
		ProviderID: "jira", Label: "work", Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(anasToken)},
		ExpiresAt: time.Now().Add(5 * 24 * time.Hour),
	})
	ok(v.t, err)
	path := func(action string) string { return "provider-tokens/" + token.ID + "/" + action }
	v.show("connections", "provider-tokens")
	test := v.say("tokens.test") + " " + v.say("tokens.token_of", "Provider", jiraName, "Label", "work")
	v.submit("a connection that works", test)
	v.show("a connection that is no longer offered", "../bare/provider-tokens")
	v.show("edit a connection", path("edit"))
	v.fill(v.labelOf("label"), "home")
	label := "office"
	_, err = v.host.tokens.Update(ctx, ana, token.ID, providertoken.UpdateRequest{Label: &label})
	ok(v.t, err)
	v.refuse("a connection that was changed meanwhile", v.say("form.save"))
	v.host.jira.Tell(providertest.NoRight)
	v.open("provider-tokens")
	v.submit("a connection that needs attention", v.say("tokens.test")+" "+v.say("tokens.token_of", "Provider", jiraName, "Label", label))
	v.host.jira.Tell(providertest.Truth)
	v.show("delete a connection", path("delete"))
	label = "work"
	_, err = v.host.tokens.Update(ctx, ana, token.ID, providertoken.UpdateRequest{Label: &label})
	ok(v.t, err)
	v.refuse("delete a connection that was changed meanwhile", v.say("token_delete.submit", "Provider", jiraName, "Label", "office"))
	v.submit("a connection was deleted", v.say("token_delete.submit", "Provider", jiraName, "Label", label))
	v.show("connections after something was done", "provider-tokens?done=token-deleted")
}

func (v visit) rest() {
	v.t.Helper()
	v.show("activity", "activity")
	for range 30 {
		_, err := v.host.profiles.Update(v.t.Context(), ana, 0, profile.Update{GivenName: profile.Set(fmt.Sprint(time.Now().UnixNano()))})
		ok(v.t, err)
	}
	v.open("activity")
	v.follow("link", v.say("activity.older"))
	v.at("older activity")
	v.open("docs")
	v.unfold()
	v.at("docs")
	operations := eval[[]string](v.tab, `[...document.querySelectorAll("a[href*='docs/api/']")].map(a => a.href.split("/").pop())`)
	if len(operations) < 10 {
		v.t.Errorf("%v: the docs lead to the operations %q only", v.setting, operations)
	}
	for _, operation := range operations {
		if *whole || operation == "createApiKey" {
			v.show("operation "+operation, "docs/api/"+operation)
		}
	}
	v.show("nothing there", "nothing/at/all")
}

// hosts looks at what other hosts make of the page.
func (v visit) hosts() {
	v.t.Helper()
	v.show("as many keys as allowed", "../few/api-keys/new")
	v.fill(v.say("key_new.name"), "one more")
	v.refuse("one key too many", v.say("key_new.submit"))
	v.show("as many connections as allowed", "../few/provider-tokens")
	v.show("framed profile", "../framed/")
	v.show("framed keys", "../framed/api-keys")
	v.show("framed form", "../framed/api-keys/new")
	v.refuse("framed error", v.say("key_new.submit"))
	v.show("branded", "../branded/")
	v.show("signed out", "../nobody/")
	v.show("out of order", "../down/")
	v.open("../busy/profile/edit")
	v.refuse("too many requests", v.say("form.save"))
	v.show("sign in again", "../again/api-keys/new")
	ok(v.t, v.host.profiles.Deactivate(v.t.Context(), ana))
	v.show("deactivated", "")
}

// labelOf is the label of the input with a name.
func (b *tab) labelOf(name string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector('[name=%q]').labels[0].innerText.trim()", name))
}
