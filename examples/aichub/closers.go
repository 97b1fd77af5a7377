package main

import (
	"context"
	"errors"
	"time"
)

// closeTimeout is how long each thing may take to close.
const closeTimeout = 10 * time.Second

// closers close what was opened, last first.
type closers []func(context.Context) error

func (c *closers) push(f func(context.Context) error) { *c = append(*c, f) }

// close gives each its own time, so that one that hangs takes nothing from the
// others.
func (c *closers) close(ctx context.Context) error {
	var errs []error
	for i := range *c {
		errs = append(errs, within(ctx, closeTimeout, (*c)[len(*c)-1-i]))
	}
	*c = nil
	return errors.Join(errs...)
}

func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}
