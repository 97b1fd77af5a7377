package browser_test

import (
	"slices"
	"testing"
)

// settings are all ways to see the page.
func settings(t *testing.T) (all []setting) {
	t.Helper()
	for _, language := range languages(t) {
		for _, script := range []bool{true, false} {
			for _, width := range []int64{320, 1280} {
				for _, scheme := range []string{"light", "dark"} {
					all = append(all, setting{language, script, width, scheme})
				}
			}
		}
	}
	return all
}

// The customer's page, word for word: a profile whose name can be edited and
// whose e-mail cannot; keys that are created, copied, shown once and deleted;
// tokens of other platforms that are added, edited and deleted.
func TestCustomersPage(t *testing.T) {
	for _, s := range settings(t) {
		t.Run(s.String(), func(t *testing.T) {
			b := newTab(t, s)
			editName(b)
			keyLife(b)
			tokenLife(b)
		})
	}
}

func editName(b *tab) {
	b.t.Helper()
	b.open("")
	b.says(b.say("profile.personal"), "Ana Lima", "ana@example.com", b.say("profile.email_hint"))
	b.follow("link", b.say("profile.edit")+" "+b.say("profile.edit_what"))
	if n := eval[int](b, "document.querySelectorAll('form input:not([type=hidden])').length"); n != 2 {
		b.t.Errorf("%v: %d inputs to edit the name, want the first name and the last", b.setting, n)
	}
	b.fill(b.labelOf("given_name"), "Anabela")
	b.fill(b.labelOf("family_name"), "de Lima")
	b.follow("button", b.say("form.save"))
	b.says("Anabela de Lima", b.say("done.profile-saved"), "ana@example.com")
}

func keyLife(b *tab) {
	b.t.Helper()
	b.follow("link", b.say("tab.keys"))
	b.says(b.say("keys.empty_title"), b.say("keys.warning_title"))
	b.follow("link", b.say("keys.create"))
	b.fill(b.say("key_new.name"), "ci")
	if status := b.follow("button", b.say("key_new.submit")); status != 201 {
		b.t.Fatalf("%v: creating a key = %d, want 201", b.setting, status)
	}
	b.says(b.say("reveal.once"))
	label := b.say("reveal.label", "Name", "ci")
	key := b.value(label)
	if len(key) < 40 || key[:4] != "aic_" {
		b.t.Fatalf("%v: the key shown is %q", b.setting, key)
	}
	b.says("curl", b.host.url+"api/v1/whoami")
	if b.script {
		if secure := eval[bool](b, "isSecureContext || !!navigator.clipboard"); secure {
			b.t.Errorf("%v: %s is a secure context: copying without a clipboard was not tested", b.setting, site)
		}
		b.press("button", b.say("reveal.copy"))
		b.says(b.say("reveal.copied"))
		b.press("button", b.say("reveal.test"))
		b.says(b.say("reveal.test_ok"))
	} else {
		b.copyByHand(label)
	}

	// A refresh sends the form again and makes no second key.
	b.reload()
	b.says(b.say("replayed.title"))
	b.saysNot(key)
	if asked := b.dialogs(); b.script != slices.Equal(asked, []string{"beforeunload"}) {
		b.t.Errorf("%v: leaving the only copy of a key asked %q", b.setting, asked)
	}
	keys, err := b.host.keys.Keys(b.t.Context(), ana)
	ok(b.t, err)
	if len(keys) != 1 {
		b.t.Errorf("%v: %d keys after a refresh, want 1", b.setting, len(keys))
	}

	b.open("api-keys")
	b.says("ci", key[:14]+"…")
	b.saysNot(key)
	b.expect("ERR_CACHE_MISS") // the answer to a form is in no cache
	b.back()
	b.saysNot(key)
	b.open("api-keys/new")
	b.pasted(b.say("key_new.name"), key)

	b.open("api-keys")
	b.follow("link", b.say("keys.delete")+" "+b.say("keys.key_named", "Name", "ci"))
	b.says(b.say("key_delete.warning"))
	b.follow("button", b.say("key_delete.submit", "Name", "ci"))
	b.says(b.say("done.key-deleted"), b.say("keys.empty_title"))
}

func tokenLife(b *tab) {
	b.t.Helper()
	b.follow("link", b.say("tab.tokens"))
	b.says(b.say("tokens.note"))
	b.follow("link", b.say("tokens.add")+" "+b.say("tokens.for", "Provider", jiraName))
	secret := b.labelOf("secrets/token")
	b.fill(secret, wrong)
	b.expect("status of 422")
	if status := b.follow("button", b.say("form.save")); status != 422 {
		b.t.Errorf("%v: a token that Jira refuses = %d, want 422", b.setting, status)
	}
	b.saysNot(wrong)
	b.fill(secret, anasToken)
	b.follow("button", b.say("form.save"))
	b.says(b.say("done.token-saved", "Provider", jiraName), "Ana Lima")
	b.saysNot(anasToken)
	b.back()
	b.saysNot(anasToken)

	// With the secret left blank the old one stays, and still opens Jira.
	b.open("provider-tokens")
	token := b.say("tokens.token_of", "Provider", jiraName, "Label", "")
	b.follow("link", b.say("tokens.edit")+" "+token)
	b.saysNot(anasToken)
	b.fill(b.labelOf("label"), "work")
	b.follow("button", b.say("form.save"))
	b.says("work", "Ana Lima")
	token = b.say("tokens.token_of", "Provider", jiraName, "Label", "work")
	b.follow("button", b.say("tokens.test")+" "+token)
	b.says(b.say("verdict.ok", "Provider", jiraName))

	// One that expires is replaced.
	b.follow("link", b.say("tokens.edit")+" "+token)
	b.fill(b.labelOf("secrets/token"), anasNextToken)
	b.follow("button", b.say("form.save"))
	b.says("Ana Souza Lima")
	b.saysNot(anasNextToken)

	b.follow("link", b.say("tokens.delete")+" "+token)
	b.says(b.say("token_delete.warning_address", "Provider", jiraName))
	b.follow("button", b.say("token_delete.submit", "Provider", jiraName, "Label", "work"))
	b.says(b.say("token_deleted.title", "Provider", jiraName, "Label", "work"))
	if tokens, err := b.host.tokens.Tokens(b.t.Context(), ana); err != nil || len(tokens) != 0 {
		b.t.Errorf("%v: %d connections after the last was deleted, %v", b.setting, len(tokens), err)
	}
	b.follow("link", b.say("token_deleted.back"))
	b.follow("link", b.say("tokens.add")+" "+b.say("tokens.for", "Provider", jiraName))
}

// Who has stored a key and goes back with the browser's button sees it no more,
// and who sends the form again from there gets no second one.
func TestBackToANewKey(t *testing.T) {
	for _, script := range []bool{true, false} {
		s := setting{languages(t)[0], script, 1280, "light"}
		t.Run(s.String(), func(t *testing.T) {
			b := newTab(t, s)
			b.open("api-keys/new")
			b.fill(b.say("key_new.name"), "ci")
			b.follow("button", b.say("key_new.submit"))
			key := b.value(b.say("reveal.label", "Name", "ci"))
			b.follow("link", b.say("reveal.stored"))
			b.says(b.say("done.key-created"), "ci")
			b.saysNot(key)
			b.expect("ERR_CACHE_MISS")
			b.back()
			b.saysNot(key)
			b.reload()
			b.says(b.say("replayed.title"))
			b.saysNot(key)
			keys, err := b.host.keys.Keys(t.Context(), ana)
			ok(t, err)
			if len(keys) != 1 {
				t.Errorf("%v: %d keys, want 1", s, len(keys))
			}
		})
	}
}
