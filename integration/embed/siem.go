package embed

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/aichub/lanyard"
)

// toSIEM writes events as the Elastic Common Schema names them, one a line.
func toSIEM(events *slog.Logger) func(context.Context, lanyard.Event) {
	return func(ctx context.Context, e lanyard.Event) {
		events.InfoContext(ctx, "history",
			slog.Group("event", slog.Time("created", e.At), slog.String("id", e.ID), slog.String("action", e.Action)),
			slog.Group("organization", slog.String("id", e.Owner.Tenant)),
			slog.Group("user", slog.String("id", e.Owner.Subject), slog.Group("effective", slog.String("id", e.Actor.Subject))),
			slog.Group("source", slog.String("ip", e.IP)),
			slog.Group("user_agent", slog.String("original", e.UserAgent)),
			slog.Group("http", slog.Group("request", slog.String("id", e.RequestID))),
			slog.Group("lanyard", slog.String("via", string(e.Via)), slog.String("object", e.Object), slog.Any("detail", e.Detail)))
	}
}

// historySince sends what the table has since then, in its order, and returns
// where the next call goes on. That is a minute before the newest, because a
// change may be committed after one that began later: what is sent twice has the
// same id.
func historySince(ctx context.Context, db *sql.DB, since time.Time, send func(context.Context, lanyard.Event)) (time.Time, error) {
	const page = 500
	at, id := since.UnixMicro(), ""
	for {
		rows, err := db.QueryContext(ctx, `SELECT id, at, tenant, subject, actor_tenant, actor_subject, via, action, object,
			request_id, ip, user_agent, COALESCE(detail, 'null')
			FROM lanyard_events WHERE (at, id) > ($1, $2) ORDER BY at, id LIMIT $3`, at, id, page)
		if err != nil {
			return since, err
		}
		n := 0
		for ; rows.Next(); n++ {
			var e lanyard.Event
			var detail []byte
			if err := rows.Scan(&e.ID, &at, &e.Owner.Tenant, &e.Owner.Subject, &e.Actor.Tenant, &e.Actor.Subject, &e.Via, &e.Action,
				&e.Object, &e.RequestID, &e.IP, &e.UserAgent, &detail); err != nil {
				_ = rows.Close()
				return since, err
			}
			_ = json.Unmarshal(detail, &e.Detail) // somebody else's row is sent without
			e.At, id = time.UnixMicro(at).UTC(), e.ID
			send(ctx, e)
		}
		if err := rows.Err(); err != nil {
			return since, err
		}
		if newest := time.UnixMicro(at).Add(-time.Minute); newest.After(since) {
			since = newest
		}
		if n < page {
			return since, nil
		}
	}
}
