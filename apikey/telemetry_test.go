package apikey_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// A whole life of keys, watched: spans and counters say what happened, and no
// secret is in them, in the log or in the history.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	recorder, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	var log bytes.Buffer
	st := memory.New()
	sealer, _ := newSealer(t, st)
	b := &bench{memory: st, store: &watched{Store: st}, clock: newClock(), heard: new(heard)}
	b.Service = newService(t, b.store, &apikey.Options{
		Prefix: "aic", Sealer: sealer, Now: b.clock.now, OnEvent: b.heard.hear, MaxStale: -1,
		Logger:         slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	secrets := live(t, b)

	want := map[string]int{
		"apikey.Create ok": 3, "apikey.Create invalid": 1, "apikey.Rename ok": 1, "apikey.Rename conflict": 1,
		"apikey.Rotate ok": 1, "apikey.Keys ok": 1, "apikey.Key ok": 1, "apikey.Key not_found": 1,
		"apikey.Delete ok": 1, "apikey.Check ok": 1,
		"apikey.Verify ok": 2, "apikey.Verify unauthenticated": 5, "apikey.Verify unavailable": 1,
	}
	got := map[string]int{}
	var said strings.Builder
	for _, span := range recorder.Ended() {
		attrs := attribute.NewSet(span.Attributes()...)
		outcome, _ := attrs.Value("lanyard.outcome")
		got[span.Name()+" "+outcome.AsString()]++
		fmt.Fprintln(&said, span.Name(), span.Status(), attrs.ToSlice(), span.Events())
		if scope := span.InstrumentationScope().Name; scope != "github.com/aichub/lanyard/apikey" {
			t.Errorf("a span of %s, want one of this package", scope)
		}
		if id, ok := attrs.Value("lanyard.key_id"); ok && len(id.AsString()) != 10 {
			t.Errorf("%s names key %q, which is no id", span.Name(), id.AsString())
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("spans = %v, want %v", got, want)
	}

	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &metrics); err != nil {
		t.Fatal(err)
	}
	wantCounts := map[string]int64{
		"ok": 2, "malformed": 2, "unknown": 1, "deleted": 1, "integrity": 1, "deactivated": 1, "expired": 1, "unavailable": 1, "closed": 1,
	}
	if got := verifications(t, metrics); !maps.Equal(got, wantCounts) {
		t.Errorf("verifications = %v, want %v", got, wantCounts)
	}
	fmt.Fprintf(&said, "%+v", metrics)
	fmt.Fprintf(&said, "%+v %+v", b.heard.events, b.history(t, ana))
	said.Write(log.Bytes())
	for _, secret := range secrets {
		for what, part := range map[string]string{"token": secret, "secret": secret[14:44], "checksum": secret[44:]} {
			if strings.Contains(said.String(), part) {
				t.Errorf("spans, metrics, events or log show a %s", what)
			}
		}
	}
}

// live runs through all that can happen to keys, and returns their tokens.
func live(t *testing.T, b *bench) []string {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	deleted, deletedToken := b.create(t, ana, apikey.CreateRequest{Name: "deleted"})
	_, expiring := b.create(t, ana, apikey.CreateRequest{Name: "expiring", ExpiresAt: start.Add(time.Hour)})
	rotating, old := b.create(t, ana, apikey.CreateRequest{Name: "rotating"})
	_, _ = b.Create(ctx, ana, apikey.CreateRequest{Name: old + "\x00"}) // typed into the wrong field
	_, err := b.Rename(ctx, ana, rotating.ID, 0, "renamed")
	must(err)
	_, _ = b.Rename(ctx, ana, rotating.ID, 9, "again")
	rotated, err := b.Rotate(ctx, ana, rotating.ID, apikey.RotateRequest{Grace: 48 * time.Hour})
	must(err)
	_, err = b.Keys(ctx, ana)
	must(err)
	_, err = b.Key(ctx, ana, rotating.ID)
	must(err)
	_, _ = b.Key(ctx, ana, old) // the token in place of the id
	must(b.Delete(ctx, ana, deleted.ID, 0))
	must(b.Check(ctx))

	b.wantGood(t, "the successor", rotated.Secret.Reveal())
	b.wantGood(t, "the old key in its grace", old)
	b.wantRefused(t, "malformed", "x")
	b.wantRefused(t, "mistyped", old[:20]+"-"+old[21:])
	b.wantRefused(t, "unknown", resum("aic_0000000000"+old[14:44]))
	b.wantRefused(t, "deleted", deletedToken)
	b.clock.advance(2 * time.Hour)
	b.wantRefused(t, "expired", expiring)
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		row.Owner.DeactivatedAt = start
		return row, err
	}
	b.wantRefused(t, "deactivated", old)
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		row.Key.MAC = nil
		return row, err
	}
	b.wantRefused(t, "forged", old)
	b.store.onLookup = func(store.KeyLookup, error) (store.KeyLookup, error) {
		return store.KeyLookup{}, fmt.Errorf("a driver that prints its arguments %s: %w", old, lanyard.ErrUnavailable)
	}
	if _, err := b.Verify(ctx, old); err == nil || strings.Contains(err.Error(), old) {
		t.Errorf("Verify() = %v, want an error without the text of the store", err)
	}
	must(b.Close(context.WithoutCancel(ctx)))
	_, _ = b.Verify(ctx, old)
	return []string{deletedToken, expiring, old, rotated.Secret.Reveal()}
}

// verifications reads the counter.
func verifications(t *testing.T, metrics metricdata.ResourceMetrics) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for _, scope := range metrics.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == "lanyard.apikey.reads" || m.Name == "lanyard.apikey.poll.age" {
				continue
			}
			sum, ok := m.Data.(metricdata.Sum[int64])
			if m.Name != "lanyard.apikey.verifications" || !ok {
				t.Errorf("unexpected instrument %s", m.Name)
				continue
			}
			for _, point := range sum.DataPoints {
				outcome, _ := point.Attributes.Value("lanyard.outcome")
				counts[outcome.AsString()] += point.Value
			}
		}
	}
	return counts
}
