package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"unsafe"

	"github.com/aichub/lanyard"
)

// The parts of a token, from the right:
//
//	prefix _ id(10) secret(30) checksum(6)
//
// Everything behind the underscore has a fixed length, so a token is taken
// apart by offsets and an underscore inside a prefix confuses nothing.
const (
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	idLen     = 10
	secretLen = 30
	sumLen    = 6 // 62^6 > 2^32
	tailLen   = idLen + secretLen + sumLen
	maxPrefix = 8
	maxToken  = maxPrefix + 1 + tailLen // 55 bytes, one block of SHA-256
)

// token is a well-formed token.
type token struct {
	prefix string
	id     string
	text   string
}

// newToken draws a token.
func newToken(prefix string) token {
	id := randomText(idLen)
	body := prefix + "_" + id + randomText(secretLen)
	return token{prefix: prefix, id: id, text: body + checksum(body)}
}

// parseToken takes text apart if it is a token with one of the prefixes and a
// right checksum.
func parseToken(text string, prefixes []string) (token, bool) {
	prefix, tail, ok := cutToken(text, prefixes)
	if !ok || !isBase62(tail) || !checked(text) {
		return token{}, false
	}
	return token{prefix: prefix, id: tail[:idLen], text: text}, true
}

// cutToken cuts text at the underscore if it has the length of a token and one
// of the prefixes.
func cutToken(text string, prefixes []string) (prefix, tail string, ok bool) {
	underscore := len(text) - tailLen - 1
	if underscore < 1 || len(text) > maxToken || text[underscore] != '_' {
		return "", "", false
	}
	prefix, tail = text[:underscore], text[underscore+1:]
	return prefix, tail, slices.Contains(prefixes, prefix)
}

// hash is what is stored of a token. Its secret has 178 random bits, so a fast
// hash is as good as a slow one.
func (t token) hash() [sha256.Size]byte { return sha256.Sum256(bytesOf(t.text)) }

// hint is the part of the token that is no secret.
func (t token) hint() string { return t.prefix + "_" + t.id }

func (t token) secret() lanyard.Secret { return lanyard.NewSecret(t.text) }

// IsToken reports whether text is for Verify to judge: it begins like a token
// of ours, good or not, with one of the accepted prefixes and an underscore, or
// Options.AcceptForeign accepts it.
func (s *Service) IsToken(text string) bool {
	ours := slices.ContainsFunc(s.accepts, func(prefix string) bool {
		rest, ok := strings.CutPrefix(text, prefix)
		return ok && strings.HasPrefix(rest, "_")
	})
	if ours {
		return true
	}
	_, foreign := s.foreignPart(text)
	return foreign
}

// MatchesPattern reports whether all of text is what Pattern finds: it has the
// form of a token of ours, good or not.
func (s *Service) MatchesPattern(text string) bool {
	_, tail, ok := cutToken(text, s.accepts)
	return ok && isBase62(tail)
}

// Pattern is the regular expression (RE2) that finds tokens of this service in
// text, for secret scanners. It finds every token; what it finds need not be
// one, because a regular expression cannot compute the checksum.
func (s *Service) Pattern() string {
	return fmt.Sprintf("(?:%s)_[0-9A-Za-z]{%d}", strings.Join(s.accepts, "|"), tailLen)
}

// checksum is the CRC-32 (IEEE) of body in base62, padded with zeros.
func checksum(body string) string {
	sum := crc32.ChecksumIEEE(bytesOf(body))
	var text [sumLen]byte
	for i := range text {
		text[sumLen-1-i] = base62[sum%62]
		sum /= 62
	}
	return string(text[:])
}

// checked reports whether text ends in the checksum of what is before it.
func checked(text string) bool {
	body, sum := text[:len(text)-sumLen], text[len(text)-sumLen:]
	var n uint64 // 62^6 is below 2^36
	for i := range len(sum) {
		digit := digits[sum[i]]
		if digit == 0 {
			return false
		}
		n = n*62 + uint64(digit-1)
	}
	return n == uint64(crc32.ChecksumIEEE(bytesOf(body)))
}

// bytesOf is text as bytes that must not be written to. A conversion would put
// a copy of each token that is verified on the heap.
func bytesOf(text string) []byte {
	return unsafe.Slice(unsafe.StringData(text), len(text)) //nolint:gosec // it is only read
}

// randomText draws n characters of base62, each as likely as the other: bytes
// from 248 up, which would favour the first characters, are drawn again.
func randomText(n int) string {
	const fair = 256 - 256%len(base62)
	text := make([]byte, 0, n)
	var drawn [64]byte
	for {
		_, _ = rand.Read(drawn[:]) // never fails: it ends the process instead
		for _, b := range drawn {
			if int(b) >= fair {
				continue
			}
			if text = append(text, base62[int(b)%len(base62)]); len(text) == n {
				return string(text)
			}
		}
	}
}

// validID reports whether a key can have this id.
func validID(id string) bool { return len(id) == idLen && isBase62(id) }

func isBase62(s string) bool {
	for i := range len(s) {
		if digits[s[i]] == 0 {
			return false
		}
	}
	return true
}

// digits is one more than the value of each digit of base62, and 0 of other
// bytes.
var digits = func() (digits [256]uint8) {
	for i := range len(base62) {
		digits[base62[i]] = uint8(i) + 1
	}
	return digits
}()

func validPrefix(p string) bool {
	if p == "" || len(p) > maxPrefix || p[0] < 'a' || p[0] > 'z' || p[len(p)-1] == '_' {
		return false
	}
	return all([]byte(p), func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_'
	})
}
