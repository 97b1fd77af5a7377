package crypto

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aichub/lanyard"
)

// equal reports whether two bindings name one place. A nil destination and an
// empty one are the same.
func equal(a, b Binding) bool {
	return a.Purpose == b.Purpose && a.Owner == b.Owner && a.Record == b.Record && a.Field == b.Field &&
		a.SecretVersion == b.SecretVersion && bytes.Equal(a.Destination, b.Destination)
}

// drawBinding makes bindings of few and short parts, so that two are often
// made of the same bytes in another place.
func drawBinding(t *rapid.T, label string) Binding {
	part := rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'b', 0, 1, 4}), 0, 3, -1)
	return Binding{
		Purpose:       part.Draw(t, label+" purpose"),
		Owner:         lanyard.Owner{Tenant: part.Draw(t, label+" tenant"), Subject: part.Draw(t, label+" subject")},
		Record:        part.Draw(t, label+" record"),
		Field:         part.Draw(t, label+" field"),
		SecretVersion: rapid.Int64Range(-1, 2).Draw(t, label+" secret version"),
		Destination:   rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, label+" destination"),
	}
}

func wantInjective(t interface {
	Errorf(format string, args ...any)
}, a, b Binding) {
	if same := bytes.Equal(a.encode(), b.encode()); same != equal(a, b) {
		t.Errorf("%+v and %+v: encoded alike %v, equal %v", a, b, same, equal(a, b))
	}
	for _, header := range [][]byte{nil, []byte("LYD\x01\x01k"), []byte("LYD\x01\x02kk")} {
		one, two := associatedData(header, a), associatedData([]byte("LYD\x01\x01k"), b)
		if same, want := bytes.Equal(one, two), equal(a, b) && string(header) == "LYD\x01\x01k"; same != want {
			t.Errorf("%+v after %q and %+v: the associated data is the same %v, want %v", a, header, b, same, want)
		}
	}
}

// No two places have the same associated data, wherever the bytes of their
// parts are cut.
func TestAADInjective(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawBinding(t, "a"), drawBinding(t, "b")
		wantInjective(t, a, b)
		wantInjective(t, a, a)
		// Bytes that move from one part to the next.
		moved := a
		if n := len(a.Purpose); n > 0 {
			moved.Purpose, moved.Owner.Tenant = a.Purpose[:n-1], a.Purpose[n-1:]+a.Owner.Tenant
		} else if n := len(a.Record); n > 0 {
			moved.Record, moved.Field = a.Record[:n-1], a.Record[n-1:]+a.Field
		}
		wantInjective(t, a, moved)
	})
}

func FuzzAADInjective(f *testing.F) {
	f.Add("a", "b", "c", "d", "e", int64(1), []byte("f"), "ab", "", "c", "d", "e", int64(1), []byte("f"))
	f.Add("", "", "", "", "", int64(0), []byte(nil), "", "", "", "", "", int64(0), []byte{})
	f.Add("a", "", "", "", "", int64(0), []byte{}, "", "a", "", "", "", int64(0), []byte{})
	f.Fuzz(func(t *testing.T, p1, t1, s1, r1, f1 string, v1 int64, d1 []byte, p2, t2, s2, r2, f2 string, v2 int64, d2 []byte) {
		wantInjective(t,
			Binding{Purpose: p1, Owner: lanyard.Owner{Tenant: t1, Subject: s1}, Record: r1, Field: f1, SecretVersion: v1, Destination: d1},
			Binding{Purpose: p2, Owner: lanyard.Owner{Tenant: t2, Subject: s2}, Record: r2, Field: f2, SecretVersion: v2, Destination: d2})
	})
}

// Whatever the bytes are, they are taken apart without loss or refused.
func FuzzEnvelopeParse(f *testing.F) {
	for _, v := range readVectors(f).Envelopes {
		f.Add([]byte(v.Envelope))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		e, err := parseEnvelope(raw)
		if !bytes.Equal(raw, before) {
			t.Error("parseEnvelope() changed what it was given")
		}
		if err != nil {
			if !errors.Is(err, ErrIntegrity) || errors.Is(err, ErrUnknownKey) {
				t.Errorf("parseEnvelope() = %v, want ErrIntegrity", err)
			}
			return
		}
		if joined := slices.Concat(e.header, e.sealed); !bytes.Equal(joined, raw) {
			t.Errorf("parseEnvelope() lost bytes: %x of %x", joined, raw)
		}
		want := slices.Concat([]byte("LYD\x01"), []byte{byte(len(e.keyID))}, []byte(e.keyID))
		if !bytes.Equal(e.header, want) || !validKeyID(e.keyID) || len(e.sealed) < gcmOverhead || len(e.sealed) > gcmOverhead+MaxPlaintext+maxKeyIDLen {
			t.Errorf("parseEnvelope(%x) = key id %q, header %x and %d bytes", raw, e.keyID, e.header, len(e.sealed))
		}
		// Appending to a part must not reach into the next.
		_ = append(e.header, 0xaa)
		if !bytes.Equal(raw, before) {
			t.Error("the header shares its room with what follows")
		}
	})
}

// With a key that sealed one thing once, nothing else opens.
func FuzzOpen(f *testing.F) {
	all := readVectors(f)
	v := all.Envelopes[0]
	aead, err := newAEAD(v.Key)
	if err != nil {
		f.Fatal(err)
	}
	// Everything that was ever sealed with this key.
	sealed := map[string]Binding{}
	for _, other := range all.Envelopes {
		if bytes.Equal(other.Key, v.Key) {
			sealed[string(other.Envelope)] = other.Binding.binding()
		}
		b := other.Binding
		f.Add([]byte(other.Envelope), b.Purpose, b.Tenant, b.Subject, b.Record, b.Field, b.SecretVersion, []byte(b.Destination))
	}
	f.Fuzz(func(t *testing.T, raw []byte, purpose, tenant, subject, record, field string, version int64, destination []byte) {
		e, err := parseEnvelope(raw)
		if err != nil {
			return
		}
		b := Binding{Purpose: purpose, Owner: lanyard.Owner{Tenant: tenant, Subject: subject}, Record: record, Field: field, SecretVersion: version, Destination: destination}
		text, err := openEnvelope(aead, e, b)
		place, known := sealed[string(raw)]
		switch want := known && equal(place, b); {
		case want && err != nil:
			t.Errorf("openEnvelope() of what was sealed = %v, want nil", err)
		case !want && err == nil:
			t.Errorf("openEnvelope(%x, %+v) = nil, want ErrIntegrity", raw, b)
		case !want && (err != ErrIntegrity || text != nil): //nolint:errorlint // that very value
			t.Errorf("openEnvelope() = %x, %v, want ErrIntegrity and nothing else", text, err)
		}
	})
}
