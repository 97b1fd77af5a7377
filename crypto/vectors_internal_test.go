package crypto

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// vectors is testdata/vectors_v1.json. It was computed from the description
// of the format, not by this package, and is never written again: what it
// holds opens for ever.
type vectors struct {
	Format    string
	Envelopes []struct {
		Name      string
		Key       hexBytes
		KeyID     string `json:"key_id"`
		Binding   vectorBinding
		Encoded   hexBytes `json:"binding_encoded"`
		Plaintext hexBytes
		Envelope  hexBytes
	}
	MACs []struct {
		SystemKey hexBytes `json:"system_key"`
		Parts     []hexBytes
		MAC       hexBytes
	}
}

type vectorBinding struct {
	Purpose, Tenant, Subject, Record, Field string

	SecretVersion int64 `json:"secret_version"`
	Destination   hexBytes
}

func (b vectorBinding) binding() Binding {
	return Binding{
		Purpose: b.Purpose, Owner: lanyard.Owner{Tenant: b.Tenant, Subject: b.Subject},
		Record: b.Record, Field: b.Field, SecretVersion: b.SecretVersion, Destination: b.Destination,
	}
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if v.Format != "lanyard-vectors/v1" || len(v.Envelopes) < 9 || len(v.MACs) < 4 {
		t.Fatalf("the vectors are %q with %d envelopes and %d MACs, want all that were written", v.Format, len(v.Envelopes), len(v.MACs))
	}
	return v
}

// known is a key service that gives one key, whatever it is asked for.
type known struct {
	key     []byte
	binding []byte // of the last call
}

func (*known) Name() string { return "known" }

func (k *known) Wrap(_ context.Context, key, binding []byte) (Wrapped, error) {
	k.key, k.binding = bytes.Clone(key), bytes.Clone(binding)
	return Wrapped{KeyVersion: "v1", Ciphertext: []byte{1}}, nil
}

func (k *known) Unwrap(_ context.Context, _ Wrapped, binding []byte) ([]byte, error) {
	if k.binding != nil && !bytes.Equal(binding, k.binding) {
		return nil, ErrIntegrity
	}
	return bytes.Clone(k.key), nil
}

// knowing returns a Sealer for which the owner's key is that one.
func knowing(t *testing.T, owner lanyard.Owner, id string, key []byte) *Sealer {
	t.Helper()
	st := memory.New()
	row := store.OwnerKey{ID: id, Owner: owner, Secrets: "known", KeyVersion: "v1", Wrapped: []byte{1}}
	if _, err := st.CreateOwnerKey(t.Context(), row); err != nil {
		t.Fatalf("CreateOwnerKey() = %v, want nil", err)
	}
	s, err := NewSealer(&known{key: key}, st, nil)
	if err != nil {
		t.Fatalf("NewSealer() = %v, want nil", err)
	}
	return s
}

func TestVectorsV1(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t).Envelopes {
		b := v.Binding.binding()
		if got := b.encode(); !bytes.Equal(got, v.Encoded) {
			t.Errorf("%s: encode() = %x, want %x", v.Name, got, v.Encoded)
		}
		s := knowing(t, b.Owner, v.KeyID, v.Key)
		got, err := s.Open(t.Context(), b, v.Envelope)
		if err != nil || got.Reveal() != string(v.Plaintext) {
			t.Errorf("%s: Open() = %x, %v, want %x", v.Name, got.Reveal(), err, []byte(v.Plaintext))
		}
		// What is sealed today has the same shape: everything up to the nonce
		// is equal, and so is the length.
		sealed, err := s.Seal(t.Context(), b, lanyard.NewSecret(string(v.Plaintext)))
		if err != nil {
			t.Fatalf("%s: Seal() = %v, want nil", v.Name, err)
		}
		head := 5 + len(v.KeyID)
		if len(sealed.Envelope) != len(v.Envelope) || !bytes.Equal(sealed.Envelope[:head], v.Envelope[:head]) {
			t.Errorf("%s: Seal() = %x, want %x and another nonce", v.Name, sealed.Envelope, []byte(v.Envelope))
		}
	}
}

func TestMACVectorsV1(t *testing.T) {
	t.Parallel()
	for i, v := range readVectors(t).MACs {
		var parts [][]byte
		for _, p := range v.Parts {
			parts = append(parts, p)
		}
		got, err := knowing(t, lanyard.Owner{}, "system", v.SystemKey).MAC(t.Context(), parts...)
		if err != nil || !bytes.Equal(got, v.MAC) {
			t.Errorf("MAC() of vector %d = %x, %v, want %x", i, got, err, []byte(v.MAC))
		}
	}
}

// The binding that a key service is given is part of the format, too.
func TestOwnerKeyBinding(t *testing.T) {
	t.Parallel()
	got := ownerKeyBinding(lanyard.Owner{Tenant: "acme", Subject: "ana"}, "k1")
	const want = "\x00\x00\x00\x09owner-key" + "\x00\x00\x00\x04acme" + "\x00\x00\x00\x03ana" + "\x00\x00\x00\x02k1" +
		"\x00\x00\x00\x00" + "\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	if string(got) != want {
		t.Errorf("ownerKeyBinding() = %q, want %q", got, want)
	}
}
