package apikey

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/aichub/lanyard/internal/telemetry"
)

const scope = "github.com/aichub/lanyard/apikey"

// How a verification can end, as its counter says it.
const (
	outcomeOK          = "ok"
	outcomeMalformed   = "malformed"   // no token of ours; the store was not asked
	outcomeUnknown     = "unknown"     // no such key
	outcomeDeleted     = "deleted"     // a key that was deleted
	outcomeIntegrity   = "integrity"   // a row that we did not write
	outcomeDeactivated = "deactivated" // a key of a deactivated owner
	outcomeExpired     = "expired"
	outcomeNetwork     = "network" // from outside of Options.Networks
	outcomeLimited     = "rate_limited"
	outcomeScope       = "scope"       // a good key without the scopes
	outcomeUnavailable = "unavailable" // store or key service down
	outcomeClosed      = "closed"
)

// verifications counts verifications by outcome.
type verifications struct {
	counter metric.Int64Counter
	by      map[string][]metric.AddOption // made once: Verify is called for every request
}

func newVerifications(mp metric.MeterProvider) (verifications, error) {
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	counter, err := mp.Meter(scope).Int64Counter("lanyard.apikey.verifications",
		metric.WithDescription("Verifications of API keys, by outcome."), metric.WithUnit("{verification}"))
	v := verifications{counter: counter, by: make(map[string][]metric.AddOption)}
	for _, outcome := range []string{
		outcomeOK, outcomeMalformed, outcomeUnknown, outcomeDeleted, outcomeIntegrity,
		outcomeDeactivated, outcomeExpired, outcomeNetwork, outcomeLimited, outcomeScope, outcomeUnavailable, outcomeClosed,
	} {
		set := attribute.NewSet(telemetry.OutcomeKey.String(outcome))
		v.by[outcome] = []metric.AddOption{metric.WithAttributeSet(set)}
	}
	return v, err
}

func (v verifications) add(ctx context.Context, outcome string) {
	v.counter.Add(ctx, 1, v.by[outcome]...)
}

// keyID is the attribute that names a key. An id that no key can have may be
// anything, a token too, and is left out.
func keyID(id string) []attribute.KeyValue {
	if !validID(id) {
		return nil
	}
	return []attribute.KeyValue{attribute.String("lanyard.key_id", id)}
}
