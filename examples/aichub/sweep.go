package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

// sweepEvery is how often the keys are looked at that expire soon.
const sweepEvery = time.Hour

// startSweep has the owners of keys that expire soon warned, now and every
// hour, until it is closed. Every instance does it, and each warning is given
// once; what becomes of one is the hook's business (events.go).
func startSweep(ctx context.Context, keys *apikey.Service, st store.Maintenance, logger *slog.Logger) (stop func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			if _, err := keys.Sweep(ctx, st); err != nil && ctx.Err() == nil {
				logger.WarnContext(ctx, "api keys were not swept", slog.Any("error", err))
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func(waiting context.Context) error {
		cancel()
		select {
		case <-ended:
			return nil
		case <-waiting.Done():
			return waiting.Err()
		}
	}
}
