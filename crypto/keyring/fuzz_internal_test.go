package keyring

import (
	"bytes"
	"testing"

	"github.com/aichub/lanyard"
)

// Whatever a file holds, reading it ends in keys or in an error, and keys that
// were read are the same when they are written and read again.
func FuzzKeyringParse(f *testing.F) {
	key, err := freshKey()
	if err != nil {
		f.Fatal(err)
	}
	raw, err := format([]ringKey{key}, lanyard.Secret{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(bytes.ReplaceAll(raw, []byte(`"keys"`), []byte(`"kdf": {"salt": "c2FsdHNhbHRzYWx0", "time": 3, "memory_kib": 65536, "threads": 4}, "keys"`)))
	f.Add(raw[:len(raw)/2])
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := parse(raw, lanyard.Secret{})
		if err != nil {
			if len(keys) > 0 {
				t.Errorf("parse() = %d keys and %v, want no keys with an error", len(keys), err)
			}
			return
		}
		again, err := format(keys, lanyard.Secret{})
		if err != nil {
			t.Fatalf("format() of what parse() gave = %v, want nil", err)
		}
		back, err := parse(again, lanyard.Secret{})
		if err != nil || len(back) != len(keys) {
			t.Fatalf("parse() of what format() gave = %d keys, %v, want %d", len(back), err, len(keys))
		}
		for i, k := range keys {
			if b := back[i]; b.id != k.id || b.state != k.state || !bytes.Equal(b.plain(), k.plain()) {
				t.Errorf("key %d is %s, %s after a round trip, %s, %s before", i, b.id, b.state, k.id, k.state)
			}
		}
	})
}
