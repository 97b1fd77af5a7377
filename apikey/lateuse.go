package apikey

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

const (
	lateUseTimeout = 2 * time.Second
	maxLateUses    = 10_000
)

// lateUses knows which uses of deleted keys this process has written to the
// history, so that a tool nobody told of the deletion costs one write an hour.
// The zero value is ready to use.
type lateUses struct {
	mu   sync.Mutex
	told map[string]bool // by dedupe key
}

// claim reports whether nobody here has told of it yet, and lets the caller.
func (l *lateUses) claim(dedupeKey string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told[dedupeKey] {
		return false
	}
	if l.told == nil || len(l.told) >= maxLateUses {
		l.told = make(map[string]bool) // the store still has each only once
	}
	l.told[dedupeKey] = true
	return true
}

// release takes a claim back.
func (l *lateUses) release(dedupeKey string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.told, dedupeKey)
}

// usedAfterDelete tells the owner that a deleted key is still in use somewhere.
// Whether that succeeds changes nothing for who uses it.
func (s *Service) usedAfterDelete(ctx context.Context, k store.APIKey, now time.Time) {
	dedupeKey := ActionUsedAfterDelete + "/" + k.ID + "/" + now.Format("2006-01-02T15")
	if !s.late.claim(dedupeKey) {
		return
	}
	e := s.event(ctx, now, ActionUsedAfterDelete, k)
	e.Via, e.DedupeKey = lanyard.ViaAPIKey, dedupeKey

	// Who uses it must not keep the owner from hearing of it by hanging up.
	ctx = context.WithoutCancel(ctx)
	writing, cancel := context.WithTimeout(ctx, lateUseTimeout)
	defer cancel()
	err := s.store.Append(writing, e)
	switch {
	case err == nil:
		s.onEvent(ctx, e)
	case errors.Is(err, lanyard.ErrExists): // another process told it
	default:
		s.late.release(dedupeKey)
		s.logger.WarnContext(ctx, "use of a deleted api key was not recorded",
			slog.String("key_id", k.ID), slog.String("outcome", telemetry.Outcome(err)))
	}
}
