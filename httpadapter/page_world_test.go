package httpadapter_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store/memory"
)

// What users type into secret inputs here. No answer may hold it.
const (
	pageSecret    = "canary-page-4fJr0c9wTq"
	pageNewSecret = "canary-page-8sLk2m5xZv"
	pageBadSecret = "canary-page-0pQz7dLk2m"
)

// pageWorld is a host with the page in it, over a memory store. Jira is a fake.
type pageWorld struct {
	store    *memory.Store
	sealer   *crypto.Sealer
	profiles *profile.Service
	keys     *apikey.Service
	tokens   *providertoken.Service
	jira     *providertest.Fake // a Jira Data Center
	cloud    *providertest.Fake // a Jira Cloud
	handler  http.Handler
	now      atomic.Pointer[time.Time]
	outer    string // what a proxy in front takes off the path
	prefix   string
}

// pageOptions are what a test wants otherwise. The zero value is a page at
// /account.
type pageOptions struct {
	outer, prefix string
	scopes        []string
	keys          func(*apikey.Options)
	tokens        func(*providertoken.Options)
	config        func(*httpadapter.Config)
	identify      func(name string, p *lanyard.Principal)
	definitions   func([]providertoken.Definition) []providertoken.Definition
}

func newPageWorld(t *testing.T, o pageOptions) *pageWorld {
	t.Helper()
	w := &pageWorld{store: memory.New(), outer: o.outer, prefix: o.prefix}
	if w.prefix == "" {
		w.prefix = "/account"
	}
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	w.now.Store(&start)
	clock := func() time.Time { return *w.now.Load() }
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "keys"), nil)
	pageOK(t, err)
	w.sealer, err = crypto.NewSealer(ring, w.store, nil)
	pageOK(t, err)
	options := &apikey.Options{Prefix: "aic", Scopes: o.scopes, Limit: 5, Sealer: w.sealer, Now: clock}
	if o.keys != nil {
		o.keys(options)
	}
	w.keys, err = apikey.NewService(w.store, options)
	pageOK(t, err)
	t.Cleanup(func() { pageOK(t, w.keys.Close(context.Background())) })
	accounts := providertest.Tokens{
		pageSecret:    {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
		pageNewSecret: {ID: "ana2", Name: "Ana Zwei"},
	}
	w.jira, w.cloud = providertest.JiraDataCenter(accounts.Account), providertest.JiraCloud(accounts.Account)
	definitions := withSite(catalog.All())
	if o.definitions != nil {
		definitions = o.definitions(definitions)
	}
	platforms := &providertoken.Options{
		Providers: definitions, Limit: 3, Now: clock,
		Instances: []providertoken.Instance{
			pageInstance(t, w.jira, "jira", "jira-data-center", "Jira"), pageInstance(t, w.cloud, "cloud", "jira-cloud", "Cloud"),
		},
	}
	if o.tokens != nil {
		o.tokens(platforms)
	}
	w.tokens, err = providertoken.NewService(w.store, w.sealer, platforms)
	pageOK(t, err)
	w.profiles = profile.NewService(w.store, &profile.Options{OwnerChanged: w.keys.Refresh, Now: clock})
	c := httpadapter.Config{
		Profiles: w.profiles, APIKeys: w.keys, ProviderTokens: w.tokens, Product: "Hub", Now: clock,
		Docs: []httpadapter.Link{{Title: "Handbook", URL: "https://docs.example/handbook"}},
		Identify: func(r *http.Request) (lanyard.Principal, error) {
			name := r.Header.Get("X-User")
			if name == "" {
				return lanyard.Principal{}, lanyard.ErrUnauthenticated
			}
			p := lanyard.Principal{
				Owner: lanyard.Owner{Subject: name}, Email: name + "@example.com", GivenName: "Ana", FamilyName: "Lima",
			}
			if o.identify != nil {
				o.identify(name, &p)
			}
			return p, nil
		},
	}
	if o.config != nil {
		o.config(&c)
	}
	h, err := httpadapter.New(c)
	pageOK(t, err)
	mux := http.NewServeMux()
	httpadapter.Mount(mux, w.prefix, h)
	w.handler = mux
	if w.outer != "" {
		w.handler = http.StripPrefix(w.outer, mux)
	}
	return w
}

// pageInstance serves a fake and registers it.
func pageInstance(t *testing.T, fake *providertest.Fake, id, definition, name string) providertoken.Instance {
	t.Helper()
	server, err := providertest.NewServer(fake)
	pageOK(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	return providertoken.Instance{
		ID: id, Provider: definition, Name: name, Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
	}
}

func pageOK(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *pageWorld) pass(d time.Duration) {
	later := w.now.Load().Add(d)
	w.now.Store(&later)
}

// document is one answer, read as a browser reads it.
type document struct {
	status int
	header http.Header
	url    *url.URL
	body   string
	root   *html.Node // nil when it is no HTML
}

// visitor is a browser without script. Every page it sees is checked.
type visitor struct {
	*document
	t    *testing.T
	w    *pageWorld
	user string // "" = signed out
}

func (w *pageWorld) visit(t *testing.T, user string) *visitor {
	return &visitor{t: t, w: w, user: user}
}

// mount is the address of the page with a path below it.
func (w *pageWorld) mount(path string) *url.URL {
	base := &url.URL{Scheme: "http", Host: "hub.example", Path: w.outer + strings.TrimSuffix(w.prefix, "/") + "/"}
	u, err := base.Parse("./" + path)
	if err != nil {
		panic(err)
	}
	return u
}

// open goes to a path below the mount.
func (v *visitor) open(path string) *document {
	v.t.Helper()
	return v.follow(v.request(http.MethodGet, v.w.mount(path), nil))
}

// post sends a form without there being one.
func (v *visitor) post(path string, form url.Values) *document {
	v.t.Helper()
	return v.do(v.request(http.MethodPost, v.w.mount(path), form))
}

func (v *visitor) request(method string, to *url.URL, form url.Values) *http.Request {
	v.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequestWithContext(v.t.Context(), method, to.String(), body)
	r.RequestURI = to.RequestURI() // as a browser sends it
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://hub.example")
	}
	if v.user != "" {
		r.Header.Set("X-User", v.user)
	}
	return r
}

// do sends one request and looks at the answer.
func (v *visitor) do(r *http.Request) *document {
	v.t.Helper()
	recorder := httptest.NewRecorder()
	v.w.handler.ServeHTTP(recorder, r)
	d := &document{status: recorder.Code, header: recorder.Header(), url: r.URL, body: recorder.Body.String()}
	if strings.HasPrefix(d.header.Get("Content-Type"), "text/html") && d.body != "" {
		root, err := html.Parse(strings.NewReader(d.body))
		pageOK(v.t, err)
		d.root = root
		checkDocument(v.t, v.w, d)
	}
	v.document = d
	return d
}

// follow is do, and goes where redirects lead.
func (v *visitor) follow(r *http.Request) *document {
	v.t.Helper()
	d := v.do(r)
	for range 5 {
		location := d.header.Get("Location")
		if d.status < 300 || d.status > 399 || location == "" {
			return d
		}
		to, err := d.url.Parse(location)
		pageOK(v.t, err)
		if !strings.HasPrefix(to.Path, v.w.mount("").Path) {
			return d // left the page
		}
		d = v.do(v.request(http.MethodGet, to, nil))
	}
	v.t.Fatalf("%s redirects for ever", r.URL)
	return nil
}

// click follows the link with that text.
func (v *visitor) click(text string) *document {
	v.t.Helper()
	for n := range v.root.Descendants() {
		if n.Data == "a" && textOf(n) == text {
			to, err := v.url.Parse(attr(n, "href"))
			pageOK(v.t, err)
			return v.follow(v.request(http.MethodGet, to, nil))
		}
	}
	v.t.Fatalf("%s has no link %q", v.url, text)
	return nil
}

// submit fills the form that has a button with that text, by pairs of name and
// value, and sends it.
func (v *visitor) submit(button string, pairs ...string) *document {
	v.t.Helper()
	r := v.prepare(button, pairs...)
	return v.follow(r)
}

// prepare makes the request of submit.
func (v *visitor) prepare(button string, pairs ...string) *http.Request {
	v.t.Helper()
	form := v.formOf(button)
	values := formValues(form)
	for i := 0; i+1 < len(pairs); i += 2 {
		if !hasControl(form, pairs[i]) {
			v.t.Fatalf("%s: the form of %q has no input %q", v.url, button, pairs[i])
		}
		values.Set(pairs[i], pairs[i+1])
	}
	to, err := v.url.Parse(attr(form, "action"))
	pageOK(v.t, err)
	return v.request(http.MethodPost, to, values)
}

func (v *visitor) formOf(button string) *html.Node {
	v.t.Helper()
	for n := range v.root.Descendants() {
		if n.Data != "form" {
			continue
		}
		for b := range n.Descendants() {
			if b.Data == "button" && textOf(b) == button {
				return n
			}
		}
	}
	v.t.Fatalf("%s has no button %q", v.url, button)
	return nil
}

func hasControl(form *html.Node, name string) bool {
	for n := range form.Descendants() {
		if n.Data == "input" && attr(n, "name") == name {
			return true
		}
	}
	return false
}

// formValues is what a browser sends when nothing was touched.
func formValues(form *html.Node) url.Values {
	values := url.Values{}
	for n := range form.Descendants() {
		name := attr(n, "name")
		if n.Data != "input" || name == "" {
			continue
		}
		kind := attr(n, "type")
		if (kind == "radio" || kind == "checkbox") && !hasAttr(n, "checked") {
			continue
		}
		values.Add(name, attr(n, "value"))
	}
	return values
}

// byID finds an element.
func (d *document) byID(id string) *html.Node {
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && attr(n, "id") == id {
			return n
		}
	}
	return nil
}

// all lists the elements with that name.
func (d *document) all(name string) []*html.Node {
	var found []*html.Node
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			found = append(found, n)
		}
	}
	return found
}

func (d *document) title() string { return textOf(d.all("title")[0]) }
func (d *document) h1() string    { return textOf(d.all("h1")[0]) }

// says checks that the page's text holds each of these.
func (v *visitor) says(texts ...string) {
	v.t.Helper()
	all := textOf(v.root)
	for _, text := range texts {
		if !strings.Contains(all, text) {
			v.t.Errorf("%s does not say %q; it says %q", v.url, text, all)
		}
	}
}

// is checks the status and the heading.
func (v *visitor) is(status int, h1 string) {
	v.t.Helper()
	if v.root == nil {
		v.t.Fatalf("%s answers %d with %q, want a page", v.url, v.status, v.body)
	}
	if v.status != status || v.h1() != h1 {
		v.t.Fatalf("%s answers %d %q, want %d %q", v.url, v.status, v.h1(), status, h1)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

// textOf is the text a user reads, with single spaces.
func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// connect makes the user's connection to Jira.
func (v *visitor) connect() {
	v.t.Helper()
	v.open("provider-tokens/new?provider=jira")
	v.submit("Save", "secrets/token", pageSecret)
	v.is(http.StatusOK, "Provider Tokens")
}

// newKey makes a key through the form and returns it.
func (v *visitor) newKey(name string) string {
	v.t.Helper()
	v.open("api-keys/new")
	v.submit("Create key", "name", name)
	v.is(http.StatusCreated, "Your new API key")
	return attr(v.byID("ly-key"), "value")
}

// withoutProviders is a service over w's store that offers no platform.
func withoutProviders(t *testing.T, w *pageWorld) *providertoken.Service {
	t.Helper()
	tokens, err := providertoken.NewService(w.store, w.sealer, nil)
	pageOK(t, err)
	return tokens
}
