package httpadapter

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

func (p *page) showDocs(q *pageCall) error {
	content := struct {
		Links     []Link
		Snippets  *snippets
		Reference []operation
	}{Links: p.h.config.Docs, Reference: p.reference}
	if p.h.config.APIKeys != nil {
		s := p.snippets(q, "")
		content.Snippets = &s
	}
	return p.render(q, "docs", p.view(q, p.text.say("docs.title"), content))
}

// operation is one line of the API reference.
type operation struct{ Method, Path, Summary string }

// loadReference lists those of the routes that an OpenAPI document describes,
// in the document's order.
func loadReference(source []byte, routes []route) ([]operation, error) {
	var document struct {
		Paths yaml.MapSlice `yaml:"paths"`
	}
	if err := yaml.UnmarshalWithOptions(source, &document, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	var all []operation
	for _, path := range document.Paths {
		members, _ := path.Value.(yaml.MapSlice)
		for _, member := range members {
			o := operation{Method: strings.ToUpper(fmt.Sprint(member.Key)), Path: fmt.Sprint(path.Key)}
			if !slices.ContainsFunc(routes, func(r route) bool { return r.name() == o.Method+" "+o.Path }) {
				continue
			}
			if described, ok := member.Value.(yaml.MapSlice); ok {
				if summary, ok := described.ToMap()["summary"].(string); ok {
					o.Summary = summary
				}
			}
			all = append(all, o)
		}
	}
	return all, nil
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
// hide the real one; with script the page asks the browser.
func mountURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	full := r.URL.EscapedPath()
	if sent, err := url.ParseRequestURI(r.RequestURI); err == nil {
		full = sent.EscapedPath() // before a StripPrefix
	}
	prefix := strings.TrimSuffix(full, strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	return scheme + "://" + r.Host + prefix
}
