package main

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// health answers whether an instance lives and whether to send it requests.
type health struct {
	instance string
	checks   []check
	logger   *slog.Logger
	draining atomic.Bool

	mu     sync.Mutex // held while the checks run, so that they never overlap
	at     time.Time
	result map[string]string
	failed bool
}

// check is one thing an instance cannot serve without.
type check struct {
	name string
	run  func(context.Context) error
}

// A result is good for resultAge: anybody may ask, and each check costs calls
// to the database and the key service.
const (
	resultAge    = time.Second
	checkTimeout = 3 * time.Second
)

// drain makes the instance unready for good. It goes on serving.
func (h *health) drain() { h.draining.Store(true) }

// alive is for whoever restarts a process that hangs. It asks nobody: a
// database that is away is not mended by a restart.
func (h *health) alive(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "alive", "instance": h.instance})
}

// ready is for whoever sends requests.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Status   string            `json:"status"`
		Instance string            `json:"instance"`
		Checks   map[string]string `json:"checks,omitempty"`
	}{"ready", h.instance, nil}
	status := http.StatusOK
	if h.draining.Load() {
		answer.Status, status = "draining", http.StatusServiceUnavailable
	} else if checks, failed := h.check(r.Context()); failed {
		answer.Status, answer.Checks, status = "unready", checks, http.StatusServiceUnavailable
	} else {
		answer.Checks = checks
	}
	writeJSON(w, status, "application/json", answer)
}

// check returns "ok" or "failed" for each check. Why is for the log.
func (h *health) check(ctx context.Context) (result map[string]string, failed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) < resultAge {
		return h.result, h.failed
	}
	ctx = context.WithoutCancel(ctx) // others are told the same result
	h.result, h.failed = make(map[string]string), false
	for _, c := range h.checks {
		h.result[c.name] = "ok"
		if err := within(ctx, checkTimeout, c.run); err != nil {
			h.result[c.name], h.failed = "failed", true
			h.logger.WarnContext(ctx, "readiness check failed", slog.String("check", c.name), slog.Any("error", err))
		}
	}
	h.at = time.Now()
	return h.result, h.failed
}
