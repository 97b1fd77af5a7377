package crypto

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/aichub/lanyard/crypto"

// telemetry is what the Sealer tells OpenTelemetry: names and outcomes, never
// a value, an owner or a key id.
type telemetry struct {
	tracer   trace.Tracer
	cache    metric.Int64Counter
	calls    metric.Int64Counter
	duration metric.Float64Histogram
}

func newTelemetry(tp trace.TracerProvider, mp metric.MeterProvider) (*telemetry, error) {
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	meter := mp.Meter(scope)
	cache, err := meter.Int64Counter("lanyard.sealer.cache",
		metric.WithDescription("Look-ups in the cache of owner keys, by outcome: hit or miss."))
	if err != nil {
		return nil, err
	}
	calls, err := meter.Int64Counter("lanyard.key_service.calls",
		metric.WithDescription("Calls of key services, by service, operation and outcome."))
	if err != nil {
		return nil, err
	}
	duration, err := meter.Float64Histogram("lanyard.key_service.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of calls of key services."))
	if err != nil {
		return nil, err
	}
	return &telemetry{tracer: tp.Tracer(scope), cache: cache, calls: calls, duration: duration}, nil
}

// start opens the span of one call of the Sealer; the function it returns
// closes it with the call's outcome.
func (t *telemetry) start(ctx context.Context, name string) (context.Context, func(error)) {
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, func(err error) { endSpan(span, err) }
}

// startCall does the same for one call of a key service, and counts and times it.
func (t *telemetry) startCall(ctx context.Context, service, operation string) (context.Context, func(error)) {
	began := time.Now()
	which := []attribute.KeyValue{
		attribute.String("lanyard.key_service", service),
		attribute.String("lanyard.operation", operation),
	}
	ctx, span := t.tracer.Start(ctx, "crypto."+operation,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(which...))
	return ctx, func(err error) {
		labels := metric.WithAttributes(append(which, attribute.String("lanyard.outcome", outcome(err)))...)
		t.calls.Add(ctx, 1, labels)
		t.duration.Record(ctx, time.Since(began).Seconds(), labels)
		endSpan(span, err)
	}
}

func (t *telemetry) countLookup(ctx context.Context, hit bool) {
	result := "miss"
	if hit {
		result = "hit"
	}
	t.cache.Add(ctx, 1, metric.WithAttributes(attribute.String("lanyard.outcome", result)))
}

func endSpan(span trace.Span, err error) {
	result := outcome(err)
	span.SetAttributes(attribute.String("lanyard.outcome", result))
	if err != nil {
		span.SetStatus(codes.Error, result)
	}
	span.End()
}
