package profile

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
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
	if err := s.setState(ctx, e, true, func() error { return s.store.Deactivate(ctx, owner, now, e) }); err != nil {
		return fmt.Errorf("profile: deactivate: %w", err)
	}
	return nil
}

// Reactivate lifts the bar. For an active owner it changes nothing.
func (s *Service) Reactivate(ctx context.Context, owner lanyard.Owner) (err error) {
	ctx, end := s.spans.Start(ctx, "profile.Reactivate")
	defer end(&err)
	e := lanyard.NewEvent(ctx, s.now(), owner, ActionReactivated, "")
	if err := s.setState(ctx, e, false, func() error { return s.store.Reactivate(ctx, owner, e) }); err != nil {
		return fmt.Errorf("profile: reactivate: %w", err)
	}
	return nil
}

// setState lets write bar e's owner or lift the bar, and tells of it if it was
// not so before: the store accepts that in silence and writes no event.
func (s *Service) setState(ctx context.Context, e lanyard.Event, barred bool, write func() error) error {
	before, err := s.store.OwnerState(ctx, e.Owner)
	if err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	if before.Deactivated() != barred {
		s.onEvent(ctx, e)
	}
	return s.tellOwnerChanged(ctx)
}

// Erase removes all that is kept about the owner, for good. One event of his
// tenant stays; it names neither him nor, where he did it himself, where from.
//
// An owner who is seen again afterwards begins anew, so a host ends his
// sessions first.
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
