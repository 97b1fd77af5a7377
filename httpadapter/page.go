package httpadapter

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// templateFiles are the page's templates. They hold no words; see textFiles.
//
//go:embed templates/*.html
var templateFiles embed.FS

// page serves everything below the mount that is not the API: html/template
// and plain forms that work without script. There is one a language.
type page struct {
	h         *Handler
	text      *texts
	others    []*page // in each language, by the index of languages.all
	assets    map[string]asset
	reference []operation
	templates map[string]*template.Template
	routes    []pageRoute
}

// pageRoute is one page. A form is posted to the address that shows it.
type pageRoute struct {
	path   string
	tab    string                           // the tab it belongs to
	show   func(p *page, q *pageCall) error // nil = no GET
	post   func(p *page, q *pageCall) error // nil = no POST
	fields string                           // of the form, with spaces between; see pageCall.readForm
	proof  bool                             // as route.proof
}

// pageCall is one request for a page.
type pageCall struct {
	w      http.ResponseWriter
	r      *http.Request
	id     string // of the record the path names
	caller caller
	form   url.Values // of a POST
	base   string     // the way up to the mount: "./", "../"
	tab    string
	text   *texts
}

func newPage(h *Handler) (*page, error) {
	p := &page{h: h}
	var err error
	if p.reference, err = loadReference(openAPISource, h.routes, h.config.KeyRoutes); err != nil {
		return nil, err
	}
	if p.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	p.routes = append(p.routes,
		pageRoute{path: "", tab: "profile", show: (*page).showProfile},
		pageRoute{path: "profile/edit", tab: "profile", show: (*page).showProfileEdit, post: (*page).saveProfile, fields: "version given_name family_name"},
		pageRoute{path: "profile/directory", tab: "profile", post: (*page).resetProfile, fields: "version"},
	)
	if h.config.APIKeys != nil {
		p.routes = append(p.routes,
			pageRoute{path: "api-keys", tab: "keys", show: (*page).showKeys},
			pageRoute{path: "api-keys/new", tab: "keys", show: (*page).showKeyNew, post: (*page).createKey, fields: "nonce name expiry expires_on scope[]", proof: true},
			pageRoute{path: "api-keys/{id}/rename", tab: "keys", show: (*page).showKeyRename, post: (*page).renameKey, fields: "version name"},
			pageRoute{path: "api-keys/{id}/rotate", tab: "keys", show: (*page).showKeyRotate, post: (*page).rotateKey, fields: "version grace", proof: true},
			pageRoute{path: "api-keys/{id}/delete", tab: "keys", show: (*page).showKeyDelete, post: (*page).deleteKey, fields: "version", proof: true},
		)
	}
	if h.config.ProviderTokens != nil {
		p.routes = append(p.routes,
			pageRoute{path: "provider-tokens", tab: "tokens", show: (*page).showTokens},
			pageRoute{path: "provider-tokens/new", tab: "tokens", show: (*page).showTokenNew, post: (*page).createToken, fields: tokenFields, proof: true},
			pageRoute{path: "provider-tokens/{id}/edit", tab: "tokens", show: (*page).showTokenEdit, post: (*page).saveToken, fields: "version " + tokenFields, proof: true},
			pageRoute{path: "provider-tokens/{id}/delete", tab: "tokens", show: (*page).showTokenDelete, post: (*page).deleteToken, fields: "version", proof: true},
			pageRoute{path: "provider-tokens/{id}/test", tab: "tokens", post: (*page).testToken},
		)
	}
	p.routes = append(p.routes,
		pageRoute{path: "activity", tab: "activity", show: (*page).showActivity},
		pageRoute{path: "docs", tab: "docs", show: (*page).showDocs},
		pageRoute{path: "docs/api/{id}", tab: "docs", show: (*page).showOperation},
	)
	return p.translated()
}

// translated makes the page in each language and returns the one in English.
func (p *page) translated() (*page, error) {
	others := make([]*page, len(p.h.languages.all))
	for i, t := range p.h.languages.all {
		other := *p
		other.text, other.others, other.templates = t, others, map[string]*template.Template{}
		if err := other.parseTemplates(); err != nil {
			return nil, err
		}
		others[i] = &other
	}
	return others[0], nil
}

// in returns the page in the language of a request.
func (p *page) in(r *http.Request) *page { return p.others[p.h.languages.index(r)] }

// parseTemplates makes one set a page: the layout, what pages share, and the
// page's own content.
func (p *page) parseTemplates() error {
	shared, err := template.New("").Funcs(template.FuncMap{
		"t":     p.text.say,
		"asset": func(name string) string { return p.assets[name].path },
	}).ParseFS(templateFiles, "templates/layout.html", "templates/snippets.html")
	if err != nil {
		return err
	}
	files, err := templateFiles.ReadDir("templates")
	if err != nil {
		return err
	}
	for _, f := range files {
		name, isPage := strings.CutSuffix(f.Name(), ".html")
		if !isPage || name == "layout" || name == "snippets" {
			continue
		}
		set, err := shared.Clone()
		if err != nil {
			return err
		}
		if p.templates[name], err = set.ParseFS(templateFiles, "templates/"+f.Name()); err != nil {
			return err
		}
	}
	return nil
}

// contentSecurityPolicy of a whole page: no inline script or style, nothing
// from elsewhere, no markup made by script, and no frame but in our own origin
// and in those of the host.
func contentSecurityPolicy(ancestors []string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors " + strings.Join(append([]string{"'self'"}, ancestors...), " ") +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
}

// serve answers for a path below the mount.
func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	// Not no-referrer: with it browsers post forms with "Origin: null", as
	// forged ones are.
	header.Set("Referrer-Policy", "same-origin")
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if strings.HasPrefix(path, "assets/") {
		p.serveAsset(w, r, path)
		return
	}
	route, id, refused := p.match(r.Method, path)
	if refused != nil {
		r, who := p.visitor(r)
		p.problem(w, r, who, *refused)
		return
	}
	q := &pageCall{w: w, r: r, id: id, base: baseOf(path), tab: route.tab}
	if refused := p.admit(q, route); refused != nil {
		p.problem(w, q.r, q.caller, *refused)
		return
	}
	p = p.in(q.r)
	q.text = p.text
	serve := route.show
	if r.Method == http.MethodPost {
		serve = route.post
	}
	if err := serve(p, q); err != nil {
		p.problem(w, q.r, q.caller, p.h.fail(q.r.Context(), err))
	}
}

// match finds the page of a path.
func (p *page) match(method, path string) (pageRoute, string, *problem) {
	segments := strings.Split(path, "/")
	for _, route := range p.routes {
		id, ok := matchPath(route.path, segments)
		if !ok {
			continue
		}
		var allowed []string
		if route.show != nil {
			allowed = append(allowed, http.MethodGet, http.MethodHead)
		}
		if route.post != nil {
			allowed = append(allowed, http.MethodPost)
		}
		switch {
		case !slices.Contains(allowed, method):
			return route, "", &problem{Code: codeMethodNotAllowed, Allow: strings.Join(allowed, ", ")}
		case id == "" && strings.Contains(route.path, "{id}"):
			return route, "", &problem{Code: codeNotFound}
		}
		return route, id, nil
	}
	return pageRoute{}, "", &problem{Code: codeNotFound}
}

// admit lets a caller in and reads his form, or says why not.
func (p *page) admit(q *pageCall, route pageRoute) *problem {
	if p.h.crossSite.Check(q.r) != nil {
		return &problem{Code: codeCrossSite}
	}
	r, who, err := p.h.caller(q.r)
	q.r, q.caller = r, who
	if err != nil {
		refused := p.h.fail(r.Context(), err)
		return &refused
	}
	if who.byKey() {
		return &problem{Code: codeKeyNotAllowed}
	}
	if q.r.Method == http.MethodPost {
		if wait := p.h.wait(q.r, who); wait > 0 {
			return &problem{Code: codeTooManyRequests, RetryAfter: wait}
		}
	}
	if route.proof && !p.h.recentlyProved(who) {
		return &problem{Code: codeReauthenticate}
	}
	if q.r.Method == http.MethodPost {
		return q.readForm(strings.Fields(route.fields))
	}
	return nil
}

// visitor returns who asks for what is not there, so that a page that says so keeps
// the tabs and the language of somebody who is signed in. Of everybody else it
// knows nothing.
func (p *page) visitor(r *http.Request) (*http.Request, caller) {
	known, who, err := p.h.caller(r)
	if err != nil || who.byKey() {
		return r, caller{}
	}
	return known, who
}

// baseOf is the relative way from a page up to the mount.
func baseOf(path string) string {
	if depth := strings.Count(path, "/"); depth > 0 {
		return strings.Repeat("../", depth)
	}
	return "./"
}

// redirect answers a POST with 303 and the way to a page. The location is
// relative and set by hand: http.Redirect would make it absolute without the
// prefix.
func (q *pageCall) redirect(path string, query url.Values) error {
	location := q.base + path
	if len(query) > 0 {
		location += "?" + query.Encode()
	}
	q.w.Header().Set("Location", location)
	q.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// done goes to a page that says what was done.
func (q *pageCall) done(path, what string, more ...string) error {
	query := url.Values{"done": {what}}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return q.redirect(path, query)
}

// render writes a page, whole or into the host's layout.
func (p *page) render(q *pageCall, name string, v view) error {
	set := p.templates[name]
	var head, body bytes.Buffer
	if err := set.ExecuteTemplate(&head, "head", v); err != nil {
		return fmt.Errorf("httpadapter: page %s: %w", name, err)
	}
	v.Embedded = p.h.config.Layout != nil
	if err := set.ExecuteTemplate(&body, "body", v); err != nil {
		return fmt.Errorf("httpadapter: page %s: %w", name, err)
	}
	// Both were made by html/template just now.
	v.Head, v.Body = template.HTML(head.String()), template.HTML(body.String()) //nolint:gosec // see above
	header := q.w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	p.text.speak(header)
	if layout := p.h.config.Layout; layout != nil {
		layout(q.w, q.r, Page{Status: v.Status, Title: v.Title, Lang: v.Lang, Dir: v.Dir, Head: v.Head, Body: v.Body})
		return nil
	}
	var document bytes.Buffer
	if err := set.ExecuteTemplate(&document, "document", v); err != nil {
		return fmt.Errorf("httpadapter: page %s: %w", name, err)
	}
	header.Set("Content-Security-Policy", contentSecurityPolicy(p.h.config.FrameAncestors))
	q.w.WriteHeader(v.Status)
	if q.r.Method != http.MethodHead {
		_, _ = q.w.Write(document.Bytes())
	}
	return nil
}

// problem writes a problem as a page. Without an identity a browser goes to
// the host's login; after a form a link leads there, because our policy's
// form-action holds for redirects as well, and the login may be another site's.
func (p *page) problem(w http.ResponseWriter, r *http.Request, who caller, refused problem) {
	refused.setHeaders(w.Header())
	login := p.h.loginURL(p.wayBack(r))
	if refused.Code == codeUnauthenticated && login != "" && r.Method != http.MethodPost {
		w.Header().Del("WWW-Authenticate")
		w.Header().Set("Location", login)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	p = p.in(r)
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	route, _, _ := p.match(http.MethodGet, path)
	q := &pageCall{w: w, r: r, caller: who, text: p.text, base: baseOf(path), tab: route.tab}
	id := "problem." + refused.Code
	if !p.text.has(id) {
		id = fmt.Sprintf("problem.%d", refused.status())
	}
	type link struct{ Href, Text string }
	content := struct {
		Text string
		Link *link
	}{Text: p.text.say(id + ".text")}
	switch refused.Code {
	case codeUnauthenticated, codeReauthenticate:
		if login != "" {
			content.Link = &link{login, p.text.say("problem.login")}
		}
	case codeDeactivated, codeKeyNotAllowed, codeUnavailable, codeInternal:
	default:
		content.Link = &link{q.base, p.text.say("problem.back")}
	}
	v := p.view(q, p.text.say(id), content)
	v.Status = refused.status()
	if who.Owner.Subject == "" || refused.Code == codeDeactivated || refused.Code == codeKeyNotAllowed {
		v.Tabs = nil // none of them would open
	}
	if err := p.render(q, "error", v); err != nil {
		p.h.config.Logger.ErrorContext(r.Context(), "error page failed", slog.Any("error", err))
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
	}
}
