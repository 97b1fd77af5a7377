package httpadapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/aichub/lanyard"
)

// methods are those of RFC 9110 section 9 and PATCH (RFC 5789).
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// Handler serves the page and the API. Make it with [New].
type Handler struct {
	config     Config
	routes     []route
	page       *page
	languages  *languages
	spec       []byte // openapi.json
	crossSite  *http.CrossOriginProtection
	keysMayUse map[string]bool // "GET /profile"

	defaultClientIP bool
	selfCheck       selfCheck
}

// New returns a Handler. An error names the field of Config that it refuses.
func New(c Config) (*Handler, error) {
	if c.Identify == nil {
		return nil, errors.New("httpadapter: Config.Identify is required")
	}
	if c.Profiles == nil {
		return nil, errors.New("httpadapter: Config.Profiles is required")
	}
	defaultClientIP := c.ClientIP == nil
	if defaultClientIP {
		c.ClientIP = remoteHost
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := checkURLs(c); err != nil {
		return nil, err
	}
	h := &Handler{config: c, crossSite: http.NewCrossOriginProtection(), keysMayUse: map[string]bool{}, defaultClientIP: defaultClientIP}
	for _, origin := range c.TrustedOrigins {
		if err := checkTrusted(origin); err != nil {
			return nil, err
		}
		if err := h.crossSite.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("httpadapter: Config.TrustedOrigins: %w", err)
		}
	}
	var err error
	if h.languages, err = newLanguages(c); err != nil {
		return nil, fmt.Errorf("httpadapter: %w", err)
	}
	h.routes = h.apiRoutes()
	for _, name := range c.KeyRoutes {
		if !slices.ContainsFunc(h.routes, func(r route) bool { return r.name() == name }) {
			return nil, fmt.Errorf("httpadapter: Config.KeyRoutes: there is no route %q", name)
		}
		h.keysMayUse[name] = true
	}
	if h.spec, err = openAPI(); err != nil {
		return nil, fmt.Errorf("httpadapter: openapi: %w", err)
	}
	if h.page, err = newPage(h); err != nil {
		return nil, fmt.Errorf("httpadapter: page: %w", err)
	}
	return h, nil
}

// Mount serves h, a [Handler] or a [Proxy], below prefix, as "/account", with all
// methods, and leads from the prefix itself to it with a slash behind. A ServeMux
// refuses a pattern without a method beside a host's "GET /", so there is one
// pattern a method.
func Mount(mux *http.ServeMux, prefix string, h http.Handler) {
	prefix = "/" + strings.Trim(prefix, "/")
	if prefix == "/" {
		prefix = ""
	}
	below := below(prefix, h)
	for _, method := range methods {
		mux.Handle(method+" "+prefix+"/", below)
	}
	if prefix == "" {
		return
	}
	// Set by hand: http.Redirect would resolve it against a path that a proxy
	// in front may have shortened, and so would the mux.
	location := "./" + url.PathEscape(prefix[strings.LastIndexByte(prefix, '/')+1:]) + "/"
	for _, method := range methods {
		mux.HandleFunc(method+" "+prefix, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusPermanentRedirect)
		})
	}
}

// below takes the prefix off a path before h sees it. The prefix of the path as
// it was sent may be spelled with escapes; http.StripPrefix would answer that
// with a 404 of its own.
func below(prefix string, h http.Handler) http.Handler {
	depth := strings.Count(prefix, "/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r2, u := r.WithContext(r.Context()), *r.URL
		u.Path = strings.TrimPrefix(u.Path, prefix)
		for range depth {
			if i := strings.IndexByte(strings.TrimPrefix(u.RawPath, "/"), '/'); i >= 0 {
				u.RawPath = u.RawPath[i+1:]
			}
		}
		r2.URL = &u
		h.ServeHTTP(w, r2)
	})
}

// requestTimeout bounds what a request waits for: a database whose line is dead
// answers no sooner, and http.Server.WriteTimeout ends no context. It leaves
// time for a verification of a provider token and for what comes after.
const requestTimeout = 30 * time.Second

// ServeHTTP serves a request whose path is below the mount.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID(r)
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// The id first: a panic of a hook has one, too.
	request := lanyard.Request{ID: id, UserAgent: r.UserAgent()}
	r = r.WithContext(lanyard.WithRequest(r.Context(), request))
	api := h.config.JSONOnly || underAPI(r.URL.Path)
	defer func() {
		if fault := recover(); fault != nil {
			h.panicked(w, r, fault, api)
		}
	}()
	request.IP = h.config.ClientIP(r)
	ctx, cancel := context.WithTimeout(lanyard.WithRequest(r.Context(), request), requestTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	h.checkPath(r)
	if api {
		h.checkAPI(r)
		h.serveAPI(w, r)
		return
	}
	if r.URL.Path == "" && toSlash(w, r) {
		return
	}
	h.page.serve(w, r)
}

// toSlash leads from the mount's address without its slash, as http.StripPrefix
// lets it through, to the one with it, below which the page's links are; see
// Mount.
func toSlash(w http.ResponseWriter, r *http.Request) bool {
	sent, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return false
	}
	path := sent.EscapedPath()
	last := path[strings.LastIndexByte(path, '/')+1:]
	if last == "" {
		return false
	}
	w.Header().Set("Location", "./"+last+"/")
	w.WriteHeader(http.StatusPermanentRedirect)
	return true
}

func underAPI(path string) bool {
	path = strings.TrimPrefix(path, "/")
	return path == "api" || strings.HasPrefix(path, "api/")
}

// panicked answers 500 for a panic of a hook or of ours. What was panicked
// with may hold anything, so only its type and the stack are logged.
func (h *Handler) panicked(w http.ResponseWriter, r *http.Request, fault any, api bool) {
	if err, aborted := fault.(error); aborted && errors.Is(err, http.ErrAbortHandler) {
		panic(fault)
	}
	h.config.Logger.ErrorContext(r.Context(), "handler panicked",
		slog.String("request_id", lanyard.RequestFrom(r.Context()).ID),
		slog.String("type", fmt.Sprintf("%T", fault)),
		slog.String("stack", string(debug.Stack())))
	if api {
		writeProblem(w, r, problem{Code: codeInternal}) // asks no hook of the host
		return
	}
	// The host's layout may be what panicked.
	defer func() {
		if recover() != nil {
			http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		}
	}()
	h.page.problem(w, r, caller{}, problem{Code: codeInternal})
}

// fail logs an error of ours once and says which problem it is.
func (h *Handler) fail(ctx context.Context, err error) problem {
	p := problemOf(err)
	if p.status() >= 500 {
		h.config.Logger.ErrorContext(ctx, "request failed",
			slog.String("request_id", lanyard.RequestFrom(ctx).ID),
			slog.String("problem", p.Code), slog.Any("error", err))
	}
	return p
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// requestID returns the id a proxy gave the request, else a fresh one.
func requestID(r *http.Request) string {
	if id := givenRequestID(r); id != "" {
		return id
	}
	return lanyard.NewID()
}

// givenRequestID returns the id a proxy gave the request, if it looks like one.
func givenRequestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.", c)
	}
	if len(id) < 8 || len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool { return !plain(c) }) {
		return ""
	}
	return id
}

func checkURLs(c Config) error {
	if err := checkLogin(c.LoginURL); err != nil {
		return err
	}
	for _, d := range c.Docs {
		if d.Title == "" || !webURL(d.URL) {
			return errors.New("httpadapter: Config.Docs: a link needs a title and a path or an http or https address")
		}
	}
	return checkEmbedding(c)
}
