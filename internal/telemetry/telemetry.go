// Package telemetry opens and closes the span of one call of a service and
// names how the call ended.
//
//	spans := telemetry.NewSpans(o.TracerProvider, "github.com/aichub/lanyard/apikey")
//
//	func (s *Service) Delete(ctx context.Context, …) (err error) {
//		ctx, end := s.spans.Start(ctx, "apikey.Delete")
//		defer end(&err)
//
// A span carries the outcome and what its caller gives it: ids and names,
// never the text of an error, because that may hold what a lower layer said.
package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
)

// OutcomeKey is the attribute that names how a call ended, in spans and in
// metrics. Its values are those of [Outcome].
const OutcomeKey = attribute.Key("lanyard.outcome")

// Spans opens the spans of one package.
type Spans struct{ tracer trace.Tracer }

// NewSpans returns the Spans of the package with that import path. A nil
// provider is OpenTelemetry's global one.
func NewSpans(tp trace.TracerProvider, path string) Spans {
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	return Spans{tracer: tp.Tracer(path)}
}

// Start opens the span of one call, named as "apikey.Create". The function it
// returns closes it with the outcome of the error that err points to then.
func (s Spans) Start(ctx context.Context, name string, attrs ...attribute.KeyValue) (_ context.Context, end func(err *error)) {
	ctx, span := s.tracer.Start(ctx, name, trace.WithAttributes(attrs...))
	return ctx, func(err *error) {
		outcome := Outcome(*err)
		span.SetAttributes(OutcomeKey.String(outcome))
		if *err != nil {
			span.SetStatus(codes.Error, outcome)
		}
		span.End()
	}
}

// Outcome names err by what it is: "ok" for nil, "error" for what is none of
// lanyard's errors.
func Outcome(err error) string {
	if err == nil {
		return "ok"
	}
	var input *lanyard.InputError
	if errors.As(err, &input) {
		return "invalid"
	}
	// A call that its caller gave up is also an ErrUnavailable: the narrower
	// name comes first.
	for _, known := range []struct {
		err  error
		name string
	}{
		{lanyard.ErrNotFound, "not_found"},
		{lanyard.ErrExists, "exists"},
		{lanyard.ErrConflict, "conflict"},
		{lanyard.ErrLimit, "limit"},
		{lanyard.ErrUnauthenticated, "unauthenticated"},
		{lanyard.ErrDeactivated, "deactivated"},
		{lanyard.ErrForbidden, "forbidden"},
		{lanyard.ErrClosed, "closed"},
		{context.Canceled, "canceled"},
		{context.DeadlineExceeded, "timeout"},
		{lanyard.ErrUnavailable, "unavailable"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	return "error"
}
