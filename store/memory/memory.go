// Package memory is the reference implementation of [store.Store]: maps under
// one lock, nothing on disk. It is for tests, and to read before writing a
// store of your own; it keeps every rule of package store.
//
//	st := memory.New()
//	defer st.Close()
//
// A Store is safe for concurrent use inside one process and forgets everything
// when that ends.
package memory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var (
	_ store.Store  = (*Store)(nil)
	_ store.Epochs = (*Store)(nil)
)

// Store keeps everything in memory. Make it with [New].
type Store struct {
	mu     sync.Mutex
	closed bool

	profiles  map[lanyard.Owner]store.Profile
	keys      map[string]store.APIKey   // by id, tombstones included
	keyUse    map[string]store.KeyUsage // by key id
	tokens    map[string]store.ProviderToken
	ownerKeys map[lanyard.Owner]store.OwnerKey
	states    map[lanyard.Owner]store.OwnerState
	events    []lanyard.Event
	epochs    [store.Shards]int64
}

// New returns an empty Store.
func New() *Store {
	return &Store{
		profiles:  map[lanyard.Owner]store.Profile{},
		keys:      map[string]store.APIKey{},
		keyUse:    map[string]store.KeyUsage{},
		tokens:    map[string]store.ProviderToken{},
		ownerKeys: map[lanyard.Owner]store.OwnerKey{},
		states:    map[lanyard.Owner]store.OwnerState{},
	}
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// Epochs implements [store.Epochs].
func (s *Store) Epochs(ctx context.Context) (*[store.Shards]int64, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	epochs := s.epochs
	return &epochs, nil
}

// lock begins a call: the returned function ends it. What follows is one
// transaction, because nobody else looks in between; a method checks all it
// has to before it changes anything.
func (s *Store) lock(ctx context.Context, checks ...error) (unlock func(), err error) {
	for _, err := range checks {
		if err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memory: %w: %w", lanyard.ErrUnavailable, err)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, fmt.Errorf("memory: %w", lanyard.ErrClosed)
	}
	return s.mu.Unlock, nil
}

// touch writes a fresh epoch for the owner.
func (s *Store) touch(owner lanyard.Owner) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	s.epochs[store.Shard(owner)] = int64(binary.BigEndian.Uint64(b[:]))
}

func failed(what string, err error) error { return fmt.Errorf("memory: %s: %w", what, err) }

// clone returns a copy of s, nil for an empty one.
func clone[S ~[]E, E any](s S) S {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}

// cloneMap returns a copy of m, nil for an empty one.
func cloneMap[M ~map[K]V, K comparable, V any](m M) M {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}
