package crypto

import (
	"encoding/binary"

	"github.com/aichub/lanyard"
)

// Binding names the one place a sealed value belongs to. A value opens with
// an equal Binding only: moved to another user, row or column, or beside a
// changed destination, it does not.
type Binding struct {
	Purpose       string        // what kind of value, as "provider-token"
	Owner         lanyard.Owner // whose
	Record        string        // id of the row
	Field         string        // which secret of the row
	SecretVersion int64         // how often this field was written
	Destination   []byte        // digest of where it may be sent; nil = nowhere
}

// purposeOwnerKey is the Purpose a wrapped owner key is bound to.
const purposeOwnerKey = "owner-key"

// ownerKeyBinding is what an owner key is bound to when Secrets wraps it.
func ownerKeyBinding(owner lanyard.Owner, keyID string) []byte {
	return Binding{Purpose: purposeOwnerKey, Owner: owner, Record: keyID}.encode()
}

// validate refuses what no record can be: an owner without a subject and
// parts of absurd length.
func (b Binding) validate() error {
	if err := b.Owner.Validate(); err != nil {
		return err
	}
	if len(b.Purpose)+len(b.Record)+len(b.Field)+len(b.Destination) > maxBinding {
		return &lanyard.InputError{Field: "binding", Code: lanyard.CodeTooLong, Message: "a binding has at most 64 KiB"}
	}
	return nil
}

// encode returns the binding as bytes, injectively: every part is preceded by
// its length, so no two bindings encode alike.
func (b Binding) encode() []byte {
	var version [8]byte
	binary.BigEndian.PutUint64(version[:], uint64(b.SecretVersion))
	return appendParts(nil,
		[]byte(b.Purpose), []byte(b.Owner.Tenant), []byte(b.Owner.Subject),
		[]byte(b.Record), []byte(b.Field), version[:], b.Destination)
}

// appendParts appends each part after its length in four bytes, big-endian.
func appendParts(dst []byte, parts ...[]byte) []byte {
	for _, p := range parts {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
		dst = append(dst, p...)
	}
	return dst
}
