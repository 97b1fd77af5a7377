package apikey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

const (
	// noLimit lets the store take a key however many its owner has.
	noLimit = -1

	// maxHint is how many bytes of a token an imported key may show.
	maxHint = 16
)

// What stands against taking a key over, besides the errors of package lanyard.
// Both are a [lanyard.ErrConflict]; test for them first.
var (
	// ErrHashTaken says that another owner has a key with that hash.
	ErrHashTaken = fmt.Errorf("another owner has a key with that hash: %w", lanyard.ErrConflict)

	// ErrDeleted says that the key was deleted here. It stays so while its
	// tombstone is kept.
	ErrDeleted = fmt.Errorf("the key was deleted: %w", lanyard.ErrConflict)
)

// ImportRequest is a key of an earlier system. Only Owner, Name and Hash are
// required.
type ImportRequest struct {
	Owner lanyard.Owner
	Name  string // as CreateRequest.Name

	// Hash is the SHA-256 of the token, or of that part of it which
	// Options.AcceptForeign returns: in hexadecimal, as Laravel Sanctum keeps
	// it, or in base64, as Unkey (standard) and better-auth (URL alphabet
	// without padding) do.
	Hash string

	// Hint is what may be shown of the token, to recognise it: at most its
	// first 16 bytes. Defaults to nothing.
	Hint string

	Scopes     []string  // some of Options.Scopes
	CreatedAt  time.Time // not in the future; zero = now
	ExpiresAt  time.Time // after CreatedAt, perhaps past; zero = never
	LastUsedAt time.Time // not in the future; zero = not known. When it was used first is not known then
}

// ImportResult is what became of one ImportRequest.
type ImportResult struct {
	// Key is the key that was made, or with lanyard.ErrExists the one that was
	// there, as it is and without LastUsedAt.
	Key Key

	// Err is nil for a key that was taken over now, and lanyard.ErrExists where
	// the owner has it already: nothing was changed then. ErrDeleted,
	// ErrHashTaken and *lanyard.InputError, several joined, say that it was
	// refused.
	Err error
}

// Import takes over keys of an earlier system by the hashes of their tokens, so
// that who holds one need not know. With Options.AcceptForeign, Verify takes
// those tokens.
//
// Each key is taken over whole, with one ActionImported in its owner's history,
// or not at all; the results come in the order of the requests. Importing again
// is harmless and makes no second key, whoever does it at the same time. After
// an error the results are those of the requests that were dealt with, and the
// others can be sent again, or all of them.
//
// A key that was deleted here is known by its tombstone and by nothing else:
// after store.Maintenance.Purge has removed that, or its owner was erased, a list
// that still has the key brings it back. To know it for ever would take a row for
// ever, and erasing leaves none of an owner. So the last import of a list belongs
// before the first purge of tombstones, and whom you erase you take off the list.
//
// Options.Limit does not apply, because a key that is refused here is a tool
// that stops working: an owner may have more keys than it allows afterwards,
// and can make none until he has fewer.
//
// An imported key gets an id of ours, is listed, rotated and deleted like any
// other, and its row is signed. A token that has the form of ours cannot be
// taken over, since its id is a part of it.
//
// Nothing of a token is stored but the hash and the Hint. Import cannot tell a
// hash from a token that looks like one: 64 hexadecimal digits, or 43 characters
// of base64. Give it hashes.
func (s *Service) Import(ctx context.Context, requests []ImportRequest) (_ []ImportResult, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.Import")
	defer end(&err)
	if s.closed.Load() {
		return nil, errClosed
	}
	var results []ImportResult
	for _, r := range requests {
		result, err := s.importOne(ctx, r)
		if err != nil {
			return results, fmt.Errorf("apikey: import: %w", err)
		}
		results = append(results, result)
	}
	return results, nil
}

// importOne takes over one key. An error says that the store or the key service
// is down.
func (s *Service) importOne(ctx context.Context, r ImportRequest) (ImportResult, error) {
	now := s.now()
	k, err := s.importedRecord(r, now)
	if err != nil {
		return ImportResult{Err: fmt.Errorf("apikey: import: %w", err)}, nil
	}
	for attempt := 1; ; attempt++ {
		there, err := s.store.APIKeyByHash(ctx, k.Hash)
		switch {
		case err == nil:
			return s.importedBefore(ctx, k, there.Key, now)
		case errors.Is(err, store.ErrDamaged): // which keeps up no other
			return ImportResult{Err: fmt.Errorf("apikey: import: %w", store.ErrDamaged)}, nil
		case !errors.Is(err, lanyard.ErrNotFound):
			return ImportResult{}, unavailable(err)
		}
		k.ID = randomText(idLen)
		if err := s.sign(ctx, &k); err != nil {
			return ImportResult{}, err
		}
		e := s.event(ctx, now, ActionImported, k)
		err = s.store.CreateAPIKey(ctx, k, noLimit, e)
		if err == nil || s.arrived(ctx, k, err) {
			s.onEvent(ctx, e)
			k.Version = 1
			return ImportResult{Key: fromRecord(k, now)}, s.recordImportedUse(ctx, k.ID, k.LastUsedAt)
		}
		// The id is taken, or somebody else was faster with the same key.
		if !errors.Is(err, lanyard.ErrExists) || attempt == attempts {
			return ImportResult{}, err
		}
	}
}

// importedBefore is the answer where a row has the hash of k already. It makes
// good for a last use that was not recorded when that was imported.
func (s *Service) importedBefore(ctx context.Context, k, there store.APIKey, now time.Time) (ImportResult, error) {
	err := lanyard.ErrExists
	switch {
	case there.Owner != k.Owner:
		err = ErrHashTaken
	case !there.DeletedAt.IsZero():
		err = ErrDeleted
	}
	result := ImportResult{Err: fmt.Errorf("apikey: import: %w", err)}
	if !errors.Is(err, lanyard.ErrExists) {
		return result, nil
	}
	result.Key = fromRecord(there, now)
	return result, s.recordImportedUse(ctx, there.ID, k.LastUsedAt)
}

func (s *Service) recordImportedUse(ctx context.Context, id string, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	return s.store.RecordKeyUse(ctx, []store.KeyUse{{ID: id, At: at, NotFirst: true}})
}

// importedRecord checks a request and returns the row it asks for, without id.
func (s *Service) importedRecord(r ImportRequest, now time.Time) (store.APIKey, error) {
	if err := r.Owner.Validate(); err != nil {
		return store.APIKey{}, err
	}
	name, nameErr := keyName(r.Name)
	hash, hashErr := parseHash(r.Hash)
	k := store.APIKey{
		Owner: r.Owner, Name: name, Hint: r.Hint, Hash: hash,
		Scopes:    slices.Compact(slices.Sorted(slices.Values(r.Scopes))),
		CreatedAt: store.Instant(r.CreatedAt), ExpiresAt: store.Instant(r.ExpiresAt),
		KeyUsage: store.KeyUsage{}.Add(store.KeyUse{At: r.LastUsedAt, NotFirst: true}),
	}
	if k.CreatedAt.IsZero() {
		k.CreatedAt = now
	}
	err := errors.Join(nameErr, hashErr, checkHint(r.Hint), s.checkScopes(k.Scopes), checkLife(k), checkExpiry(k.ExpiresAt),
		checkPast("created_at", k.CreatedAt, now), checkPast("last_used_at", k.LastUsedAt, now),
		checkNoToken("name", name, hash), checkNoToken("hint", r.Hint, hash))
	return k, err
}

// parseHash reads a SHA-256 in hexadecimal, or in either alphabet of base64
// (RFC 4648 sections 4 and 5) with or without padding.
func parseHash(text string) ([]byte, error) {
	var hash []byte
	var err error
	digits := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimSuffix(text, "="))
	switch {
	case len(text) == hex.EncodedLen(sha256.Size):
		hash, err = hex.DecodeString(text)
	case len(digits) == base64.RawStdEncoding.EncodedLen(sha256.Size): // a line break, which is passed over, leaves too few
		hash, err = base64.RawStdEncoding.Strict().DecodeString(digits)
	}
	if err != nil || len(hash) != sha256.Size {
		return nil, &lanyard.InputError{Field: "hash", Code: lanyard.CodeInvalid, Message: "a SHA-256 in hexadecimal or base64"}
	}
	return hash, nil
}

func checkHint(hint string) error {
	switch {
	case len(hint) > maxHint:
		return &lanyard.InputError{Field: "hint", Code: lanyard.CodeTooLong, Message: "at most 16 bytes of a token are shown"}
	case !all([]byte(hint), func(c byte) bool { return c > ' ' && c <= '~' }):
		return &lanyard.InputError{Field: "hint", Code: lanyard.CodeInvalid, Message: "visible ASCII only"}
	}
	return nil
}

// checkNoToken refuses the token itself where it would be stored and shown.
func checkNoToken(field, text string, hash []byte) error {
	if sum := sha256.Sum256([]byte(text)); bytes.Equal(sum[:], hash) {
		return &lanyard.InputError{Field: field, Code: lanyard.CodeInvalid, Message: "this is the token itself"}
	}
	return nil
}

func checkLife(k store.APIKey) error {
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(k.CreatedAt) {
		return &lanyard.InputError{Field: "expires_at", Code: lanyard.CodeInvalid, Message: "a key expires after it was made"}
	}
	return nil
}

// checkPast refuses a time that is to come, and one before the year 1.
func checkPast(field string, t, now time.Time) error {
	if t.After(now) || t.Year() < 1 {
		return &lanyard.InputError{Field: field, Code: lanyard.CodeInvalid, Message: "the time is not in the past"}
	}
	return nil
}
