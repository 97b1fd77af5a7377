package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A check that fails makes the instance unready, says which and not why, and
// leaves it alive; it heals by itself, and nobody makes it ask more than once a
// second.
func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broken error
		asked := 0
		log := newOutput()
		h := &health{instance: "a", logger: slog.New(slog.NewJSONHandler(log, nil)), checks: []check{
			{"store", func(context.Context) error { asked++; return broken }},
			{"key_service", func(context.Context) error { return nil }},
		}}
		ask := func(f http.HandlerFunc) (int, string) {
			w := httptest.NewRecorder()
			f(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
			return w.Code, w.Body.String()
		}
		if status, body := ask(h.ready); status != http.StatusOK || body != `{"status":"ready","instance":"a","checks":{"key_service":"ok","store":"ok"}}`+"\n" {
			t.Errorf("readyz = %d %s, want 200 and both ok", status, body)
		}
		broken = errors.New("canary")
		for range 10 {
			if status, _ := ask(h.ready); status != http.StatusOK {
				t.Errorf("readyz within a second = %d, want the same answer as before", status)
			}
		}
		if asked != 1 {
			t.Errorf("the store was asked %d times within a second, want once", asked)
		}
		<-time.After(resultAge) // of the bubble's clock
		status, body := ask(h.ready)
		if status != http.StatusServiceUnavailable || !strings.Contains(body, `"store":"failed"`) || !strings.Contains(body, `"key_service":"ok"`) || strings.Contains(body, "canary") {
			t.Errorf("readyz with a broken store = %d %s, want 503, which one and no reason", status, body)
		}
		if !strings.Contains(log.String(), "canary") {
			t.Errorf("the log says %s, want the reason", log)
		}
		if status, _ := ask(h.alive); status != http.StatusOK {
			t.Errorf("healthz with a broken store = %d, want 200", status)
		}
		broken = nil
		<-time.After(resultAge) // of the bubble's clock
		if status, _ := ask(h.ready); status != http.StatusOK {
			t.Errorf("readyz with the store mended = %d, want 200", status)
		}
		h.drain()
		if status, body := ask(h.ready); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
			t.Errorf("readyz while draining = %d %s, want 503", status, body)
		}
	})
}

// A check that hangs is one that failed, and a caller who left spoils nothing.
func TestReadinessOfWhatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		h := &health{logger: slog.New(slog.DiscardHandler), checks: []check{{"store", hangs}}}
		began := time.Now()
		if result, failed := h.check(t.Context()); !failed || result["store"] != "failed" || time.Since(began) != checkTimeout {
			t.Errorf("check = %v, %v after %v, want a failure after %v", result, failed, time.Since(began), checkTimeout)
		}
		h = &health{logger: slog.New(slog.DiscardHandler), checks: []check{{"store", func(ctx context.Context) error { return ctx.Err() }}}}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if result, failed := h.check(gone); failed {
			t.Errorf("check for a caller who left = %v, want it to succeed for the others", result)
		}
	})
}
