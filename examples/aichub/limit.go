package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/aichub/lanyard"
)

// limiter lets a user make so many calls a minute to this instance: saving or
// verifying a provider token makes a call to somebody else.
type limiter struct {
	mu    sync.Mutex
	began time.Time
	calls map[lanyard.Owner]int
}

const callsPerMinute = 300

// wait is what httpadapter.Config.Limit asks for.
func (l *limiter) wait(_ *http.Request, p lanyard.Principal) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	age := time.Since(l.began)
	if age >= time.Minute {
		l.began, l.calls, age = time.Now(), make(map[lanyard.Owner]int), 0
	}
	l.calls[p.Owner]++
	if l.calls[p.Owner] > callsPerMinute {
		return time.Minute - age
	}
	return 0
}
