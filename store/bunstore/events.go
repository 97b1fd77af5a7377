package bunstore

import (
	"cmp"
	"context"

	"github.com/uptrace/bun"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

type eventRow struct {
	bun.BaseModel `bun:"table:lanyard_events,alias:ev"`

	ID           string                      `bun:"id,pk"`
	Tenant       string                      `bun:"tenant"`
	Subject      string                      `bun:"subject"`
	At           instant                     `bun:"at"`
	ActorTenant  string                      `bun:"actor_tenant"`
	ActorSubject string                      `bun:"actor_subject"`
	Via          string                      `bun:"via"`
	Action       string                      `bun:"action"`
	Object       string                      `bun:"object"`
	RequestID    string                      `bun:"request_id"`
	IP           string                      `bun:"ip"`
	UserAgent    string                      `bun:"user_agent"`
	DedupeKey    *string                     `bun:"dedupe_key"`
	Detail       document[map[string]string] `bun:"detail"`
}

func (r *eventRow) toRecord() lanyard.Event {
	return lanyard.Event{
		ID: r.ID, At: r.At.Time,
		Owner:  lanyard.Owner{Tenant: r.Tenant, Subject: r.Subject},
		Actor:  lanyard.Owner{Tenant: r.ActorTenant, Subject: r.ActorSubject},
		Via:    lanyard.Via(r.Via),
		Action: r.Action, Object: r.Object,
		RequestID: r.RequestID, IP: r.IP, UserAgent: r.UserAgent,
		DedupeKey: orEmpty(r.DedupeKey), Detail: r.Detail.value,
	}
}

func eventFromRecord(e lanyard.Event) *eventRow {
	return &eventRow{
		ID: e.ID, At: instant{e.At},
		Tenant: e.Owner.Tenant, Subject: e.Owner.Subject,
		ActorTenant: e.Actor.Tenant, ActorSubject: e.Actor.Subject,
		Via: string(e.Via), Action: e.Action, Object: e.Object,
		RequestID: e.RequestID, IP: e.IP, UserAgent: e.UserAgent,
		DedupeKey: orNull(e.DedupeKey), Detail: document[map[string]string]{e.Detail},
	}
}

// addEvent stores the event of a change in the transaction of the change.
func addEvent(ctx context.Context, tx bun.Tx, e lanyard.Event) error {
	_, err := tx.NewInsert().Model(eventFromRecord(e)).Exec(ctx)
	return err
}

// Append implements [store.Events].
func (s *Store) Append(ctx context.Context, e lanyard.Event) error {
	return s.change(ctx, "Append", check(e), func(ctx context.Context, tx bun.Tx) error {
		return addEvent(ctx, tx, e)
	})
}

// Events implements [store.Events].
func (s *Store) Events(ctx context.Context, owner lanyard.Owner, after store.EventCursor, limit int) ([]lanyard.Event, error) {
	return s.events(ctx, "Events", owner.Validate(), owner, after, limit)
}

// Erasures implements [store.Maintenance].
func (s *Store) Erasures(ctx context.Context, tenant string, after store.EventCursor, limit int) ([]lanyard.Event, error) {
	return s.events(ctx, "Erasures", checkText("tenant", tenant), lanyard.Owner{Tenant: tenant}, after, limit)
}

func (s *Store) events(ctx context.Context, method string, refused error, owner lanyard.Owner, after store.EventCursor, limit int) ([]lanyard.Event, error) {
	refused = cmp.Or(refused, after.Validate())
	return read(ctx, s, method, refused, func(ctx context.Context) ([]lanyard.Event, error) {
		if limit <= 0 {
			return nil, nil
		}
		var rows []eventRow
		q := s.db.NewSelect().Model(&rows).ApplyQueryBuilder(owned(owner)).
			OrderExpr("at DESC, id").Limit(int64(limit))
		if after.ID != "" {
			at := instant{after.At}
			q = q.Where("at <= ?", at).Where("(at < ? OR id > ?)", at, after.ID)
		}
		if err := q.Scan(ctx); err != nil {
			return nil, err
		}
		var events []lanyard.Event
		for i := range rows {
			events = append(events, rows[i].toRecord())
		}
		return events, nil
	})
}
