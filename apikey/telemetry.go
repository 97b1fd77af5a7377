package apikey

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/aichub/lanyard/internal/telemetry"
)

const scope = "github.com/aichub/lanyard/apikey"

// outcome is how a verification ended.
type outcome uint8

const (
	outcomeOK          outcome = iota
	outcomeMalformed           // no token of ours; the store was not asked
	outcomeUnknown             // no such key
	outcomeDeleted             // a key that was deleted
	outcomeIntegrity           // a row that we did not write
	outcomeDeactivated         // a key of a deactivated owner
	outcomeExpired
	outcomeNetwork     // from outside of Options.Networks
	outcomeRateLimited // more often than Options.Rate
	outcomeScope       // a good key without the scopes
	outcomeUnavailable // store or key service down
	outcomeClosed
	outcomes
)

// outcomeNames are how the counter says it.
var outcomeNames = [outcomes]string{
	"ok", "malformed", "unknown", "deleted", "integrity", "deactivated", "expired",
	"network", "rate_limited", "scope", "unavailable", "closed",
}

// instruments are what the service measures.
type instruments struct {
	verifications metric.Int64Counter
	by            [outcomes][]metric.AddOption // made once: Verify is called for every request
	reads         metric.Int64Counter
	watching      metric.Registration
}

// newInstruments returns the instruments; age says how old the last poll is, or
// that there was none.
func newInstruments(mp metric.MeterProvider, age func() (time.Duration, bool)) (*instruments, error) {
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	meter := mp.Meter(scope)
	verifications, err := meter.Int64Counter("lanyard.apikey.verifications",
		metric.WithDescription("Verifications of API keys, by outcome."), metric.WithUnit("{verification}"))
	reads, readsErr := meter.Int64Counter("lanyard.apikey.reads",
		metric.WithDescription("Reads of a key from the store; a verification without one was answered from memory."), metric.WithUnit("{read}"))
	pollAge, ageErr := meter.Float64ObservableGauge("lanyard.apikey.poll.age",
		metric.WithDescription("Time since the epochs were asked for that are known now."), metric.WithUnit("s"))
	if err := errors.Join(err, readsErr, ageErr); err != nil {
		return nil, err
	}
	m := &instruments{verifications: verifications, reads: reads}
	for o, name := range outcomeNames {
		m.by[o] = []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(telemetry.OutcomeKey.String(name)))}
	}
	m.watching, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if age, ok := age(); ok {
			o.ObserveFloat64(pollAge, age.Seconds())
		}
		return nil
	}, pollAge)
	return m, err
}

func (m *instruments) count(ctx context.Context, o outcome) { m.verifications.Add(ctx, 1, m.by[o]...) }

// keyID is the attribute that names a key. An id that no key can have may be
// anything, a token too, and is left out.
func keyID(id string) []attribute.KeyValue {
	if !validID(id) {
		return nil
	}
	return []attribute.KeyValue{attribute.String("lanyard.key_id", id)}
}
