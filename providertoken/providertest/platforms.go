package providertest

import (
	"net/http"
)

// JiraDataCenter is a Jira that takes personal access tokens as Bearer. Besides
// /rest/api/2/myself it serves a search with the account's issues.
func JiraDataCenter(accounts func(token string) (Account, bool)) *Fake {
	myself := func(w http.ResponseWriter, a Account) {
		w.Header().Set("X-AUSERNAME", a.ID)
		writeJSON(w, http.StatusOK, map[string]any{
			"name": a.ID, "key": "JIRAUSER" + a.ID, "displayName": a.Name, "emailAddress": a.Email, "active": true,
		})
	}
	return newFake(accounts, platform{
		token: bearer, whoami: "/rest/api/2/myself", tell: myself,
		reject: func(w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", `OAuth realm="jira"`)
			writeHTML(w, http.StatusUnauthorized, "<title>Unauthorized (401)</title>")
		},
		lies: jiraLies(myself),
		data: map[string]func(http.ResponseWriter, *http.Request, Account){"/rest/api/2/search": searchIssues},
	})
}

// JiraCloud is a site at atlassian.net with API tokens in Basic credentials.
func JiraCloud(accounts func(token string) (Account, bool)) *Fake {
	myself := func(w http.ResponseWriter, a Account) {
		writeJSON(w, http.StatusOK, map[string]any{"accountId": a.ID, "displayName": a.Name, "emailAddress": a.Email})
	}
	return newFake(accounts, platform{
		token: password, whoami: "/rest/api/3/myself", tell: myself,
		reject: func(w http.ResponseWriter) {
			writeHTML(w, http.StatusUnauthorized, "Client must be authenticated to access this resource.")
		},
		lies: jiraLies(myself),
	})
}

// jiraLies: both Jiras serve a token they did not take as anonymous, with 200
// and a header that says so.
func jiraLies(myself func(http.ResponseWriter, Account)) map[Lie]func(http.ResponseWriter, *http.Request, Account) {
	with := func(name, value string) func(http.ResponseWriter, *http.Request, Account) {
		return func(w http.ResponseWriter, _ *http.Request, _ Account) {
			w.Header().Set(name, value)
			myself(w, Account{ID: "anonymous", Name: "Anonymous"})
		}
	}
	return map[Lie]func(http.ResponseWriter, *http.Request, Account){
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

// Businessmap takes keys in a header called apikey and tells its rate limit in
// the body.
func Businessmap(accounts func(token string) (Account, bool)) *Fake {
	return newFake(accounts, platform{
		token:  func(r *http.Request) string { return r.Header.Get("apikey") },
		whoami: "/api/v2/me",
		tell: func(w http.ResponseWriter, a Account) {
			w.Header().Set("X-RateLimit-PerMinute-Remaining", "29")
			writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{
				"user_id": a.ID, "username": a.ID, "realname": a.Name, "email": a.Email,
			}})
		},
		reject: func(w http.ResponseWriter) {
			writeJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]string{"message": "The API key is not valid."}})
		},
		lies: map[Lie]func(http.ResponseWriter, *http.Request, Account){
			Busy: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				writeJSON(w, http.StatusTooManyRequests, map[string]any{"error": map[string]any{
					"code": "RL02", "message": "Rate limit reached.", "retry_after": 42,
				}})
			},
		},
	})
}

// anonymousID is who Azure DevOps names where nobody signed in.
const anonymousID = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

// AzureDevOps is an organization that takes personal access tokens as Basic
// passwords. It serves below any organization's path.
func AzureDevOps(accounts func(token string) (Account, bool)) *Fake {
	tell := func(w http.ResponseWriter, a Account) {
		w.Header().Set("X-VSS-UserData", a.ID+":"+a.Email)
		writeJSON(w, http.StatusOK, map[string]any{"authenticatedUser": map[string]any{
			"id": a.ID, "providerDisplayName": a.Name,
			"properties": map[string]any{"Account": map[string]string{"$type": "System.String", "$value": a.Email}},
		}})
	}
	return newFake(accounts, platform{
		token: password, whoami: "/_apis/connectionData", tell: tell,
		reject: func(w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", `Basic realm="https://dev.azure.com/"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		lies: map[Lie]func(http.ResponseWriter, *http.Request, Account){
			SignInPage: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				writeHTML(w, http.StatusNonAuthoritativeInfo, "<title>Azure DevOps Services | Sign In</title>")
			},
			Redirect: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				w.Header().Set("Location", "https://spsprodeus1.vssps.visualstudio.com/_signin")
				w.WriteHeader(http.StatusFound)
			},
			NoRight: func(w http.ResponseWriter, _ *http.Request, a Account) {
				w.Header().Set("X-VSS-UserData", a.ID+":"+a.Email)
				writeJSON(w, http.StatusForbidden, map[string]string{"message": "Access denied."})
			},
			Unseen: func(w http.ResponseWriter, _ *http.Request, a Account) {
				w.Header().Set("X-VSS-UserData", a.ID+":"+a.Email)
				writeJSON(w, http.StatusNotFound, map[string]string{"message": "The resource cannot be found."})
			},
			Anonymous: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				tell(w, Account{ID: anonymousID, Name: "Anonymous"})
			},
		},
	})
}

// ServiceNow is an instance that takes passwords and API keys.
func ServiceNow(accounts func(token string) (Account, bool)) *Fake {
	tell := func(w http.ResponseWriter, a Account) {
		writeJSON(w, http.StatusOK, map[string]any{"result": map[string]string{
			"user_sys_id": "sys-" + a.ID, "user_name": a.ID, "user_display_name": a.Name,
		}})
	}
	return newFake(accounts, platform{
		token: func(r *http.Request) string {
			if key := r.Header.Get("x-sn-apikey"); key != "" {
				return key
			}
			return password(r)
		},
		whoami: "/api/now/ui/user/current_user", tell: tell,
		reject: func(w http.ResponseWriter) {
			writeJSON(w, http.StatusUnauthorized, map[string]any{
				"error": map[string]string{"message": "User Not Authenticated"}, "status": "failure",
			})
		},
		lies: map[Lie]func(http.ResponseWriter, *http.Request, Account){
			SignInPage: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				writeHTML(w, http.StatusOK, "<title>Your instance is hibernating</title>")
			},
			Anonymous: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				tell(w, Account{ID: "guest", Name: "Guest"})
			},
		},
	})
}

// GitHub is api.github.com with personal access tokens.
func GitHub(accounts func(token string) (Account, bool)) *Fake {
	return newFake(accounts, platform{
		token: bearer, whoami: "/user",
		tell: func(w http.ResponseWriter, a Account) {
			w.Header().Set("X-OAuth-Scopes", "repo, user")
			w.Header().Set("GitHub-Authentication-Token-Expiration", "2030-01-02 03:04:05 UTC")
			writeJSON(w, http.StatusOK, map[string]any{"id": 583231, "login": a.ID, "name": a.Name, "email": a.Email})
		},
		reject: func(w http.ResponseWriter) {
			writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		},
		lies: map[Lie]func(http.ResponseWriter, *http.Request, Account){
			Busy: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				w.Header().Set("X-RateLimit-Remaining", "0")
				writeJSON(w, http.StatusForbidden, map[string]string{"message": "API rate limit exceeded"})
			},
		},
	})
}
