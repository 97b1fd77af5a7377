package apikey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/warning"
	"github.com/aichub/lanyard/store"
)

const sweepPage = 500 // keys

// Sweep warns owners of keys that expire within 30, 14, 7, 3 and 1 days: one
// ActionExpiring in the history for each, which Options.OnEvent hears once,
// however many processes sweep and however often they start. It returns how many
// it wrote. m is a role of the store that the Service has.
//
// Only the nearest of these days is told, so a host that has not swept for long
// does not send five warnings; and only such as were still ahead when the key was
// made, so a key with two days to live is warned of once, at one day. A key that
// was rotated is warned of before its grace ends. Nothing is said of a key that
// is deleted or has expired, nor to an owner who is deactivated.
//
// Call it about once an hour, from any instance or from all. It reads the keys
// that expire within 30 days, a page at a time, and asks the store about each
// only until this process knows of its warning, for about 10 000 keys. A warning
// is given again only where the history it stands in was purged: keep that for
// 30 days.
//
// After an error, the warnings that are missing come with the next sweep.
func (s *Service) Sweep(ctx context.Context, m store.Maintenance) (warned int, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Sweep")
	defer end(&err)
	if s.closed.Load() {
		return 0, errClosed
	}
	now := s.now()
	from, to := warning.Window(now)
	for after := ""; ; {
		keys, err := m.ExpiringAPIKeys(ctx, from, to, after, sweepPage)
		if err != nil {
			return warned, fmt.Errorf("apikey: sweep: %w", err)
		}
		for _, k := range keys {
			done, err := s.warn(ctx, k, now)
			if err != nil {
				return warned, fmt.Errorf("apikey: sweep: %w", err)
			}
			if done {
				warned++
			}
		}
		if len(keys) < sweepPage {
			return warned, nil
		}
		after = keys[len(keys)-1].ID
	}
}

// warn tells k's owner that it expires soon, and reports whether it did: not if
// somebody has told him before, and not if there is nothing to tell by now.
func (s *Service) warn(ctx context.Context, k store.APIKey, now time.Time) (bool, error) {
	days := warning.Due(now, k.CreatedAt, k.ExpiresAt)
	if days == 0 {
		return false, nil
	}
	dedupeKey := fmt.Sprintf("%s/%s/%s/%d", ActionExpiring, k.ID, k.ExpiresAt.Format(time.RFC3339Nano), days)
	if !s.warned.Claim(dedupeKey) {
		return false, nil
	}
	told := false
	defer func() {
		if !told {
			s.warned.Release(dedupeKey)
		}
	}()
	// The page is from a while ago, and says nothing of the owner.
	row, err := s.store.APIKeyByHash(ctx, k.Hash)
	switch {
	case errors.Is(err, lanyard.ErrNotFound):
		return false, nil
	case err != nil:
		return false, unavailable(err)
	case !row.Key.DeletedAt.IsZero(), !row.Key.ExpiresAt.Equal(k.ExpiresAt), row.Owner.Deactivated():
		return false, nil
	}
	e := s.event(ctx, now, ActionExpiring, k).
		With(DetailDays, strconv.Itoa(days)).With(DetailExpiresAt, k.ExpiresAt.Format(time.RFC3339))
	e.DedupeKey = dedupeKey
	err = s.store.Append(ctx, e)
	told = err == nil || errors.Is(err, lanyard.ErrExists)
	if err == nil {
		s.onEvent(ctx, e)
		return true, nil
	}
	if told {
		return false, nil
	}
	return false, err
}
