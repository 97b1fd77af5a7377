package bunstore

import (
	"database/sql/driver"
	"encoding/json"
	"time"

	"github.com/aichub/lanyard/store"
)

// instant is a time in a column: microseconds since the Unix epoch, NULL for
// the zero time.
type instant struct{ time.Time }

// Value implements [driver.Valuer].
func (i instant) Value() (driver.Value, error) {
	if i.IsZero() {
		return nil, nil
	}
	return i.UnixMicro(), nil
}

// Scan implements sql.Scanner.
func (i *instant) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		i.Time = time.Time{}
	case int64:
		i.Time = time.UnixMicro(v).UTC()
	default:
		return store.ErrDamaged
	}
	return nil
}

// document is a list or a map in a text column, as JSON; NULL for an empty
// one, which comes back as nil.
type document[T interface {
	[]string | map[string]string | map[string]secretColumn
}] struct{ value T }

// Value implements [driver.Valuer].
func (d document[T]) Value() (driver.Value, error) {
	if len(d.value) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(d.value)
	return string(text), err
}

// Scan implements sql.Scanner.
func (d *document[T]) Scan(src any) error {
	d.value = nil
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return d.unmarshal([]byte(v))
	case []byte:
		return d.unmarshal(v)
	}
	return store.ErrDamaged
}

func (d *document[T]) unmarshal(text []byte) error {
	if json.Unmarshal(text, &d.value) != nil {
		return store.ErrDamaged
	}
	return nil
}

// orNull returns a pointer that stores "" as NULL.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// orEmpty undoes orNull.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// bytesOrNull stores an empty value as NULL.
func bytesOrNull(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
