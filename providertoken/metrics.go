package providertoken

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/aichub/lanyard/internal/telemetry"
)

const scope = "github.com/aichub/lanyard/providertoken"

// The attributes of spans and metrics: ids and names, never a value a user
// typed.
const (
	providerKey = attribute.Key("lanyard.provider")
	tokenKey    = attribute.Key("lanyard.token_id")
	verdictKey  = attribute.Key("lanyard.verdict")
	statusKey   = attribute.Key("http.response.status_code") // OpenTelemetry semantic conventions, HTTP
)

// metrics counts and times what is asked of platforms.
type metrics struct {
	calls         metric.Int64Counter
	duration      metric.Float64Histogram
	verifications metric.Int64Counter
	refusals      metric.Int64Counter

	answers sync.Map // the attributes of an answer, by answer
}

// answer is what a call is counted by.
type answer struct {
	provider string
	status   int
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
	verifications, err3 := meter.Int64Counter("lanyard.provider.verifications",
		metric.WithDescription("Verifications of connections, by provider and verdict."))
	refusals, err4 := meter.Int64Counter("lanyard.provider.refusals",
		metric.WithDescription("Requests of clients that were not sent, by provider and reason."))
	return &metrics{calls: calls, duration: duration, verifications: verifications, refusals: refusals}, errors.Join(err1, err2, err3, err4)
}

// refuse counts a request that was not sent.
func (m *metrics) refuse(ctx context.Context, provider string, err error) {
	reason := telemetry.Outcome(err)
	for _, known := range []struct {
		err  error
		name string
	}{
		{ErrForeignOrigin, "foreign_origin"}, {ErrReadOnly, "read_only"}, {ErrMethod, "method"}, {ErrRateLimited, "rate_limited"},
		{ErrNeedsAttention, "needs_attention"}, {ErrNotOffered, "not_offered"},
	} {
		if errors.Is(err, known.err) {
			reason = known.name
		}
	}
	m.refusals.Add(ctx, 1, metric.WithAttributes(providerKey.String(provider), telemetry.OutcomeKey.String(reason)))
}

func (m *metrics) call(ctx context.Context, provider string, res *http.Response, took time.Duration) {
	a := answer{provider: provider}
	if res != nil {
		a.status = res.StatusCode
	}
	attrs, ok := m.answers.Load(a)
	if !ok {
		set := attribute.NewSet(providerKey.String(provider), statusKey.Int(a.status))
		attrs, _ = m.answers.LoadOrStore(a, metric.WithAttributeSet(set))
	}
	by := attrs.(metric.MeasurementOption) //nolint:forcetypeassert // nothing else is stored
	m.calls.Add(ctx, 1, by)
	m.duration.Record(ctx, took.Seconds(), by)
}

func (m *metrics) verified(ctx context.Context, provider string, v Verdict) {
	m.verifications.Add(ctx, 1, metric.WithAttributes(providerKey.String(provider), verdictKey.String(string(v))))
}

// providerAttr names the provider if there is one of that id.
func (s *Service) providerAttr(id string) []attribute.KeyValue {
	if s.byID[id] == nil {
		return nil
	}
	return []attribute.KeyValue{providerKey.String(id)}
}

// tokenAttr names the connection if the id can be one.
func tokenAttr(id string) []attribute.KeyValue {
	if !validID(id) {
		return nil
	}
	return []attribute.KeyValue{tokenKey.String(id)}
}
