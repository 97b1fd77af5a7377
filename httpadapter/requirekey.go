package httpadapter

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

// KeyOptions configures [RequireKey]. The zero value is ready to use.
type KeyOptions struct {
	// Scopes are those a key must all have. The detail of a 403 names them. One
	// that is none of apikey.Options.Scopes no key has: every call is a 403, and
	// RequireKey says so to Logger when it is called. Defaults to none.
	Scopes []string

	// Else serves requests that carry no token of ours, as the host's session
	// middleware does, so that one API takes both. Defaults to 401.
	Else func(http.Handler) http.Handler

	// ClientIP returns the caller's address for the history, which says where
	// a deleted key is still used. Defaults to the host part of RemoteAddr; a
	// host behind a proxy reads its own header. A request whose context has a
	// lanyard.Request keeps that, and ClientIP is not asked.
	ClientIP func(*http.Request) string

	// Logger hears of stores that are down, and of Scopes that no key can have.
	// Defaults to discarding.
	Logger *slog.Logger
}

// RequireKey guards a host's handler with API keys. The key comes as
// "Authorization: Bearer" (RFC 6750 section 2.1) and in no other way; the
// header is gone before the host's handler sees the request, and
// lanyard.PrincipalFrom tells it who is calling.
//
// Every key that is not good gets one identical 401: unknown, wrong, deleted
// and expired cannot be told apart. A key without a scope it needs gets 403. A
// store that cannot tell gets 503, never 401. A key in a query string is
// refused with 400, because it stands in logs already. All are
// application/problem+json.
//
// Guard a handler once. Inside of a guarded handler there is no key any more: a
// second RequireKey answers 401, or has Else serve the request. Where routes of
// one handler want different scopes, guard each with its own, or ask
// Principal.HasScope inside.
func RequireKey(keys *apikey.Service, o *KeyOptions) func(http.Handler) http.Handler {
	if o == nil {
		o = &KeyOptions{}
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	clientIP := o.ClientIP
	if clientIP == nil {
		clientIP = remoteHost
	}
	need, err := keys.ScopeSet(o.Scopes...)
	lacking := "the key lacks the scope " + strings.Join(o.Scopes, " or ")
	if err != nil {
		offered := keys.Scopes()
		unknown := slices.DeleteFunc(slices.Clone(o.Scopes), func(scope string) bool { return slices.Contains(offered, scope) })
		lacking = "no key can have the scope " + strings.Join(unknown, " or ") + ": it is not offered here"
		logger.Error("a handler wants scopes that no api key can have", slog.Any("scopes", unknown))
	}
	return func(next http.Handler) http.Handler {
		g := &keyGuard{
			keys: keys, scopes: o.Scopes, need: need, lacking: lacking, impossible: err != nil,
			clientIP: clientIP, logger: logger, next: next,
		}
		if o.Else != nil {
			g.others = o.Else(next)
		}
		return g
	}
}

type keyGuard struct {
	keys     *apikey.Service
	scopes   []string
	need     apikey.ScopeSet
	clientIP func(*http.Request) string
	logger   *slog.Logger

	lacking    string // what a key is told that lacks a scope
	impossible bool   // a scope is needed that no key has
	next       http.Handler
	others     http.Handler // nil = 401
}

func (g *keyGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, err := bearerToken(r)
	switch {
	case err != nil:
		g.refuse(w, r, problemOf(err))
	case keyInQuery(g.keys, r.URL):
		g.refuse(w, r, keyInAddress)
	case g.keys.IsToken(token):
		g.check(w, r, token)
	case g.others != nil:
		g.others.ServeHTTP(w, r)
	default:
		g.refuse(w, r, problem{Code: codeUnauthenticated})
	}
}

func (g *keyGuard) check(w http.ResponseWriter, r *http.Request, token string) {
	from := g.from(r)
	p, err := g.keys.VerifyCall(r.Context(), token, apikey.Call{Scopes: g.need, From: from})
	if err == nil && g.impossible {
		err = lanyard.ErrForbidden
	}
	if err != nil {
		g.explain(w, r, err)
		return
	}
	// The request and its context are one allocation, and the header two: it is
	// copied, because the caller's request stays as it was.
	guarded := &struct {
		ctx     lanyard.CallContext
		request http.Request
	}{ctx: lanyard.CallContext{Context: r.Context(), Principal: p, Request: from}}
	guarded.request = *r.WithContext(&guarded.ctx)
	guarded.request.Header = maps.Clone(r.Header)
	guarded.request.Header.Del("Authorization")
	g.next.ServeHTTP(w, &guarded.request)
}

// explain answers for a key that may not do this.
func (g *keyGuard) explain(w http.ResponseWriter, r *http.Request, err error) {
	answer := problemOf(err)
	switch {
	case answer.status() >= http.StatusInternalServerError:
		g.logger.ErrorContext(r.Context(), "api key could not be verified", slog.Any("error", err))
	case errors.Is(err, lanyard.ErrForbidden):
		// RFC 6750 section 3.1.
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="`+strings.Join(g.scopes, " ")+`"`)
		answer = problem{Code: codeForbidden, Detail: g.lacking}
	}
	g.refuse(w, r, answer)
}

// from is where r comes from: what its context says, or what the request does.
func (g *keyGuard) from(r *http.Request) lanyard.Request {
	if known := lanyard.RequestFrom(r.Context()); known != (lanyard.Request{}) {
		return known
	}
	return lanyard.Request{ID: givenRequestID(r), IP: g.clientIP(r), UserAgent: r.UserAgent()}
}

func (g *keyGuard) refuse(w http.ResponseWriter, r *http.Request, p problem) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	writeProblem(w, r, p)
}

// keyInAddress refuses a key that stands in logs by now.
var keyInAddress = problem{Code: codeMalformed, Detail: "an API key must not stand in the address"}

// keyInQuery reports whether a parameter, or its name, holds a token of ours. A
// text that only begins like one is the host's own: "sort=id_desc" is no key,
// also where the prefix is "id".
func keyInQuery(keys *apikey.Service, u *url.URL) bool {
	separator := func(c rune) bool { return c == '&' || c == ';' || c == '=' }
	for part := range strings.FieldsFuncSeq(u.RawQuery, separator) {
		// What cannot be unescaped is as it stands there.
		if text, err := url.QueryUnescape(part); err == nil {
			part = text
		}
		for word := range strings.FieldsFuncSeq(part, outsideToken) {
			if keys.MatchesPattern(word) {
				return true
			}
		}
	}
	return false
}

// outsideToken reports whether c is in no token.
func outsideToken(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '_'
}
