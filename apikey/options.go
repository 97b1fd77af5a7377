package apikey

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// The defaults of [Options].
const (
	defaultPrefix = "lyd"
	defaultLimit  = 50

	defaultMaxStale  = 2 * time.Second
	minMaxStale      = 10 * time.Millisecond
	defaultMaxCached = 100_000
	maxMaxCached     = 1 << 26
)

// maxScope is the longest scope in bytes.
const maxScope = 100

// Options configures a [Service]. The zero value is ready to use.
type Options struct {
	// Prefix begins every new token, before an underscore: 1 to 8 of [a-z0-9_],
	// first a letter, last not an underscore. Defaults to "lyd".
	Prefix string

	// OldPrefixes are accepted by Verify and never issued. Defaults to none.
	OldPrefixes []string

	// Scopes are those a key may be given: OAuth scope tokens (RFC 6749
	// section 3.3) of at most 100 bytes. Defaults to none.
	Scopes []string

	// Limit is how many live keys an owner may have, expired ones included.
	// Defaults to 50; negative means no limit.
	Limit int

	// MaxLife is how long a new key may live. A request for longer is an
	// *lanyard.InputError with the code "too-late", a day of slack aside.
	// Defaults to no bound.
	MaxLife time.Duration

	// DefaultLife is how long a new key lives whose request names no end.
	// Defaults to MaxLife, and where there is none to for ever.
	DefaultLife time.Duration

	// MaxStale is how long another process may go on accepting a key that was
	// deleted or rotated or whose owner was deactivated; at least 10 milliseconds.
	// Of a store with [store.Epochs] each process reads 256 numbers every
	// MaxStale/2, of another one every key in use once per MaxStale. Defaults to 2
	// seconds; negative means that nothing is believed twice, and every
	// verification reads the store.
	MaxStale time.Duration

	// MaxCached is of how many keys the verdict is kept, at about 300 bytes
	// each; of those used least recently it is forgotten. At most 2^26.
	// Defaults to 100 000.
	MaxCached int

	// Rate is how often a second one key may be used in this process, averaged;
	// more is a *[RateLimitError]. It is kept with the verdict: where more than
	// MaxCached keys are in use, one that is forgotten has its Burst again.
	// Defaults to no limit.
	Rate float64

	// Burst is how often it may be used at once. Defaults to Rate, at least 1.
	Burst int

	// Networks are those keys may be used from, by the IP of lanyard.Request in
	// the context; without one a key is refused. Defaults to everywhere.
	Networks []netip.Prefix

	// Rights returns the scopes an owner may have now: a key has those of its
	// own that are among them. It is asked on each verification and must be
	// quick; an error is an ErrUnavailable. Defaults to leaving a key what it
	// was given.
	Rights func(ctx context.Context, owner lanyard.Owner) ([]string, error)

	// Sealer authenticates every row, so that who can write the table cannot
	// mint or widen a key. Defaults to none: rows are not signed. Keys made
	// without one are refused with one, until Service.SignAll has signed them.
	Sealer *crypto.Sealer

	// OnEvent hears every event after it was committed, at most once. It must
	// not block. Defaults to nothing.
	OnEvent func(context.Context, lanyard.Event)

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// Logger defaults to discarding.
	Logger *slog.Logger

	// TracerProvider and MeterProvider default to OpenTelemetry's global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider

	// AcceptForeign lets tokens of an earlier system be verified, whose keys
	// Import took over. Given a token that is none of ours, of 1 to 512 bytes,
	// it returns the part of it of which that system kept the SHA-256, and
	// whether the token has its form. Be narrow: each token it accepts costs a
	// query, and is no longer a session's for RequireKey. It is called for every
	// request, from several goroutines. Defaults to accepting none.
	AcceptForeign func(token string) (hashed string, ok bool)
}

// withDefaults returns a checked copy of o, which may be nil, without zero
// values.
func (o *Options) withDefaults() (Options, error) {
	var opt Options
	if o != nil {
		opt = *o
	}
	if opt.Prefix == "" {
		opt.Prefix = defaultPrefix
	}
	if opt.Limit == 0 {
		opt.Limit = defaultLimit
	}
	if opt.OnEvent == nil {
		opt.OnEvent = func(context.Context, lanyard.Event) {}
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.MaxStale == 0 {
		opt.MaxStale = defaultMaxStale
	}
	opt.MaxStale = max(opt.MaxStale, -1) // the least number there is has no opposite: nothing would ever be too old
	if opt.MaxCached == 0 {
		opt.MaxCached = defaultMaxCached
	}
	if opt.Burst == 0 {
		opt.Burst = max(1, int(math.Ceil(min(opt.Rate, math.MaxInt32))))
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	opt.OldPrefixes = slices.Clone(opt.OldPrefixes)
	opt.Scopes = slices.Clone(opt.Scopes)
	opt.Networks = slices.Clone(opt.Networks)
	return opt, opt.validate()
}

func (o *Options) validate() error {
	if !validPrefix(o.Prefix) {
		return prefixError("prefix")
	}
	if !all(o.OldPrefixes, validPrefix) {
		return prefixError("old_prefixes")
	}
	if !all(o.Scopes, validScope) {
		return &lanyard.InputError{Field: "scopes", Code: lanyard.CodeInvalid,
			Message: "a scope is 1 to 100 visible ASCII characters without quote and backslash"}
	}
	for _, n := range o.Networks {
		if !n.IsValid() || n.Addr().Is4In6() {
			return &lanyard.InputError{Field: "networks", Code: lanyard.CodeInvalid, Message: "a network is an IPv4 or IPv6 prefix"}
		}
	}
	for field, number := range map[string]bool{
		"max_life": o.MaxLife < 0, "default_life": o.DefaultLife < 0 || o.MaxLife > 0 && o.DefaultLife > o.MaxLife,
		"max_stale":  o.MaxStale > 0 && o.MaxStale < minMaxStale,
		"max_cached": o.MaxCached < 0 || o.MaxCached > maxMaxCached, "burst": o.Burst < 0, "rate": !(o.Rate >= 0) || math.IsInf(o.Rate, 1),
	} {
		if number {
			return &lanyard.InputError{Field: field, Code: lanyard.CodeInvalid, Message: "the value is out of range"}
		}
	}
	return nil
}

func prefixError(field string) error {
	return &lanyard.InputError{Field: field, Code: lanyard.CodeInvalid,
		Message: "a prefix is 1 to 8 of [a-z0-9_], first a letter, last not an underscore"}
}

// validScope reports whether s is a scope-token of RFC 6749 section 3.3.
func validScope(s string) bool {
	return s != "" && len(s) <= maxScope && all([]byte(s), func(c byte) bool {
		return c > ' ' && c <= '~' && c != '"' && c != '\\'
	})
}

func all[T any](values []T, good func(T) bool) bool {
	return !slices.ContainsFunc(values, func(v T) bool { return !good(v) })
}
