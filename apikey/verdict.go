package apikey

import (
	"crypto/sha256"
	"math"
	"slices"
	"sync/atomic"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// verdict is what one read of the store says of a token: whose key it is and
// whether it is good. Of that nothing changes; what the next read says takes its
// place. Of its size depends how many keys fit into memory, and of the order of
// its fields how many lines of the processor's cache a verification waits for:
// each of the three groups is one.
type verdict struct {
	next  atomic.Pointer[verdict] // in the verdicts' chain
	hash  [sha256.Size]byte
	read  int64 // when the store was asked
	epoch int64 // of the owner's shard, in the snapshot that was read
	shard uint8

	deleted, deactivated, rotated bool

	gone atomic.Bool // from the table

	expires int64 // in microseconds of Unix time; never = not at all
	mask    uint64
	marked  atomic.Int64  // when it was used last, by the stopwatch, to the second
	from    atomic.Uint32 // from where: the hash of an address, 0 = not used yet
	place   uint32        // in the table
	state   *keyState     // what outlives this verdict
	scopes  []string

	id    string
	name  string // for the history
	owner lanyard.Owner
}

// never is no instant that a key may expire at; 0 is one, the first of Unix time.
const never = math.MaxInt64

// keyState is what a process keeps of a key for as long as it has a verdict on
// it, whichever that is.
type keyState struct {
	use  use
	rate limiter // of Options.Rate
}

// newVerdict returns what row says of the token t, asked for at time read.
func (s *Service) newVerdict(t presented, row store.KeyLookup, read int64) *verdict {
	k := row.Key
	scopes := slices.Clip(slices.DeleteFunc(slices.Clone(k.Scopes), func(scope string) bool {
		_, offered := s.offered[scope]
		return !offered
	}))
	v := &verdict{
		hash: t.hash, place: t.place, read: read, epoch: row.Epoch, shard: uint8(store.Shard(k.Owner)),
		deleted: !k.DeletedAt.IsZero(), deactivated: row.Owner.Deactivated(), rotated: !k.RotatedAt.IsZero(),
		id: k.ID, name: k.Name, owner: k.Owner, scopes: scopes, mask: s.offered.mask(scopes), expires: never,
	}
	if !k.ExpiresAt.IsZero() {
		v.expires = k.ExpiresAt.UnixMicro()
	}
	v.marked.Store(neverMarked)
	if v.deleted || v.deactivated || expired(k.ExpiresAt, s.now()) {
		v.marked.Store(noGood)
	}
	return v
}
