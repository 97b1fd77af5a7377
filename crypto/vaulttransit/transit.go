package vaulttransit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

const (
	defaultMount = "transit"

	// defaultTimeout bounds a call of a client that has no timeout itself.
	defaultTimeout = 10 * time.Second

	// maxBatch is how many items one request carries. OpenBao refuses a request
	// with more than a thousand JSON strings.
	maxBatch = 100
)

// Options configures a [Transit]. The zero value is ready to use.
type Options struct {
	// Mount is where the transit engine is mounted. Defaults to "transit".
	Mount string

	// PlainHTTP lets token and keys travel unencrypted to an address that is
	// not this machine. Defaults to refusing that.
	PlainHTTP bool
}

// Transit is one transit key as a key service. Make it with [New].
type Transit struct {
	host    *api.Client // whose token and namespace are used
	client  *api.Client // a copy that follows no redirect and retries nothing
	timeout time.Duration
	mount   string
	key     string
}

var (
	_ crypto.Secrets   = (*Transit)(nil)
	_ crypto.Rewrapper = (*Transit)(nil)
)

// New returns the transit key of that name as a key service. It calls nobody:
// crypto.Sealer.Check proves that the key is there and binds.
//
// It refuses names that would lead to another path, and an address of another
// machine without TLS unless [Options.PlainHTTP] says so.
func New(client *api.Client, key string, o *Options) (*Transit, error) {
	var opt Options
	if o != nil {
		opt = *o
	}
	if client == nil {
		return nil, errors.New("vaulttransit: the client is nil")
	}
	t := &Transit{
		host: client, timeout: client.ClientTimeout(),
		mount: cmp.Or(opt.Mount, defaultMount), key: key,
	}
	if t.timeout <= 0 {
		t.timeout = defaultTimeout
	}
	if !validName(key) {
		return nil, fmt.Errorf("vaulttransit: %q is no name of a key", key)
	}
	if slices.ContainsFunc(strings.Split(t.mount, "/"), func(s string) bool { return !validName(s) }) {
		return nil, fmt.Errorf("vaulttransit: %q is no path of a mount", t.mount)
	}
	if name := t.Name(); len(name) > maxName {
		return nil, fmt.Errorf("vaulttransit: %q has more than %d characters", name, maxName)
	}
	var err error
	if t.client, err = isolated(client, opt.PlainHTTP); err != nil {
		return nil, fmt.Errorf("vaulttransit: %w", err)
	}
	return t, nil
}

// maxName is the longest name of a [crypto.Secrets].
const maxName = 255

// The client joins names into a path and cleans it, so ".." or a slash in one
// would ask for something else.
var namePattern = regexp.MustCompile(`^[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_])?$`)

func validName(s string) bool { return namePattern.MatchString(s) && !strings.Contains(s, "..") }

// Name returns mount and key, as "vault:transit/lanyard". It names no server:
// two servers under one mount and key look like one key service.
func (t *Transit) Name() string { return "vault:" + t.mount + "/" + t.key }

// Wrap implements [crypto.Secrets]. The key version is that of the transit key.
// An empty binding is refused, because a derived key needs one.
func (t *Transit) Wrap(ctx context.Context, key, binding []byte) (crypto.Wrapped, error) {
	if len(key) != crypto.KeySize {
		return crypto.Wrapped{}, fmt.Errorf("vaulttransit: wrap: a key has %d bytes", crypto.KeySize)
	}
	if len(binding) == 0 {
		return crypto.Wrapped{}, errors.New("vaulttransit: wrap: the binding is empty")
	}
	w, _, err := t.encrypt(ctx, key, binding)
	if err != nil {
		return crypto.Wrapped{}, fmt.Errorf("vaulttransit: wrap: %w", err)
	}
	return w, nil
}

func (t *Transit) encrypt(ctx context.Context, key, binding []byte) (w crypto.Wrapped, version int, err error) {
	results, err := t.call(ctx, "encrypt", []item{{Plaintext: key, Context: binding}})
	if err != nil {
		return crypto.Wrapped{}, 0, err
	}
	return results[0].wrapped()
}

// Unwrap implements [crypto.Secrets]. The server says of a ciphertext only that
// it does not open; one of a version above the newest is an ErrUnknownKey, and
// everything else an ErrIntegrity, versions below min_decryption_version
// included.
func (t *Transit) Unwrap(ctx context.Context, w crypto.Wrapped, binding []byte) ([]byte, error) {
	key, err := t.decrypt(ctx, w, binding)
	if err != nil {
		return nil, fmt.Errorf("vaulttransit: unwrap: %w", err)
	}
	return key, nil
}

func (t *Transit) decrypt(ctx context.Context, w crypto.Wrapped, binding []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, gaveUp(err)
	}
	version, err := check(w, binding)
	if err != nil {
		return nil, err
	}
	results, err := t.call(ctx, "decrypt", []item{{Ciphertext: string(w.Ciphertext), Context: binding}})
	if err != nil {
		return nil, err
	}
	key := results[0].Plaintext
	switch {
	case results[0].Error != "":
		clear(key)
		return nil, t.whyNot(ctx, version, binding)
	case len(key) != crypto.KeySize:
		clear(key)
		return nil, fmt.Errorf("the answer holds no key: %w", lanyard.ErrUnavailable)
	}
	return key, nil
}

// whyNot tells a version the server does not have from a ciphertext that does
// not open, for which it has the same status: it has the server encrypt zeros,
// which gives the newest version away.
func (t *Transit) whyNot(ctx context.Context, version int, binding []byte) error {
	_, newest, err := t.encrypt(ctx, make([]byte, crypto.KeySize), binding)
	if err == nil && version > newest {
		return crypto.ErrUnknownKey
	}
	return crypto.ErrIntegrity
}

// Rewrap implements [crypto.Rewrapper] with the server's own rewrap, at most a
// hundred items a request. An item under the newest version already comes back
// as it is. When a whole request fails, no more are made; its items and those
// that remain carry that error.
func (t *Transit) Rewrap(ctx context.Context, items []crypto.RewrapItem) []crypto.RewrapResult {
	out := make([]crypto.RewrapResult, len(items))
	var askable []int
	for i, it := range items {
		if _, err := check(it.Wrapped, it.Binding); err != nil {
			out[i].Err = fmt.Errorf("vaulttransit: rewrap: %w", err)
			continue
		}
		askable = append(askable, i)
	}
	var failed error
	for batch := range slices.Chunk(askable, maxBatch) {
		if failed == nil {
			failed = t.rewrap(ctx, items, batch, out)
		}
		if failed != nil {
			for _, i := range batch {
				out[i] = crypto.RewrapResult{Err: fmt.Errorf("vaulttransit: rewrap: %w", failed)}
			}
		}
	}
	return out
}

// rewrap answers the items at the places that batch names.
func (t *Transit) rewrap(ctx context.Context, items []crypto.RewrapItem, batch []int, out []crypto.RewrapResult) error {
	ask := make([]item, 0, len(batch))
	for _, i := range batch {
		ask = append(ask, item{Ciphertext: string(items[i].Wrapped.Ciphertext), Context: items[i].Binding})
	}
	results, err := t.call(ctx, "rewrap", ask)
	if err != nil {
		return err
	}
	for n, i := range batch {
		w, err := newer(items[i], results[n])
		if err != nil {
			err = fmt.Errorf("vaulttransit: rewrap: %w", err)
		}
		out[i] = crypto.RewrapResult{Wrapped: w, Err: err}
	}
	return nil
}

// newer returns what r makes of old. The server encrypts anew also under the
// version a ciphertext has; that is not worth a write, so old stays.
func newer(old crypto.RewrapItem, r result) (crypto.Wrapped, error) {
	if r.Error != "" {
		return crypto.Wrapped{}, crypto.ErrIntegrity
	}
	was, err := check(old.Wrapped, old.Binding)
	if err != nil {
		return crypto.Wrapped{}, err
	}
	w, is, err := r.wrapped()
	switch {
	case err != nil:
		return crypto.Wrapped{}, err
	case is < was:
		return crypto.Wrapped{}, fmt.Errorf("rewrapped under an older version: %w", lanyard.ErrUnavailable)
	case is == was:
		return crypto.Wrapped{KeyVersion: old.Wrapped.KeyVersion, Ciphertext: bytes.Clone(old.Wrapped.Ciphertext)}, nil
	}
	return w, nil
}
