package providertoken

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Store is what the service needs of a store.
type Store interface {
	store.ProviderTokens
	store.Owners
	store.Events
}

// Instance is an address the operator registers for a definition with
// ModeOperator, or instead of the public address of another one. Each is an
// entry of Providers of its own.
//
// An instance is its operator's word: connections follow it when its Base
// changes, and keep their secrets.
type Instance struct {
	ID       string // what a connection names as its provider; as a definition's
	Provider string // id of the definition
	Name     string // what users read. Defaults to the definition's
	Base     string // https, may carry a port and a path

	// Alternatives are the bases of the definition's alternatives for this
	// instance, by their ids, as {"gateway":
	// "https://api.atlassian.com/ex/jira/{cloud_id}"}. Defaults to none: the
	// credential goes to Base alone.
	Alternatives map[string]string

	// RootCAs verifies the instance's certificate. Defaults to the system's.
	RootCAs *x509.CertPool
	// Networks are private or special addresses that may be dialled for this
	// instance. Defaults to none: public addresses only.
	Networks []netip.Prefix
	// Proxy is used for this instance: http, https or socks5. It is dialled
	// under the same rule as the instance itself, and resolves the instance's
	// name in its place. Defaults to none; the environment is never asked.
	Proxy *url.URL
}

// The defaults of [Options].
const (
	defaultLimit         = 100
	defaultVerifyTimeout = 8 * time.Second
	defaultMaxAnswer     = 1 << 30
)

// Options configures a [Service].
type Options struct {
	// Providers are the definitions offered: catalog.All(), or your own. Defaults
	// to none: nobody can connect anything.
	Providers []Definition

	// Instances are the operator's own addresses. Defaults to none, and a
	// definition that needs one is not offered then.
	Instances []Instance

	// Limit is how many connections an owner may have. Defaults to 100;
	// negative means no limit.
	Limit int

	// VerifyTimeout bounds all probes of one verification. Defaults to 8 s;
	// negative leaves it to the caller's context.
	VerifyTimeout time.Duration

	// Processes is how many serve the same connections at once: each lets through
	// its share of what a platform allows one credential (Limits), and one at
	// least. Defaults to 1.
	Processes int

	// Policy holds for every use of a connection, and Policies besides for those
	// to the provider of that id; that of a definition holds for its instances
	// too. Defaults to asking for nothing.
	Policy   Policy
	Policies map[string]Policy

	// MaxAnswer is how much of one answer a client passes on, in bytes, after
	// decompression. Defaults to 1 GiB; negative means no limit.
	MaxAnswer int64

	// OnEvent hears every event after it was committed, at most once. It must
	// not block. Defaults to nothing.
	OnEvent func(context.Context, lanyard.Event)

	// OnCall hears every request that went to a platform by a client or a
	// Forwarder, when its answer begins. It must not block. Defaults to nothing;
	// each call is a line of the log, too.
	OnCall func(context.Context, Call)

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// Logger defaults to discarding.
	Logger *slog.Logger

	// TracerProvider and MeterProvider default to OpenTelemetry's global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// withDefaults returns a copy of o, which may be nil, without zero values.
func (o *Options) withDefaults() Options {
	var opt Options
	if o != nil {
		opt = *o
	}
	if opt.Limit == 0 {
		opt.Limit = defaultLimit
	}
	if opt.VerifyTimeout == 0 {
		opt.VerifyTimeout = defaultVerifyTimeout
	}
	if opt.Processes <= 0 {
		opt.Processes = 1
	}
	if opt.MaxAnswer == 0 {
		opt.MaxAnswer = defaultMaxAnswer
	}
	if opt.OnCall == nil {
		opt.OnCall = func(context.Context, Call) {}
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
	return opt
}
