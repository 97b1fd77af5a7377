package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

// agent lists the issues of whoever calls it, with that user's own account. It
// never sees the token: it is lent an http.Client that can use it and nothing
// else.
type agent struct {
	tokens   *providertoken.Service
	logger   *slog.Logger
	provider string // whose connection it uses
	search   string // where that Jira answers searches
	timeout  time.Duration
}

// newAgent returns an agent for the organisation's own Jira, or for Jira Cloud
// where there is none.
func newAgent(tokens *providertoken.Service, jira providertoken.Instance, logger *slog.Logger) *agent {
	a := &agent{tokens: tokens, logger: logger, timeout: callTimeout}
	if jira.Base != "" {
		// Jira Data Center REST API, "search".
		a.provider, a.search = jira.ID, "/rest/api/2/search"
	} else {
		// Jira Cloud REST API v3, "Issue search"; the older paths are gone.
		a.provider, a.search = "jira-cloud", "/rest/api/3/search/jql"
	}
	return a
}

type issue struct {
	Key     string `json:"key"`
	Summary string `json:"summary"`
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller, _ := lanyard.PrincipalFrom(r.Context()) // RequireKey put it there
	issues, err := a.issues(r.Context(), caller.Owner, r.URL.Query().Get("label"),
		providertoken.Use{AgentID: "aichub", Purpose: "list my issues"})
	if err != nil {
		p := a.explain(r.Context(), err)
		if p.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		writeProblem(w, p)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", map[string][]issue{"issues": issues})
}

// issues lists what is assigned to the owner. It only reads, whoever asks, and
// ends although a caller's context may not: a tool's lasts longer than its
// request.
func (a *agent) issues(ctx context.Context, owner lanyard.Owner, label string, use providertoken.Use) ([]issue, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	use.ReadOnly = true
	client, err := a.tokens.Client(ctx, owner, providertoken.Ref{Provider: a.provider, Label: label}, &use)
	if err != nil {
		return nil, err
	}
	connections, err := a.tokens.Tokens(ctx, owner)
	if err != nil {
		return nil, err
	}
	base, ok := baseOf(connections, a.provider, label)
	if !ok { // deleted just now
		return nil, &lanyard.NotConnectedError{Provider: a.provider}
	}
	query := url.Values{"jql": {"assignee = currentUser()"}, "fields": {"summary"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+a.search+"?"+query.Encode(), nil)
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
		issues = append(issues, issue{i.Key, i.Fields.Summary})
	}
	return issues, nil
}

// baseOf returns where the API of a user's connection begins. The client goes
// there and nowhere else.
func baseOf(connections []providertoken.Token, provider, label string) (base string, ok bool) {
	for _, c := range connections {
		if c.ProviderID == provider && (label == "" || c.Label == label) {
			return c.Base, true
		}
	}
	return "", false
}

// explain tells a user who can mend it how, and others only that it failed.
func (a *agent) explain(ctx context.Context, err error) problem {
	var (
		notConnected *lanyard.NotConnectedError
		input        *lanyard.InputError
	)
	mend := func(detail string) problem {
		return problem{Status: http.StatusConflict, Detail: detail, ConnectURL: pagePrefix + "/provider-tokens"}
	}
	switch {
	case errors.As(err, &notConnected):
		return mend("You are not connected to Jira.")
	case errors.Is(err, providertoken.ErrAmbiguous):
		return mend("You have several connections to Jira. Name one by its label.")
	case errors.Is(err, providertoken.ErrNeedsAttention), errors.Is(err, providertoken.ErrNotOffered):
		return mend("Your connection to Jira does not work any more.")
	case errors.As(err, &input):
		return problem{Status: http.StatusUnprocessableEntity, Detail: input.Field + ": " + input.Message}
	case errors.Is(err, lanyard.ErrForbidden):
		return problem{Status: http.StatusForbidden, Detail: "Your account may not use its connections now."}
	case errors.Is(err, lanyard.ErrUnavailable), errors.Is(err, providertoken.ErrRateLimited):
		return problem{Status: http.StatusServiceUnavailable, Detail: "Try again in a moment."}
	default:
		a.logger.WarnContext(ctx, "agent could not list issues", slog.String("error", err.Error()))
		return problem{Status: http.StatusBadGateway, Detail: "Jira did not answer as expected."}
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
