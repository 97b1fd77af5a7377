package browser_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// visitStates brings the page into each state that a user can meet, and calls
// at for each.
func visitStates(b *tab, at func(state string)) {
	b.t.Helper()
	ctx := b.t.Context()
	open := func(state, path string) {
		b.t.Helper()
		b.open(path)
		at(state)
	}
	b.expect("the server responded with a status of 4")
	refuse := func(state, button string) {
		b.t.Helper()
		eval[bool](b, "[...document.forms].map(f => f.noValidate = true).length > 0") // else the browser refuses it first
		if status := b.follow("button", button); status < 400 {
			b.t.Errorf("%v: %s = %d, want a refusal", b.setting, state, status)
		}
		at(state)
	}

	open("profile", "")
	open("edit the name", "profile/edit")
	b.fill(b.labelOf("given_name"), strings.Repeat("x", 300))
	refuse("a name that is too long", b.say("form.save"))

	open("no keys", "api-keys")
	open("create a key", "api-keys/new")
	refuse("a key without a name", b.say("key_new.submit"))
	b.fill(b.say("key_new.name"), "ci")
	b.follow("button", b.say("key_new.submit"))
	at("a key is shown")
	if b.script {
		b.press("button", b.say("reveal.copy"))
		b.says(b.say("reveal.copied"))
		at("a key was copied")
	}
	b.reload()
	at("a key was shown already")
	b.dialogs()
	var ids []string
	for i, end := range []time.Duration{0, 3 * 24 * time.Hour, 90 * 24 * time.Hour} {
		r := apikey.CreateRequest{Name: fmt.Sprint("tool ", i), Scopes: []string{"read"}}
		if end > 0 {
			r.ExpiresAt = time.Now().Add(end)
		}
		made, err := b.host.keys.Create(ctx, ana, r)
		ok(b.t, err)
		ids = append(ids, made.Key.ID)
		if i == 0 {
			_, err = b.host.keys.Verify(ctx, made.Secret.Reveal())
			ok(b.t, err)
		}
	}
	open("rotate a key", "api-keys/"+ids[0]+"/rotate")
	b.follow("button", b.say("key_rotate.submit"))
	at("a key was rotated")
	b.reload()
	b.dialogs()
	open("keys", "api-keys")
	open("keys after something was done", "api-keys?done=key-renamed")
	open("rename a key", "api-keys/"+ids[1]+"/rename")
	b.fill(b.labelOf("name"), "")
	refuse("a new name that is empty", b.say("form.save"))
	open("delete a key", "api-keys/"+ids[1]+"/delete")
	_, err := b.host.keys.Rename(ctx, ana, ids[1], 0, "another tool")
	ok(b.t, err)
	b.follow("button", b.say("key_delete.submit", "Name", "tool 1"))
	at("a key that was changed meanwhile")

	open("no connections", "provider-tokens")
	for _, provider := range []string{"azure-devops", "jira-cloud", "servicenow", "slack", "jira"} {
		open("connect "+provider, "provider-tokens/new?provider="+provider)
	}
	b.fill(b.labelOf("secrets/token"), wrong)
	refuse("a token that is refused", b.say("form.save"))
	token, err := b.host.tokens.Create(ctx, ana, providertoken.CreateRequest{
		ProviderID: "jira", Label: "work", Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(anasToken)},
		ExpiresAt: time.Now().Add(5 * 24 * time.Hour),
	})
	ok(b.t, err)
	open("a connection", "provider-tokens")
	open("edit a connection", "provider-tokens/"+token.ID+"/edit")
	open("delete a connection", "provider-tokens/"+token.ID+"/delete")
	b.host.jira.Tell(providertest.NoRight)
	_, _ = b.host.tokens.Verify(ctx, ana, token.ID)
	open("a connection that needs attention", "provider-tokens")
	b.host.jira.Tell(providertest.Truth)

	open("activity", "activity")
	open("docs", "docs")
	open("an operation", "docs/api/createApiKey")
	open("nothing there", "nothing/at/all")
}

// labelOf is the label of the input with a name.
func (b *tab) labelOf(name string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector('[name=%q]').labels[0].innerText.trim()", name))
}
