package main

import (
	"context"
	"log/slog"

	"github.com/aichub/lanyard"
)

// logEvents returns the hook that turns what happens to keys, tokens and
// profiles into lines of the log, for whoever watches those. A hook must not
// block: one that calls somebody hands over to a goroutine of its own (mail.go).
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
			slog.String("ip", e.IP))
	}
}
