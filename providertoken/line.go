package providertoken

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLines bounds how many connections this process keeps a line of.
const maxLines = 10_000

// line is what this process remembers of one connection beyond a client: its
// rate limit, and when things were last done that must not be done often.
type line struct {
	limits []*rate.Limiter

	mu       sync.Mutex
	usedAt   time.Time
	probedAt time.Time
}

// line returns the connection's line, which all its clients share.
func (s *Service) line(id string, limits Limits) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.lines[id]; ok {
		return l
	}
	if len(s.lines) >= maxLines {
		for other := range s.lines {
			delete(s.lines, other)
			break
		}
	}
	l := &line{}
	l.limit(limits.PerMinute, time.Minute)
	l.limit(limits.PerHour, time.Hour)
	s.lines[id] = l
	return l
}

// limit allows n requests in any span of that length: a fifth of them at once,
// the others evenly.
func (l *line) limit(n int, span time.Duration) {
	if n <= 0 {
		return
	}
	atOnce := max(1, n/5)
	evenly := max(1, n-atOnce)
	l.limits = append(l.limits, rate.NewLimiter(rate.Every(span/time.Duration(evenly)), atOnce))
}

func (s *Service) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lines, id)
}

// wait takes a place under the platform's limits. It returns ErrRateLimited
// when the caller's deadline is nearer than that place.
func (l *line) wait(ctx context.Context) error {
	for _, limit := range l.limits {
		if err := limit.Wait(ctx); err != nil {
			if ctx.Err() != nil {
				return unavailable(ctx.Err())
			}
			return fmt.Errorf("%w", ErrRateLimited)
		}
	}
	return nil
}

// due reports whether something was last done at least that long ago, and
// notes that it is done now.
func (l *line) due(last *time.Time, now time.Time, every time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !last.IsZero() && now.Sub(*last) < every {
		return false
	}
	*last = now
	return true
}
