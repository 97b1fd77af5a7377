package main

import (
	"net/http"
	"strings"
	"testing"
)

// An agent in another process calls by the user's connection, whichever instance
// it reaches, with a key that has the scope and with no other; the history says
// who, what for and what came back.
func TestAgentsElsewhere(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, env map[string]string) {
		s := configure(t, env)
		token := withJira(t, &s)
		a := start(t, s)
		var made struct{ ID string }
		a.connectJira(a.url, token).decode(t, &made)
		_, key := created(t, a.call(http.MethodPost, a.url+"/account/api/v1/api-keys", `{"name":"agent","scopes":["provider-tokens:use"]}`, userHeader, "ana"))
		_, weak := a.createKey(a.url)
		for _, at := range []string{a.instances["a"], a.instances["b"], a.url} {
			call := at + "/agents/" + made.ID + "/rest/api/2/myself?expand=groups"
			r := a.call(http.MethodGet, call, "", "Authorization", "Bearer "+key, "Lanyard-Agent", "planner", "Lanyard-Purpose", "plan the week")
			if r.status != http.StatusOK || r.header.Get("Lanyard-Answer") != "platform" || !strings.Contains(r.body, "Ana") {
				t.Errorf("a call = %d %q, want 200 and the platform's account", r.status, r.body)
			}
			if r := a.call(http.MethodGet, call, "", "Authorization", "Bearer "+weak); r.status != http.StatusForbidden || r.header.Get("Lanyard-Answer") != "" {
				t.Errorf("a call with a key without the scope = %d, want 403 of our own", r.status)
			}
			if r := a.call(http.MethodGet, call, "", userHeader, "ana"); r.status != http.StatusUnauthorized {
				t.Errorf("a call with a session = %d, want 401", r.status)
			}
		}
		history := a.call(http.MethodGet, a.url+"/account/api/v1/activity", "", userHeader, "ana").body
		for _, want := range []string{`"provider_token.called"`, `"agent":"planner"`, `"purpose":"plan the week"`, `"status":"200"`} {
			if !strings.Contains(history, want) {
				t.Errorf("the history lacks %s: %s", want, history)
			}
		}
		a.stop()
		for place, text := range map[string]string{"standard output": a.stdout.String(), "the log": a.stderr.String(), "the history": history} {
			for form, written := range forms(token) {
				if strings.Contains(text, string(written)) {
					t.Errorf("the credential is in %s, as %s", place, form)
				}
			}
			if strings.Contains(text, "expand=groups") {
				t.Errorf("the query of a call is in %s", place)
			}
		}
	})
}
