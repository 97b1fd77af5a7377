package providertoken_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

// Made-up tokens that look as real ones do.
var (
	likeGitHub    = "ghp_" + strings.Repeat("aB3", 12)
	likeGitLab    = "glpat-" + strings.Repeat("x", 20)
	likeSlack     = "xoxb-12345678901-abcdef"
	likeAtlassian = "ATATT3x" + strings.Repeat("Ff0_", 20) + "=0A1B2C3D"
	likeFigma     = "figd_" + strings.Repeat("k-9", 10)
	likeNotion    = "ntn_" + strings.Repeat("7g", 23)
	likeAzure     = strings.Repeat("a1", 38) + "AZDO" + "x9Zz"
)

func TestHints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	github := []string{"github", "github-x", "github-enterprise-x"}
	atlassian := []string{"bitbucket-cloud", "bitbucket-cloud-x", "confluence-cloud", "confluence-cloud-x", "jira-cloud", "jira-cloud-x"}
	for _, c := range []struct {
		provider, method, field, secret string
		code, token                     string
		providers                       []string
	}{
		{"github", "", "token", likeGitHub, "", "", nil},
		{"github", "", "token", " " + likeGitHub + "\n", "", "", nil},
		{"github", "", "token", likeGitLab, providertoken.CodeLooksLikeOther, "GitLab token", []string{"gitlab", "gitlab-x"}},
		{"github", "", "token", "ghp_half", providertoken.CodeOddShape, "", nil},
		{"github", "", "token", "", "", "", nil},
		{"github", "", "nothing", likeGitLab, "", "", nil},
		{"jira-data-center-x", "", "token", likeAtlassian, providertoken.CodeLooksLikeOther, "Atlassian API token", atlassian},
		{"jira-cloud", "", "api_token", likeGitHub, providertoken.CodeLooksLikeOther, "GitHub token", github},
		{"jira-cloud", "", "email", likeGitHub, "", "", nil}, // no secret
		{"confluence-cloud", "", "api_token", likeAtlassian, "", "", nil},
		{"bitbucket-cloud", "", "api_token", likeAtlassian, "", "", nil},
		{"servicenow", "basic", "password", likeSlack, providertoken.CodeLooksLikeOther, "Slack token", []string{"slack", "slack-x"}},
		{"servicenow", "basic", "password", "any password", "", "", nil},
		{"slack", "", "token", likeNotion, providertoken.CodeLooksLikeOther, "Notion token", []string{"notion", "notion-x"}},
		{"notion", "", "token", likeFigma, providertoken.CodeLooksLikeOther, "Figma token", []string{"figma", "figma-x"}},
		{"figma", "", "token", likeAzure, providertoken.CodeLooksLikeOther, "Azure DevOps token", []string{"azure-devops", "azure-devops-x"}},
		{"nothing", "", "token", likeGitHub, "", "", nil},
		{"github", "nothing", "token", likeGitHub, "", "", nil},
	} {
		got := w.tokens.Hints(c.provider, c.method, map[string]lanyard.Secret{c.field: lanyard.NewSecret(c.secret)})
		if c.code == "" {
			if len(got) != 0 {
				t.Errorf("Hints(%s, %.8s…) = %+v, want none", c.provider, c.secret, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Field != "secrets/"+c.field || got[0].Code != c.code || got[0].Token != c.token || !slices.Equal(got[0].Providers, c.providers) {
			t.Errorf("Hints(%s, %.8s…) = %+v, want %s, %q, %v", c.provider, c.secret, got, c.code, c.token, c.providers)
		}
	}
}

// A token of somebody else is not shown to a platform to find that out.
func TestAnotherPlatformsTokenGoesNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.tokens.Create(t.Context(), ana, request("jira-data-center", likeGitHub))
	var other *providertoken.OtherPlatformError
	if !errors.As(err, &other) || other.Token != "GitHub token" || !slices.Contains(other.Providers, "github") {
		t.Errorf("Create = %v, want *OtherPlatformError", err)
	}
	if inputCode(err, "secrets/token") != providertoken.CodeLooksLikeOther {
		t.Errorf("Create = %v, want looks-like-other at secrets/token", err)
	}
	if err == nil || strings.Contains(err.Error(), likeGitHub) {
		t.Errorf("the error is %v", err)
	}
	token := w.connect(t)
	asked := len(w.fakes["jira-data-center"].Requests())
	_, err = w.tokens.Update(t.Context(), ana, token.ID, secrets("token", likeSlack))
	if inputCode(err, "secrets/token") != providertoken.CodeLooksLikeOther {
		t.Errorf("Update = %v, want looks-like-other", err)
	}
	if len(w.fakes["jira-data-center"].Requests()) != asked {
		t.Error("it was sent")
	}
	// A password may look as it likes.
	r := request("servicenow", likeSlack)
	r.MethodID, r.Fields, r.Secrets = "basic", map[string]string{"username": "ana"}, map[string]lanyard.Secret{"password": lanyard.NewSecret(likeSlack)}
	_, err = w.tokens.Create(t.Context(), ana, r)
	if v, _ := verdict(t, err); v != providertoken.VerdictInvalid {
		t.Errorf("a password like a Slack token: %s, want it asked", v)
	}
}

// What is pasted along with a secret goes.
func TestWhatIsPastedAlongGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, char := range map[string]string{
		"zero width space": "\u200b", "byte order mark": "\ufeff", "no-break space": "\u00a0",
		"left-to-right mark": "\u200e", "end of isolate": "\u2069", "line separator": "\u2028",
	} {
		r := request("jira-data-center", char+anaSecret+char)
		r.Label = name
		if _, err := w.tokens.Create(t.Context(), ana, r); err != nil {
			t.Errorf("%s: Create = %v", name, err)
		}
		if _, err := w.tokens.Create(t.Context(), ana, request("github", anaSecret[:5]+char+anaSecret[5:])); inputCode(err, "secrets/token") != lanyard.CodeInvalid {
			t.Errorf("%s inside: Create = %v, want it refused", name, err)
		}
	}
}

// A token in a field that is shown is stored nowhere and sent nowhere.
func TestATokenIsNotKeptInTheOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	github := "ghp_" + strings.Repeat("a1B2", 9)
	basic := func() providertoken.CreateRequest {
		return providertoken.CreateRequest{
			ProviderID: "servicenow-x", MethodID: "basic", Fields: map[string]string{"username": "ana"},
			Secrets: map[string]lanyard.Secret{"password": lanyard.NewSecret(anaSecret)},
		}
	}
	refused := func(what, field string, err error) {
		t.Helper()
		if inputCode(err, field) != providertoken.CodeOpenSecret || strings.Contains(fmt.Sprint(err), github) {
			t.Errorf("%s: %v, want %s for %s", what, err, providertoken.CodeOpenSecret, field)
		}
	}
	r := basic()
	r.Label = "work, " + github + " (old)"
	refused("a label", "label", errOf(w.tokens.Create(t.Context(), ana, r)))
	r = basic()
	r.Fields["username"] = github
	refused("a public field", "fields/username", errOf(w.tokens.Create(t.Context(), ana, r)))
	if n := len(w.fakes["servicenow"].Requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	// It could be a name in DNS, which would be asked for.
	refused("a site", "fields/site", errOf(w.tokens.Create(t.Context(), ana, siteRequest("xoxb-1234567890-abcdef", anaSecret))))
	token, err := w.tokens.Create(t.Context(), ana, basic())
	ok(t, err)
	refused("a new label", "label", errOf(w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Label: &github})))
	refused("an edit", "fields/username", errOf(w.tokens.Update(t.Context(), ana, token.ID, providertoken.UpdateRequest{Fields: map[string]string{"username": github}})))
}
