package providertoken

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// RecheckOptions configures [Service.Recheck]. The zero value is ready to use.
type RecheckOptions struct {
	// After is how long a platform's word for a credential is taken as good
	// before it is asked again. Defaults to 7 days.
	After time.Duration

	// Most is how many connections one call asks about. Defaults to 100;
	// negative means no limit.
	Most int
}

const (
	defaultRecheckAfter = 7 * 24 * time.Hour
	defaultRecheckMost  = 100
	recheckPage         = 500 // connections
)

// Recheck asks the platforms about connections that nobody asked about for
// long, so that an owner hears of a credential that was ended elsewhere before an
// agent needs it, and one that was stored while its platform was away becomes
// connected. It keeps what they say as Verify does, and returns how many it asked
// about. m is a role of the store that the Service has.
//
// It asks gently. One connection after the other, each once a day at most by
// however many processes: an ActionChecking in the history says that somebody
// does it, before he does. None twice for a 401: what a platform rejects is left
// to its owner, as is what has expired. None with a password that a wrong try
// counts against (Method.Lockout). None whose platform's rate limit is used up by
// agents. None that is not offered any more or cannot be verified, and none of an
// owner who is deactivated.
//
// Call it about once an hour, from any instance or from all. It reads all
// connections, a page at a time. After an error, what is missing comes with the
// next call.
func (s *Service) Recheck(ctx context.Context, m store.Maintenance, o *RecheckOptions) (asked int, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Recheck")
	defer end(&err)
	var opt RecheckOptions
	if o != nil {
		opt = *o
	}
	if opt.After <= 0 {
		opt.After = defaultRecheckAfter
	}
	if opt.Most == 0 {
		opt.Most = defaultRecheckMost
	}
	for after := ""; ; {
		rows, err := m.AllProviderTokens(ctx, after, recheckPage)
		if err != nil {
			return asked, fmt.Errorf("providertoken: recheck: %w", err)
		}
		for _, row := range rows {
			if opt.Most >= 0 && asked >= opt.Most {
				return asked, nil
			}
			done, err := s.recheck(ctx, row, opt.After)
			if done {
				asked++
			}
			// One that does not open, or was changed just now, stops no other.
			if errors.Is(err, lanyard.ErrUnavailable) || ctx.Err() != nil {
				return asked, fmt.Errorf("providertoken: recheck: %w", err)
			}
		}
		if len(rows) < recheckPage {
			return asked, nil
		}
		after = rows[len(rows)-1].ID
	}
}

// stale reports whether a row is one to ask about: nobody did for so long, and
// there is nothing against doing it unasked.
func (s *Service) stale(row store.ProviderToken, now time.Time, after time.Duration) bool {
	d, err := s.destination(row)
	switch {
	case err != nil, d.method.Lockout, d.offer.def.Unverifiable:
		return false
	case Verdict(row.Verdict).rejects(), !row.ExpiresAt.IsZero() && !now.Before(row.ExpiresAt):
		return false
	}
	return row.CheckedAt.IsZero() || now.Sub(row.CheckedAt) >= after
}

// recheck asks about one row of a page, and reports whether it did.
func (s *Service) recheck(ctx context.Context, row store.ProviderToken, after time.Duration) (bool, error) {
	now := s.now()
	mark := func(row store.ProviderToken) lanyard.Event {
		e := s.event(ctx, now, ActionChecking, row)
		e.DedupeKey = ActionChecking + "/" + row.ID + "/" + now.Format(time.DateOnly)
		return e
	}
	if !s.stale(row, now, after) || s.told.Has(fact(mark(row))) {
		return false, nil
	}
	// The page is from a while ago, and says nothing of the owner.
	row, err := s.store.ProviderToken(ctx, row.Owner, row.ID)
	if errors.Is(err, lanyard.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = s.active(ctx, row.Owner)
	}
	if err != nil || !s.stale(row, now, after) {
		return false, err
	}
	if !s.line(row.ID, s.byID[row.ProviderID].def.Limits).mayProbe(now) {
		return false, nil
	}
	first, err := s.tell(ctx, mark(row))
	if err != nil || !first {
		return false, err
	}
	f, err := s.examine(ctx, row)
	if err == nil {
		_, err = s.note(ctx, row, f)
	}
	return true, err
}
