package providertoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// What the history says about connections. The Object of each is the
// connection's id.
const (
	ActionCreated        = "provider_token.created"
	ActionUpdated        = "provider_token.updated"
	ActionDeleted        = "provider_token.deleted"
	ActionVerified       = "provider_token.verified"        // the platform named the account
	ActionNeedsAttention = "provider_token.needs_attention" // the platform rejected the credential
	ActionUsed           = "provider_token.used"            // a client was lent; once an hour, agent and purpose
	ActionCalled         = "provider_token.called"          // a Forwarder called; once an hour, agent, purpose, method, host and status
	ActionExpiring       = "provider_token.expiring"        // written by Sweep
	ActionChecking       = "provider_token.checking"        // written by Recheck, before it asks
)

// What an event's Detail says besides.
const (
	DetailProvider = "provider"
	DetailLabel    = "label"
	DetailVerdict  = "verdict" // with ActionNeedsAttention
	DetailAgent    = "agent"   // with ActionUsed and ActionCalled
	DetailPurpose  = "purpose"
	DetailRevoked  = "revoked" // with ActionDeleted, where the platform can: "yes", or "no" if it did not

	DetailMethod = "method" // with ActionCalled
	DetailHost   = "host"   // the platform's, with its port where that is not 443
	DetailStatus = "status" // of the answer; "0" where there was none

	DetailDays      = "days"       // with ActionExpiring: 30, 14, 7, 3 or 1
	DetailExpiresAt = "expires_at" // with ActionExpiring, RFC 3339
)

// Call is one request that went to a platform, as Options.OnCall hears it.
type Call struct {
	At       time.Time
	Owner    lanyard.Owner
	TokenID  string
	Provider string
	AgentID  string
	Purpose  string
	Method   string
	Host     string // with its port where that is not 443
	Status   int    // 0 = no answer
	Took     time.Duration
}

func (s *Service) event(ctx context.Context, at time.Time, action string, row store.ProviderToken) lanyard.Event {
	return lanyard.NewEvent(ctx, at, row.Owner, action, row.ID).
		With(DetailProvider, row.ProviderID).With(DetailLabel, row.Label)
}

// recordUse notes that a client was lent. It is written once an hour for each
// agent and purpose; if the history cannot be written nothing is lent.
func (s *Service) recordUse(ctx context.Context, row store.ProviderToken, use Use, now time.Time) error {
	e := s.event(ctx, now, ActionUsed, row).With(DetailAgent, use.AgentID).With(DetailPurpose, use.Purpose)
	e.DedupeKey = fmt.Sprintf("used:%s:%s:%q:%q", row.ID, now.Format(hourly), use.AgentID, use.Purpose)
	_, err := s.tell(ctx, e)
	return err
}

// hourly is the layout of what the history has once an hour.
const hourly = "2006-01-02T15"

// tell writes a fact into the history unless it is there, and reports whether it
// did.
func (s *Service) tell(ctx context.Context, e lanyard.Event) (bool, error) {
	if s.told.Has(fact(e)) {
		return false, nil
	}
	err := s.store.Append(ctx, e)
	if err != nil && !errors.Is(err, lanyard.ErrExists) {
		return false, err
	}
	s.told.Claim(fact(e)) // not before: who comes second relies on what stands there
	if err != nil {
		return false, nil //nolint:nilerr // somebody else told it
	}
	s.onEvent(ctx, e)
	return true, nil
}

// fact names what an event tells, as the store's unique key does.
func fact(e lanyard.Event) string {
	return e.Owner.Tenant + "\x00" + e.Owner.Subject + "\x00" + e.DedupeKey
}

// record notes a request that went out: never its path, query or body. A store
// that cannot take it is no reason to keep the answer from the caller, because
// the platform has done what it was asked to.
func (l *lease) record(ctx context.Context, now *sight, req *http.Request, res *http.Response, took time.Duration) {
	s := l.service
	c := Call{
		At: s.now(), Owner: l.owner, TokenID: l.id, Provider: l.provider, AgentID: l.use.AgentID, Purpose: l.use.Purpose,
		Method: recorded(req.Method), Host: strings.TrimSuffix(strings.ToLower(req.URL.Host), ":443"), Took: took,
	}
	if res != nil {
		c.Status = res.StatusCode
	}
	s.onCall(ctx, c)
	if s.logger.Enabled(ctx, slog.LevelDebug) {
		s.logger.LogAttrs(ctx, slog.LevelDebug, "provider called",
			slog.String("token_id", c.TokenID), slog.String("provider", c.Provider), slog.String("agent", c.AgentID),
			slog.String("purpose", c.Purpose), slog.String("method", c.Method), slog.String("host", c.Host),
			slog.Int("status", c.Status), slog.Duration("took", c.Took), slog.String("request_id", lanyard.RequestFrom(ctx).ID))
	}
	if !l.forwards {
		return
	}
	status := strconv.Itoa(c.Status)
	e := s.event(ctx, c.At, ActionCalled, now.row).With(DetailAgent, c.AgentID).With(DetailPurpose, c.Purpose).
		With(DetailMethod, c.Method).With(DetailHost, c.Host).With(DetailStatus, status)
	e.DedupeKey = fmt.Sprintf("called:%s:%s:%q:%q:%s:%s:%s", c.TokenID, c.At.Format(hourly), c.AgentID, c.Purpose, c.Method, c.Host, status)
	// The caller may be gone by now; that he called is true all the same.
	if _, err := s.tell(context.WithoutCancel(ctx), e); err != nil {
		s.logger.ErrorContext(ctx, "call is not in the history", slog.String("token_id", c.TokenID), slog.Any("error", err))
	}
}

// recorded is a method as it is recorded: somebody else may have made it up.
func recorded(method string) string {
	switch {
	case method == "":
		return http.MethodGet
	case len(method) > 20:
		return method[:20]
	}
	return method
}

// alarm logs what an operator has to look at: a row that does not open.
func (s *Service) alarm(ctx context.Context, row store.ProviderToken, field string, err error) {
	s.logger.ErrorContext(ctx, "provider token does not open",
		slog.String("token_id", row.ID), slog.String("field", field), slog.Any("error", err))
}
