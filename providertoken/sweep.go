package providertoken

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

const sweepPage = 500 // connections

// Sweep warns owners of connections whose credential expires within 30, 14, 7, 3
// and 1 days: one ActionExpiring in the history for each, which Options.OnEvent
// hears once, however many processes sweep and however often they start. It
// returns how many it wrote. m is a role of the store that the Service has.
//
// Only the nearest of these days is told, so a host that has not swept for long
// does not send five warnings; and only such as were still ahead when the
// credential was typed, so one with two days to live is warned of once, at one
// day. Nothing is said of a connection that is deleted, that the platform
// rejects already or that is not offered any more, nor to an owner who is
// deactivated. A credential that is replaced has warnings of its own.
//
// Call it about once an hour, from any instance or from all. It reads the
// connections that expire within 30 days, a page at a time, and asks the store
// about each only until this process knows of its warning, for about 10 000
// facts. A warning is given again only where the history it stands in was
// purged: keep that for 30 days.
//
// After an error, the warnings that are missing come with the next sweep.
func (s *Service) Sweep(ctx context.Context, m store.Maintenance) (warned int, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Sweep")
	defer end(&err)
	now := s.now()
	from, to := warning.Window(now)
	for after := ""; ; {
		rows, err := m.ExpiringProviderTokens(ctx, from, to, after, sweepPage)
		if err != nil {
			return warned, fmt.Errorf("providertoken: sweep: %w", err)
		}
		for _, row := range rows {
			done, err := s.warn(ctx, row, now)
			if err != nil {
				return warned, fmt.Errorf("providertoken: sweep: %w", err)
			}
			if done {
				warned++
			}
		}
		if len(rows) < sweepPage {
			return warned, nil
		}
		after = rows[len(rows)-1].ID
	}
}

// warn tells the owner of a row that it expires soon, and reports whether it
// did: not if somebody has told him before, and not if there is nothing to tell
// by now.
func (s *Service) warn(ctx context.Context, row store.ProviderToken, now time.Time) (bool, error) {
	days := warning.Due(now, written(row), row.ExpiresAt)
	if days == 0 {
		return false, nil
	}
	e := s.event(ctx, now, ActionExpiring, row).
		With(DetailDays, strconv.Itoa(days)).With(DetailExpiresAt, row.ExpiresAt.Format(time.RFC3339))
	e.DedupeKey = fmt.Sprintf("%s/%s/%s/%d", ActionExpiring, row.ID, row.ExpiresAt.Format(time.RFC3339Nano), days)
	if s.told.Has(fact(e)) {
		return false, nil
	}
	// The page is from a while ago, and says nothing of the owner.
	current, err := s.store.ProviderToken(ctx, row.Owner, row.ID)
	switch {
	case errors.Is(err, lanyard.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case !current.ExpiresAt.Equal(row.ExpiresAt), Verdict(current.Verdict).rejects():
		return false, nil
	}
	if _, err := s.destination(current); err != nil {
		return false, nil //nolint:nilerr // not offered any more
	}
	if err := s.active(ctx, row.Owner); err != nil {
		if errors.Is(err, lanyard.ErrDeactivated) {
			return false, nil
		}
		return false, err
	}
	return s.tell(ctx, e)
}
