package apikey

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/internal/once"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

// Store is what the service needs of a store. A store that also implements
// store.Epochs lets the verdict cache share one read among all keys.
type Store interface {
	store.APIKeys
	store.Events
}

// Service creates, lists and verifies API keys. It is safe for concurrent use.
type Service struct {
	store   Store
	sealer  *crypto.Sealer // nil = rows are not signed
	prefix  string
	accepts []string // prefix and the old ones
	scopes  []string
	offered offeredScopes
	limit   int

	maxLife, defaultLife time.Duration

	rate     callRate
	networks []netip.Prefix
	rights   func(context.Context, lanyard.Owner) ([]string, error)
	foreign  func(token string) (hashed string, ok bool) // nil = none

	onEvent  func(context.Context, lanyard.Event)
	clock    func() time.Time
	logger   *slog.Logger
	spans    telemetry.Spans
	measured *instruments

	watch    *stopwatch
	verdicts *verdicts
	epochs   *epochs
	reads    singleflight.Group
	uses     *useLog
	told     once.Facts[factKey]
	warned   once.Facts[string] // by Sweep

	running context.Context //nolint:containedctx // ends with Close, and with it what no caller waits for
	stop    context.CancelFunc
	polled  chan struct{} // closed when the poller has ended
	closed  atomic.Bool
	close   sync.Once
}

// NewService returns a Service over st. It refuses bad options with an
// *lanyard.InputError. Close it, or what it counted last is lost.
func NewService(st Store, o *Options) (*Service, error) {
	if st == nil {
		return nil, fmt.Errorf("apikey: %w",
			&lanyard.InputError{Field: "store", Code: lanyard.CodeRequired, Message: "a Service needs a store"})
	}
	opt, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("apikey: %w", err)
	}
	s := &Service{
		store: st, sealer: opt.Sealer,
		prefix: opt.Prefix, accepts: slices.Concat([]string{opt.Prefix}, opt.OldPrefixes),
		scopes: opt.Scopes, offered: newOfferedScopes(opt.Scopes), limit: opt.Limit,
		maxLife: opt.MaxLife, defaultLife: opt.DefaultLife,
		rate: newCallRate(opt.Rate, opt.Burst), networks: opt.Networks, rights: opt.Rights, foreign: opt.AcceptForeign,
		onEvent: opt.OnEvent, clock: opt.Now, logger: opt.Logger,
		spans: telemetry.NewSpans(opt.TracerProvider, scope),
		watch: newStopwatch(), verdicts: newVerdicts(opt.MaxCached),
	}
	s.epochs = newEpochs(st, opt.MaxStale, s.watch, opt.Logger)
	if s.measured, err = newInstruments(opt.MeterProvider, s.epochs.age); err != nil {
		return nil, fmt.Errorf("apikey: %w", err)
	}
	s.uses = newUseLog(st, s.verdicts, s.watch, s.clock, opt.OnEvent, opt.Logger)
	s.polled = make(chan struct{})
	s.running, s.stop = context.WithCancel(context.Background())
	go func() {
		defer close(s.polled)
		s.epochs.run(s.running, s.verdicts.empty)
	}()
	return s, nil
}

// Close stores when keys were last used and ends the Service's goroutines.
// Later calls of the other methods return lanyard.ErrClosed; a second Close
// does nothing. An error means that the last uses are lost.
func (s *Service) Close(ctx context.Context) (err error) {
	s.close.Do(func() {
		s.closed.Store(true)
		s.stop()
		_ = s.measured.watching.Unregister()
		err = s.uses.close(ctx)
		select {
		case <-s.polled:
		case <-ctx.Done():
			err = cmp.Or(err, fmt.Errorf("%w: %w", lanyard.ErrUnavailable, ctx.Err()))
		}
		if err != nil {
			err = fmt.Errorf("apikey: close: %w", err)
		}
	})
	return err
}

// Check reports whether keys can be verified now: whether the store answers
// and, with a Sealer, whether rows can be authenticated.
func (s *Service) Check(ctx context.Context) (err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Check")
	defer end(&err)
	if s.closed.Load() {
		return errClosed
	}
	_, err = s.store.APIKeyByHash(ctx, make([]byte, store.HashSize)) // nobody's
	if err != nil && !errors.Is(err, lanyard.ErrNotFound) {
		return fmt.Errorf("apikey: check: %w", unavailable(err))
	}
	if s.sealer != nil {
		if _, err := s.sealer.MAC(ctx); err != nil {
			return fmt.Errorf("apikey: check: %w", keyServiceError(err))
		}
	}
	return nil
}

// Refresh has this process believe nothing that it read before the call and
// that has changed since: it reads the epochs, and where it cannot, every key
// anew. profile.Options.OwnerChanged is the place for it. The error says that
// the epochs could not be read; the promise holds all the same.
func (s *Service) Refresh(ctx context.Context) (err error) {
	if s.closed.Load() {
		return errClosed
	}
	if err := s.refresh(ctx); err != nil {
		return fmt.Errorf("apikey: refresh: %w", unavailable(err))
	}
	return nil
}

// refreshOwner has this process learn of a change of an owner's keys. Where it
// cannot, or the caller hung up, it reads the keys of his shard anew, and leaves
// all others alone.
func (s *Service) refreshOwner(ctx context.Context, owner lanyard.Owner) {
	if s.epochs.poll(ctx) != nil {
		s.epochs.distrustShard(store.Shard(owner))
	}
}

func (s *Service) refresh(ctx context.Context) error {
	err := s.epochs.poll(ctx)
	if err != nil {
		s.epochs.distrust()
	}
	return err
}

// Prefix is the prefix of new tokens.
func (s *Service) Prefix() string { return s.prefix }

// Scopes are the scopes a key may be given.
func (s *Service) Scopes() []string { return slices.Clone(s.scopes) }

// Limit is how many live keys an owner may have; negative means no limit.
func (s *Service) Limit() int { return s.limit }

// MaxLife is how long a new key may live; 0 means as long as one likes.
func (s *Service) MaxLife() time.Duration { return s.maxLife }

// DefaultLife is how long a new key lives whose request names no end; 0 means
// for ever.
func (s *Service) DefaultLife() time.Duration { return cmp.Or(s.defaultLife, s.maxLife) }

// now is the time as stores keep it.
func (s *Service) now() time.Time { return store.Instant(s.clock()) }

// attempts is how often a call starts over after losing a race that its caller
// did not ask to hear of.
const attempts = 3

// change reads a live key and lets try change it. A version other than 0 must
// be the key's. Where the caller named none, a change that comes in between
// starts it over.
func (s *Service) change(ctx context.Context, owner lanyard.Owner, id string, version int64, try func(store.APIKey) error) error {
	for attempt := 1; ; attempt++ {
		k, err := s.stored(ctx, owner, id)
		if err != nil {
			return err
		}
		if version != 0 && version != k.Version {
			return lanyard.ErrConflict
		}
		err = try(k)
		if version != 0 || attempt == attempts || !errors.Is(err, lanyard.ErrConflict) {
			return err
		}
	}
}

// stored returns a live key. An id that cannot exist is not looked for.
func (s *Service) stored(ctx context.Context, owner lanyard.Owner, id string) (store.APIKey, error) {
	if !validID(id) {
		return store.APIKey{}, lanyard.ErrNotFound
	}
	return s.store.APIKey(ctx, owner, id)
}

// arrived reports whether k was stored although the store could not say so:
// err is what it said.
func (s *Service) arrived(ctx context.Context, k store.APIKey, err error) bool {
	if !errors.Is(err, lanyard.ErrUnavailable) || ctx.Err() != nil {
		return false
	}
	stored, err := s.store.APIKey(ctx, k.Owner, k.ID)
	return err == nil && bytes.Equal(stored.Hash, k.Hash)
}
