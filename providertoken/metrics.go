package providertoken

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const scope = "github.com/aichub/lanyard/providertoken"

// metrics counts and times calls of platforms. Attributes are the provider's
// id and the HTTP status.
type metrics struct {
	calls    metric.Int64Counter
	duration metric.Float64Histogram
}

func newMetrics(mp metric.MeterProvider) (*metrics, error) {
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	meter := mp.Meter(scope)
	calls, err1 := meter.Int64Counter("lanyard.provider.calls",
		metric.WithDescription("Requests sent to platforms, by provider and status; status 0 is no answer."))
	duration, err2 := meter.Float64Histogram("lanyard.provider.duration", metric.WithUnit("s"),
		metric.WithDescription("How long platforms took to begin their answer."))
	return &metrics{calls, duration}, errors.Join(err1, err2)
}

func (m *metrics) call(ctx context.Context, provider string, res *http.Response, took time.Duration) {
	status := 0
	if res != nil {
		status = res.StatusCode
	}
	attrs := metric.WithAttributes(attribute.String("provider", provider), attribute.Int("http.response.status_code", status))
	m.calls.Add(ctx, 1, attrs)
	m.duration.Record(ctx, took.Seconds(), attrs)
}
