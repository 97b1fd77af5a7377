package profile

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// A page token is base64url, without padding, of
//
//	microseconds since 1970 (8 bytes, big-endian) | event id | CRC-32 (4 bytes)
//
// It says where in time to go on, and whose history is read the caller's
// identity alone decides, so there is nothing in it to forge. The checksum, in
// which the owner is too, tells a token that was cut or mistyped, or came from
// another history, from one of ours.
const (
	cursorTime    = 8
	cursorSum     = 4
	maxCursorID   = 255
	maxCursorSize = cursorTime + maxCursorID + cursorSum
)

var cursorEncoding = base64.RawURLEncoding.Strict()

func encodeCursor(owner lanyard.Owner, c store.EventCursor) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.At.UnixMicro()))
	b = append(b, c.ID...)
	b = binary.BigEndian.AppendUint32(b, cursorChecksum(owner, b))
	return cursorEncoding.EncodeToString(b)
}

// decodeCursor returns what encodeCursor was given for that owner, or an
// *lanyard.InputError. A token has one spelling only.
func decodeCursor(owner lanyard.Owner, token string) (store.EventCursor, error) {
	bad := &lanyard.InputError{Field: "page_token", Code: lanyard.CodeInvalid, Message: "the page token is not one of ours"}
	// The decoder passes over line ends.
	if len(token) > cursorEncoding.EncodedLen(maxCursorSize) || strings.ContainsAny(token, "\r\n") {
		return store.EventCursor{}, bad
	}
	b, err := cursorEncoding.DecodeString(token)
	if err != nil || len(b) <= cursorTime+cursorSum {
		return store.EventCursor{}, bad
	}
	body, sum := b[:len(b)-cursorSum], b[len(b)-cursorSum:]
	if binary.BigEndian.Uint32(sum) != cursorChecksum(owner, body) {
		return store.EventCursor{}, bad
	}
	c := store.EventCursor{
		At: time.UnixMicro(int64(binary.BigEndian.Uint64(body))).UTC(),
		ID: string(body[cursorTime:]),
	}
	if y := c.At.Year(); y < 1 || y > 9999 || !utf8.ValidString(c.ID) || strings.ContainsRune(c.ID, 0) {
		return store.EventCursor{}, bad
	}
	return c, nil
}

func cursorChecksum(owner lanyard.Owner, body []byte) uint32 {
	whose := owner.Tenant + "\x00" + owner.Subject // neither holds a NUL
	return crc32.Update(crc32.ChecksumIEEE(body), crc32.IEEETable, []byte(whose))
}
