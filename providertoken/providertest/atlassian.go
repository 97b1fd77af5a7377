package providertest

import (
	"net/http"
)

// CloudID is the id of the site that the fakes of Atlassian's clouds are.
const CloudID = "5f1a2b3c-0000-4000-8000-00000000acde"

// JiraDataCenter is a Jira that takes personal access tokens as Bearer. Besides
// /rest/api/2/myself it serves a search with the account's issues.
func JiraDataCenter(accounts func(token string) (Account, bool)) *Fake {
	myself := func(w http.ResponseWriter, a Account) {
		w.Header().Set("X-AUSERNAME", a.ID)
		writeJSON(w, http.StatusOK, map[string]any{
			"name": idOf(a), "key": "JIRAUSER" + a.ID, "displayName": a.Name, "emailAddress": a.Email, "active": true,
		})
	}
	return newFake(accounts, platform{
		token: bearer, whoami: "/rest/api/2/myself", tell: myself,
		reject: func(w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", `OAuth realm="jira"`)
			writeHTML(w, http.StatusUnauthorized, "<title>Unauthorized (401)</title>")
		},
		lies: jiraLies(myself),
		data: map[string]answer{"/rest/api/2/search": searchIssues},
	})
}

// JiraCloud is a site at atlassian.net with API tokens in Basic credentials,
// and the gateway for those with scopes, below [JiraGateway].
func JiraCloud(accounts func(token string) (Account, bool)) *Fake {
	myself := func(w http.ResponseWriter, a Account) {
		writeJSON(w, http.StatusOK, map[string]any{"accountId": idOf(a), "displayName": a.Name, "emailAddress": a.Email})
	}
	p := atlassianCloud("/rest/api/3/myself", myself)
	p.gateway, p.lies = JiraGateway, jiraLies(myself)
	return newFake(accounts, p)
}

// The paths at which the fakes of Atlassian's clouds are their gateways.
const (
	JiraGateway       = "/ex/jira/" + CloudID
	ConfluenceGateway = "/ex/confluence/" + CloudID
)

// ConfluenceCloud is JiraCloud's sister, with her gateway below
// [ConfluenceGateway].
func ConfluenceCloud(accounts func(token string) (Account, bool)) *Fake {
	current := func(w http.ResponseWriter, a Account) {
		writeJSON(w, http.StatusOK, map[string]any{"type": "known", "accountId": idOf(a), "displayName": a.Name, "email": a.Email})
	}
	p := atlassianCloud("/wiki/rest/api/user/current", current)
	p.gateway = ConfluenceGateway
	p.lies = map[Lie]answer{
		// Who is not signed in is a user too.
		Anonymous: func(w http.ResponseWriter, _ *http.Request, _ Account) {
			writeJSON(w, http.StatusOK, map[string]any{"type": "anonymous", "accountId": nil, "displayName": "Anonymous"})
		},
	}
	return newFake(accounts, p)
}

func atlassianCloud(whoami string, tell func(http.ResponseWriter, Account)) platform {
	return platform{
		token: password, whoami: whoami, tell: tell,
		reject: func(w http.ResponseWriter) {
			writeHTML(w, http.StatusUnauthorized, "Client must be authenticated to access this resource.")
		},
		open: map[string]func(http.ResponseWriter, *http.Request){
			"/_edge/tenant_info": func(w http.ResponseWriter, _ *http.Request) {
				writeJSON(w, http.StatusOK, map[string]string{"cloudId": CloudID})
			},
		},
	}
}

// jiraLies: both Jiras serve a token they did not take as anonymous, with 200
// and a header that says so.
func jiraLies(myself func(http.ResponseWriter, Account)) map[Lie]answer {
	with := func(name, value string) answer {
		return func(w http.ResponseWriter, _ *http.Request, _ Account) {
			w.Header().Set(name, value)
			myself(w, Account{ID: "anonymous", Name: "Anonymous"})
		}
	}
	return map[Lie]answer{
		Captcha:     with("X-Seraph-LoginReason", "AUTHENTICATION_DENIED"),
		LoginFailed: with("X-Seraph-LoginReason", "AUTHENTICATED_FAILED"),
		Anonymous:   with("X-Ausername", "anonymous"),
		Down: func(w http.ResponseWriter, _ *http.Request, _ Account) {
			w.Header().Set("X-Ausername", "anonymous")
			w.Header().Set("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
			writeHTML(w, http.StatusServiceUnavailable, "<title>Jira is being reindexed</title>")
		},
	}
}

func searchIssues(w http.ResponseWriter, _ *http.Request, a Account) {
	issue := func(key, summary, status string) map[string]any {
		return map[string]any{"key": key, "fields": map[string]any{
			"summary": summary, "status": map[string]string{"name": status}, "assignee": map[string]string{"name": a.ID},
		}}
	}
	writeJSON(w, http.StatusOK, map[string]any{"startAt": 0, "maxResults": 50, "total": 3, "issues": []any{
		issue("HUB-7", "Rotate the demo certificates", "In Progress"),
		issue("HUB-12", "Write the release notes", "To Do"),
		issue("HUB-15", "Agents time out behind the proxy", "To Do"),
	}})
}

// BitbucketCloud is api.bitbucket.org with API tokens in Basic credentials.
func BitbucketCloud(accounts func(token string) (Account, bool)) *Fake {
	return newFake(accounts, platform{
		token: password, whoami: "/user",
		tell: func(w http.ResponseWriter, a Account) {
			w.Header().Set("X-OAuth-Scopes", "read:user:bitbucket")
			writeJSON(w, http.StatusOK, map[string]any{"type": "user", "account_id": idOf(a), "display_name": a.Name, "username": a.ID})
		},
		reject: func(w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", `Basic realm="Bitbucket.org HTTP"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		lies: map[Lie]answer{
			NoRight: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				writeJSON(w, http.StatusForbidden, map[string]any{"type": "error", "error": map[string]any{
					"message": "Your credentials lack one or more required privilege scopes.",
				}})
			},
		},
	})
}
