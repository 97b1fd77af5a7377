package httpadapter

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
)

// selfCheck tells a developer, on the page and once in the log, what is wrong
// with how the page is mounted. It is Config.Development; its words are English.
type selfCheck struct {
	mu   sync.Mutex
	told map[string]bool
}

// maxAdvice is how many different things are logged: they hold what a request
// says.
const maxAdvice = 100

// checks is what a developer's page says: what is wrong, and what the style
// sheet hides and the script removes when they are there.
type checks struct {
	Advice        []string
	Style, Script string
}

// checks looks at a request for a page; nil where nobody develops.
func (h *Handler) checks(r *http.Request) *checks {
	if !h.config.Development {
		return nil
	}
	found := &checks{
		Style: "lanyard.css is not there: a proxy does not lead assets/ to this handler, or the page's Content-Security-Policy " +
			"does not allow style-src 'self'.",
		Script: "lanyard.js did not run: a proxy does not lead assets/ to this handler, the page's Content-Security-Policy allows " +
			"no script-src 'self' (or not with this nonce), or script is switched off.",
	}
	for _, advice := range []string{h.adviseOrigin(r), h.adviseHost(r), h.adviseClientIP(r)} {
		if advice != "" {
			found.Advice = append(found.Advice, advice)
		}
	}
	h.selfCheck.tell(r, h.config.Logger, found.Advice)
	return found
}

// adviseOrigin explains a form that was refused as a forged one.
func (h *Handler) adviseOrigin(r *http.Request) string {
	if h.crossSite.Check(r) == nil {
		return ""
	}
	origin := r.Header.Get("Origin")
	return fmt.Sprintf("The form was refused: the browser posted it from %q, and the request arrives for the host %q. Where that is the "+
		"same site, have the proxy pass the host on (nginx: proxy_set_header Host $http_host;), or set Config.TrustedOrigins to %q.",
		origin, r.Host, origin)
}

// adviseHost notices a proxy that puts its own name into Host.
func (h *Handler) adviseHost(r *http.Request) string {
	host := r.Header.Get("X-Forwarded-Host")
	if host == "" || host == r.Host {
		return ""
	}
	for _, origin := range h.config.TrustedOrigins {
		if _, trusted, _ := strings.Cut(origin, "://"); trusted == host {
			return ""
		}
	}
	return fmt.Sprintf("A proxy says that the browser asked for %q, and sends Host: %q. Browsers that do not say where a form comes from "+
		"will be refused: have it pass the host on (nginx: proxy_set_header Host $http_host;), or add the origin, as "+
		"\"https://%s\", to Config.TrustedOrigins.", host, r.Host, host)
}

// adviseClientIP notices a proxy whose address would stand in every line of the
// history.
func (h *Handler) adviseClientIP(r *http.Request) string {
	if !h.defaultClientIP {
		return ""
	}
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return fmt.Sprintf("Requests come through a proxy, which sends %s, and Config.ClientIP is not set: the history says that everybody "+
				"comes from %s. Set it to a function that reads this header, and only where the proxy is yours.", name, remoteHost(r))
		}
	}
	return ""
}

// tell logs each advice once.
func (s *selfCheck) tell(r *http.Request, logger *slog.Logger, advice []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range advice {
		if s.told[a] || len(s.told) >= maxAdvice {
			continue
		}
		if s.told == nil {
			s.told = make(map[string]bool)
		}
		s.told[a] = true
		logger.WarnContext(r.Context(), "the page is mounted wrong", slog.String("advice", a))
	}
}
