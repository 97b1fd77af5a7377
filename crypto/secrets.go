package crypto

import "context"

// KeySize is the size in bytes of every key Secrets is given to wrap.
const KeySize = 32

// MaxWrapped is the longest ciphertext a [Secrets] may answer with, in bytes.
const MaxWrapped = 64 << 10

// Secrets is a key service: it wraps keys under a master key that never leaves
// it. Implementations must be safe for concurrent use and honour ctx, and pass
// secretstest.Run.
type Secrets interface {
	// Name tells key services apart, as "vault:transit/lanyard" or "keyring".
	// It is stored beside what was wrapped, so it must not change. It has 1 to
	// 255 bytes of printable ASCII without space.
	Name() string

	// Wrap encrypts key ([KeySize] bytes, else an error) so that it opens with
	// the same binding only. Two calls give different ciphertexts. It must
	// neither keep nor change its arguments. No error shows the key.
	Wrap(ctx context.Context, key, binding []byte) (Wrapped, error)

	// Unwrap returns the key, which belongs to the caller. It must return
	// [ErrIntegrity] for another binding or a changed ciphertext,
	// [ErrUnknownKey] for a key version it does not have, [ErrDenied] when it
	// may not, and lanyard.ErrUnavailable when it cannot tell now, ctx having
	// ended included; a [*BusyError] where the service said when it can. It
	// tries no other key version than the one named.
	Unwrap(ctx context.Context, w Wrapped, binding []byte) (key []byte, err error)
}

// Wrapped is a key as Secrets returned it.
type Wrapped struct {
	// KeyVersion of the master key, as "v3": 1 to 255 bytes of printable ASCII
	// without space, ordered by Secrets and not by text.
	KeyVersion string

	// Ciphertext has 1 to [MaxWrapped] bytes.
	Ciphertext []byte
}

// Rewrapper is an optional ability of a Secrets: bring wrapped keys under the
// newest master key without showing them to us.
type Rewrapper interface {
	// Rewrap answers every item, in order; a bad one does not spoil the
	// others. What is under the newest key already may come back as it is,
	// without a look at it. It neither keeps nor changes the items.
	Rewrap(ctx context.Context, items []RewrapItem) []RewrapResult
}

// RewrapItem is one wrapped key and its binding.
type RewrapItem struct {
	Wrapped Wrapped
	Binding []byte
}

// RewrapResult is the answer for one item: Wrapped, or Err.
type RewrapResult struct {
	Wrapped Wrapped
	Err     error
}
