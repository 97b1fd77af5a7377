package apikey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"runtime/debug"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// maxForeign is the longest token that Options.AcceptForeign is asked about, in
// bytes.
const maxForeign = 512

// foreignPart returns the part of a token of an earlier system of which that
// kept the hash, if it has the form of one.
//
// Options.AcceptForeign says which part was hashed and never what the hash is:
// who has read a hash somewhere cannot present it as a token.
func (s *Service) foreignPart(token string) (hashed string, ok bool) {
	if s.foreign == nil || token == "" || len(token) > maxForeign {
		return "", false
	}
	defer func() { // the hook is the host's, and what it cannot tell is no token
		if recover() != nil {
			s.logger.Error("the hook for foreign tokens panicked", slog.String("stack", string(debug.Stack())))
			hashed, ok = "", false
		}
	}()
	hashed, ok = s.foreign(token)
	return hashed, ok && hashed != ""
}

// rowOf returns the row of the key that token names, a tombstone too, and
// lanyard.ErrNotFound where there is none. Nothing of the row is authenticated.
func (s *Service) rowOf(ctx context.Context, token string) (store.APIKey, error) {
	var hash [sha256.Size]byte
	if t, ok := parseToken(token, s.accepts); ok {
		hash = t.hash()
	} else if hashed, ok := s.foreignPart(token); ok {
		hash = sha256.Sum256(bytesOf(hashed))
	} else {
		return store.APIKey{}, lanyard.ErrNotFound
	}
	row, err := s.store.APIKeyByHash(ctx, hash[:])
	switch {
	case errors.Is(err, lanyard.ErrNotFound):
		return store.APIKey{}, lanyard.ErrNotFound
	case errors.Is(err, store.ErrDamaged):
		s.alarm(ctx, "")
		return store.APIKey{}, lanyard.ErrNotFound
	case err != nil:
		return store.APIKey{}, unavailable(err)
	case subtle.ConstantTimeCompare(row.Key.Hash, hash[:]) != 1:
		s.alarm(ctx, row.Key.ID)
		return store.APIKey{}, lanyard.ErrNotFound
	}
	return row.Key, nil
}
