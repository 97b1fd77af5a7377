package vaulttransit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

	// loginTimeout bounds a login, and a renewal: who needs a token waits for it.
	loginTimeout = 5 * time.Second

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

	// Auth logs in and so provides the token: [AppRole], [Kubernetes], or any
	// other method of HashiCorp's api/auth modules. The first call that needs
	// a token logs in; from then on the token is renewed at about two thirds
	// of its lease, and replaced by another login where it cannot be renewed
	// or is refused. End that with [Transit.Close]. Defaults to the token of
	// the client, which is not used otherwise.
	//
	// Its Login is called from one goroutine at a time, with a client of its
	// own, and must honour ctx.
	Auth api.AuthMethod

	// Name is what wrapped keys name the key service by. Give one where two
	// servers or namespaces have the same mount and key, and never change it.
	// It has 1 to 255 characters of printable ASCII without space. Defaults to
	// "vault:", the mount, a slash and the key.
	Name string

	// Logger hears of logins and renewals that fail. Defaults to discarding.
	Logger *slog.Logger
}

// Transit is one transit key as a key service. Make it with [New]. What is
// printed of it is its name.
type Transit struct {
	// Clients are kept in closures, because fmt prints all a pointer leads to
	// for a verb that does not suit it, and a client holds its token.

	anonymous func() *api.Client // for one request: see isolated, and the host's namespace
	closeIdle func()             // closes connections that nobody uses
	token     func() string      // the host's, without Options.Auth
	session   *session           // with it
	timeout   time.Duration
	name      string
	mount     string
	key       string
}

var (
	_ crypto.Secrets   = (*Transit)(nil)
	_ crypto.Rewrapper = (*Transit)(nil)
	_ io.Closer        = (*Transit)(nil)
	_ fmt.Formatter    = Transit{}
)

// New returns the transit key of that name as a key service. It calls nobody
// and starts nothing: crypto.Sealer.Check proves that the key is there and
// binds, and that the login works.
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
		token: client.Token, timeout: client.ClientTimeout(),
		mount: cmp.Or(opt.Mount, defaultMount), key: key,
	}
	if t.timeout <= 0 {
		t.timeout = defaultTimeout
	}
	if !validName(key) {
		return nil, fmt.Errorf("vaulttransit: %q is no name of a key", key)
	}
	if err := validMount(t.mount); err != nil {
		return nil, fmt.Errorf("vaulttransit: %w", err)
	}
	t.name = cmp.Or(opt.Name, "vault:"+t.mount+"/"+t.key)
	if !namingPattern.MatchString(t.name) {
		return nil, fmt.Errorf("vaulttransit: %q is no name of a key service", t.name)
	}
	own, closeIdle, err := isolated(client, opt.PlainHTTP)
	if err != nil {
		return nil, fmt.Errorf("vaulttransit: %w", err)
	}
	t.closeIdle = closeIdle
	t.anonymous = func() *api.Client { return own.WithNamespace(client.Namespace()) }
	if opt.Auth == nil {
		return t, nil
	}
	if ours, ok := opt.Auth.(interface{ validate() error }); ok {
		if err := ours.validate(); err != nil {
			return nil, fmt.Errorf("vaulttransit: %w", err)
		}
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	t.session = newSession(opt.Auth, t.anonymous, min(t.timeout, loginTimeout), opt.Logger)
	return t, nil
}

// Close closes connections that are not in use. Where [Options.Auth] is set it
// ends renewals, and the calls that wait for a login; later calls fail. The
// token is not revoked: it ends with its lease. The error is always nil.
func (t *Transit) Close() error {
	if t.session != nil {
		t.session.close()
	}
	t.closeIdle()
	return nil
}

// namingPattern is what a [crypto.Secrets] may be called.
var namingPattern = regexp.MustCompile(`^[!-~]{1,255}$`)

// The client joins names into a path and cleans it, so ".." or a slash in one
// would ask for something else.
var namePattern = regexp.MustCompile(`^[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_])?$`)

func validName(s string) bool { return namePattern.MatchString(s) && !strings.Contains(s, "..") }

// Format writes the name, for every verb.
func (t Transit) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.name) }

// Name returns [Options.Name], or mount and key, as "vault:transit/lanyard".
func (t *Transit) Name() string { return t.name }

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
