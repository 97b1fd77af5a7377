package lanyard

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is all that any printer ever shows of a Secret.
const redacted = "[redacted]"

// Secret holds a plaintext that cannot be printed by accident: no fmt verb,
// slog handler, encoder or template shows it, also when it sits in an
// unexported field of a struct that is printed. [Secret.Reveal] is the one way
// out, so a search for it finds every place where a plaintext is used.
//
// The text is kept in a closure. A redacting string or []byte type would leak,
// because fmt prints unexported fields by reflection and calls no method there.
//
// The zero Secret is empty. A Secret is safe for concurrent use and cannot be
// compared with ==.
type Secret struct {
	reveal func() string
}

// NewSecret returns a Secret that holds text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{reveal: func() string { return text }}
}

// Reveal returns the plaintext.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Format writes "[redacted]" for every verb and flag. fmt answers %T and %p by
// itself, with a type and the address of a function.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (s Secret) GoString() string { return redacted }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]"; encoding/json and encoding/xml use it.
// encoding/gob refuses to encode a Secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
