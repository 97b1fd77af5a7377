package keyring

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// Options configures a [Ring]. The zero value is ready to use.
type Options struct {
	// Passphrase locks the keys in the file. Defaults to none.
	Passphrase lanyard.Secret
}

// Ring is a keyring file as a key service. Make it with [Create] or [Open].
type Ring struct {
	path       string
	passphrase lanyard.Secret

	disk   sync.Mutex  // held from reading the file until keys shows it
	loaded os.FileInfo // of the file that keys was read from; guarded by disk

	mu   sync.RWMutex
	keys []ringKey
}

var (
	_ crypto.Secrets   = (*Ring)(nil)
	_ crypto.Rewrapper = (*Ring)(nil)
)

// ringKey is a key in memory. Its bytes stand in a closure, because fmt prints
// everything else.
type ringKey struct {
	id    string
	state State
	plain func() []byte
	aead  cipher.AEAD
}

func newRingKey(id string, state State, plain []byte) (ringKey, error) {
	aead, err := newAEAD(plain)
	return ringKey{id: id, state: state, plain: func() []byte { return plain }, aead: aead}, err
}

func freshKey() (ringKey, error) {
	plain := make([]byte, crypto.KeySize)
	_, _ = rand.Read(plain) // never fails, see crypto/rand
	return newRingKey(lanyard.NewID(), StatePrimary, plain)
}

// Create makes a keyring file with one fresh key and opens it. Of several
// callers at once one succeeds; the others get fs.ErrExist and open it.
func Create(path string, o *Options) (*Ring, error) {
	r := newRing(path, o)
	key, err := freshKey()
	if err != nil {
		return nil, failed("create", path, err)
	}
	r.keys = []ringKey{key}
	raw, err := format(r.keys, r.passphrase)
	if err == nil {
		err = create(path, raw)
	}
	if err != nil {
		return nil, failed("create", path, err)
	}
	return r, nil
}

// Open opens a keyring file. It creates nothing: a missing file is
// fs.ErrNotExist.
func Open(path string, o *Options) (*Ring, error) {
	r := newRing(path, o)
	if err := r.load(); err != nil {
		return nil, failed("open", path, err)
	}
	return r, nil
}

func newRing(path string, o *Options) *Ring {
	r := &Ring{path: path}
	if o != nil {
		r.passphrase = o.Passphrase
	}
	return r
}

// Name returns "keyring".
func (r *Ring) Name() string { return "keyring" }

// Wrap implements [crypto.Secrets] with the primary key. The key version is
// the key's id. It looks at the file first: it wraps with no key that another
// process has rotated away, and with none whose file is gone.
func (r *Ring) Wrap(ctx context.Context, key, binding []byte) (crypto.Wrapped, error) {
	if err := ctx.Err(); err != nil {
		return crypto.Wrapped{}, fmt.Errorf("keyring: wrap: %w: %w", lanyard.ErrUnavailable, err)
	}
	if len(key) != crypto.KeySize {
		return crypto.Wrapped{}, fmt.Errorf("keyring: wrap: %w",
			&lanyard.InputError{Field: "key", Code: lanyard.CodeInvalid, Message: "a key has 32 bytes"})
	}
	if err := r.load(); err != nil {
		return crypto.Wrapped{}, fmt.Errorf("keyring: wrap: %w: %w", lanyard.ErrUnavailable, err)
	}
	p := r.primary()
	return crypto.Wrapped{KeyVersion: p.id, Ciphertext: p.aead.Seal(nil, nil, key, wrapData(p.id, binding))}, nil
}

// Unwrap implements [crypto.Secrets].
func (r *Ring) Unwrap(ctx context.Context, w crypto.Wrapped, binding []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("keyring: unwrap: %w: %w", lanyard.ErrUnavailable, err)
	}
	k, err := r.key(w.KeyVersion)
	if err != nil {
		return nil, fmt.Errorf("keyring: unwrap: %w", err)
	}
	key, err := k.aead.Open(nil, nil, w.Ciphertext, wrapData(k.id, binding))
	if err != nil || len(key) != crypto.KeySize {
		return nil, fmt.Errorf("keyring: unwrap: %w", crypto.ErrIntegrity)
	}
	return key, nil
}

// Rewrap implements [crypto.Rewrapper]. An item under the primary key already
// comes back as it is. It looks at the file first, as Wrap does.
func (r *Ring) Rewrap(ctx context.Context, items []crypto.RewrapItem) []crypto.RewrapResult {
	out := make([]crypto.RewrapResult, len(items))
	stale := r.load()
	for i, item := range items {
		if stale != nil {
			out[i].Err = fmt.Errorf("keyring: rewrap: %w: %w", lanyard.ErrUnavailable, stale)
			continue
		}
		if item.Wrapped.KeyVersion == r.primary().id && ctx.Err() == nil {
			out[i].Wrapped = crypto.Wrapped{KeyVersion: item.Wrapped.KeyVersion, Ciphertext: bytes.Clone(item.Wrapped.Ciphertext)}
			continue
		}
		key, err := r.Unwrap(ctx, item.Wrapped, item.Binding)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i].Wrapped, out[i].Err = r.Wrap(ctx, key, item.Binding)
		clear(key)
	}
	return out
}

// KeyInfo describes a key of the ring without its bytes.
type KeyInfo struct {
	ID    string
	State State
}

// Keys returns the keys of the ring, oldest first.
func (r *Ring) Keys() []KeyInfo {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]KeyInfo, 0, len(r.keys))
	for _, k := range r.keys {
		out = append(out, KeyInfo{ID: k.id, State: k.state})
	}
	return out
}

// Rotate adds a fresh primary key; the one before goes on to unwrap. What was
// wrapped stays under its key until it is rewrapped. A ring that is full,
// with 1000 keys, is a lanyard.ErrLimit.
//
// The new file belongs to the user who rotates: call it as the one who reads.
func (r *Ring) Rotate() error {
	fresh, err := freshKey()
	if err != nil {
		return failed("rotate", r.path, err)
	}
	return r.change("rotate", func(keys []ringKey) ([]ringKey, error) {
		for i := range keys {
			if keys[i].state == StatePrimary {
				keys[i].state = StateDecrypt
			}
		}
		return append(keys, fresh), nil
	})
}

// Disable takes a key out of use: what it wrapped does not open any more. The
// primary key is refused with lanyard.ErrConflict, an unknown id with
// lanyard.ErrNotFound.
func (r *Ring) Disable(id string) error {
	return r.setState("disable", id, StateDisabled)
}

// Enable lets a disabled key unwrap again.
func (r *Ring) Enable(id string) error {
	return r.setState("enable", id, StateDecrypt)
}

// Remove destroys a disabled key for good: what it wrapped never opens again,
// in a backup of the tables neither. count says how many wrapped keys name that
// key version; while there are any, Remove is refused with [ErrInUse]. A store's
// CountOwnerKeys knows.
//
// A key that is not disabled is refused with lanyard.ErrConflict, an unknown id
// with lanyard.ErrNotFound. What the file system keeps of the file as it was
// is beyond Remove.
func (r *Ring) Remove(ctx context.Context, id string, count func(ctx context.Context, keyVersion string) (int, error)) error {
	if count == nil {
		return failed("remove", r.path, &lanyard.InputError{Field: "count", Code: lanyard.CodeRequired, Message: "nothing says whether the key is in use"})
	}
	// Counted without the lock, so that nobody waits: a disabled key never
	// wraps again, whatever happens to its state meanwhile.
	if err := r.load(); err != nil {
		return failed("remove", r.path, err)
	}
	if _, err := disabled(r.snapshot(), id); err != nil {
		return failed("remove", r.path, err)
	}
	switch n, err := count(ctx, id); {
	case err != nil:
		return failed("remove", r.path, fmt.Errorf("count what it wrapped: %w", err))
	case n != 0:
		return failed("remove", r.path, fmt.Errorf("%w: it wrapped %d", ErrInUse, n))
	}
	return r.change("remove", func(keys []ringKey) ([]ringKey, error) {
		i, err := disabled(keys, id)
		if err != nil {
			return nil, err
		}
		return slices.Delete(keys, i, i+1), nil
	})
}

// disabled finds a key that may be removed.
func disabled(keys []ringKey, id string) (int, error) {
	i := slices.IndexFunc(keys, func(k ringKey) bool { return k.id == id })
	switch {
	case i < 0:
		return 0, noKey(id)
	case keys[i].state != StateDisabled:
		return 0, fmt.Errorf("key %s is not disabled: %w", id, lanyard.ErrConflict)
	}
	return i, nil
}

func noKey(id string) error { return fmt.Errorf("key %q: %w", id, lanyard.ErrNotFound) }

func (r *Ring) snapshot() []ringKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.keys)
}

func (r *Ring) setState(what, id string, state State) error {
	return r.change(what, func(keys []ringKey) ([]ringKey, error) {
		i := slices.IndexFunc(keys, func(k ringKey) bool { return k.id == id })
		switch {
		case i < 0:
			return nil, noKey(id)
		case keys[i].state == StatePrimary:
			return nil, fmt.Errorf("key %s is the primary one, rotate first: %w", id, lanyard.ErrConflict)
		}
		keys[i].state = state
		return keys, nil
	})
}

// change reads the file anew, changes the ring and replaces the file, while it
// holds the lock that other processes' changes take too.
func (r *Ring) change(what string, f func([]ringKey) ([]ringKey, error)) error {
	r.disk.Lock()
	defer r.disk.Unlock()
	unlock, err := lock(r.path)
	if err != nil {
		return failed(what, r.path, err)
	}
	defer unlock()
	raw, _, err := readFile(r.path)
	if err != nil {
		return failed(what, r.path, err)
	}
	keys, err := parse(raw, r.passphrase)
	if err == nil {
		keys, err = f(keys)
	}
	if err == nil {
		raw, err = format(keys, r.passphrase)
	}
	if err == nil {
		err = replace(r.path, raw)
	}
	if err != nil {
		return failed(what, r.path, err)
	}
	r.set(keys)
	r.loaded = nil // read it again when there is a reason to
	return nil
}

func (r *Ring) primary() ringKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := slices.IndexFunc(r.keys, func(k ringKey) bool { return k.state == StatePrimary })
	return r.keys[i] // every ring that was read or made has one
}

// key finds a key that may unwrap. An unknown id may be new: another process
// rotated the ring.
func (r *Ring) key(id string) (ringKey, error) {
	k, known := r.lookup(id)
	if !known && validID(id) {
		if err := r.load(); err != nil {
			return ringKey{}, fmt.Errorf("%w: %w", lanyard.ErrUnavailable, err)
		}
		k, known = r.lookup(id)
	}
	if !known || k.state == StateDisabled {
		return ringKey{}, crypto.ErrUnknownKey
	}
	return k, nil
}

func (r *Ring) lookup(id string) (ringKey, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := slices.IndexFunc(r.keys, func(k ringKey) bool { return k.id == id })
	if i < 0 {
		return ringKey{}, false
	}
	return r.keys[i], true
}

// load takes the keys of the file, unless they were read from that very file
// before.
func (r *Ring) load() error {
	r.disk.Lock()
	defer r.disk.Unlock()
	raw, info, err := readFile(r.path)
	if err != nil {
		return err
	}
	if old := r.loaded; old != nil && os.SameFile(old, info) && old.ModTime().Equal(info.ModTime()) && old.Size() == info.Size() {
		return nil
	}
	keys, err := parse(raw, r.passphrase)
	if err != nil {
		return err
	}
	r.set(keys)
	r.loaded = info
	return nil
}

func (r *Ring) set(keys []ringKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = keys
}

// wrapData binds a wrapped key to the ring's key and to the caller's binding;
// an id has a fixed length, so the two cannot run into each other.
func wrapData(id string, binding []byte) []byte {
	return append([]byte("lanyard/keyring/wrap/v1\x00"+id), binding...)
}

func failed(what, path string, err error) error {
	return fmt.Errorf("keyring: %s %s: %w", what, path, err)
}
