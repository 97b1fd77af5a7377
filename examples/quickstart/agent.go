package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

// agent is what a hub of agents runs for its users. This one lists the issues
// of whoever calls it, from Jira, with that user's own account. It never sees
// the token: it is lent an http.Client that can use it and nothing else.
type agent struct {
	tokens *providertoken.Service
	jira   string // base URL
	page   string // where a user connects Jira
	logger *slog.Logger
}

type issue struct {
	Key     string `json:"key"`
	Summary string `json:"summary"`
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller, _ := lanyard.PrincipalFrom(r.Context()) // RequireKey put it there
	issues, err := a.issues(r, caller.Owner)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Issues []issue `json:"issues"`
	}{issues})
}

func (a *agent) issues(r *http.Request, owner lanyard.Owner) ([]issue, error) {
	ctx := r.Context()
	client, err := a.tokens.Client(ctx, owner,
		providertoken.Ref{Provider: jiraID, Label: r.URL.Query().Get("label")},
		&providertoken.Use{AgentID: "quickstart", Purpose: "list my issues", ReadOnly: true})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		a.jira+"/rest/api/2/search?jql=assignee%20%3D%20currentUser()&fields=summary", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutAddress(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("jira answered %d", resp.StatusCode)
	}
	var found struct {
		Issues []struct {
			Key    string
			Fields struct{ Summary string }
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&found); err != nil {
		return nil, fmt.Errorf("read jira's answer: %w", err)
	}
	issues := make([]issue, 0, len(found.Issues))
	for _, i := range found.Issues {
		issues = append(issues, issue{Key: i.Key, Summary: i.Fields.Summary})
	}
	return issues, nil
}

// refuse tells a user who can mend it how, and others only that it failed.
func (a *agent) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var notConnected *lanyard.NotConnectedError
	switch {
	case errors.As(err, &notConnected):
		writeProblem(w, problem{Status: http.StatusConflict, ConnectURL: a.page,
			Detail: "You are not connected to Jira. Connect on the page at connect_url."})
	case errors.Is(err, providertoken.ErrAmbiguous):
		writeProblem(w, problem{Status: http.StatusConflict, ConnectURL: a.page,
			Detail: "You have several connections to Jira. Name one with ?label=."})
	case errors.Is(err, providertoken.ErrNeedsAttention), errors.Is(err, providertoken.ErrNotOffered):
		writeProblem(w, problem{Status: http.StatusConflict, ConnectURL: a.page,
			Detail: "Your connection to Jira does not work any more. See the page at connect_url."})
	case errors.Is(err, lanyard.ErrForbidden):
		writeProblem(w, problem{Status: http.StatusForbidden, Detail: "Your account may not use its connections now."})
	case errors.Is(err, lanyard.ErrUnavailable), errors.Is(err, providertoken.ErrRateLimited):
		w.Header().Set("Retry-After", "5")
		writeProblem(w, problem{Status: http.StatusServiceUnavailable, Detail: "Try again in a moment."})
	default:
		a.logger.WarnContext(r.Context(), "agent could not list issues", slog.String("error", err.Error()))
		writeProblem(w, problem{Status: http.StatusBadGateway, Detail: "Jira did not answer as expected."})
	}
}

// withoutAddress takes out what a client says about the request: addresses and
// queries are not for the log.
func withoutAddress(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
