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
	mu       sync.Mutex
	limits   []*rate.Limiter
	places   []*rate.Reservation // of one place, one for each limit
	usedAt   time.Time
	probedAt time.Time
	owed     bool // a probe, for which there was no place

	askedAt time.Time // for; guarded by Service.mu
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
		l = &line{}
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
	return today.Sub(l.probedAt) >= probeEvery && today.Sub(l.usedAt) >= useEvery
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
	l.places = append(l.places, nil)
}

func (s *Service) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lines, id)
}

// wait takes a place under the platform's limits and waits for it. It reports
// whether it had to. Who is not patient, or whose deadline is nearer than the
// place, gets a *RateLimitError at once, and the place is another's.
func (l *line) wait(ctx context.Context, patient bool) (waited bool, err error) {
	if len(l.limits) == 0 {
		return false, nil
	}
	now := time.Now() // of its monotonic part
	longest := time.Duration(0)
	if patient {
		longest = math.MaxInt64
		if end, ends := ctx.Deadline(); ends {
			longest = end.Sub(now)
		}
	}
	far, err := l.place(now, longest)
	if err != nil || far == 0 {
		return false, err
	}
	timer := time.NewTimer(far)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-ctx.Done(): // the place stays empty
		return true, unavailable(ctx.Err())
	}
}

// place takes the next place and returns how far off it is; one that is further
// than longest is not taken. Nobody else may take one in between: a reservation
// that is given back when there is a later one is lost.
func (l *line) place(now time.Time, longest time.Duration) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.placed(now, longest)
}

func (l *line) placed(now time.Time, longest time.Duration) (far time.Duration, err error) {
	for i, limit := range l.limits {
		l.places[i] = limit.ReserveN(now, 1)
		far = max(far, l.places[i].DelayFrom(now))
	}
	if far <= longest {
		return far, nil
	}
	for _, p := range l.places {
		p.CancelAt(now)
	}
	return 0, &RateLimitError{RetryAfter: far}
}

// mayProbe reports whether a 401 may make the service ask the platform now: at
// most once a minute, and like every request under the platform's limits.
func (l *line) mayProbe(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.probedAt.IsZero() && now.Sub(l.probedAt) < probeEvery {
		return false
	}
	if _, err := l.placed(time.Now(), 0); err != nil {
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
