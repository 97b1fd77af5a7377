package providertoken_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// Where a platform can, deleting a connection ends the credential; where it
// does not, the connection is deleted all the same.
func TestDeleteRevokes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		definition, method, path string
		lie                      providertest.Lie
		want                     string
	}{
		{"gitlab", http.MethodDelete, "/personal_access_tokens/self", providertest.Truth, "yes"},
		{"gitlab", http.MethodDelete, "/personal_access_tokens/self", providertest.Broken, "no"},
		{"gitlab", http.MethodDelete, "/personal_access_tokens/self", providertest.NoRight, "no"},
		{"slack", http.MethodPost, "/auth.revoke", providertest.Truth, "yes"},
		{"slack", http.MethodPost, "/auth.revoke", providertest.Revoked, "no"},
		{"slack", http.MethodPost, "/auth.revoke", providertest.HTMLPage, "no"},
		{"slack", http.MethodPost, "/auth.revoke", providertest.Silent, "no"},
		{"github", "", "", providertest.Truth, ""},
	} {
		w := newWorld(t, func(o *providertoken.Options) {
			if c.lie == providertest.Silent {
				o.VerifyTimeout = time.Second
			}
		})
		token, err := w.tokens.Create(t.Context(), ana, request(c.definition, anaSecret))
		ok(t, err)
		fake := w.fakes[c.definition]
		fake.Tell(c.lie)
		asked := len(fake.Requests())
		ok(t, w.tokens.Delete(t.Context(), ana, token.ID, 0))
		_, err = w.tokens.Token(t.Context(), ana, token.ID)
		is(t, "Token after Delete", err, lanyard.ErrNotFound)
		sent := fake.Requests()[asked:]
		if c.want == "" != (len(sent) == 0) || c.want != "" && (sent[0].Method != c.method || sent[0].Path != c.path) {
			t.Errorf("%s: Delete sent %+v", c.definition, sent)
		}
		if last := w.events[len(w.events)-1]; last.Action != providertoken.ActionDeleted || last.Detail[providertoken.DetailRevoked] != c.want {
			t.Errorf("%s, %s: the event is %s %v, want revoked %q", c.definition, c.lie, last.Action, last.Detail, c.want)
		}
	}
}

// A deletion that does not happen ends nothing, and nothing speaks for somebody
// who was deactivated.
func TestNothingIsRevokedByMistake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token, err := w.tokens.Create(t.Context(), ana, request("gitlab", anaSecret))
	ok(t, err)
	asked := len(w.fakes["gitlab"].Requests())
	is(t, "Delete of another version", w.tokens.Delete(t.Context(), ana, token.ID, token.Version+1), lanyard.ErrConflict)
	is(t, "Delete by somebody else", w.tokens.Delete(t.Context(), ben, token.ID, 0), lanyard.ErrNotFound)
	ok(t, w.store.Deactivate(t.Context(), ana, w.clock.Now(), lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "by.hand", "")))
	ok(t, w.tokens.Delete(t.Context(), ana, token.ID, token.Version))
	if sent := w.fakes["gitlab"].Requests()[asked:]; len(sent) != 0 {
		t.Errorf("%+v was sent", sent)
	}
}

// Elsewhere the owner is told where he can do it.
func TestRevokeURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, p := range w.tokens.Providers() {
		if id := strings.TrimSuffix(p.ID, "-x"); p.Methods[0].Revokes != (id == "gitlab" || id == "slack") {
			t.Errorf("Providers says of %s that it revokes: %v", p.ID, p.Methods[0].Revokes)
		}
	}
	for definition, want := range map[string]string{
		"jira-cloud":        "https://id.atlassian.com/manage-profile/security/api-tokens",
		"azure-devops":      w.urls["azure-devops"] + "/_usersSettings/tokens",
		"github":            "https://github.com/settings/tokens",
		"github-enterprise": w.urls["github-enterprise"] + "/settings/tokens",
		"gitlab":            w.urls["gitlab"] + "/-/user_settings/personal_access_tokens",
		"servicenow":        "",
	} {
		token, err := w.tokens.Create(t.Context(), ana, request(definition, anaSecret))
		ok(t, err)
		if token.RevokeURL != want {
			t.Errorf("RevokeURL of %s = %q, want %q", definition, token.RevokeURL, want)
		}
	}
	public := public(t, providertest.AzureDevOps(accounts.Account))
	r := request("azure-devops", anaSecret)
	r.ProviderID, r.Fields["organization"] = "azure-devops", "acme"
	token, err := public.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	if want := "https://dev.azure.com/acme/_usersSettings/tokens"; token.RevokeURL != want {
		t.Errorf("RevokeURL = %q, want %q", token.RevokeURL, want)
	}
}

// What the platform has ended is deleted, also where somebody changes the
// connection in between: nothing is kept that does not work any more. Only a new
// secret is.
func TestWhatIsRevokedIsDeleted(t *testing.T) {
	t.Parallel()
	label := "renamed meanwhile"
	for name, c := range map[string]struct {
		lie     providertest.Lie
		between providertoken.UpdateRequest
		want    error
	}{
		"another label":         {between: providertoken.UpdateRequest{Label: &label}},
		"another secret":        {between: secrets("token", newSecret), want: lanyard.ErrConflict},
		"not ended, and edited": {lie: providertest.NoRight, between: providertoken.UpdateRequest{Label: &label}, want: lanyard.ErrConflict},
	} {
		w := newWorld(t, nil)
		token, err := w.tokens.Create(t.Context(), ana, request("gitlab", anaSecret))
		ok(t, err)
		fake := w.fakes["gitlab"]
		over := newWorldOver(t, w, meanwhile{w.store, sync.OnceFunc(func() {
			fake.Tell(providertest.Truth)
			ok(t, errOf(w.tokens.Update(t.Context(), ana, token.ID, c.between)))
		})})
		fake.Tell(c.lie)
		is(t, name+": Delete", over.tokens.Delete(t.Context(), ana, token.ID, token.Version), c.want)
		_, err = w.tokens.Token(t.Context(), ana, token.ID)
		if c.want != nil {
			ok(t, err)
			continue
		}
		is(t, name+": Token after Delete", err, lanyard.ErrNotFound)
		if last := over.events[len(over.events)-1]; last.Detail[providertoken.DetailRevoked] != "yes" || last.Detail[providertoken.DetailLabel] != label {
			t.Errorf("%s: the event says %v", name, last.Detail)
		}
	}
}

// meanwhile is a store in front of whose deletion something happens.
type meanwhile struct {
	providertoken.Store
	happens func()
}

func (m meanwhile) DeleteProviderToken(ctx context.Context, owner lanyard.Owner, id string, version int64, e lanyard.Event) error {
	m.happens()
	return m.Store.DeleteProviderToken(ctx, owner, id, version, e)
}

// Who does not wait for the platform's answer has his connection deleted all the
// same: its credential may have been ended by then.
func TestARevocationIsFinished(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	fake := providertest.GitLab(accounts.Account)
	server, err := providertest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			leave()
		}
		fake.ServeHTTP(w, r)
	}))
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newWorld(t, func(o *providertoken.Options) {
		o.Instances = append(o.Instances, providertoken.Instance{
			ID: "gitlab-y", Provider: "gitlab", Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
		})
	})
	r := request("gitlab", anaSecret)
	r.ProviderID = "gitlab-y"
	token, err := w.tokens.Create(t.Context(), ana, r)
	ok(t, err)
	ok(t, w.tokens.Delete(ctx, ana, token.ID, token.Version))
	is(t, "Token after Delete", errOf(w.tokens.Token(t.Context(), ana, token.ID)), lanyard.ErrNotFound)
	if last := w.events[len(w.events)-1]; last.Detail[providertoken.DetailRevoked] != "yes" {
		t.Errorf("the event says %v", last.Detail)
	}
}
