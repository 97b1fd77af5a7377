package crypto

import (
	"container/list"
	"crypto/cipher"
	"sync"
	"time"

	"github.com/aichub/lanyard"
)

// ownerKey is an owner key ready for use. The key bytes are wiped once the
// cipher is made; the cipher's own expanded key goes with the garbage.
type ownerKey struct {
	id   string
	aead cipher.AEAD
}

// keyCache keeps owner keys for a fixed time after they were asked for. As
// that time is the same for all, the order of arrival is about the order of
// expiry: the oldest are dropped at each use, and when it is full.
type keyCache struct {
	ttl  time.Duration // 0 keeps nothing
	size int

	mu      sync.Mutex
	entries map[lanyard.Owner]*list.Element
	byAge   list.List // of *cacheEntry, oldest first
	drops   uint64    // counts drop; what was asked for before one is not kept
}

type cacheEntry struct {
	owner lanyard.Owner
	key   ownerKey
	asked time.Time
}

func newKeyCache(ttl time.Duration, size int) *keyCache {
	return &keyCache{ttl: ttl, size: size, entries: make(map[lanyard.Owner]*list.Element)}
}

// get returns the owner's key if it was asked for less than the TTL ago.
func (c *keyCache) get(owner lanyard.Owner, now time.Time) (ownerKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
	el, ok := c.entries[owner]
	if !ok {
		return ownerKey{}, false
	}
	// One that was long on its way stands behind younger ones.
	if !c.fresh(el, now) {
		c.remove(el)
		return ownerKey{}, false
	}
	return el.Value.(*cacheEntry).key, true
}

// mark is to be taken before a key is asked for, and given to put with it.
func (c *keyCache) mark() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drops
}

// put keeps a key that was asked for at that time, unless a key was dropped
// since the mark: it may be the one that was meant.
func (c *keyCache) put(owner lanyard.Owner, key ownerKey, asked time.Time, mark uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ttl <= 0 || mark != c.drops {
		return
	}
	c.remove(c.entries[owner])
	for c.byAge.Len() >= c.size {
		c.remove(c.byAge.Front())
	}
	c.entries[owner] = c.byAge.PushBack(&cacheEntry{owner: owner, key: key, asked: asked})
}

// drop forgets the owner's key.
func (c *keyCache) drop(owner lanyard.Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	c.remove(c.entries[owner])
}

// expire removes what is not fresh from the old end.
func (c *keyCache) expire(now time.Time) {
	for el := c.byAge.Front(); el != nil && !c.fresh(el, now); el = c.byAge.Front() {
		c.remove(el)
	}
}

// fresh reports whether an entry may be used: it is younger than the TTL, and
// not from the future, where a clock that was set back would keep it longer.
func (c *keyCache) fresh(el *list.Element, now time.Time) bool {
	age := now.Sub(el.Value.(*cacheEntry).asked)
	return age >= 0 && age < c.ttl
}

func (c *keyCache) remove(el *list.Element) {
	if el != nil {
		delete(c.entries, c.byAge.Remove(el).(*cacheEntry).owner)
	}
}
