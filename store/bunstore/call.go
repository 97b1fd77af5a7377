package bunstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
)

// read runs one call of the store that changes nothing: it refuses what must
// not reach the database, opens the span, and turns every error into one a
// caller may see. method is the name in the span and in the error; refused is
// the first thing wrong with the arguments, or nil.
func read[T any](ctx context.Context, s *Store, method string, refused error, fn func(context.Context) (T, error)) (T, error) {
	ctx, span := s.tracer.Start(ctx, "store."+method, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("db.system.name", s.dialect.system)))
	defer span.End()

	var result T
	err := refused
	switch {
	case err != nil:
	case s.closed.Load():
		err = lanyard.ErrClosed
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		result, err = fn(ctx)
	}
	if err != nil {
		err = s.translate(ctx, err)
	}
	name, _ := outcome(err)
	span.SetAttributes(attribute.String("lanyard.outcome", name))
	if errors.Is(err, lanyard.ErrUnavailable) {
		span.SetStatus(codes.Error, name)
	}
	if err != nil {
		var zero T
		return zero, fmt.Errorf("store: %s: %w", method, err)
	}
	return result, nil
}

// change runs one call of the store in a transaction. fn may run several
// times, each in a transaction of its own; errUnchanged from it rolls back and
// is no error.
func (s *Store) change(ctx context.Context, method string, refused error, fn func(context.Context, bun.Tx) error) error {
	_, err := read(ctx, s, method, refused, func(ctx context.Context) (struct{}, error) {
		err := s.transact(ctx, fn)
		if errors.Is(err, errUnchanged) {
			err = nil
		}
		return struct{}{}, err
	})
	return err
}
