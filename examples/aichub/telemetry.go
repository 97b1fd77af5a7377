package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// telemetry is where an instance's spans and metrics go. Another exporter, as
// OTLP's, takes the place of the two here and nothing else changes.
type telemetry struct {
	traces  *sdktrace.TracerProvider
	metrics *sdkmetric.MeterProvider
}

// newTelemetry writes one line of JSON a span to w, and one a minute for the
// metrics.
func newTelemetry(instance string, w io.Writer) (*telemetry, error) {
	spans, err := stdouttrace.New(stdouttrace.WithWriter(w))
	if err != nil {
		return nil, err
	}
	numbers, err := stdoutmetric.New(stdoutmetric.WithWriter(w))
	if err != nil {
		return nil, err
	}
	// OpenTelemetry's semantic conventions, "Service".
	from := resource.NewSchemaless(
		attribute.String("service.name", "aichub"),
		attribute.String("service.instance.id", instance),
	)
	return &telemetry{
		traces:  sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(from)),
		metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(numbers)), sdkmetric.WithResource(from)),
	}, nil
}

// close writes what was not written yet.
func (t *telemetry) close(ctx context.Context) error {
	return errors.Join(t.traces.Shutdown(ctx), t.metrics.Shutdown(ctx))
}

// requests opens a span for each request and measures it. Both are named by
// the route and never by the path or the query, in which people put keys.
func (t *telemetry) requests(next http.Handler) (http.Handler, error) {
	const scope = "github.com/aichub/lanyard/examples/aichub"
	tracer := t.traces.Tracer(scope)
	// OpenTelemetry's semantic conventions, "HTTP metrics".
	took, err := t.metrics.Meter(scope).Float64Histogram("http.server.request.duration", metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ctx, span := tracer.Start(r.Context(), "request", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		r = r.WithContext(ctx)
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)

		route := r.Pattern // the mux has written it there
		if route == "" {
			route = "none"
		}
		attributes := []attribute.KeyValue{
			attribute.String("http.route", route),
			attribute.Int("http.response.status_code", answer.status),
		}
		span.SetName(route)
		span.SetAttributes(attributes...)
		if answer.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		took.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(attributes...))
	}), nil
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
