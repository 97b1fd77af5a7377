package crypto_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// watchedBench is a bench that tells what it does.
func watchedBench(t *testing.T) (*bench, *tracetest.SpanRecorder, *sdkmetric.ManualReader) {
	t.Helper()
	spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	b := newBench(t, &crypto.SealerOptions{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	return b, spans, reader
}

const scope = "github.com/aichub/lanyard/crypto"

// ended returns the spans that ended as "name outcome", sorted.
func ended(t *testing.T, spans *tracetest.SpanRecorder) []string {
	t.Helper()
	var out []string
	for _, s := range spans.Ended() {
		if s.InstrumentationScope().Name != scope {
			t.Errorf("a span of scope %q", s.InstrumentationScope().Name)
		}
		attrs := attribute.NewSet(s.Attributes()...)
		outcome, _ := attrs.Value("lanyard.outcome")
		out = append(out, s.Name()+" "+outcome.AsString())
		wantStatus := sdktrace.Status{Code: codes.Error, Description: outcome.AsString()}
		if outcome.AsString() == "ok" {
			wantStatus = sdktrace.Status{Code: codes.Unset}
		}
		if s.Status() != wantStatus {
			t.Errorf("span %s has status %v, want %v", s.Name(), s.Status(), wantStatus)
		}
		if called := s.SpanKind() == trace.SpanKindClient; called != (s.Name() == "crypto.Wrap" || s.Name() == "crypto.Unwrap") {
			t.Errorf("span %s is of kind %v", s.Name(), s.SpanKind())
		}
	}
	slices.Sort(out)
	return out
}

func TestSpans(t *testing.T) {
	t.Parallel()
	b, spans, _ := watchedBench(t)
	sealed := seal(t, b.Sealer, place(ana))
	want := []string{"crypto.Seal ok", "crypto.Unwrap integrity", "crypto.Unwrap ok", "crypto.Wrap ok"} // with the proof of the binding
	if got := ended(t, spans); !slices.Equal(got, want) {
		t.Errorf("spans of a first Seal = %q, want %q", got, want)
	}
	for _, s := range spans.Ended() {
		if s.Name() != "crypto.Seal" && !s.Parent().IsValid() {
			t.Errorf("span %s has no parent, want that of Seal", s.Name())
		}
	}
	spans.Reset()
	wantOpens(t, "warm", b.Sealer, place(ana), sealed.Envelope)
	wantRefused(t, "moved", b.Sealer, crypto.Binding{Owner: ana}, sealed.Envelope, crypto.ErrIntegrity)
	wantRefused(t, "bob", b.Sealer, place(bob), sealed.Envelope, crypto.ErrUnknownKey)
	_, _ = b.Seal(t.Context(), crypto.Binding{}, lanyard.NewSecret(canary))
	b.Forget(ana)
	b.vault.fail(fmt.Errorf("in other words: %w", crypto.ErrDenied))
	_, _ = b.Open(t.Context(), place(ana), sealed.Envelope)
	_ = b.Check(t.Context())
	want = []string{
		"crypto.Check denied", "crypto.Open denied", "crypto.Open integrity", "crypto.Open ok", "crypto.Open unknown_key",
		"crypto.Seal invalid", "crypto.Unwrap denied", "crypto.Wrap denied",
	}
	if got := ended(t, spans); !slices.Equal(got, want) {
		t.Errorf("spans = %q, want %q", got, want)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b, _, reader := watchedBench(t)
	sealed := seal(t, b.Sealer, place(ana))
	wantOpens(t, "warm", b.Sealer, place(ana), sealed.Envelope)
	wantOpens(t, "warm", b.Sealer, place(ana), sealed.Envelope)
	b.Forget(ana)
	wantOpens(t, "cold", b.Sealer, place(ana), sealed.Envelope)
	b.Forget(ana)
	b.vault.fail(lanyard.ErrUnavailable)
	wantRefused(t, "down", b.Sealer, place(ana), sealed.Envelope, lanyard.ErrUnavailable)

	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, s := range all.ScopeMetrics {
		if s.Scope.Name != scope {
			t.Errorf("metrics of scope %q", s.Scope.Name)
		}
		for _, m := range s.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					got[m.Name+labels(p.Attributes)] = uint64(p.Value)
				}
			case metricdata.Histogram[float64]:
				if m.Unit != "s" {
					t.Errorf("%s is in %q, want seconds", m.Name, m.Unit)
				}
				for _, p := range data.DataPoints {
					got[m.Name+labels(p.Attributes)] = p.Count
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	want := map[string]uint64{
		"lanyard.sealer.cache hit":  2,
		"lanyard.sealer.cache miss": 3,
	}
	for _, name := range []string{"lanyard.key_service.calls", "lanyard.key_service.duration"} {
		want[name+" vault Wrap ok"] = 1
		want[name+" vault Unwrap ok"] = 2
		want[name+" vault Unwrap integrity"] = 1
		want[name+" vault Unwrap unavailable"] = 1
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s = %d, want %d", name, got[name], n)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s = %d was not expected", name, got[name])
		}
	}
}

// labels names the attributes of a data point by their values.
func labels(set attribute.Set) string {
	var out strings.Builder
	for _, key := range []attribute.Key{"lanyard.key_service", "lanyard.operation", "lanyard.outcome"} {
		if v, ok := set.Value(key); ok {
			out.WriteString(" " + v.AsString())
		}
	}
	return out.String()
}

// Telemetry carries names and outcomes: no plaintext, owner, key, key id,
// binding or words of the key service.
func TestTelemetryIsSilent(t *testing.T) {
	t.Parallel()
	b, spans, reader := watchedBench(t)
	sealed := seal(t, b.Sealer, place(ana))
	wantOpens(t, "warm", b.Sealer, place(ana), sealed.Envelope)
	b.Forget(ana)
	b.vault.fail(fmt.Errorf("words of %s", canary))
	_, _ = b.Open(t.Context(), place(ana), sealed.Envelope)
	_, _ = b.MAC(t.Context(), []byte(canary))
	_ = b.Check(t.Context())

	var out bytes.Buffer
	for _, s := range tracetest.SpanStubsFromReadOnlySpans(spans.Ended()) {
		fmt.Fprintf(&out, "%s %v %+v %+v %+v\n", s.Name, s.Attributes, s.Events, s.Status, s.Links)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	metrics, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(metrics)
	if out.Len() < 1000 {
		t.Fatalf("looked at %d bytes only", out.Len())
	}
	for what, secret := range map[string]string{
		"the plaintext": canary, "the subject": ana.Subject + `"`, "the tenant": ana.Tenant, "a key id": sealed.OwnerKeyID,
		"the record": place(ana).Record, "the field": place(ana).Field,
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("telemetry holds %s", what)
		}
	}
}
