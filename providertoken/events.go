package providertoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
)

// What an event's Detail says besides.
const (
	DetailProvider = "provider"
	DetailLabel    = "label"
	DetailVerdict  = "verdict" // with ActionNeedsAttention
	DetailAgent    = "agent"   // with ActionUsed
	DetailPurpose  = "purpose"
	DetailRevoked  = "revoked" // with ActionDeleted, where the platform can: "yes", or "no" if it did not
)

func (s *Service) event(ctx context.Context, at time.Time, action string, row store.ProviderToken) lanyard.Event {
	return lanyard.NewEvent(ctx, at, row.Owner, action, row.ID).
		With(DetailProvider, row.ProviderID).With(DetailLabel, row.Label)
}

// recordUse notes that a client was lent. It is written once an hour for each
// agent and purpose; if the history cannot be written nothing is lent.
func (s *Service) recordUse(ctx context.Context, row store.ProviderToken, use Use, now time.Time) error {
	e := s.event(ctx, now, ActionUsed, row).With(DetailAgent, use.AgentID).With(DetailPurpose, use.Purpose)
	e.DedupeKey = fmt.Sprintf("used:%s:%s:%q:%q", row.ID, now.Format("2006-01-02T15"), use.AgentID, use.Purpose)
	err := s.store.Append(ctx, e)
	switch {
	case errors.Is(err, lanyard.ErrExists):
		return nil
	case err != nil:
		return err
	}
	s.onEvent(ctx, e)
	return nil
}

// alarm logs what an operator has to look at: a row that does not open.
func (s *Service) alarm(ctx context.Context, row store.ProviderToken, field string, err error) {
	s.logger.ErrorContext(ctx, "provider token does not open",
		slog.String("token_id", row.ID), slog.String("field", field), slog.Any("error", err))
}
