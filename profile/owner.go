package profile

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

// Active returns nil, or lanyard.ErrDeactivated for a deactivated owner.
func (s *Service) Active(ctx context.Context, owner lanyard.Owner) (err error) {
	ctx, end := s.spans.Start(ctx, "profile.Active")
	defer end(&err)
	if err := s.active(ctx, owner); err != nil {
		return fmt.Errorf("profile: active: %w", err)
	}
	return nil
}

func (s *Service) active(ctx context.Context, owner lanyard.Owner) error {
	state, err := s.store.OwnerState(ctx, owner)
	if err == nil && state.Deactivated() {
		err = lanyard.ErrDeactivated
	}
	return err
}

// Deactivate bars an owner, known or not: his sessions are refused here and his
// keys everywhere. Nothing of his is lost. Deactivating twice changes nothing.
func (s *Service) Deactivate(ctx context.Context, owner lanyard.Owner) (err error) {
	ctx, end := s.spans.Start(ctx, "profile.Deactivate")
	defer end(&err)
	now := s.now()
	e := lanyard.NewEvent(ctx, now, owner, ActionDeactivated, "")
	err = s.store.Deactivate(ctx, owner, now, e)
	if err == nil {
		err = s.stateChanged(ctx, e)
	}
	if err != nil {
		return fmt.Errorf("profile: deactivate: %w", err)
	}
	return nil
}

// Reactivate lifts the bar. For an active owner it changes nothing.
func (s *Service) Reactivate(ctx context.Context, owner lanyard.Owner) (err error) {
	ctx, end := s.spans.Start(ctx, "profile.Reactivate")
	defer end(&err)
	e := lanyard.NewEvent(ctx, s.now(), owner, ActionReactivated, "")
	err = s.store.Reactivate(ctx, owner, e)
	if err == nil {
		err = s.stateChanged(ctx, e)
	}
	if err != nil {
		return fmt.Errorf("profile: reactivate: %w", err)
	}
	return nil
}

// stateChanged tells of e, unless the owner was in that state before: the store
// accepts that in silence and writes no event. Of several callers at once one
// made the change, so whether e was written is read and not guessed.
func (s *Service) stateChanged(ctx context.Context, e lanyard.Event) error {
	if s.written(ctx, e) {
		s.onEvent(ctx, e)
	}
	return s.tellOwnerChanged(ctx)
}

// written reports whether e is in the history. It reads what happened since;
// where it cannot, nobody hears of e.
func (s *Service) written(ctx context.Context, e lanyard.Event) bool {
	after := store.EventCursor{} // the newest
	for {
		events, err := s.store.Events(ctx, e.Owner, after, defaultPage)
		if err != nil {
			s.logger.WarnContext(ctx, "an event could not be told", slog.String("action", e.Action), slog.String("outcome", telemetry.Outcome(err)))
			return false
		}
		for _, found := range events {
			if found.ID == e.ID {
				return true
			}
			after = store.EventCursor{At: found.At, ID: found.ID}
		}
		if len(events) < defaultPage || after.At.Before(e.At) {
			return false
		}
	}
}

// Erase removes all that is kept about the owner, for good. One event of his
// tenant stays; it names neither him nor, where he did it himself, where from.
//
// An owner who is seen again afterwards begins anew, so a host ends his
// sessions first. A call that had read his key or connection before the erasure
// may still write its use into his history after it; a second Erase, once such
// calls have ended, removes that.
func (s *Service) Erase(ctx context.Context, owner lanyard.Owner) (err error) {
	ctx, end := s.spans.Start(ctx, "profile.Erase")
	defer end(&err)
	tenant := lanyard.Owner{Tenant: owner.Tenant}
	e := lanyard.NewEvent(ctx, s.now(), tenant, ActionErased, "")
	if e.Actor == owner {
		e.Actor, e.IP, e.UserAgent, e.Detail = tenant, "", "", nil
	}
	if err := s.store.Erase(ctx, owner, e); err != nil {
		return fmt.Errorf("profile: erase: %w", err)
	}
	s.onEvent(ctx, e)
	if err := s.tellOwnerChanged(ctx); err != nil {
		return fmt.Errorf("profile: erase: %w", err)
	}
	return nil
}

// tellOwnerChanged runs the host's hook after a change that stands.
func (s *Service) tellOwnerChanged(ctx context.Context) error {
	if err := s.ownerChanged(ctx); err != nil {
		s.logger.WarnContext(ctx, "caches were not told that an owner changed", slog.String("outcome", telemetry.Outcome(err)))
		return fmt.Errorf("done, but caches were not told: %w: %w", lanyard.ErrUnavailable, err)
	}
	return nil
}
