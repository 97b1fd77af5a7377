package apikey

import (
	"context"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// What the history says about keys. The Object of each is the key's id, that
// of ActionRotated the old key's.
const (
	ActionCreated  = "api_key.created"
	ActionRenamed  = "api_key.renamed"
	ActionRotated  = "api_key.rotated"
	ActionDeleted  = "api_key.deleted"
	ActionImported = "api_key.imported"
	ActionLeaked   = "api_key.leaked"   // it was found where anybody can read it, and deleted
	ActionExpiring = "api_key.expiring" // once for each of 30, 14, 7, 3 and 1 days

	// Once an hour and key.
	ActionUsedAfterDelete = "api_key.used_after_delete"
	ActionUsedAfterRotate = "api_key.used_after_rotate" // in its grace, or later in vain
	ActionRefusedNetwork  = "api_key.refused_network"   // a good key from outside of Options.Networks
)

// What an event's Detail says besides.
const (
	DetailName      = "name"       // of the key, after the change
	DetailSuccessor = "successor"  // with ActionRotated: the id of the new key
	DetailSource    = "source"     // with ActionLeaked: who found it and in what, as "github/commit"
	DetailHost      = "host"       // with ActionLeaked: the host it was found on
	DetailDays      = "days"       // with ActionExpiring: it expires within so many
	DetailExpiresAt = "expires_at" // with ActionExpiring: when, in RFC 3339
)

func (s *Service) event(ctx context.Context, at time.Time, action string, k store.APIKey) lanyard.Event {
	return lanyard.NewEvent(ctx, at, k.Owner, action, k.ID).With(DetailName, k.Name)
}
