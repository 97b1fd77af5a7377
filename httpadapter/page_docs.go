package httpadapter

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aichub/lanyard"
)

func (p *page) showDocs(q *pageCall) error {
	content := struct {
		Links     []Link
		Snippets  *snippets
		Reference []section
	}{Links: p.h.config.Docs, Reference: p.sections()}
	if p.h.config.APIKeys != nil {
		s := p.snippets(q, "")
		content.Snippets = &s
	}
	return p.render(q, "docs", p.view(q, p.text.say("docs.title"), content))
}

// section is the operations with one tag.
type section struct {
	Tag        string
	Operations []operation
}

func (p *page) sections() (all []section) {
	for _, o := range p.reference {
		if i := slices.IndexFunc(all, func(s section) bool { return s.Tag == o.Tag }); i >= 0 {
			all[i].Operations = append(all[i].Operations, o)
			continue
		}
		all = append(all, section{Tag: o.Tag, Operations: []operation{o}})
	}
	return all
}

// showOperation is the reference of one operation.
func (p *page) showOperation(q *pageCall) error {
	i := slices.IndexFunc(p.reference, func(o operation) bool { return o.ID == q.id })
	if i < 0 {
		return lanyard.ErrNotFound
	}
	return p.render(q, "operation", p.view(q, p.reference[i].Summary, p.reference[i]))
}

// snippets is code that calls us, with a key filled in or from the environment.
type snippets struct {
	Key         string // "" = from the environment
	Variable    string
	Placeholder string
	Path        string // relative, for script
	URL         string // as far as we can see it from here
}

// snippets fills a key into code; "" takes it from the environment.
func (p *page) snippets(q *pageCall, key string) snippets {
	const call = "api/v1/whoami"
	prefix := p.h.config.APIKeys.Prefix()
	return snippets{
		Key: key, Variable: strings.ToUpper(prefix) + "_API_KEY", Placeholder: p.text.say("docs.placeholder"),
		Path: q.base + call, URL: mountURL(q.r) + call,
	}
}

// mountURL is the address of the mount as this request shows it. A proxy may
// hide the real one; with script the page asks the browser. Who invents the
// header tells only himself something wrong.
func mountURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	full := r.URL.EscapedPath()
	if sent, err := url.ParseRequestURI(r.RequestURI); err == nil {
		full = sent.EscapedPath() // before a StripPrefix
	}
	prefix := strings.TrimSuffix(full, strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	return scheme + "://" + r.Host + prefix
}
