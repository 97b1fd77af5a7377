package profile

import (
	"context"
	"fmt"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

const (
	defaultPage = 50
	maxPage     = 200
)

// Page asks for a part of the history. The zero Page is its newest part.
type Page struct {
	Token string // opaque, from ActivityPage.Next of the same owner
	Limit int    // Defaults to 50; at most 200
}

// ActivityPage is one part of the history, newest first.
type ActivityPage struct {
	Events []lanyard.Event
	Next   string // "" = the end
}

// Activity returns a part of the owner's history. Pages neither skip nor repeat
// while events are added. A token that is not ours, or from another owner's
// history, is an *lanyard.InputError of field "page_token".
func (s *Service) Activity(ctx context.Context, owner lanyard.Owner, page Page) (_ ActivityPage, err error) {
	ctx, end := s.spans.Start(ctx, "profile.Activity")
	defer end(&err)
	limit := page.Limit
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 0 || limit > maxPage {
		return ActivityPage{}, fmt.Errorf("profile: activity: %w",
			&lanyard.InputError{Field: "limit", Code: lanyard.CodeInvalid, Message: "a page has 1 to 200 events"})
	}
	var after store.EventCursor
	if page.Token != "" {
		if after, err = decodeCursor(owner, page.Token); err != nil {
			return ActivityPage{}, fmt.Errorf("profile: activity: %w", err)
		}
	}
	events, err := s.store.Events(ctx, owner, after, limit+1)
	if err != nil {
		return ActivityPage{}, fmt.Errorf("profile: activity: %w", err)
	}
	if len(events) <= limit {
		return ActivityPage{Events: events}, nil
	}
	last := events[limit-1]
	return ActivityPage{
		Events: events[:limit],
		Next:   encodeCursor(owner, store.EventCursor{At: last.At, ID: last.ID}),
	}, nil
}
