package apikey

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

const (
	// lookupTimeout bounds one read of the store, which goes on for the others
	// when the caller that started it gives up.
	lookupTimeout = 10 * time.Second

	// lookupAttempts is how often a verification reads the store again when what
	// it read is too old by the time it arrives.
	lookupAttempts = 3
)

var errTooSlow = fmt.Errorf("the store answers too slowly for MaxStale: %w", lanyard.ErrUnavailable)

// lookUp returns a verdict that is good now, from the store. However many
// callers want the same key, the store is asked once; one that joins is not
// content with an answer that was asked for too early for it.
func (s *Service) lookUp(ctx context.Context, t presented) (*verdict, error) {
	for range lookupAttempts {
		v, err := s.shared(ctx, t)
		if err != nil {
			return nil, err
		}
		if s.epochs.maxStale < 0 || s.epochs.good(v, s.watch.now()) {
			return v, nil
		}
	}
	return nil, errTooSlow
}

// shared reads the store, or joins who is reading the same key.
func (s *Service) shared(ctx context.Context, t presented) (*verdict, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.epochs.maxStale < 0 {
		return s.read(ctx, t)
	}
	done := s.reads.DoChan(string(t.hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		defer context.AfterFunc(s.running, cancel)()
		if v := s.verdicts.get(t.place, &t.hash); v != nil && s.epochs.good(v, s.watch.now()) {
			return v, nil // who was faster has read it
		}
		return s.read(ctx, t)
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*verdict), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read asks the store and keeps what it says. The errors are those of the
// store, which is not known where the token is, and errForged.
func (s *Service) read(ctx context.Context, t presented) (_ *verdict, err error) {
	defer func() {
		if recover() != nil { // on a goroutine of ours it would end the host's process
			s.logger.ErrorContext(ctx, "reading an api key panicked", slog.String("stack", string(debug.Stack())))
			err = lanyard.ErrUnavailable
		}
	}()
	s.measured.reads.Add(ctx, 1)
	asked := s.watch.next()
	row, err := s.store.APIKeyByHash(ctx, t.hash[:])
	switch {
	case err == nil:
		err = s.believe(ctx, t.hash[:], t.id, row.Key)
	case errors.Is(err, store.ErrDamaged):
		s.alarm(ctx, t.id)
		err = errForged
	}
	if err != nil {
		if errors.Is(err, lanyard.ErrNotFound) || errors.Is(err, errForged) {
			s.uses.leave(s.verdicts.forget(t.place, &t.hash, asked))
		}
		return nil, err
	}
	v, left := s.verdicts.put(s.newVerdict(t, row, asked))
	s.uses.leave(left)
	return v, nil
}

// errForged says that a row is not what this service wrote.
var errForged = errors.New("the row failed its integrity check")

// believe reports whether a row that was found for a token is one that the
// service wrote. A tombstone needs no MAC, because one that Maintenance made has
// none; nothing else of a row is believed before its MAC.
func (s *Service) believe(ctx context.Context, hash []byte, id string, k store.APIKey) error {
	if subtle.ConstantTimeCompare(k.Hash, hash) != 1 || id != "" && k.ID != id {
		s.alarm(ctx, id)
		return errForged
	}
	if !k.DeletedAt.IsZero() {
		return nil
	}
	authentic, err := s.authentic(ctx, k)
	if err != nil {
		return err
	}
	if !authentic {
		s.alarm(ctx, k.ID)
		return errForged
	}
	return nil
}
