package providertoken

import (
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxLines is how many connections this process keeps a line of before it
	// forgets those at rest.
	maxLines = 10_000

	// restAfter is when a line that nobody asks for may be at rest.
	restAfter = time.Minute
)

// line is what this process remembers of one connection beyond a client: its
// rate limit, and when things were last done that must not be done often.
type line struct {
	first chan struct{} // holds one token, of whoever is first of those who wait

	mu       sync.Mutex
	limits   []*rate.Limiter
	waiting  int
	usedAt   time.Time
	probedAt time.Time
	owed     bool // a probe, for which there was no place

	askedAt time.Time // when somebody last wanted it; guarded by Service.mu
}

// line returns the connection's line, which all its clients share.
func (s *Service) line(id string, limits Limits) *line {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.lines[id]
	if !ok {
		if len(s.lines) >= max(maxLines, s.busy) {
			s.forgetLines(now)
		}
		l = &line{first: make(chan struct{}, 1)}
		l.limit(limits.PerMinute, s.processes, time.Minute)
		l.limit(limits.PerHour, s.processes, time.Hour)
		s.lines[id] = l
	}
	l.askedAt = now
	return l
}

// forgetLines drops the lines at rest, which are as good as new ones. One that is
// not would give its connection places that it has taken already.
func (s *Service) forgetLines(now time.Time) {
	today := s.now()
	for id, l := range s.lines {
		if now.Sub(l.askedAt) >= restAfter && l.atRest(now, today) {
			delete(s.lines, id)
		}
	}
	s.busy = 2 * len(s.lines) // so that this is not done for each one more
}

// atRest reports whether nothing that was done by now, by the service's clock
// today, counts any more.
func (l *line) atRest(now, today time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, limit := range l.limits {
		if limit.TokensAt(now) < float64(limit.Burst()) {
			return false
		}
	}
	return l.waiting == 0 && today.Sub(l.probedAt) >= probeEvery && today.Sub(l.usedAt) >= useEvery
}

// limit allows this one of so many processes its share of n requests in any span
// of that length: a fifth of them at once, the others evenly.
func (l *line) limit(n, processes int, span time.Duration) {
	if n <= 0 {
		return
	}
	n = max(1, n/processes)
	atOnce := max(1, n/5)
	evenly := max(1, n-atOnce)
	l.limits = append(l.limits, rate.NewLimiter(rate.Every(span/time.Duration(evenly)), atOnce))
}

func (s *Service) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lines, id)
}

// wait takes a place under the platform's limits and waits for it in turn. It
// reports whether it had to. Who is not patient, or whose deadline is nearer than
// the place, gets a *RateLimitError at once. Who leaves takes no place with him.
func (l *line) wait(ctx context.Context, patient bool) (waited bool, err error) {
	if len(l.limits) == 0 {
		return false, nil
	}
	longest := time.Duration(0)
	if patient {
		longest = math.MaxInt64
		if end, ends := ctx.Deadline(); ends {
			longest = time.Until(end)
		}
	}
	if waits, err := l.enter(longest); !waits {
		return false, err
	}
	defer l.leave()
	select {
	case l.first <- struct{}{}:
		defer func() { <-l.first }()
	case <-ctx.Done():
		return true, unavailable(ctx.Err())
	}
	for {
		far := l.take()
		if far == 0 {
			return true, nil
		}
		timer := time.NewTimer(far)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return true, unavailable(ctx.Err())
		}
	}
}

// enter takes a place if there is one now, behind all who wait, and else reports
// that there is one to wait for, which is no further than longest.
func (l *line) enter(longest time.Duration) (waits bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch far := l.takeBehind(l.waiting); {
	case far == 0:
		return false, nil
	case far > longest:
		return false, &RateLimitError{RetryAfter: far}
	}
	l.waiting++
	return true, nil
}

func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
}

// take takes a place for the first of those who wait, or returns how far off it
// is.
func (l *line) take() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takeBehind(0)
}

// takeBehind takes the place behind so many others if it is there now, in all
// limits, or returns how far off it is and takes none.
func (l *line) takeBehind(others int) (far time.Duration) {
	now := time.Now() // of its monotonic part
	for _, limit := range l.limits {
		missing := float64(others+1) - limit.TokensAt(now)
		far = max(far, time.Duration(math.Round(missing/float64(limit.Limit())*float64(time.Second))))
	}
	if far == 0 {
		for _, limit := range l.limits {
			limit.ReserveN(now, 1)
		}
	}
	return far
}

// mayProbe reports whether a 401 may make the service ask the platform now: at
// most once a minute, and like every request under the platform's limits.
func (l *line) mayProbe(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.probedAt.IsZero() && now.Sub(l.probedAt) < probeEvery {
		return false
	}
	if l.takeBehind(l.waiting) > 0 {
		return false
	}
	l.probedAt, l.owed = now, false
	return true
}

// owe notes that a probe has to be made up for, unless there was one just now.
func (l *line) owe(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed = l.probedAt.IsZero() || now.Sub(l.probedAt) >= probeEvery
}

// owes reports whether a probe has to be made up for, and notes that it is.
func (l *line) owes(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.owed {
		return false
	}
	l.probedAt, l.owed = now, false
	return true
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
