package apikey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/input"
	"github.com/aichub/lanyard/store"
)

const (
	maxName           = 100
	maxIdempotencyKey = 255
)

// CreateRequest asks for a key.
type CreateRequest struct {
	// Name is required and need not be unique: one line of visible text, at
	// most 100 characters without the white space around it.
	Name string

	// ExpiresAt is the first instant at which the key is no good any more; it
	// lies in the future, at most in the year 9999, and loses what is finer
	// than a microsecond. Zero means never.
	ExpiresAt time.Time

	// Scopes are some of Options.Scopes. They are kept sorted, each once.
	Scopes []string

	// IdempotencyKey, where not empty, makes a repeated request harmless: the
	// answer is the first key, without its secret. At most 255 printable ASCII
	// characters; it counts for the owner, for as long as the key's row is kept.
	IdempotencyKey string
}

// Created is a new key and the only sight of its token.
type Created struct {
	Key      Key
	Secret   lanyard.Secret // zero when Replayed
	Replayed bool           // the IdempotencyKey was used before for the same request
}

// Create makes a key. Errors: *lanyard.InputError, several joined;
// lanyard.ErrLimit; ErrIdempotencyMismatch when the IdempotencyKey was used for
// another request, lanyard.ErrConflict when the key it made was deleted since.
//
// After lanyard.ErrUnavailable it is not known whether there is a key; its
// token is lost in any case. With an IdempotencyKey the request can be
// repeated: it makes the key, or says that it was made.
func (s *Service) Create(ctx context.Context, owner lanyard.Owner, r CreateRequest) (_ Created, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Create")
	defer end(&err)
	if s.closed.Load() {
		return Created{}, errClosed
	}
	created, err := s.create(ctx, owner, r)
	if err != nil {
		return Created{}, fmt.Errorf("apikey: create: %w", err)
	}
	return created, nil
}

func (s *Service) create(ctx context.Context, owner lanyard.Owner, r CreateRequest) (Created, error) {
	now := s.now()
	k, err := s.record(owner, r, now)
	if err != nil {
		return Created{}, err
	}
	if r.IdempotencyKey != "" {
		first, err := s.store.APIKeyByCreateToken(ctx, owner, k.CreateToken)
		if !errors.Is(err, lanyard.ErrNotFound) {
			return s.replay(first, k, err)
		}
	}
	// Asked only now: the answer to a repeated request does not change because
	// the key it made has expired since.
	if k.ExpiresAt, err = s.life(now, r.ExpiresAt); err != nil {
		return Created{}, err
	}
	for attempt := 1; ; attempt++ {
		t := newToken(s.prefix)
		hash := t.hash()
		k.ID, k.Hint, k.Hash = t.id, t.hint(), hash[:]
		if err := s.sign(ctx, &k); err != nil {
			return Created{}, err
		}
		e := s.event(ctx, now, ActionCreated, k)
		err := s.store.CreateAPIKey(ctx, k, s.limit, e)
		if err == nil || s.arrived(ctx, k, err) {
			k.Version = 1
			s.onEvent(ctx, e)
			return Created{Key: fromRecord(k, now), Secret: t.secret()}, nil
		}
		if !errors.Is(err, lanyard.ErrExists) || attempt == attempts {
			return Created{}, err
		}
		// Somebody was faster with the same IdempotencyKey, or the id is taken.
		if r.IdempotencyKey != "" {
			first, err := s.store.APIKeyByCreateToken(ctx, owner, k.CreateToken)
			if !errors.Is(err, lanyard.ErrNotFound) {
				return s.replay(first, k, err)
			}
		}
	}
}

// record checks a request and returns the row it asks for, without a token.
func (s *Service) record(owner lanyard.Owner, r CreateRequest, now time.Time) (store.APIKey, error) {
	if err := owner.Validate(); err != nil {
		return store.APIKey{}, err
	}
	name, nameErr := keyName(r.Name)
	k := store.APIKey{
		Owner: owner, Name: name, CreatedAt: now, ExpiresAt: store.Instant(r.ExpiresAt),
		Scopes: slices.Compact(slices.Sorted(slices.Values(r.Scopes))),
	}
	err := errors.Join(nameErr, checkExpiry(r.ExpiresAt), s.checkScopes(k.Scopes), checkIdempotencyKey(r.IdempotencyKey))
	if err != nil {
		return store.APIKey{}, err
	}
	if r.IdempotencyKey != "" {
		token, digest := sha256.Sum256([]byte(r.IdempotencyKey)), requestDigest(k)
		k.CreateToken, k.CreateDigest = token[:], digest[:]
	}
	return k, nil
}

// replay is the answer to a request whose IdempotencyKey made first already; k
// is what it asks for now, err what looking for first said.
func (s *Service) replay(first, k store.APIKey, err error) (Created, error) {
	switch {
	case err != nil:
		return Created{}, err
	case !bytes.Equal(first.CreateDigest, k.CreateDigest):
		return Created{}, ErrIdempotencyMismatch
	case !first.DeletedAt.IsZero():
		return Created{}, fmt.Errorf("the key this request made was deleted: %w", lanyard.ErrConflict)
	}
	return Created{Key: fromRecord(first, k.CreatedAt), Replayed: true}, nil
}

// requestDigest is the SHA-256 of what was asked for.
func requestDigest(k store.APIKey) [sha256.Size]byte {
	b := appendPart(nil, []byte(k.Name))
	b = appendPart(b, timePart(k.ExpiresAt))
	for _, s := range k.Scopes {
		b = appendPart(b, []byte(s))
	}
	return sha256.Sum256(b)
}

func keyName(text string) (string, error) {
	name, err := input.Name("name", text, maxName)
	if err == nil && name == "" {
		err = &lanyard.InputError{Field: "name", Code: lanyard.CodeRequired, Message: "a key needs a name"}
	}
	return name, err
}

func checkExpiry(t time.Time) error {
	if t.UTC().Year() > 9999 {
		return &lanyard.InputError{Field: "expires_at", Code: lanyard.CodeInvalid, Message: "the time lies after the year 9999"}
	}
	return nil
}

func checkIdempotencyKey(key string) error {
	switch {
	case len(key) > maxIdempotencyKey:
		return &lanyard.InputError{Field: "idempotency_key", Code: lanyard.CodeTooLong, Message: "at most 255 bytes"}
	case !all([]byte(key), func(c byte) bool { return c >= ' ' && c <= '~' }):
		return &lanyard.InputError{Field: "idempotency_key", Code: lanyard.CodeInvalid, Message: "printable ASCII only"}
	}
	return nil
}
