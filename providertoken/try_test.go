package providertoken_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// Try says what a save would, and at which base it would be.
func TestTry(t *testing.T) {
	t.Parallel()
	fake := providertest.JiraCloud(accounts.Account)
	server, err := providertest.NewServer(fake)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	var jira providertoken.Definition
	for _, d := range catalog.All() {
		if d.ID == "jira-cloud" {
			jira = d
		}
	}
	at := providertoken.Instance{
		ID: "jira", Provider: "jira-cloud", Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
		Alternatives: map[string]string{"gateway": server.URL() + "/ex/jira/{cloud_id}"},
	}
	for secret, want := range map[string]providertoken.Verdict{
		anaSecret: providertoken.VerdictOK, scopedSecret: providertoken.VerdictOK, "unknown": providertoken.VerdictInvalid,
	} {
		got, err := providertoken.Try(t.Context(), jira, at, request("jira-cloud", secret))
		ok(t, err)
		if got.Verdict != want || (got.Account != nil) != (want == providertoken.VerdictOK) || got.CheckedAt.IsZero() {
			t.Errorf("Try(%s) = %+v, want %s", secret, got, want)
		}
	}
	r := request("jira-cloud", anaSecret)
	r.Fields = nil
	_, err = providertoken.Try(t.Context(), jira, at, r)
	if inputCode(err, "fields/email") != lanyard.CodeRequired {
		t.Errorf("Try without a field = %v", err)
	}
	r = request("jira-cloud", anaSecret)
	r.MethodID = "password"
	_, err = providertoken.Try(t.Context(), jira, at, r)
	is(t, "Try of another method", err, providertoken.ErrNotOffered)
	elsewhere := at
	elsewhere.Provider = "jira-data-center"
	if _, err := providertoken.Try(t.Context(), jira, elsewhere, request("jira-cloud", anaSecret)); err == nil {
		t.Error("Try at an instance of another definition = nil")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = providertoken.Try(ctx, jira, at, request("jira-cloud", anaSecret))
	is(t, "Try given up", err, lanyard.ErrUnavailable)
}

// A platform that is not known here is faked by what is its own.
func TestAFakeOfOnesOwn(t *testing.T) {
	t.Parallel()
	fake := providertest.New(accounts.Account, providertest.Platform{
		Token: func(r *http.Request) string { return r.Header.Get("X-Key") }, Method: http.MethodPost, WhoAmI: "/me",
		Tell: func(w http.ResponseWriter, a providertest.Account) {
			says(200, "application/json", `{"id": "`+a.ID+`"}`)(w, nil)
		},
		Lies: map[providertest.Lie]func(http.ResponseWriter, *http.Request, providertest.Account){
			providertest.Busy: func(w http.ResponseWriter, r *http.Request, _ providertest.Account) {
				says(503, "application/json", `{"slow": "down"}`)(w, r)
			},
		},
	})
	server, err := providertest.NewServer(fake)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	d := acme("X-Key")
	d.Verify[0].Method = http.MethodPost
	for _, c := range []struct {
		lie    providertest.Lie
		secret string
		want   providertoken.Verdict
	}{
		{providertest.Truth, anaSecret, providertoken.VerdictOK},
		{providertest.Truth, "unknown", providertoken.VerdictInvalid},
		{providertest.Nobody, anaSecret, providertoken.VerdictInvalid},
		{providertest.Busy, anaSecret, providertoken.VerdictUnreachable},
	} {
		fake.Tell(c.lie)
		got, err := providertoken.Try(t.Context(), d, instance(server), providertoken.CreateRequest{
			Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret(c.secret)},
		})
		ok(t, err)
		if got.Verdict != c.want {
			t.Errorf("%q with %s: %s, want %s", c.lie, c.secret, got.Verdict, c.want)
		}
	}
}
