package apikey

import (
	"context"
	"log/slog"
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
)

// maxScope is the longest scope in bytes.
const maxScope = 100

// Options configures a [Service]. The zero value is ready to use.
type Options struct {
	// Prefix begins every new token, before an underscore: 1 to 8 of [a-z0-9_],
	// first a letter, last not an underscore. Defaults to "lyd".
	Prefix string

	// OldPrefixes are accepted by Verify and never issued.
	OldPrefixes []string

	// Scopes are those a key may be given: OAuth scope tokens (RFC 6749
	// section 3.3) of at most 100 bytes. Defaults to none.
	Scopes []string

	// Limit is how many live keys an owner may have, expired ones included.
	// Defaults to 50; negative means no limit.
	Limit int

	// Sealer authenticates every row, so that who can write the table cannot
	// mint or widen a key. Defaults to none: rows are not signed. Keys made
	// without one are refused with one.
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
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	opt.OldPrefixes = slices.Clone(opt.OldPrefixes)
	opt.Scopes = slices.Clone(opt.Scopes)
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
