package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

// scopeMCP is what a key needs to use the tools.
const scopeMCP = "mcp"

// newMCP serves what the agent can do as a tool of the Model Context Protocol,
// by its streamable HTTP transport. RequireKey stands before it: who calls is
// known by his key, and the tool works with that user's account and no other.
//
// Each request stands for itself, with no session beside the key: a deleted key
// is dead here as soon as anywhere, and any instance can answer.
func newMCP(a *agent) http.Handler {
	schemas := mcp.NewSchemaCache()
	return mcp.NewStreamableHTTPHandler(func(r *http.Request) *mcp.Server {
		caller, known := lanyard.PrincipalFrom(r.Context())
		if !known {
			return nil // nobody stands before us
		}
		t := &tools{agent: a, caller: caller, from: lanyard.RequestFrom(r.Context()), page: pageURL(r)}
		server := mcp.NewServer(&mcp.Implementation{Name: "aichub", Title: "AIC Hub", Version: "1"}, &mcp.ServerOptions{
			SchemaCache: schemas, Capabilities: &mcp.ServerCapabilities{},
		})
		mcp.AddTool(server, &mcp.Tool{
			Name: "my_issues", Title: "My issues",
			Description: "Lists the issues in Jira that are assigned to the user whose key calls.",
			Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
		}, t.myIssues)
		return server
	}, &mcp.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true,
		// It keeps pages of other sites from a server that asks for nothing. Ours
		// asks for a key, and has a public name in front of it.
		DisableLocalhostProtection: true,
	})
}

// tools are what one request can call, for who sent it.
type tools struct {
	agent  *agent
	caller lanyard.Principal
	from   lanyard.Request
	page   string // where he connects accounts
}

type myIssuesInput struct {
	Purpose string `json:"purpose" jsonschema:"what the issues are for, in a few words; the user reads it in the activity of the account"`
	Label   string `json:"label,omitempty" jsonschema:"which connection, if the user has several"`
}

type myIssuesOutput struct {
	Issues []issue `json:"issues"`
}

func (t *tools) myIssues(ctx context.Context, _ *mcp.CallToolRequest, in myIssuesInput) (_ *mcp.CallToolResult, _ myIssuesOutput, err error) {
	defer t.survive(ctx, &err)
	// The history says from where; the library in between need not hand it on.
	ctx = lanyard.WithRequest(lanyard.WithPrincipal(ctx, t.caller), t.from)
	issues, err := t.agent.issues(ctx, t.caller.Owner, in.Label, providertoken.Use{
		AgentID: "mcp:" + t.caller.KeyID, // each agent has a key of its own
		Purpose: in.Purpose,
	})
	if err != nil {
		p := t.agent.explain(ctx, err)
		if p.ConnectURL != "" {
			p.Detail += " The user can mend it at " + t.page
		}
		return nil, myIssuesOutput{}, errors.New(p.Detail) // the tool's own error, which a model gets to read
	}
	return nil, myIssuesOutput{issues}, nil
}

// survive turns a panic of a tool into an error. The library runs tools on a
// goroutine of its own, where a panic would end the process; net/http would have
// survived it.
func (t *tools) survive(ctx context.Context, err *error) {
	if recover() == nil {
		return
	}
	// What it panicked with may hold anything; the stack holds names only.
	t.agent.logger.ErrorContext(ctx, "a tool panicked", slog.String("stack", string(debug.Stack())))
	*err = errors.New("the tool failed")
}

// pageURL is where the caller of r finds the page for his connections, under the
// name by which he came. It is told to nobody else.
func pageURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host + pagePrefix + "/provider-tokens"
}
