package httpadapter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/providertoken"
)

// ScopeUseProviderTokens is the scope of an API key that may call by a [Proxy].
// A host that mounts one puts it into apikey.Options.Scopes, so that users can
// give it to a key.
const ScopeUseProviderTokens = "provider-tokens:use"

// The headers by which an agent says who it is and what for, and the one that
// marks an answer as the platform's. None of them goes to a platform, and none
// of a platform's comes back.
const (
	HeaderAgent   = "Lanyard-Agent"   // at most 100 characters
	HeaderPurpose = "Lanyard-Purpose" // at most 200 characters
	HeaderAnswer  = "Lanyard-Answer"  // "platform"; an answer without it is ours, or of what stands in front of us
)

// ProxyOptions configures a [Proxy]. The zero value is ready to use.
type ProxyOptions struct {
	// Use says who calls and why, for the history and for
	// providertoken.Options.Policy. Defaults to the headers Lanyard-Agent and
	// Lanyard-Purpose: the word of whoever holds the key. A host that gives each
	// agent a key of its own reads it from the Principal instead.
	Use func(*http.Request, lanyard.Principal) providertoken.Use

	// MaxBody is how long a request's body may be, in bytes. Defaults to 32 MiB;
	// negative means no limit.
	MaxBody int64

	// Timeout bounds one request with its answer. Defaults to 10 min; negative
	// means no limit.
	Timeout time.Duration

	// ClientIP returns the caller's address for the history. Defaults to the
	// host part of RemoteAddr; a host behind a proxy reads its own header.
	ClientIP func(*http.Request) string

	// Logger hears of what failed on our side, and when the Proxy is made of a
	// ScopeUseProviderTokens that keys are not offered. Defaults to discarding.
	Logger *slog.Logger
}

const (
	defaultMaxBody      = 32 << 20
	defaultProxyTimeout = 10 * time.Minute
)

// Proxy lets agents in other processes use what their users connected, without
// ever holding a credential: /{provider-token id}/{path…} goes to that path below
// the connection's address (providertoken.Token.Base), with the method, query,
// headers and body of the request, and the platform's answer comes back as it
// streams. Mount it with [Mount]:
//
//	httpadapter.Mount(mux, "/agents", httpadapter.Proxy(tokens, keys, nil))
//
// A request carries an API key as RequireKey wants it, with the scope
// [ScopeUseProviderTokens], and reaches the connections of the key's owner alone.
// What goes out and what comes back is what providertoken.Client promises: to the
// connection's own address only, with the credential and nothing else that says
// who calls; no redirect is followed; where an answer repeats the credential
// there are stars. To be able to look, answers are asked for whole: Range,
// If-Range and Accept-Encoding stay behind, and compression is undone. A request
// to change the protocol is refused, trailers do not come back.
//
// A Location below the connection's address leads back through the Proxy; any
// other is absolute, and whoever follows it leaves the Proxy and must not take
// the API key along. Headers that speak to a browser or to what stands in front
// of us, and those about signing in, stay behind.
//
// An answer of the platform has [HeaderAnswer]. Ours are application/problem+json
// without it: 400, 401 and 403 as RequireKey's, 403 for what the policy or the use
// does not allow, 404 for a connection that is not the key owner's, 405 for a
// method no client lends, 409 for a connection that needs its owner's attention
// or is not offered any more, 413, 429 with Retry-After where the platform's rate
// limit is used up or the key's, 502 where the platform gave no answer that can
// be passed on, and 503 where we cannot tell.
//
// Each call is counted and recorded, with agent, purpose, method, host and
// status, and never with its path, query or body: see providertoken.Options.OnCall
// and providertoken.ActionCalled.
//
// A Proxy is safe for concurrent use. A caller who goes ends the call.
func Proxy(tokens *providertoken.Service, keys *apikey.Service, o *ProxyOptions) http.Handler {
	var opt ProxyOptions
	if o != nil {
		opt = *o
	}
	if opt.Use == nil {
		opt.Use = useOfHeaders
	}
	if opt.MaxBody == 0 {
		opt.MaxBody = defaultMaxBody
	}
	if opt.Timeout == 0 {
		opt.Timeout = defaultProxyTimeout
	}
	guard := RequireKey(keys, &KeyOptions{
		Scopes: []string{ScopeUseProviderTokens}, ClientIP: opt.ClientIP, Logger: opt.Logger,
	})
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	p := &proxy{tokens: tokens, options: opt, quiet: log.New(io.Discard, "", 0)}
	p.buffers.pool.New = func() any { b := make([]byte, 32<<10); return &b }
	return guard(p)
}

func useOfHeaders(r *http.Request, _ lanyard.Principal) providertoken.Use {
	return providertoken.Use{AgentID: r.Header.Get(HeaderAgent), Purpose: r.Header.Get(HeaderPurpose)}
}

type proxy struct {
	tokens  *providertoken.Service
	options ProxyOptions
	buffers buffers
	quiet   *log.Logger // httputil logs what may hold anything
}

// passage is one request on its way through.
type passage struct {
	proxy    *proxy
	way      *providertoken.Forwarder
	base     *url.URL
	rest     string // the escaped path below the base, without its first slash
	bare     bool   // the path ended with the id
	id       string
	body     *boundedBody
	answered bool
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	from := lanyard.RequestFrom(ctx)
	if from.ID == "" {
		from.ID = lanyard.NewID()
		ctx = lanyard.WithRequest(ctx, from)
	}
	if p.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.options.Timeout)
		defer cancel()
	}
	r = r.WithContext(ctx)
	pass := &passage{proxy: p}
	defer func() {
		if fault := recover(); fault != nil {
			pass.panicked(w, r, fault)
		}
	}()
	if err := pass.open(w, r); err != nil {
		pass.refuse(w, r, err)
		return
	}
	forward := httputil.ReverseProxy{
		Rewrite: pass.rewrite, Transport: pass.way, ModifyResponse: pass.answer, ErrorHandler: pass.refuse,
		BufferPool: &p.buffers, ErrorLog: p.quiet,
	}
	forward.ServeHTTP(w, r)
}

// open finds the way for a request.
func (s *passage) open(w http.ResponseWriter, r *http.Request) error {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	id, rest, deeper := strings.Cut(path, "/")
	s.id, s.rest, s.bare = id, rest, !deeper
	if !possibleID(id) {
		return errProblem{problem{Code: codeNotFound}}
	}
	if !plainPath(rest) {
		return malformed("the path has a dot segment, a backslash or a control character")
	}
	for _, name := range []string{"Upgrade", HeaderAgent, HeaderPurpose} {
		switch values := r.Header.Values(name); {
		case name == "Upgrade" && len(values) > 0:
			return malformed("a connection is not lent for another protocol")
		case len(values) > 1:
			return malformed("the header " + name + " is there twice")
		}
	}
	if most := s.proxy.options.MaxBody; most >= 0 && r.Body != nil && r.Body != http.NoBody {
		if r.ContentLength > most {
			return &http.MaxBytesError{Limit: most}
		}
		s.body = &boundedBody{ReadCloser: http.MaxBytesReader(w, r.Body, most)}
		r.Body = s.body
	}
	caller, _ := lanyard.PrincipalFrom(r.Context())
	use := s.proxy.options.Use(r, caller)
	var err error
	if s.way, err = s.proxy.tokens.Forward(r.Context(), caller.Owner, id, &use); err != nil {
		return err
	}
	s.base, err = url.Parse(s.way.Base())
	return err
}

// plainPath reports whether an escaped path stays below where it is put,
// whatever a server makes of its escapes and of parameters behind a semicolon
// (RFC 3986 section 3.3).
func plainPath(escaped string) bool {
	for range 3 { // what is escaped twice may be unescaped twice
		for segment := range strings.SplitSeq(escaped, "/") {
			name, _, _ := strings.Cut(segment, ";")
			if name = strings.TrimSpace(name); name == "." || name == ".." { // some servers do
				return false
			}
		}
		if strings.ContainsFunc(escaped, func(c rune) bool { return c < 0x20 || c == 0x7f || c == '\\' }) {
			return false
		}
		plain, err := url.PathUnescape(escaped)
		if err != nil || plain == escaped {
			return true
		}
		escaped = plain
	}
	return true
}

// rewrite turns the request into one to the platform. Who calls and where to is
// the Forwarder's.
func (s *passage) rewrite(r *httputil.ProxyRequest) {
	u := *s.base
	u.RawQuery = r.Out.URL.RawQuery
	if !s.bare {
		setPath(&u, s.base.EscapedPath()+"/"+s.rest)
	}
	r.Out.URL, r.Out.Host = &u, ""
	for name := range r.Out.Header {
		if ofOurs(name) || staysHere[name] {
			delete(r.Out.Header, name)
		}
	}
}

// setPath sets the path of u as it is escaped.
func setPath(u *url.URL, escaped string) {
	if plain, err := url.PathUnescape(escaped); err == nil {
		u.Path, u.RawPath = plain, escaped
	}
}

func ofOurs(name string) bool { return strings.HasPrefix(http.CanonicalHeaderKey(name), "Lanyard-") }

// staysHere is what of a request says more about us than about the call.
var staysHere = map[string]bool{
	"Origin": true, "Referer": true, "Via": true, "Baggage": true, "Traceparent": true, "Tracestate": true, "X-Request-Id": true,
}

// staysThere is what of an answer speaks to a browser about our own origin, to
// what stands in front of us, or about signing in.
var staysThere = map[string]bool{
	"Set-Cookie": true, "Set-Cookie2": true, "Www-Authenticate": true, "Proxy-Authenticate": true, "Authentication-Info": true, "Proxy-Authentication-Info": true,
	"Alt-Svc": true, "Clear-Site-Data": true, "Content-Security-Policy": true, "Content-Security-Policy-Report-Only": true, "Nel": true,
	"Public-Key-Pins": true, "Refresh": true, "Report-To": true, "Reporting-Endpoints": true, "Service-Worker-Allowed": true, "Strict-Transport-Security": true,
	"X-Accel-Redirect": true, "X-Accel-Buffering": true, "X-Accel-Charset": true, "X-Accel-Expires": true, "X-Accel-Limit-Rate": true,
	"X-Lighttpd-Send-File": true, "X-Sendfile": true, "X-Reproxy-Url": true, "X-Content-Type-Options": true,
}

// answer prepares the platform's answer. Nothing of ours is written before.
func (s *passage) answer(res *http.Response) error {
	for name := range res.Header {
		if ofOurs(name) || staysThere[name] || strings.HasPrefix(name, "Access-Control-") {
			delete(res.Header, name)
		}
	}
	if location := res.Header.Get("Location"); location != "" {
		if led, ok := s.lead(res.Request.URL, location); ok {
			res.Header.Set("Location", led)
		} else {
			res.Header.Del("Location")
		}
	}
	res.Header.Set(HeaderAnswer, "platform")
	// It was asked for with somebody's credential, and may hold anything.
	res.Header.Set("Cache-Control", "no-store")
	res.Header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	res.Header.Set("X-Content-Type-Options", "nosniff")
	s.answered = true
	return nil
}

// lead returns where a Location leads from here: below the connection's address
// it is a relative reference, which no prefix in front of us can break; else it
// is absolute.
func (s *passage) lead(asked *url.URL, location string) (string, bool) {
	to, err := asked.Parse(location)
	if err != nil {
		return "", false
	}
	below, ok := strings.CutPrefix(to.EscapedPath()+"/", s.base.EscapedPath()+"/")
	if to.Scheme != s.base.Scheme || !strings.EqualFold(to.Host, s.base.Host) || to.User != nil || !ok {
		return to.String(), true
	}
	up := strings.Repeat("../", strings.Count(s.rest, "/"))
	switch {
	case s.bare:
		up = s.id + "/"
	case up == "":
		up = "./"
	}
	// The slash that was added is the last; the path has it only if it had one.
	led := url.URL{RawQuery: to.RawQuery, Fragment: to.Fragment}
	return up + strings.TrimSuffix(below, "/") + led.String(), true
}

// refuse answers for what does not get through.
func (s *passage) refuse(w http.ResponseWriter, r *http.Request, err error) {
	answer := s.problemOf(err)
	if answer.status() >= 500 && r.Context().Err() == nil {
		s.proxy.options.Logger.ErrorContext(r.Context(), "call of an agent failed",
			slog.String("request_id", lanyard.RequestFrom(r.Context()).ID),
			slog.String("problem", answer.Code), slog.Any("error", err))
	}
	w.Header().Set("X-Request-Id", lanyard.RequestFrom(r.Context()).ID)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	writeProblem(w, r, answer)
}

// problemOf says which problem of ours an error is.
func (s *passage) problemOf(err error) problem {
	var (
		rate  *providertoken.RateLimitError
		input *lanyard.InputError
	)
	switch {
	case s.body != nil && s.body.over():
		return problem{Code: codeTooLarge}
	case errors.As(err, &rate):
		return problem{Code: codeTooManyRequests, RetryAfter: rate.RetryAfter, Detail: "the platform's rate limit for this connection is used up"}
	case errors.Is(err, providertoken.ErrAgentNotAllowed):
		return problem{Code: codeForbidden, Detail: "this agent may not use this provider"}
	case errors.Is(err, providertoken.ErrReadOnly):
		return problem{Code: codeForbidden, Detail: "the connection is lent for reading only"}
	case errors.Is(err, providertoken.ErrMethod):
		return problem{Code: codeMethodNotAllowed, Allow: "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"}
	case errors.Is(err, providertoken.ErrNotOffered):
		return problem{Code: codeNotOffered}
	case errors.Is(err, providertoken.ErrSecretLost):
		return problemOf(err)
	case errors.Is(err, providertoken.ErrNeedsAttention):
		return problem{Code: codeNeedsAttention}
	case errors.Is(err, providertoken.ErrForeignOrigin): // its address changed since the call began
		return problem{Code: codeUnavailable, RetryAfter: time.Second}
	case errors.Is(err, providertoken.ErrUnreadable):
		return problem{Code: codePlatformUnreadable}
	case errors.Is(err, providertoken.ErrUnreachable):
		return problem{Code: codePlatformUnreachable}
	case errors.As(err, &input):
		return problem{Code: codeMalformed, Detail: "the headers " + HeaderAgent + " and " + HeaderPurpose + " have to say who calls and what for, in plain text"}
	}
	return problemOf(err)
}

// panicked ends a request that panicked. What it panicked with may hold
// anything, so only its type and the stack are logged.
func (s *passage) panicked(w http.ResponseWriter, r *http.Request, fault any) {
	if err, aborted := fault.(error); aborted && errors.Is(err, http.ErrAbortHandler) {
		panic(fault)
	}
	s.proxy.options.Logger.ErrorContext(r.Context(), "proxy panicked",
		slog.String("request_id", lanyard.RequestFrom(r.Context()).ID),
		slog.String("type", fmt.Sprintf("%T", fault)),
		slog.String("stack", string(debug.Stack())))
	if s.answered {
		panic(http.ErrAbortHandler) // so that nobody takes what came for the whole
	}
	s.refuse(w, r, errProblem{problem{Code: codeInternal}})
}

// boundedBody remembers that a body was too long: what the transport says of it
// is that nobody answered.
type boundedBody struct {
	io.ReadCloser

	mu      sync.Mutex
	tooLong bool
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		b.mu.Lock()
		b.tooLong = true
		b.mu.Unlock()
	}
	return n, err
}

func (b *boundedBody) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tooLong
}

// buffers lends what answers are copied by.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return *b.pool.Get().(*[]byte) } //nolint:forcetypeassert // nothing else is put
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
