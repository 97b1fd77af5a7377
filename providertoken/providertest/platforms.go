package providertest

import (
	"net/http"
)

// Businessmap takes keys in a header called apikey and tells its rate limit in
// the body.
func Businessmap(accounts func(token string) (Account, bool)) *Fake {
	return newFake(accounts, platform{
		token:  func(r *http.Request) string { return r.Header.Get("apikey") },
		whoami: "/api/v2/me",
		tell: func(w http.ResponseWriter, a Account) {
			w.Header().Set("X-RateLimit-PerMinute-Remaining", "29")
			writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{
				"user_id": idOf(a), "username": a.ID, "realname": a.Name, "email": a.Email,
			}})
		},
		reject: func(w http.ResponseWriter) {
			writeJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]string{"message": "The API key is not valid."}})
		},
		lies: map[Lie]answer{
			Busy: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				w.Header().Set("X-RateLimit-PerMinute-Remaining", "0")
				w.Header().Set("X-RateLimit-PerHour-Remaining", "412")
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
			"id": idOf(a), "providerDisplayName": a.Name,
			"properties": map[string]any{"Account": map[string]string{"$type": "System.String", "$value": a.Email}},
		}})
	}
	return newFake(accounts, platform{
		token: password, whoami: "/_apis/connectionData", tell: tell,
		reject: func(w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", `Basic realm="https://dev.azure.com/"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		lies: map[Lie]answer{
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
	const table = "/api/now/table/sys_user"
	tell := func(w http.ResponseWriter, a Account) {
		user := map[string]any{"user_sys_id": nil, "user_name": a.ID, "user_display_name": a.Name}
		if a.ID != "" {
			user["user_sys_id"] = "sys-" + a.ID
		}
		writeJSON(w, http.StatusOK, map[string]any{"result": user})
	}
	rows := func(accounts ...Account) answer {
		return func(w http.ResponseWriter, r *http.Request, a Account) {
			if !below(r, table) {
				writeJSON(w, http.StatusNotFound, map[string]any{"error": map[string]string{"message": "Requested URI does not represent any resource"}})
				return
			}
			users := []any{}
			for _, u := range append(accounts, a)[:max(1, len(accounts))] {
				users = append(users, map[string]string{"sys_id": "sys-" + u.ID, "user_name": u.ID, "name": u.Name, "email": u.Email})
			}
			writeJSON(w, http.StatusOK, map[string]any{"result": users})
		}
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
		lies: map[Lie]answer{
			SignInPage: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				writeHTML(w, http.StatusOK, "<title>Your instance is hibernating</title>")
			},
			Anonymous: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				tell(w, Account{ID: "guest", Name: "Guest"})
			},
			OldRelease:    rows(),
			DroppedFilter: rows(Account{ID: "abel", Name: "Abel Tuter"}, Account{ID: "admin", Name: "System Administrator"}),
		},
		data: map[string]answer{table: rows()},
	})
}

// GitHub is api.github.com, or a GitHub Enterprise Server, with personal access
// tokens.
func GitHub(accounts func(token string) (Account, bool)) *Fake {
	return newFake(accounts, platform{
		token: bearer, whoami: "/user",
		tell: func(w http.ResponseWriter, a Account) {
			w.Header().Set("X-OAuth-Scopes", "repo, user")
			w.Header().Set("GitHub-Authentication-Token-Expiration", "2030-01-02 03:04:05 UTC")
			user := map[string]any{"id": nil, "login": a.ID, "name": a.Name, "email": a.Email}
			if a.ID != "" {
				user["id"] = 583231
			}
			writeJSON(w, http.StatusOK, user)
		},
		reject: func(w http.ResponseWriter) {
			writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		},
		lies: map[Lie]answer{
			Busy: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				w.Header().Set("X-RateLimit-Remaining", "0")
				writeJSON(w, http.StatusForbidden, map[string]string{"message": "API rate limit exceeded"})
			},
		},
	})
}

// GitLab is gitlab.com, or a GitLab of one's own, with personal access tokens
// in PRIVATE-TOKEN or as Bearer. They end on 2030-01-02.
func GitLab(accounts func(token string) (Account, bool)) *Fake {
	const self = "/personal_access_tokens/self"
	says := func(status int, kind, text string) answer {
		return func(w http.ResponseWriter, _ *http.Request, _ Account) {
			writeJSON(w, status, map[string]string{"error": kind, "error_description": text})
		}
	}
	return newFake(accounts, platform{
		token: func(r *http.Request) string {
			if token := r.Header.Get("PRIVATE-TOKEN"); token != "" {
				return token
			}
			return bearer(r)
		},
		whoami: "/user",
		tell: func(w http.ResponseWriter, a Account) {
			user := map[string]any{"id": nil, "username": a.ID, "name": a.Name, "email": a.Email, "state": "active"}
			if a.ID != "" {
				user["id"] = 4711
			}
			writeJSON(w, http.StatusOK, user)
		},
		reject: func(w http.ResponseWriter) {
			writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "401 Unauthorized"})
		},
		lies: map[Lie]answer{
			Expired: says(http.StatusUnauthorized, "invalid_token", "Token is expired. You can either do re-authorization or token refresh."),
			Revoked: says(http.StatusUnauthorized, "invalid_token", "Token was revoked. You have to re-authorize from the user."),
			NoRight: says(http.StatusForbidden, "insufficient_scope", "The request requires higher privileges than provided by the access token."),
		},
		data: map[string]answer{self: func(w http.ResponseWriter, r *http.Request, _ Account) {
			if r.Method == http.MethodDelete {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			writeJSON(w, http.StatusOK, map[string]any{
				"id": 1, "active": true, "revoked": false, "scopes": []string{"read_api"}, "expires_at": "2030-01-02",
			})
		}},
	})
}

// Slack is slack.com/api, which answers everything with 200 and says in the
// body whether it is true.
func Slack(accounts func(token string) (Account, bool)) *Fake {
	no := func(reason string) answer {
		return func(w http.ResponseWriter, _ *http.Request, _ Account) {
			writeJSON(w, http.StatusOK, map[string]any{"ok": false, "error": reason})
		}
	}
	return newFake(accounts, platform{
		token: bearer, method: http.MethodPost, whoami: "/auth.test",
		tell: func(w http.ResponseWriter, a Account) {
			w.Header().Set("X-OAuth-Scopes", "channels:read")
			writeJSON(w, http.StatusOK, map[string]any{
				"ok": true, "url": "https://acme.slack.com/", "team": "Acme", "team_id": "T0ACME", "user": a.Name, "user_id": idOf(a),
			})
		},
		reject: func(w http.ResponseWriter) { no("invalid_auth")(w, nil, Account{}) },
		lies: map[Lie]answer{
			Anonymous:   no("not_authed"),
			LoginFailed: no("account_inactive"),
			Expired:     no("token_expired"),
			Revoked:     no("token_revoked"),
			NoRight:     no("missing_scope"),
			NoIdentity: func(w http.ResponseWriter, _ *http.Request, _ Account) {
				writeJSON(w, http.StatusOK, map[string]any{"ok": true})
			},
		},
		data: map[string]answer{"/auth.revoke": func(w http.ResponseWriter, _ *http.Request, _ Account) {
			writeJSON(w, http.StatusOK, map[string]any{"ok": true, "revoked": true})
		}},
	})
}

// Notion is api.notion.com, whose tokens belong to a bot that has an owner.
func Notion(accounts func(token string) (Account, bool)) *Fake {
	says := func(status int, code, text string) answer {
		return func(w http.ResponseWriter, _ *http.Request, _ Account) {
			writeJSON(w, status, map[string]any{"object": "error", "status": status, "code": code, "message": text})
		}
	}
	return newFake(accounts, platform{
		token: bearer, whoami: "/users/me",
		tell: func(w http.ResponseWriter, a Account) {
			writeJSON(w, http.StatusOK, map[string]any{
				"object": "user", "id": idOf(a), "name": a.Name, "type": "bot", "bot": map[string]any{
					"workspace_name": "Acme", "owner": map[string]any{
						"type": "user", "user": map[string]any{"person": map[string]string{"email": a.Email}},
					},
				},
			})
		},
		reject: func(w http.ResponseWriter) {
			says(http.StatusUnauthorized, "unauthorized", "API token is invalid.")(w, nil, Account{})
		},
		lies: map[Lie]answer{
			NoRight: says(http.StatusForbidden, "restricted_resource", "Insufficient permissions for this endpoint."),
			Busy: func(w http.ResponseWriter, r *http.Request, a Account) {
				w.Header().Set("Retry-After", "3")
				says(http.StatusTooManyRequests, "rate_limited", "You have been rate limited.")(w, r, a)
			},
		},
	})
}

// Figma is api.figma.com, which answers 403 to a dead token and to a living one
// without the right.
func Figma(accounts func(token string) (Account, bool)) *Fake {
	says := func(text string) answer {
		return func(w http.ResponseWriter, _ *http.Request, _ Account) {
			writeJSON(w, http.StatusForbidden, map[string]any{"status": http.StatusForbidden, "err": text})
		}
	}
	return newFake(accounts, platform{
		token: func(r *http.Request) string { return r.Header.Get("X-Figma-Token") }, whoami: "/me",
		tell: func(w http.ResponseWriter, a Account) {
			writeJSON(w, http.StatusOK, map[string]any{"id": idOf(a), "handle": a.Name, "email": a.Email})
		},
		reject: func(w http.ResponseWriter) { says("Invalid token")(w, nil, Account{}) },
		lies: map[Lie]answer{
			NoRight: says("Invalid scope(s): files:read. This endpoint requires the current_user:read scope"),
			Expired: says("Token expired"),
		},
	})
}
