package httpadapter

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// wayBackMark is what the way back to a page takes the place of in
// Config.LoginURL.
const wayBackMark = "{return}"

// checkLogin refuses a Config.LoginURL that leads nowhere, and braces in it that
// a mistyped mark leaves: no address has any (RFC 3986 section 2).
func checkLogin(login string) error {
	before, after, marked := strings.Cut(login, wayBackMark)
	switch {
	case login != "" && !webURL(login):
		return errors.New("httpadapter: Config.LoginURL is neither a path nor an http or https address")
	case strings.ContainsAny(before+after, "{}"):
		return errors.New("httpadapter: Config.LoginURL: there is one {return} at most, and no other braces")
	case marked && !strings.ContainsAny(before, "?#"):
		return errors.New("httpadapter: Config.LoginURL: {return} belongs into the query, as /login?return={return}")
	}
	return nil
}

// loginURL is Config.LoginURL with the way back to a page. Where that is the first
// one, it has no parameter that says so.
func (h *Handler) loginURL(page string) string {
	if page == "" {
		login := emptyFirst.ReplaceAllString(h.config.LoginURL, "$1")
		return strings.Replace(emptyLast.ReplaceAllString(login, ""), wayBackMark, "", 1)
	}
	escaped := strings.ReplaceAll(url.QueryEscape(page), "+", "%20")
	return strings.Replace(h.config.LoginURL, wayBackMark, escaped, 1)
}

// The parameter that is nothing but the way back: before others, and behind them.
var (
	emptyFirst = regexp.MustCompile(`([?&])[^?&#=]*=\{return\}&`)
	emptyLast  = regexp.MustCompile(`[?&][^?&#=]*=\{return\}`)
)

// wayBack names the page that r asks for, or posts to, below the mount. Of its
// query it keeps what chooses a form, and nothing else that somebody may have
// put into an address.
func (p *page) wayBack(r *http.Request) string {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if _, _, refused := p.match(http.MethodGet, path); refused != nil {
		return ""
	}
	query := r.URL.Query()
	for name := range query {
		if name != "provider" && name != "method" {
			query.Del(name)
		}
	}
	if back := path + "?" + query.Encode(); len(query) > 0 && waysBack.MatchString(back) {
		return back
	}
	return path
}

// waysBack matches the pages that wayBack names: no host, no dot segment, no
// backslash and nothing that a browser leaves out.
var waysBack = regexp.MustCompile(`^(?:[0-9A-Za-z-]+(?:/[0-9A-Za-z-]+)*)?(?:\?[0-9A-Za-z=&%._-]{1,200})?$`)

// ReturnPath is where to lead a browser that has signed in: page is what stood
// in the place of {return} in Config.LoginURL, and mount is where the page is,
// as the browser sees it:
//
//	http.Redirect(w, r, httpadapter.ReturnPath("/account", r.FormValue("return")), http.StatusSeeOther)
//
// Anybody can make a link to a login. So what could be no page below the mount,
// such as "//evil.example", leads to the first one.
func ReturnPath(mount, page string) string {
	mount = strings.Trim(mount, "/")
	if mount != "" {
		mount += "/"
	}
	if len(page) > 500 || !waysBack.MatchString(page) {
		page = ""
	}
	return "/" + mount + page
}
