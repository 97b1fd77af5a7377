package crypto_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store"
)

// The places of the parts of an envelope, see envelope.go.
const (
	offVersion = 3
	offIDLen   = 4
	offID      = 5
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for name, text := range map[string]string{
		"empty":   "",
		"short":   "x",
		"binary":  "\x00\xff\r\n\xc3\x28",
		"longest": strings.Repeat("x", crypto.MaxPlaintext),
	} {
		sealed, err := b.Seal(t.Context(), place(ana), lanyard.NewSecret(text))
		if err != nil {
			t.Fatalf("%s: Seal() = %v, want nil", name, err)
		}
		got, err := b.Open(t.Context(), place(ana), sealed.Envelope)
		if err != nil || got.Reveal() != text {
			t.Errorf("%s: Open() = %d bytes, %v, want the %d that were sealed", name, len(got.Reveal()), err, len(text))
		}
		if len(text) > 8 && bytes.Contains(sealed.Envelope, []byte(text[:8])) {
			t.Errorf("%s: the plaintext stands in the envelope", name)
		}
		if want := 5 + len(sealed.OwnerKeyID) + 12 + len(text) + 16; len(sealed.Envelope) != want {
			t.Errorf("%s: the envelope has %d bytes, want %d", name, len(sealed.Envelope), want)
		}
	}
	row, err := b.memory.OwnerKey(t.Context(), ana)
	if err != nil {
		t.Fatalf("OwnerKey() = %v, want nil", err)
	}
	one, two := seal(t, b.Sealer, place(ana)), seal(t, b.Sealer, place(ana))
	if bytes.Equal(one.Envelope, two.Envelope) {
		t.Error("Seal() gave one envelope twice")
	}
	if one.OwnerKeyID != row.ID || row.Secrets != "vault" || row.KeyVersion != "v1" || !row.CreatedAt.Equal(start) {
		t.Errorf("Seal() used key %s, and the table holds %s of %s, %s, made %v", one.OwnerKeyID, row.ID, row.Secrets, row.KeyVersion, row.CreatedAt)
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	long := strings.Repeat("x", 64<<10+1)
	for name, test := range map[string]struct {
		binding     crypto.Binding
		field, code string
	}{
		"the system's key":     {crypto.Binding{}, "owner", lanyard.CodeRequired},
		"no subject":           {place(lanyard.Owner{Tenant: "acme"}), "owner", lanyard.CodeRequired},
		"a long subject":       {place(lanyard.Owner{Subject: strings.Repeat("x", 256)}), "owner", lanyard.CodeTooLong},
		"a zero in the tenant": {place(lanyard.Owner{Tenant: "\x00", Subject: "ana"}), "owner", lanyard.CodeInvalid},
		"invalid UTF-8":        {place(lanyard.Owner{Subject: "\xff"}), "owner", lanyard.CodeInvalid},
		"a long purpose":       {crypto.Binding{Owner: ana, Purpose: long}, "binding", lanyard.CodeTooLong},
		"a long record":        {crypto.Binding{Owner: ana, Record: long}, "binding", lanyard.CodeTooLong},
		"a long field":         {crypto.Binding{Owner: ana, Field: long}, "binding", lanyard.CodeTooLong},
		"a long destination":   {crypto.Binding{Owner: ana, Destination: []byte(long)}, "binding", lanyard.CodeTooLong},
	} {
		_, err := b.Seal(t.Context(), test.binding, lanyard.NewSecret(canary))
		wantInput(t, name+": Seal()", err, test.field, test.code)
		_, err = b.Open(t.Context(), test.binding, []byte("LYD"))
		wantInput(t, name+": Open()", err, test.field, test.code)
	}
	_, err := b.Seal(t.Context(), place(ana), lanyard.NewSecret(strings.Repeat("x", crypto.MaxPlaintext+1)))
	wantInput(t, "a long plaintext: Seal()", err, "plaintext", lanyard.CodeTooLong)
	wantCount(t, "keys created for what was refused", &b.table.creates, 0)
}

// An envelope opens with the binding it was sealed with and no other.
func TestMoved(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sealed := seal(t, b.Sealer, place(ana))
	for name, move := range map[string]func(*crypto.Binding){
		"purpose":                 func(p *crypto.Binding) { p.Purpose = "api-key" },
		"no purpose":              func(p *crypto.Binding) { p.Purpose = "" },
		"record":                  func(p *crypto.Binding) { p.Record = "record-2" },
		"field":                   func(p *crypto.Binding) { p.Field = "client_secret" },
		"record and field":        func(p *crypto.Binding) { p.Record, p.Field = p.Record+p.Field, "" },
		"field and record":        func(p *crypto.Binding) { p.Record, p.Field = p.Field, p.Record },
		"secret version before":   func(p *crypto.Binding) { p.SecretVersion-- },
		"secret version after":    func(p *crypto.Binding) { p.SecretVersion++ },
		"negative secret version": func(p *crypto.Binding) { p.SecretVersion = -p.SecretVersion },
		"destination":             func(p *crypto.Binding) { p.Destination = bytes.Repeat([]byte{0xd2}, 32) },
		"no destination":          func(p *crypto.Binding) { p.Destination = nil },
		"short destination":       func(p *crypto.Binding) { p.Destination = p.Destination[:31] },
	} {
		p := place(ana)
		move(&p)
		wantRefused(t, name, b.Sealer, p, sealed.Envelope, crypto.ErrIntegrity)
	}
	// Nobody else has the key it names.
	for name, other := range map[string]lanyard.Owner{
		"subject":                {Tenant: "acme", Subject: "bob"},
		"subject in capitals":    {Tenant: "acme", Subject: "Ana"},
		"tenant":                 {Tenant: "globex", Subject: "ana"},
		"no tenant":              {Subject: "ana"},
		"tenant and subject":     {Tenant: "acmea", Subject: "na"},
		"the tenant's character": {Tenant: "", Subject: "acmeana"},
	} {
		wantRefused(t, name+", who has no key", b.Sealer, place(other), sealed.Envelope, crypto.ErrUnknownKey)
		seal(t, b.Sealer, place(other))
		wantRefused(t, name+", who has a key", b.Sealer, place(other), sealed.Envelope, crypto.ErrUnknownKey)
	}
	wantOpens(t, "in its place", b.Sealer, place(ana), sealed.Envelope)
}

// A row of the table of owner keys that was given to another owner does not
// open either, so his envelopes do not.
func TestOwnerKeyRowMoved(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sealed := seal(t, b.Sealer, place(ana))
	row, err := b.memory.OwnerKey(t.Context(), ana)
	if err != nil {
		t.Fatalf("OwnerKey() = %v, want nil", err)
	}
	for name, owner := range map[string]lanyard.Owner{"bob": bob, "a namesake": {Tenant: "globex", Subject: "ana"}} {
		moved := row
		moved.Owner = owner
		st := newBench(t, nil)
		if _, err := st.memory.CreateOwnerKey(t.Context(), moved); err != nil {
			t.Fatalf("CreateOwnerKey() = %v, want nil", err)
		}
		there := newSealer(t, b.vault, st.memory, nil)
		wantRefused(t, name+" with ana's row", there, place(owner), sealed.Envelope, crypto.ErrIntegrity)
		_, err := there.Seal(t.Context(), place(owner), lanyard.NewSecret(canary))
		wantOnly(t, name+" with ana's row: Seal()", err, crypto.ErrIntegrity)
	}
	// A table that hands out ana's row whoever asks: the asker decides.
	mixed := &table{OwnerKeys: b.memory, onRead: func(context.Context, store.OwnerKey, error) (store.OwnerKey, error) { return row, nil }}
	_, err = newSealer(t, b.vault, mixed, nil).Seal(t.Context(), place(bob), lanyard.NewSecret(canary))
	wantOnly(t, "bob, given ana's row: Seal()", err, crypto.ErrIntegrity)

	renamed := row
	renamed.ID = lanyard.NewID()
	st := newBench(t, nil)
	if _, err := st.memory.CreateOwnerKey(t.Context(), renamed); err != nil {
		t.Fatalf("CreateOwnerKey() = %v, want nil", err)
	}
	_, err = newSealer(t, b.vault, st.memory, nil).Seal(t.Context(), place(ana), lanyard.NewSecret(canary))
	wantOnly(t, "ana's row under another id: Seal()", err, crypto.ErrIntegrity)
}

func TestChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sealed := seal(t, b.Sealer, place(ana))
	good, idLen := sealed.Envelope, len(sealed.OwnerKeyID)

	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			want := crypto.ErrIntegrity
			// A key id that is one, and somebody else's.
			if i >= offID && i < offID+idLen && bad[i] > ' ' && bad[i] < 0x7f {
				want = crypto.ErrUnknownKey
			}
			// A length byte that cuts the id short or takes more for the id.
			if i == offIDLen {
				if _, err := b.Open(t.Context(), place(ana), bad); !errors.Is(err, crypto.ErrIntegrity) && !errors.Is(err, crypto.ErrUnknownKey) {
					t.Errorf("bit %d of the id's length: Open() = %v, want it refused", bit, err)
				}
				continue
			}
			wantRefused(t, fmt.Sprintf("bit %d of byte %d flipped", bit, i), b.Sealer, place(ana), bad, want)
		}
	}
	for n := range good {
		wantRefused(t, fmt.Sprintf("the first %d bytes", n), b.Sealer, place(ana), good[:n], crypto.ErrIntegrity)
		if n > 0 {
			wantRefused(t, fmt.Sprintf("without the first %d bytes", n), b.Sealer, place(ana), good[n:], crypto.ErrIntegrity)
		}
	}
	second := seal(t, b.Sealer, place(ana)).Envelope
	head := offID + idLen
	for name, bad := range map[string][]byte{
		"nil":                     nil,
		"a zero after it":         append(bytes.Clone(good), 0),
		"a newline after it":      append(bytes.Clone(good), '\n'),
		"a space before it":       append([]byte{' '}, good...),
		"sixteen bytes after it":  append(bytes.Clone(good), make([]byte, 16)...),
		"itself twice":            slices.Concat(good, good),
		"two joined":              slices.Concat(good, second),
		"one inside the other":    slices.Concat(good[:head], second),
		"the nonce of another":    slices.Concat(good[:head], second[head:head+12], good[head+12:]),
		"the tag of another":      slices.Concat(good[:len(good)-16], second[len(second)-16:]),
		"the text of another":     slices.Concat(good[:head+12], second[head+12:len(second)-16], good[len(good)-16:]),
		"a plaintext":             []byte(canary + canary + canary + canary),
		"a plaintext with a head": append(bytes.Clone(good[:head]), canary...),
		"in base64":               []byte(base64.StdEncoding.EncodeToString(good)),
		"in base64url":            []byte(base64.RawURLEncoding.EncodeToString(good)),
		"in hexadecimal":          []byte(hex.EncodeToString(good)),
		"in lower case":           bytes.Replace(good, []byte("LYD"), []byte("lyd"), 1),
		"64 KiB more than fits":   append(bytes.Clone(good), make([]byte, 64<<10)...),
		"10 MiB":                  append(bytes.Clone(good), make([]byte, 10<<20)...),
	} {
		wantRefused(t, name, b.Sealer, place(ana), bad, crypto.ErrIntegrity)
	}
	wantOpens(t, "unchanged", b.Sealer, place(ana), good)
	wantCount(t, "unwraps of all that", &b.vault.unwraps, 2) // the two proofs at creation
}

func TestHeader(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	good := seal(t, b.Sealer, place(ana)).Envelope
	edited := func(i int, v byte) []byte {
		bad := bytes.Clone(good)
		bad[i] = v
		return bad
	}
	withID := func(id string) []byte {
		head := append([]byte("LYD\x01"), byte(len(id)))
		return slices.Concat(head, []byte(id), good[offID+int(good[offIDLen]):])
	}
	for name, test := range map[string]struct {
		envelope []byte
		want     error
	}{
		"version 0":             {edited(offVersion, 0), crypto.ErrIntegrity},
		"version 2":             {edited(offVersion, 2), crypto.ErrIntegrity},
		"version 255":           {edited(offVersion, 255), crypto.ErrIntegrity},
		"no key id":             {withID(""), crypto.ErrIntegrity},
		"a key id with a zero":  {withID("key\x00"), crypto.ErrIntegrity},
		"a key id with a space": {withID("key 1"), crypto.ErrIntegrity},
		"a key id that is é":    {withID("é"), crypto.ErrIntegrity},
		"an unknown key id":     {withID(lanyard.NewID()), crypto.ErrUnknownKey},
		"a short key id":        {withID("k"), crypto.ErrUnknownKey},
		"the longest key id":    {withID(strings.Repeat("k", 255)), crypto.ErrUnknownKey},
		"an id beyond the end":  {append([]byte("LYD\x01\xff"), good[offID:offID+40]...), crypto.ErrIntegrity},
	} {
		wantRefused(t, name, b.Sealer, place(ana), test.envelope, test.want)
	}
}

// What does not name the owner's key is decrypted with no key at all.
func TestNoTrialDecryption(t *testing.T) {
	t.Parallel()
	b := newBench(t, &crypto.SealerOptions{CacheTTL: -1})
	anas, bobs := seal(t, b.Sealer, place(ana)), seal(t, b.Sealer, place(bob))
	b.vault.unwraps.Store(0)
	b.table.reads.Store(0)
	for name, envelope := range map[string][]byte{"no envelope": []byte("LYD"), "another version": append([]byte("LYD\x02"), anas.Envelope[4:]...), "another magic": append([]byte("LYE"), anas.Envelope[3:]...)} {
		wantRefused(t, name, b.Sealer, place(ana), envelope, crypto.ErrIntegrity)
	}
	wantCount(t, "reads for what is no envelope", &b.table.reads, 0)
	wantCount(t, "unwraps for what is no envelope", &b.vault.unwraps, 0)
	wantRefused(t, "bob's", b.Sealer, place(ana), bobs.Envelope, crypto.ErrUnknownKey)
	b.vault.unwraps.Store(0)
	wantOpens(t, "ana's", b.Sealer, place(ana), anas.Envelope)
	wantCount(t, "unwraps for one envelope", &b.vault.unwraps, 1)
}

// Opening makes no key.
func TestOpenCreatesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sealed := seal(t, b.Sealer, place(ana))
	b.table.creates.Store(0)
	wantRefused(t, "bob, who has no key", b.Sealer, place(bob), sealed.Envelope, crypto.ErrUnknownKey)
	wantCount(t, "keys created", &b.table.creates, 0)
	if _, err := b.memory.OwnerKey(t.Context(), bob); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("OwnerKey(bob) = %v, want ErrNotFound", err)
	}
}
