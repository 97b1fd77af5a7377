package apikey

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// macPurpose keeps the MACs of this table apart from all others made with the
// same key, and names the layout of macParts.
const macPurpose = "lanyard/api-key/v1"

// macParts is everything of a row that authorises. Name and hint do not.
func macParts(k store.APIKey) [][]byte {
	var scopes []byte
	for _, s := range slices.Sorted(slices.Values(k.Scopes)) {
		scopes = appendPart(scopes, []byte(s))
	}
	parts := [][]byte{
		[]byte(macPurpose),
		[]byte(k.ID), []byte(k.Owner.Tenant), []byte(k.Owner.Subject), k.Hash, scopes,
		timePart(k.CreatedAt), timePart(k.ExpiresAt), timePart(k.DeletedAt),
	}
	if !k.RotatedAt.IsZero() || !k.LifeEndsAt.IsZero() { // the life of a successor depends on it
		parts = append(parts, timePart(k.RotatedAt), timePart(k.LifeEndsAt))
	}
	return parts
}

// sign sets the MAC of a row, where rows are signed.
func (s *Service) sign(ctx context.Context, k *store.APIKey) error {
	k.MAC = nil
	if s.sealer == nil {
		return nil
	}
	mac, err := s.sealer.MAC(ctx, macParts(*k)...)
	if err != nil {
		return keyServiceError(err)
	}
	k.MAC = mac
	return nil
}

// authentic reports whether the row's MAC is what we made, where rows are
// signed. It never signs what it was not sure of: a change of a key asks first.
func (s *Service) authentic(ctx context.Context, k store.APIKey) (bool, error) {
	if s.sealer == nil {
		return true, nil
	}
	want := k
	if err := s.sign(ctx, &want); err != nil {
		return false, err
	}
	return hmac.Equal(k.MAC, want.MAC), nil
}

// keyServiceError makes err, with which the Sealer could not make a MAC, an
// ErrUnavailable that still says what an operator has to mend.
func keyServiceError(err error) error {
	if errors.Is(err, lanyard.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, err)
}

// alarm tells the operator that somebody else writes the table of keys, once an
// hour and key: whoever has the token may present it as often as he likes. id is
// "" where the row could not be read and the token does not name it.
func (s *Service) alarm(ctx context.Context, id string) {
	if s.told.Claim(factKey{action: "alarm", id: id, hour: s.now().Unix() / 3600}) {
		s.logger.ErrorContext(ctx, "api key row failed its integrity check", slog.String("key_id", id))
	}
}

// timePart is t in microseconds, and nothing for the zero time.
func timePart(t time.Time) []byte {
	if t.IsZero() {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixMicro()))
}

// appendPart appends a part after its length, so that no two lists of parts
// give the same bytes.
func appendPart(b, part []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
	return append(b, part...)
}
