package httpadapter

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/aichub/lanyard"
)

// selfCheck tells a developer, on the page and once in the log, what is wrong
// with how the page is mounted. It is Config.Development; its words are English.
type selfCheck struct {
	mu      sync.Mutex
	told    map[string]bool
	address []string       // advice from the last request for our style sheet
	pages   map[string]int // by asset: pages since it was last asked for
	arrived bool           // a request came for something that is there
}

// maxAdvice is how many different things are logged: they hold what a request
// says.
const maxAdvice = 100

// patientPages is how many pages may go by without an asset before it counts as
// blocked: a browser may have asked for the next page before it got there.
const patientPages = 2

// mendHost is the line that passes the browser's host on. $host would leave the
// port out (https://nginx.org/en/docs/http/ngx_http_core_module.html#var_host).
const mendHost = "nginx: proxy_set_header Host $http_host;"

// checks is what a developer's page says: what is wrong, and what the style
// sheet hides and the script removes when they are there.
type checks struct {
	Advice        []string
	Style, Script string
}

// blocked says, by asset, why it may not be there.
var blocked = map[string]string{
	"lanyard.css": "lanyard.css is not there: something in front answers for assets/ itself (nginx: a location for \\.css$) or does not " +
		"lead it to this handler, or a Content-Security-Policy of the answer does not allow style-src 'self' (or not with this nonce).",
	"lanyard.js": "lanyard.js did not run: something in front answers for assets/ itself (nginx: a location for \\.js$) or does not " +
		"lead it to this handler, a Content-Security-Policy of the answer does not allow script-src 'self' (or not with this nonce), " +
		"or script is switched off.",
}

// checks looks at a request for a page; nil where nobody develops.
func (h *Handler) checks(r *http.Request) *checks {
	if !h.config.Development {
		return nil
	}
	found := &checks{Style: blocked["lanyard.css"], Script: blocked["lanyard.js"]}
	s := &h.selfCheck
	s.mu.Lock()
	address := s.address
	s.mu.Unlock()
	advice := append([]string{h.adviseMount(r), h.adviseOrigin(r), h.adviseClientIP(r)}, address...)
	if len(address) == 0 {
		advice = append(advice, h.adviseForwardedHost(r))
	}
	for _, a := range advice {
		if a != "" {
			found.Advice = append(found.Advice, a)
		}
	}
	h.tell(r, found.Advice...)
	h.tell(r, s.unasked(r)...)
	return found
}

// checkAPI looks at a request of the API: there is no page to say it on.
func (h *Handler) checkAPI(r *http.Request) {
	if h.config.Development {
		h.tell(r, h.adviseMount(r), h.adviseOrigin(r), h.adviseClientIP(r))
	}
}

// checkAsset looks at a request for an asset. That for the style sheet says,
// in its Referer, at which address the browser is.
func (h *Handler) checkAsset(r *http.Request, name string) {
	s := &h.selfCheck
	s.mu.Lock()
	delete(s.pages, name)
	s.mu.Unlock()
	site := r.Header.Get("Sec-Fetch-Site")
	if !strings.HasPrefix(r.Header.Get("Accept"), "text/css") || site != "" && site != "same-origin" {
		return // no page of ours asks
	}
	var found []string
	page, err := url.Parse(r.Referer())
	switch {
	case err == nil && page.Host != "":
		found = []string{h.adviseHost(r, page), adviseProto(r, page)}
	case site == "":
		found = []string{noReferrer}
	}
	h.tell(r, found...)
	s.mu.Lock()
	s.address = found
	s.mu.Unlock()
}

// checkPath notices a request for something that is there.
func (h *Handler) checkPath(r *http.Request) {
	if h.config.Development && h.serves(strings.TrimPrefix(r.URL.EscapedPath(), "/")) {
		h.selfCheck.mu.Lock()
		h.selfCheck.arrived = true
		h.selfCheck.mu.Unlock()
	}
}

// serves reports whether something is at a path below the mount.
func (h *Handler) serves(path string) bool {
	if _, _, refused := match(h.routes, http.MethodGet, path); refused == nil || refused.Code != codeNotFound {
		return true
	}
	if h.config.JSONOnly {
		return false
	}
	_, _, refused := h.page.match(http.MethodGet, path)
	return refused == nil || refused.Code != codeNotFound || strings.HasPrefix(path, "assets/")
}

// adviseMount notices a handler that was given the whole path.
func (h *Handler) adviseMount(r *http.Request) string {
	path := r.URL.EscapedPath()
	if sent, err := url.ParseRequestURI(r.RequestURI); err != nil || sent.EscapedPath() != path {
		return ""
	}
	rest := strings.TrimPrefix(path, "/")
	if h.serves(rest) {
		return ""
	}
	for prefix := ""; ; {
		first, below, more := strings.Cut(rest, "/")
		prefix, rest = prefix+"/"+first, below
		if !more {
			h.selfCheck.mu.Lock()
			arrived := h.selfCheck.arrived
			h.selfCheck.mu.Unlock()
			if arrived {
				return "" // a path that is not there, and nothing else
			}
		}
		if !more || h.serves(rest) {
			return fmt.Sprintf("This handler was given the whole path %q. Where the page is to be at %s/, have the prefix taken off: "+
				"httpadapter.Mount(mux, %q, h).", path, prefix, prefix)
		}
	}
}

// adviseOrigin explains a form that was refused as a forged one.
func (h *Handler) adviseOrigin(r *http.Request) string {
	if h.crossSite.Check(r) == nil {
		return ""
	}
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	switch {
	case origin == "" || origin == "null":
		return "The form was refused: the browser does not say which origin posted it (Origin: " + origin + "). The page was shown in a " +
			"sandboxed frame, or with another Referrer-Policy than its own: " + mendReferrer
	case site != "":
		return fmt.Sprintf("The form was refused: the browser says that another site posted it (Sec-Fetch-Site: %s), %q. Where that is a "+
			"front end of yours, set Config.TrustedOrigins to %q.", site, origin, origin)
	}
	return fmt.Sprintf("The form was refused: the browser posted it from %q, and the request arrives for the host %q. Where that is the "+
		"same site, have the proxy pass the host on (%s), or set Config.TrustedOrigins to %q.", origin, r.Host, mendHost, origin)
}

const (
	mendReferrer = "let nothing in front replace Referrer-Policy: same-origin (nginx: no add_header Referrer-Policy)."
	noReferrer   = "The browser does not say which page asks for the style sheet, so forms will come from Origin: null and be refused: " + mendReferrer
)

// adviseHost asks the guard what it would say of a form on the page.
func (h *Handler) adviseHost(r *http.Request, page *url.URL) string {
	origin := page.Scheme + "://" + page.Host
	form := &http.Request{Method: http.MethodPost, Host: r.Host, URL: r.URL, Header: http.Header{"Origin": {origin}}}
	if h.crossSite.Check(form) == nil {
		return ""
	}
	lost := "a proxy puts another host there"
	if page.Hostname() == r.Host {
		lost = "a proxy leaves the port out"
	}
	return fmt.Sprintf("The browser is at %q, and its requests arrive with Host: %s, so %s. Forms will be refused where the browser sends "+
		"no Sec-Fetch-Site, as on plain HTTP: have the proxy pass the host on (%s), or set Config.TrustedOrigins to %q.",
		origin, r.Host, lost, mendHost, origin)
}

// adviseProto notices a proxy that ends TLS and does not say so, and one that
// says so and does not.
func adviseProto(r *http.Request, page *url.URL) string {
	scheme, says := "http", "does not arrive"
	if r.TLS != nil {
		scheme = "https"
	}
	if sent := r.Header.Get("X-Forwarded-Proto"); sent != "" {
		scheme, says = strings.ToLower(sent), fmt.Sprintf("says %q", sent)
	}
	if scheme == page.Scheme {
		return ""
	}
	return fmt.Sprintf("The browser uses %s, and X-Forwarded-Proto %s: without script snippets show another address, and a sign-in that reads it makes "+
		"cookies for the wrong one. Have the proxy that the browser talks to say it (nginx: proxy_set_header X-Forwarded-Proto $scheme;).",
		page.Scheme, says)
}

// adviseForwardedHost notices a proxy that puts its own name into Host, and
// says so itself. It is for the first page, before the browser has said more.
func (h *Handler) adviseForwardedHost(r *http.Request) string {
	host := r.Header.Get("X-Forwarded-Host")
	if host == "" || host == r.Host {
		return ""
	}
	for _, origin := range h.config.TrustedOrigins {
		if _, trusted, _ := strings.Cut(origin, "://"); trusted == host {
			return ""
		}
	}
	if origin := "https://" + host; !isOrigin(origin) || checkTrusted(origin) != nil {
		return fmt.Sprintf("X-Forwarded-Host is %q, which is not one host as a browser would send it, and Host is %q. Where a proxy sends that, "+
			"have it pass the host on (%s).", host, r.Host, mendHost)
	}
	return fmt.Sprintf("A proxy says that the browser asked for %q, and sends Host: %q. Browsers that do not say where a form comes from "+
		"will be refused: have it pass the host on (%s), or add the origin, as \"https://%s\", to Config.TrustedOrigins.",
		host, r.Host, mendHost, host)
}

// adviseClientIP notices a proxy whose address would stand in every line of the
// history, and a history without addresses.
func (h *Handler) adviseClientIP(r *http.Request) string {
	if h.defaultClientIP {
		for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
			if r.Header.Get(name) != "" {
				return fmt.Sprintf("Requests come through a proxy, which sends %s, and Config.ClientIP is not set: the history says that everybody "+
					"comes from %s. Set it to a function that reads this header, and only where the proxy is yours.", name, remoteHost(r))
			}
		}
	}
	ip := lanyard.RequestFrom(r.Context()).IP
	if _, err := netip.ParseAddr(ip); err == nil {
		return ""
	}
	if h.defaultClientIP {
		return "The connection has no address, as that of a Unix socket, and Config.ClientIP is not set: set it to a function that reads the " +
			"header in which the proxy says it (nginx: proxy_set_header X-Forwarded-For $remote_addr;)."
	}
	return fmt.Sprintf("Config.ClientIP returned %q, which is no address: the header that it reads does not arrive (nginx: proxy_set_header "+
		"X-Forwarded-For $remote_addr;) or holds more than one.", ip)
}

// unasked counts a page, and names the assets that no page of the last ones
// led to. What is no browser asks for none.
func (s *selfCheck) unasked(r *http.Request) (names []string) {
	if r.Method != http.MethodGet || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pages == nil {
		s.pages = make(map[string]int)
	}
	for name, why := range blocked {
		if s.pages[name]++; s.pages[name] > patientPages {
			names = append(names, why)
		}
	}
	return names
}

// tell logs each advice once.
func (h *Handler) tell(r *http.Request, advice ...string) {
	s := &h.selfCheck
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range advice {
		if a == "" || s.told[a] || len(s.told) >= maxAdvice {
			continue
		}
		if s.told == nil {
			s.told = make(map[string]bool)
		}
		s.told[a] = true
		h.config.Logger.WarnContext(r.Context(), "the page is mounted wrong", slog.String("advice", a))
	}
}
