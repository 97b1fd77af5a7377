package crypto

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// fetchTimeout bounds one fetch of an owner key, which goes on for the others
// when the caller that started it gives up.
const fetchTimeout = 10 * time.Second

// rowMACInfo separates the row-MAC key from all others derived from the system key.
const rowMACInfo = "lanyard/row-mac/v1"

// system owns the key that is nobody's.
var system = lanyard.Owner{}

// ownerKey returns the owner's key from the cache, or from the table and the
// key service, which are asked once however many callers wait. Where the owner
// has none, it is made if create is set, else the error is ErrNotFound.
func (s *Sealer) ownerKey(ctx context.Context, owner lanyard.Owner, create bool) (ownerKey, error) {
	if key, ok := s.cache.get(owner, s.now()); ok {
		s.telemetry.countLookup(ctx, true)
		return key, nil
	}
	s.telemetry.countLookup(ctx, false)
	key, err := share(ctx, s, flightID("read", owner), func(ctx context.Context) (ownerKey, error) {
		return s.fetch(ctx, owner, s.readKey)
	})
	if create && errors.Is(err, lanyard.ErrNotFound) {
		return share(ctx, s, flightID("create", owner), func(ctx context.Context) (ownerKey, error) {
			return s.fetch(ctx, owner, s.createKey)
		})
	}
	return key, err
}

// fetch gets an owner's key by means of get and puts it into the cache.
func (s *Sealer) fetch(ctx context.Context, owner lanyard.Owner, get func(context.Context, lanyard.Owner) (string, []byte, error)) (ownerKey, error) {
	asked, mark := s.now(), s.cache.mark()
	id, raw, err := get(ctx, owner)
	if err != nil {
		return ownerKey{}, err
	}
	defer clear(raw)
	aead, err := newAEAD(raw)
	if err != nil {
		return ownerKey{}, fmt.Errorf("owner key %s: %w", id, ErrIntegrity)
	}
	key := ownerKey{id: id, aead: aead}
	s.cache.put(owner, key, asked, mark)
	return key, nil
}

// readKey returns the id and the bytes of the owner's key, which the caller
// wipes; ErrNotFound where there is none.
func (s *Sealer) readKey(ctx context.Context, owner lanyard.Owner) (string, []byte, error) {
	row, err := s.keys.OwnerKey(ctx, owner)
	if err != nil {
		return "", nil, fmt.Errorf("read owner key: %w", err)
	}
	raw, err := s.unwrapRow(ctx, owner, row)
	return row.ID, raw, err
}

// proveSame sees to it, before this process has a first key wrapped, that the
// key service opens what it wrapped before: a key that was made anew under the
// old name would wrap what nobody can open once the old one is restored. The
// system key is the witness, where there is one.
func (s *Sealer) proveSame(ctx context.Context, owner lanyard.Owner) error {
	if s.bound.Load() || owner == system {
		return nil
	}
	_, raw, err := s.readKey(ctx, system)
	clear(raw)
	switch {
	case err == nil, errors.Is(err, lanyard.ErrNotFound):
		return nil
	}
	return fmt.Errorf("the key service does not open the system key: %w", err)
}

// createKey makes a key for an owner who had none a moment ago. Whoever comes
// first has his key stored; all others take that one and use their own for nothing.
func (s *Sealer) createKey(ctx context.Context, owner lanyard.Owner) (string, []byte, error) {
	raw := make([]byte, KeySize)
	_, _ = rand.Read(raw) // never fails: it ends the process instead
	own := store.OwnerKey{ID: lanyard.NewID(), Owner: owner, Secrets: s.current.name, CreatedAt: s.now()}
	if err := s.proveSame(ctx, owner); err != nil {
		return "", nil, err
	}
	wrapped, err := s.current.wrapProven(ctx, raw, ownerKeyBinding(owner, own.ID))
	if err == nil && !s.bound.Load() {
		err = s.proveBound(ctx, owner, wrapped)
	}
	if err != nil {
		clear(raw)
		return "", nil, err
	}
	own.KeyVersion, own.Wrapped = wrapped.KeyVersion, wrapped.Ciphertext

	row, err := s.keys.CreateOwnerKey(ctx, own)
	if err == nil && row.ID == own.ID {
		return own.ID, raw, nil
	}
	clear(raw)
	if err != nil {
		return "", nil, fmt.Errorf("create owner key: %w", err)
	}
	raw, err = s.unwrapRow(ctx, owner, row)
	return row.ID, raw, err
}

// unwrapRow opens a row of the table with the key service that it names.
func (s *Sealer) unwrapRow(ctx context.Context, owner lanyard.Owner, row store.OwnerKey) ([]byte, error) {
	if !validKeyID(row.ID) {
		return nil, fmt.Errorf("owner key without an id: %w", ErrIntegrity)
	}
	service, ok := s.services[row.Secrets]
	if !ok {
		return nil, fmt.Errorf("owner key %s is wrapped by %q, which is not configured: %w", row.ID, row.Secrets, ErrUnknownKey)
	}
	w := Wrapped{KeyVersion: row.KeyVersion, Ciphertext: row.Wrapped}
	raw, err := service.unwrap(ctx, w, ownerKeyBinding(owner, row.ID))
	if errors.Is(err, ErrIntegrity) || errors.Is(err, ErrUnknownKey) {
		s.bound.Store(false) // perhaps it is not the key service it was: see proveSame
	}
	if err != nil {
		return nil, fmt.Errorf("owner key %s: %w", row.ID, err)
	}
	return raw, nil
}

// keyNamed returns the owner's key if keyID is its id, else ErrUnknownKey. A
// cached key with another id may be one that was erased and made anew since,
// so the table decides.
func (s *Sealer) keyNamed(ctx context.Context, owner lanyard.Owner, keyID string) (ownerKey, error) {
	key, err := s.ownerKey(ctx, owner, false)
	if err == nil && key.id != keyID {
		var row store.OwnerKey
		row, err = s.keys.OwnerKey(ctx, owner)
		if err == nil && row.ID == keyID {
			s.Forget(owner)
			key, err = s.ownerKey(ctx, owner, false)
		}
	}
	switch {
	case errors.Is(err, lanyard.ErrNotFound), err == nil && key.id != keyID:
		return ownerKey{}, fmt.Errorf("owner key %s: %w", keyID, ErrUnknownKey)
	case err != nil:
		return ownerKey{}, err
	}
	return key, nil
}

// rowMACKey returns the key of MAC, which is kept once it was had.
func (s *Sealer) rowMACKey(ctx context.Context) ([]byte, error) {
	if key := s.macKey.Load(); key != nil {
		return *key, nil
	}
	return share(ctx, s, flightID("mac", system), func(ctx context.Context) ([]byte, error) {
		_, raw, err := s.readKey(ctx, system)
		if errors.Is(err, lanyard.ErrNotFound) {
			_, raw, err = s.createKey(ctx, system)
		}
		if err != nil {
			return nil, err
		}
		defer clear(raw)
		key, err := hkdf.Key(sha256.New, raw, nil, rowMACInfo, sha256.Size)
		if err != nil {
			return nil, err
		}
		s.macKey.Store(&key)
		return key, nil
	})
}

// share runs fn once however many callers with that id wait. A caller that
// gives up leaves the others alone: fn goes on, for at most fetchTimeout.
func share[T any](ctx context.Context, s *Sealer, id string, fn func(context.Context) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, gaveUp(err)
	}
	answer := s.flights.DoChan(id, func() (v any, err error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		defer s.recoverPanic(ctx, &err)
		return fn(ctx)
	})
	select {
	case <-ctx.Done():
		return none, gaveUp(ctx.Err())
	case r := <-answer:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	}
}

// recoverPanic turns a panic of a store or a key service into an
// ErrUnavailable. On our own goroutine it would end the host's process, where
// net/http would have survived it.
func (s *Sealer) recoverPanic(ctx context.Context, err *error) {
	if recover() == nil {
		return
	}
	// What it panicked with may hold anything; the stack holds names only.
	s.logger.ErrorContext(ctx, "fetching an owner key panicked", slog.String("stack", string(debug.Stack())))
	*err = fmt.Errorf("fetching an owner key panicked: %w", lanyard.ErrUnavailable)
}

func flightID(operation string, owner lanyard.Owner) string {
	return string(appendParts(nil, []byte(operation), []byte(owner.Tenant), []byte(owner.Subject)))
}
