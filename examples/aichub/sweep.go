package main

import (
	"context"
	"log/slog"
	"time"
)

// sweepEvery is how often keys and connections are looked at that expire soon.
const sweepEvery = time.Hour

// sweep is one thing to do from time to time, by every instance.
type sweep struct {
	what string
	run  func(context.Context) (done int, err error)
}

// startSweep has the owners of keys and connections that expire soon warned, and
// platforms asked about connections that nobody asked about for long, now and
// every hour, until it is closed. Every instance does it, and each is warned of
// and asked about once; what becomes of it is the hook's business (mail.go).
func startSweep(ctx context.Context, logger *slog.Logger, sweeps ...sweep) (stop func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			for _, s := range sweeps {
				if _, err := s.run(ctx); err != nil && ctx.Err() == nil {
					logger.WarnContext(ctx, "sweep failed", slog.String("sweep", s.what), slog.Any("error", err))
				}
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
