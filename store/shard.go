package store

import (
	"hash/fnv"

	"github.com/aichub/lanyard"
)

// Shards is the number of epochs.
const Shards = 256

// Shard names the epoch of an owner: a number below [Shards], the same in
// every process and for ever. Stores keep it in the rows of the owner.
func Shard(owner lanyard.Owner) int {
	h := fnv.New32a()
	// A tenant holds no NUL, so the pair is told apart from every other.
	_, _ = h.Write([]byte(owner.Tenant))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(owner.Subject))
	sum := h.Sum32()
	return int((sum ^ sum>>8 ^ sum>>16 ^ sum>>24) % Shards)
}
