package apikey

import (
	"context"

	"github.com/aichub/lanyard"
)

// factKey names a fact, or an alarm, that is told once an hour and key.
type factKey struct {
	action string
	id     string
	hour   int64
}

// note tells the owner of what somebody does with his key, once an hour. It
// changes nothing for who does it.
func (s *Service) note(ctx context.Context, action string, v *verdict, c *Call) {
	now := s.now()
	if !s.told.Claim(factKey{action: action, id: v.id, hour: now.Unix() / 3600}) {
		return
	}
	e := lanyard.NewEvent(lanyard.WithRequest(ctx, c.from(ctx)), now, v.owner, action, v.id).With(DetailName, v.name)
	e.Via, e.DedupeKey = lanyard.ViaAPIKey, action+"/"+v.id+"/"+now.Format("2006-01-02T15")
	s.uses.tell(ctx, e)
}
