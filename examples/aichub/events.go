package main

import (
	"context"
	"log/slog"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// logEvents returns the hook that turns what happens to keys, tokens and
// profiles into lines of the log, for whoever watches those. A hook must not
// block: one that calls somebody would hand over to a goroutine of its own.
//
// The history itself is in the database, committed with each change. A hook
// hears of it at most once, so count on the history and not on the log.
func logEvents(logger *slog.Logger) func(context.Context, lanyard.Event) {
	return func(ctx context.Context, e lanyard.Event) {
		logger.InfoContext(ctx, "event",
			slog.String("action", e.Action),
			slog.String("object", e.Object),
			slog.String("tenant", e.Owner.Tenant),
			slog.String("owner", e.Owner.Subject),
			slog.String("actor", e.Actor.Subject),
			slog.String("via", string(e.Via)),
			slog.String("request_id", e.RequestID),
			slog.String("ip", e.IP),
			slog.Bool("mail_owner", worthAMail(e)))
	}
}

// worthAMail are the events that an owner should hear of although he is not
// looking at the page. This is where a host hands over to what sends its mail;
// e.Detail has the key's name, and of one that expires the days it has left.
func worthAMail(e lanyard.Event) bool {
	switch e.Action {
	case apikey.ActionExpiring, apikey.ActionLeaked, apikey.ActionUsedAfterDelete, apikey.ActionRefusedNetwork:
		return true
	}
	return false
}
