package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"ok":              nil,
		"invalid":         &lanyard.InputError{Field: "name"},
		"not_found":       &lanyard.NotConnectedError{Provider: "jira"},
		"exists":          lanyard.ErrExists,
		"conflict":        lanyard.ErrConflict,
		"limit":           lanyard.ErrLimit,
		"unauthenticated": lanyard.ErrUnauthenticated,
		"deactivated":     lanyard.ErrDeactivated,
		"forbidden":       lanyard.ErrForbidden,
		"closed":          lanyard.ErrClosed,
		"canceled":        fmt.Errorf("%w: %w", lanyard.ErrUnavailable, context.Canceled),
		"timeout":         fmt.Errorf("%w: %w", lanyard.ErrUnavailable, context.DeadlineExceeded),
		"unavailable":     lanyard.ErrUnavailable,
		"error":           errors.New("something else"),
	} {
		if err != nil {
			err = fmt.Errorf("wrapped: %w", err)
		}
		if got := telemetry.Outcome(err); got != want {
			t.Errorf("Outcome(%v) = %q, want %q", err, got, want)
		}
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	spans := telemetry.NewSpans(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)), "example.com/p")
	call := func(result error) (err error) {
		_, end := spans.Start(t.Context(), "p.Call", attribute.String("lanyard.key_id", "k1"))
		defer end(&err)
		return result
	}
	_ = call(nil)
	_ = call(fmt.Errorf("text of a driver: %w", lanyard.ErrConflict))

	ended := recorder.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans ended, want 2", len(ended))
	}
	for i, want := range []struct {
		outcome string
		status  sdktrace.Status
	}{
		{"ok", sdktrace.Status{Code: codes.Unset}},
		{"conflict", sdktrace.Status{Code: codes.Error, Description: "conflict"}},
	} {
		span := ended[i]
		if span.Name() != "p.Call" || span.InstrumentationScope().Name != "example.com/p" || span.Status() != want.status {
			t.Errorf("span = %s of %s with status %v, want p.Call of example.com/p with %v",
				span.Name(), span.InstrumentationScope().Name, span.Status(), want.status)
		}
		attrs := attribute.NewSet(span.Attributes()...)
		wantAttrs := attribute.NewSet(attribute.String("lanyard.key_id", "k1"), telemetry.OutcomeKey.String(want.outcome))
		if !attrs.Equals(&wantAttrs) {
			t.Errorf("attributes = %v, want %v", attrs.ToSlice(), wantAttrs.ToSlice())
		}
	}
}
