package httpadapter_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// pagePosts are the addresses that take a form, for a key and a connection of
// ana's.
func pagePosts(t *testing.T, w *pageWorld) (posts []string, keyID, tokenID string) {
	t.Helper()
	v := w.visit(t, "ana")
	v.newKey("ci")
	v.connect()
	owner := lanyard.Owner{Subject: "ana"}
	keys, err := w.keys.Keys(t.Context(), owner)
	pageOK(t, err)
	tokens, err := w.tokens.Tokens(t.Context(), owner)
	pageOK(t, err)
	keyID, tokenID = keys[0].ID, tokens[0].ID
	return []string{
		"profile/edit", "profile/directory", "api-keys/new", "api-keys/" + keyID + "/rename", "api-keys/" + keyID + "/delete",
		"api-keys/" + keyID + "/rotate",
		"provider-tokens/new?provider=jira", "provider-tokens/" + tokenID + "/edit", "provider-tokens/" + tokenID + "/delete",
		"provider-tokens/" + tokenID + "/test",
	}, keyID, tokenID
}

// What is no form of ours is refused in words, and changes nothing.
func TestPageRefusesForms(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	posts, _, _ := pagePosts(t, w)
	before := w.state(t)
	form := func(kind, body string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Content-Type", kind)
			r.Body, r.ContentLength = readCloser(body), int64(len(body))
		}
	}
	const urlencoded = "application/x-www-form-urlencoded"
	for name, tt := range map[string]struct {
		change func(*http.Request)
		status int
		h1     string
	}{
		"unknown field":     {form(urlencoded, "owner=ben"), 400, "This request could not be understood"},
		"field twice":       {form(urlencoded, "version=1&version=1&name=a&name=b&nonce=a&nonce=b&label=a&label=b"), 400, "This request could not be understood"},
		"bad escape":        {form(urlencoded, "version=%zz"), 400, "This request could not be understood"},
		"no UTF-8":          {form(urlencoded, "version=%ff&name=%ff&nonce=%ff&label=%ff"), 400, "This request could not be understood"},
		"no version":        {form(urlencoded, ""), 400, "This request could not be understood"},
		"json":              {form("application/json", "{}"), 415, "That was not a form"},
		"text":              {form("text/plain", "version=1"), 415, "That was not a form"},
		"no type":           {func(r *http.Request) { form("", "version=1")(r); r.Header.Del("Content-Type") }, 415, "That was not a form"},
		"multipart":         {form("multipart/form-data; boundary=x", "--x--"), 415, "That was not a form"},
		"too large":         {form(urlencoded, "version="+strings.Repeat("1", 64<<10)), 413, "That was too much"},
		"another site":      {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, "This came from another site"},
		"another origin":    {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403, "This came from another site"},
		"a sibling":         {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403, "This came from another site"},
		"a forged origin":   {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403, "This came from another site"},
		"PUT":               {func(r *http.Request) { r.Method = http.MethodPut }, 405, "That does not work here"},
		"two authorization": {func(r *http.Request) { r.Header["Authorization"] = []string{"Basic x", "Basic y"} }, 400, "This request could not be understood"},
	} {
		v := w.visit(t, "ana")
		for _, path := range posts {
			if name == "no version" && (strings.HasSuffix(path, "/test") || strings.Contains(path, "/new?")) {
				continue // ask for none
			}
			r := v.request(http.MethodPost, w.mount(path), url.Values{"version": {"1"}})
			tt.change(r)
			v.do(r)
			if v.root == nil || v.status != tt.status || v.h1() != tt.h1 {
				t.Errorf("%s: POST %s = %d %q, want a page with %d %q", name, path, v.status, v.body, tt.status, tt.h1)
			}
			if allow := v.header.Get("Allow"); (tt.status == 405) != (allow != "") {
				t.Errorf("%s: POST %s: Allow = %q", name, path, allow)
			}
		}
	}
	if after := w.state(t); after != before {
		t.Errorf("something was changed:\n%s\n%s", before, after)
	}
}

func readCloser(body string) *closer { return &closer{strings.NewReader(body)} }

type closer struct{ *strings.Reader }

func (*closer) Close() error { return nil }

// state is what ana has, in words.
func (w *pageWorld) state(t *testing.T) string {
	t.Helper()
	owner := lanyard.Owner{Subject: "ana"}
	var b strings.Builder
	me, err := w.profiles.Profile(t.Context(), owner)
	pageOK(t, err)
	b.WriteString(me.Name + "\n")
	keys, err := w.keys.Keys(t.Context(), owner)
	pageOK(t, err)
	for _, k := range keys {
		b.WriteString(k.ID + k.Name + "\n")
	}
	tokens, err := w.tokens.Tokens(t.Context(), owner)
	pageOK(t, err)
	for _, k := range tokens {
		b.WriteString(k.ID + k.Label + k.UpdatedAt.String() + "\n")
	}
	return b.String()
}

// Each of these would be a good form but for one thing.
func TestPageRefusesNearlyGoodForms(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("profile/edit")
	good := attr(v.all("form")[0].FirstChild.NextSibling, "value")
	for name, change := range map[string]url.Values{
		"field twice":   {"given_name": {"A", "B"}},
		"version twice": {"version": {good, good}},
		"no UTF-8":      {"given_name": {"\xff"}},
		"unknown field": {"email": {"a@example.com"}},
		"no number":     {"version": {"one"}},
		"zero":          {"version": {"0"}},
	} {
		form := url.Values{"version": {good}, "given_name": {"A"}, "family_name": {"B"}}
		maps.Copy(form, change)
		if v.post("profile/edit", form); v.status != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", name, v.status)
		}
	}
	if v.post("profile/edit", url.Values{"version": {good}, "given_name": {"A"}, "family_name": {"B"}}); v.status != http.StatusSeeOther {
		t.Errorf("the good form = %d, want 303", v.status)
	}
}

// A field of another method, or of none, is refused and not ignored.
func TestPageRefusesFieldsOfOtherMethods(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	for _, name := range []string{"fields/token", "secrets/owner", "fields/base", "secrets/"} {
		v.post("provider-tokens/new?provider=jira", url.Values{"secrets/token": {pageSecret}, name: {"x"}})
		v.is(http.StatusBadRequest, "This request could not be understood")
	}
	for _, path := range []string{"provider-tokens/new", "provider-tokens/new?provider=none", "provider-tokens/new?provider=jira&method=none", "activity?page_token=none"} {
		v.open(path)
		v.is(http.StatusNotFound, "There is nothing here")
	}
}

// A version that is not the one there is now: 412, the words, what was typed,
// and a form that can be sent again.
func TestPageStaleForms(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	_, keyID, tokenID := pagePosts(t, w)
	first, second := w.visit(t, "ana"), w.visit(t, "ana")
	const changed = "This was changed somewhere else in the meantime."

	first.open("profile/edit")
	second.open("profile/edit")
	first.submit("Save", "given_name", "First")
	second.submit("Save", "given_name", "Second")
	second.is(http.StatusPreconditionFailed, "Edit your name")
	second.says(changed)
	if got := attr(second.byID("given_name"), "value"); got != "Second" {
		t.Errorf("the typed name = %q, want it kept", got)
	}
	second.submit("Save")
	second.is(http.StatusOK, "Profile")
	second.says("Second Lima")

	first.open("profile/edit")
	second.open("profile/edit")
	first.submit("Save", "given_name", "Third")
	second.submit("Use the name from my directory")
	second.is(http.StatusPreconditionFailed, "Edit your name")
	second.says("Your name was changed somewhere else in the meantime", "Third")

	first.open("api-keys/" + keyID + "/rename")
	second.open("api-keys/" + keyID + "/rename")
	third := w.visit(t, "ana")
	third.open("api-keys/" + keyID + "/delete")
	first.submit("Save", "name", "one")
	second.submit("Save", "name", "two")
	second.is(http.StatusPreconditionFailed, "Rename key one")
	second.says(changed)
	third.submit("Delete key ci")
	third.is(http.StatusPreconditionFailed, "Delete key one?")
	third.says("The key was changed in the meantime. This is how it is now.")
	third.submit("Delete key one")
	third.is(http.StatusOK, "API Keys")
	second.submit("Save")
	second.is(http.StatusNotFound, "There is nothing here")

	first.open("provider-tokens/" + tokenID + "/edit")
	second.open("provider-tokens/" + tokenID + "/edit")
	third.open("provider-tokens/" + tokenID + "/delete")
	first.submit("Save", "label", "one")
	second.submit("Save", "label", "two", "secrets/token", pageNewSecret)
	second.is(http.StatusPreconditionFailed, "Edit your token for Jira “one”")
	second.says("This was changed somewhere else in the meantime, so nothing was saved.")
	if got := attr(second.byID("label"), "value"); got != "two" {
		t.Errorf("the typed label = %q, want it kept", got)
	}
	second.submit("Save")
	second.says("two")
	third.submit("Delete token for Jira")
	third.is(http.StatusPreconditionFailed, "Delete your token for Jira “two”?")
	third.says("The connection was changed in the meantime.")
}

// What was wrong is said above the form, with the way to the field, and at the
// field in the same words. Typed text is kept; secrets never come back.
func TestPageErrorSummary(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=jira-cloud")
	if first := v.byID("fields-site"); !hasAttr(first, "autofocus") {
		t.Error("the first input of a fresh form has no focus")
	}
	v.submit("Save", "fields/site", "not a site", "fields/email", "nobody", "secrets/api_token", "••••••••", "label", "work", "expires_on", "2026-12-24")
	v.is(http.StatusUnprocessableEntity, "Connect Jira Cloud")
	if !strings.HasPrefix(v.title(), "Error: ") {
		t.Errorf("title = %q, want it to say that there is an error", v.title())
	}
	checkSummary(t, v.document, "fields-site", "fields-email", "secrets-api_token")
	v.says("this is the mask, not the secret", "Secrets are never sent back")
	for id, want := range map[string]string{"fields-site": "not a site", "fields-email": "nobody", "label": "work", "expires_on": "2026-12-24"} {
		if got := attr(v.byID(id), "value"); got != want {
			t.Errorf("%s = %q, want %q kept", id, got, want)
		}
	}
	v.submit("Save", "expires_on", "soon")
	checkSummary(t, v.document, "expires_on")
	v.open("provider-tokens/new?provider=jira")
	v.submit("Save", "secrets/token", pageBadSecret)
	checkSummary(t, v.document, "secrets-token")
	if hasControl(v.formOf("Save"), "allow_unverified") {
		t.Error("saving without checking is offered for a token that the platform rejected")
	}
	v.connect()
	v.open("provider-tokens/new?provider=jira")
	v.submit("Save", "secrets/token", pageSecret)
	v.is(http.StatusConflict, "Connect Jira")
	checkSummary(t, v.document, "label")
	v.open("profile/edit")
	v.submit("Save", "given_name", "a\x00b", "family_name", "\u202egnp")
	checkSummary(t, v.document, "given_name", "family_name")
}

// checkSummary: the summary takes the focus, and its links lead to these
// inputs, where the same words stand.
func checkSummary(t *testing.T, d *document, ids ...string) {
	t.Helper()
	heading := d.byID("ly-summary")
	if heading == nil {
		t.Fatalf("%s: no summary in %s", d.url, textOf(d.root))
	}
	box := heading.Parent
	if attr(box, "role") != "alert" || !hasAttr(box, "autofocus") || attr(box, "tabindex") != "-1" {
		t.Errorf("%s: the summary does not take the focus", d.url)
	}
	said := map[string]string{}
	for n := range box.Descendants() {
		if n.Data == "a" {
			said[strings.TrimPrefix(attr(n, "href"), "#")] = textOf(n)
		}
	}
	if got := slices.Sorted(maps.Keys(said)); !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
		t.Errorf("%s: the summary leads to %q, want %q", d.url, got, ids)
	}
	for id, text := range said {
		at := d.byID(id + "-error")
		if at == nil || textOf(at) != text {
			t.Errorf("%s: at %s stands not %q", d.url, id, text)
		}
		if !hasAttr(d.byID(id), "aria-invalid") {
			t.Errorf("%s: %s is not marked as invalid", d.url, id)
		}
	}
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" && hasAttr(n, "autofocus") {
			t.Errorf("%s: an input takes the focus from the summary", d.url)
		}
	}
}

// A platform that cannot be reached: saved only when the user says so.
func TestPageSavesUnverified(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	w.jira.Tell(providertest.Broken)
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=jira")
	if hasControl(v.formOf("Save"), "allow_unverified") {
		t.Error("saving without checking is offered before anything was tried")
	}
	v.submit("Save", "secrets/token", pageSecret)
	v.is(http.StatusUnprocessableEntity, "Connect Jira")
	v.says("Jira could not be reached", "Save without checking")
	v.submit("Save", "secrets/token", pageSecret, "allow_unverified", "yes")
	v.is(http.StatusOK, "Provider Tokens")
	v.says("Saved without checking.", "not checked yet", "Press Test to check it.")
}

// A pasted address is taken for the part that is asked for.
func TestPagePastedAddress(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	v.open("provider-tokens/new?provider=cloud")
	v.submit("Save", "fields/site", "https://Acme.atlassian.net/jira", "fields/email", "ana@acme.example", "secrets/api_token", pageSecret)
	v.is(http.StatusOK, "Provider Tokens")
	v.click("Edit the token for Cloud")
	if got := attr(v.byID("fields-site"), "value"); got != "acme" {
		t.Errorf("the stored site = %q, want acme", got)
	}
}

// Somebody else's id is answered exactly as one that nobody has.
func TestPageOfOthers(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	posts, keyID, tokenID := pagePosts(t, w)
	v := w.visit(t, "ben")
	unknown := func(path string) string {
		path = strings.ReplaceAll(path, keyID, strings.Repeat("a", len(keyID)))
		return strings.ReplaceAll(path, tokenID, strings.Repeat("a", len(tokenID)))
	}
	compared := 0
	for _, path := range posts {
		if unknown(path) == path {
			continue
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			form := url.Values{"version": {"1"}}
			if strings.HasSuffix(path, "/test") {
				form = url.Values{}
			}
			send := func(path string) *document {
				r := v.request(method, w.mount(path), form)
				r.Header.Set("X-Request-Id", "the-same-for-both")
				return v.do(r)
			}
			theirs, nobodys := send(path), send(unknown(path))
			if theirs.body != nobodys.body || theirs.status != nobodys.status || !maps.EqualFunc(theirs.header, nobodys.header, slices.Equal) {
				t.Errorf("%s %s = %d, and of an unknown id %d: they differ", method, path, theirs.status, nobodys.status)
			}
			if method == http.MethodPost && theirs.status != http.StatusNotFound {
				t.Errorf("POST %s = %d, want 404", path, theirs.status)
			}
			compared++
		}
	}
	if compared != 12 {
		t.Errorf("%d requests were compared, want 12", compared)
	}
}

func TestPageWithoutIdentity(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	withLogin := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) { c.LoginURL = pageLogin }})
	for _, path := range []string{"", "profile/edit", "api-keys", "api-keys/new", "provider-tokens", "activity", "docs"} {
		v := w.visit(t, "")
		v.open(path)
		v.is(http.StatusUnauthorized, "Please sign in")
		v = withLogin.visit(t, "")
		if v.open(path); v.status != http.StatusSeeOther || v.header.Get("Location") != pageLogin || v.header.Get("WWW-Authenticate") != "" {
			t.Errorf("GET %s = %d to %q, want 303 to the login", path, v.status, v.header.Get("Location"))
		}
	}
	v := withLogin.visit(t, "")
	// A form cannot be led there: the login may be another site's.
	v.post("profile/edit", url.Values{"version": {"1"}})
	v.is(http.StatusUnauthorized, "Please sign in")
	if links := v.all("a"); attr(links[len(links)-1], "href") != pageLogin {
		t.Errorf("after a form the last link leads to %q, want the login", attr(links[len(links)-1], "href"))
	}
	// What is public stays so.
	v.open("nothing")
	v.is(http.StatusNotFound, "There is nothing here")
}

// The hooks of the host answer in words.
func TestPageHooks(t *testing.T) {
	t.Parallel()
	var (
		wait     time.Duration
		identity error
		proved   time.Time
	)
	w := newPageWorld(t, pageOptions{
		config: func(c *httpadapter.Config) {
			c.Limit = func(*http.Request, lanyard.Principal) time.Duration { return wait }
			c.MaxAuthAge, c.LoginURL = time.Hour, pageLogin
			inner := c.Identify
			c.Identify = func(r *http.Request) (lanyard.Principal, error) {
				if identity != nil {
					return lanyard.Principal{}, identity
				}
				return inner(r)
			}
		},
		identify: func(_ string, p *lanyard.Principal) { p.AuthTime = proved },
	})
	proved = *w.now.Load()
	v := w.visit(t, "ana")
	key := v.newKey("ci")
	v.open("profile/edit")
	wait = 90 * time.Second
	v.submit("Save")
	v.is(http.StatusTooManyRequests, "Too many requests")
	if got := v.header.Get("Retry-After"); got != "90" {
		t.Errorf("Retry-After = %q, want 90", got)
	}
	wait = 0
	w.pass(2 * time.Hour)
	v.open("api-keys/new")
	v.is(http.StatusForbidden, "Please sign in again")
	v.says("Sign in")
	v.open("api-keys")
	v.is(http.StatusOK, "API Keys")
	identity = errors.New("canary of the host's session store")
	v.open("")
	v.is(http.StatusServiceUnavailable, "We cannot answer right now")
	if strings.Contains(v.body, "canary") {
		t.Error("the host's words are on the page")
	}
	identity = nil
	r := v.request(http.MethodGet, w.mount(""), nil)
	r.Header.Set("Authorization", "Bearer "+key)
	v.do(r)
	v.is(http.StatusForbidden, "This page is for people")
	pageOK(t, w.profiles.Deactivate(t.Context(), lanyard.Owner{Subject: "ana"}))
	v.open("")
	v.is(http.StatusForbidden, "Your account is deactivated")
	if n := len(v.all("nav")); n != 0 {
		t.Error("there are tabs that would not open")
	}
}

// HEAD is GET without the body; other methods are refused with what is allowed.
func TestPageMethods(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{})
	v := w.visit(t, "ana")
	for path, allow := range map[string]string{
		"": "GET, HEAD", "profile/edit": "GET, HEAD, POST", "profile/directory": "POST", "api-keys": "GET, HEAD",
		"api-keys/new": "GET, HEAD, POST", "activity": "GET, HEAD", "docs": "GET, HEAD", "assets/lanyard.css": "GET, HEAD",
	} {
		v.do(v.request(http.MethodDelete, w.mount(path), nil))
		v.is(http.StatusMethodNotAllowed, "That does not work here")
		if got := v.header.Get("Allow"); got != allow {
			t.Errorf("DELETE %s: Allow = %q, want %q", path, got, allow)
		}
		d := v.do(v.request(http.MethodHead, w.mount(path), nil))
		if strings.HasPrefix(allow, "GET") && (d.status != http.StatusOK || d.body != "") {
			t.Errorf("HEAD %s = %d with %d bytes, want 200 with none", path, d.status, len(d.body))
		}
	}
	for _, path := range []string{"api-keys/", "API-KEYS", "api-keys/%2e%2e/delete", "api-keys/a%2fb/delete", "api-keys/a%00/delete", "profile", "assets/", "assets/nothing.css", "assets/%2e%2e/page.go"} {
		to := w.mount("")
		r := v.request(http.MethodGet, to, nil)
		r.URL.Path, r.URL.RawPath = to.Path+unescaped(path), to.Path+path
		v.do(r)
		v.is(http.StatusNotFound, "There is nothing here")
	}
}

func unescaped(path string) string {
	plain, err := url.PathUnescape(path)
	if err != nil {
		panic(err)
	}
	return plain
}

// Who is signed in keeps the tabs and his language where there is nothing, and
// nobody else sees tabs.
func TestPageKeepsTheTabs(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{identify: func(_ string, p *lanyard.Principal) { p.Locale = "pt-BR" }})
	v := w.visit(t, "ana")
	tabs := func() (texts []string, current string) {
		for _, nav := range v.all("nav") {
			for a := range nav.Descendants() {
				if a.Data == "a" {
					texts = append(texts, textOf(a))
				}
				if attr(a, "aria-current") == "page" {
					current = attr(a, "href")
				}
			}
		}
		return texts, current
	}
	for path, tab := range map[string]string{
		"nothing": "", "nothing/at/all": "", "api-keys/gone/delete": "../../api-keys", "api-keys/%00/delete": "../../api-keys",
		"provider-tokens/new?provider=nothing": "../provider-tokens", "docs/api/nothing": "../../docs", "activity?page_token=nothing": "./activity",
	} {
		v.open(path)
		v.is(http.StatusNotFound, "Não há nada aqui")
		if texts, current := tabs(); len(texts) != 5 || current != tab {
			t.Errorf("GET %s has the tabs %q, and is in %q; want 5, and %q", path, texts, current, tab)
		}
	}
	v.do(v.request(http.MethodDelete, w.mount("api-keys"), nil))
	if texts, current := tabs(); v.status != http.StatusMethodNotAllowed || len(texts) != 5 || current != "./api-keys" {
		t.Errorf("DELETE api-keys = %d with the tabs %q, and is in %q", v.status, texts, current)
	}

	made, err := w.keys.Create(t.Context(), lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{Name: "ci"})
	pageOK(t, err)
	pageOK(t, w.profiles.Deactivate(t.Context(), lanyard.Owner{Subject: "ben"}))
	for name, change := range map[string]func(*http.Request){
		"nobody":           func(r *http.Request) { r.Header.Del("X-User") },
		"an API key":       func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+made.Secret.Reveal()) },
		"a locked account": func(r *http.Request) { r.Header.Set("X-User", "ben") },
	} {
		r := v.request(http.MethodGet, w.mount("nothing"), nil)
		change(r)
		v.do(r)
		if texts, _ := tabs(); v.status != http.StatusNotFound || len(texts) != 0 || strings.Contains(v.body, "Lima") {
			t.Errorf("to %s, nothing = %d with the tabs %q, want 404 without", name, v.status, texts)
		}
	}
}

// A panic of a hook is a page like any other; where the host's layout panics
// there can be none, and it is a plain 500.
func TestPagePanicOfAHook(t *testing.T) {
	t.Parallel()
	w := newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.Identify = func(*http.Request) (lanyard.Principal, error) { panic("canary of a panic") }
	}})
	v := w.visit(t, "ana")
	v.open("")
	v.is(http.StatusInternalServerError, "Something went wrong on our side")

	w = newPageWorld(t, pageOptions{config: func(c *httpadapter.Config) {
		c.Layout = func(http.ResponseWriter, *http.Request, httpadapter.Page) { panic("canary of a panic") }
	}})
	v = w.visit(t, "ana")
	v.open("")
	if v.status != http.StatusInternalServerError || strings.Contains(v.body, "canary") {
		t.Errorf("a layout that panics answers %d %q, want a plain 500", v.status, v.body)
	}
}
