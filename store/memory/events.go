package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Append implements [store.Events].
func (s *Store) Append(ctx context.Context, e lanyard.Event) error {
	unlock, err := s.lock(ctx, store.ValidateEvent(e))
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkEvent(e); err != nil {
		return err
	}
	s.addEvent(e)
	return nil
}

// Events implements [store.Events].
func (s *Store) Events(ctx context.Context, owner lanyard.Owner, after store.EventCursor, limit int) ([]lanyard.Event, error) {
	unlock, err := s.lock(ctx, owner.Validate(), after.Validate())
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.eventsOf(owner, after, limit), nil
}

// Erasures implements [store.Maintenance].
func (s *Store) Erasures(ctx context.Context, tenant string, after store.EventCursor, limit int) ([]lanyard.Event, error) {
	unlock, err := s.lock(ctx, after.Validate())
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.eventsOf(lanyard.Owner{Tenant: tenant}, after, limit), nil
}

func (s *Store) eventsOf(owner lanyard.Owner, after store.EventCursor, limit int) []lanyard.Event {
	var found []lanyard.Event
	for _, e := range s.events {
		if e.Owner == owner && (after.ID == "" || newestFirst(lanyard.Event{At: after.At, ID: after.ID}, e) < 0) {
			found = append(found, copyEvent(e))
		}
	}
	slices.SortFunc(found, newestFirst)
	return found[:max(0, min(limit, len(found)))]
}

func newestFirst(a, b lanyard.Event) int {
	return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.ID, b.ID))
}

// checkEvent reports what stands against storing e. It is asked before a
// change is made, so that a change without its event cannot happen.
func (s *Store) checkEvent(e lanyard.Event) error {
	for _, other := range s.events {
		sameFact := e.DedupeKey != "" && other.Owner == e.Owner && other.DedupeKey == e.DedupeKey
		if sameFact || other.ID == e.ID {
			return failed("event", lanyard.ErrExists)
		}
	}
	return nil
}

func (s *Store) addEvent(e lanyard.Event) { s.events = append(s.events, copyEvent(e)) }

func copyEvent(e lanyard.Event) lanyard.Event {
	e.At = store.Instant(e.At)
	e.Detail = cloneMap(e.Detail)
	return e
}
