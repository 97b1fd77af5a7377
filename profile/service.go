package profile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

const scope = "github.com/aichub/lanyard/profile"

// Store is what the service needs of a store.
type Store interface {
	store.Profiles
	store.Owners
	store.Events
}

// Options configures a [Service]. The zero value is ready to use.
type Options struct {
	// OwnerChanged is called after Deactivate, Reactivate and Erase were
	// committed, so that caches forget the owner: apikey.Service.Refresh. Its
	// error is returned as a lanyard.ErrUnavailable although the change
	// stands; the same call again runs it again. Defaults to nothing.
	OwnerChanged func(context.Context) error

	// OnEvent hears every event after it was committed, at most once. It must
	// not block. Defaults to nothing.
	OnEvent func(context.Context, lanyard.Event)

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// Logger defaults to discarding.
	Logger *slog.Logger

	// TracerProvider and MeterProvider default to OpenTelemetry's global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// Service keeps profiles, history and the life of an owner. It is safe for
// concurrent use.
type Service struct {
	store        Store
	export       ExportStore // nil = the store keeps neither keys nor connections
	ownerChanged func(context.Context) error
	onEvent      func(context.Context, lanyard.Event)
	clock        func() time.Time
	logger       *slog.Logger
	spans        telemetry.Spans
}

// NewService returns a Service over st.
func NewService(st Store, o *Options) *Service {
	var opt Options
	if o != nil {
		opt = *o
	}
	if opt.OwnerChanged == nil {
		opt.OwnerChanged = func(context.Context) error { return nil }
	}
	if opt.OnEvent == nil {
		opt.OnEvent = func(context.Context, lanyard.Event) {}
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	export, _ := st.(ExportStore)
	return &Service{
		store: st, export: export,
		ownerChanged: opt.OwnerChanged, onEvent: opt.OnEvent, clock: opt.Now, logger: opt.Logger,
		spans: telemetry.NewSpans(opt.TracerProvider, scope),
	}
}

// Check reports whether profiles can be read now.
func (s *Service) Check(ctx context.Context) (err error) {
	ctx, end := s.spans.Start(ctx, "profile.Check")
	defer end(&err)
	_, err = s.store.Profile(ctx, lanyard.Owner{Subject: "check"})
	if err != nil && !errors.Is(err, lanyard.ErrNotFound) {
		return fmt.Errorf("profile: check: %w", err)
	}
	return nil
}

// now is the time as stores keep it.
func (s *Service) now() time.Time { return store.Instant(s.clock()) }
