package httpadapter_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// The languages that nobody speaks: one is English with accents, two fifths
// longer and in brackets; the other has letters that run from right to left.
// What is on a page outside of brackets is no text of ours.
const (
	accented   = "en-XA"
	fromRight  = "ar-XB"
	pseudoFrom = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

var pseudoTo = map[string][]rune{
	accented:  []rune("àƀçđéƒĝĥîĵķļɱñöþǫŕšţûṽŵẋýžÀƁÇÐÉƑĜĤÎĴĶĻṀÑÖÞǪŔŠŢÛṼŴẊÝŽ"),
	fromRight: []rune("ابتثجحخدذرزسشصضطظعغفقكلمنهابتثجحخدذرزسشصضطظعغفقكلمنه"),
}

// keptPlaces is what no translation touches.
var keptPlaces = regexp.MustCompile(`\{\{[^}]*\}\}|\{[a-z]+\}`)

// pseudo says a text in one of these languages.
func pseudo(language, text string) string {
	var out strings.Builder
	letters := 0
	say := func(part string) {
		for _, c := range part {
			if i := strings.IndexRune(pseudoFrom, c); i >= 0 {
				c = pseudoTo[language][i]
				letters++
			}
			out.WriteRune(c)
		}
	}
	last := 0
	for _, at := range keptPlaces.FindAllStringIndex(text, -1) {
		say(text[last:at[0]])
		out.WriteString(text[at[0]:at[1]])
		last = at[1]
	}
	say(text[last:])
	for i := range letters * 2 / 5 {
		if i%7 == 0 {
			out.WriteByte(' ')
		}
		out.WriteRune(pseudoTo[language][i%26])
	}
	return "⟦" + out.String() + "⟧"
}

// pseudoTexts is a host's file system with both languages.
func pseudoTexts(t *testing.T) fs.FS {
	t.Helper()
	fsys := fstest.MapFS{}
	for language := range pseudoTo {
		all := shippedTexts(t, "en")
		for id, text := range all {
			all[id] = pseudo(language, text)
		}
		raw, err := json.Marshal(all)
		pageOK(t, err)
		fsys[language+".json"] = &fstest.MapFile{Data: raw}
	}
	return fsys
}

func pseudoDefinitions(all []providertoken.Definition) []providertoken.Definition {
	for i, d := range all {
		all[i].Translations = map[string]map[string]string{accented: {}, fromRight: {}}
		for language, texts := range all[i].Translations {
			for _, text := range d.Texts() {
				if text != d.Name {
					texts[text] = pseudo(language, text)
				}
			}
		}
	}
	return all
}

// newLanguageWorld is a host whose users' names are their languages.
func newLanguageWorld(t *testing.T) *pageWorld {
	t.Helper()
	return newPageWorld(t, pageOptions{
		scopes: []string{"read", "write"}, definitions: pseudoDefinitions,
		config: func(c *httpadapter.Config) {
			c.Texts, c.LoginURL, c.Product = pseudoTexts(t), "", ""
		},
		identify: func(name string, p *lanyard.Principal) { p.Locale = name },
	})
}

// No text of any state of any page is fixed in English, in the templates or in
// the code.
func TestEveryWordIsTranslated(t *testing.T) {
	t.Parallel()
	w := newLanguageWorld(t)
	data := notOurs()
	for language := range pseudoTo {
		for name, d := range languageStates(t, w, language) {
			checkPseudo(t, language+": "+name, d, data)
			keepPage(t, language, name, d.body)
		}
	}
	for _, language := range []string{"en", "pt-BR"} {
		for name, d := range languageStates(t, w, language) {
			if attr(d.all("html")[0], "lang") != language {
				t.Errorf("%s is not in %s", name, language)
			}
			keepPage(t, language, name, d.body)
		}
	}
}

// keepPage writes a page below the directory that LANYARD_TEST_PAGES names, for
// a browser to look at.
func keepPage(t *testing.T, language, name, body string) {
	t.Helper()
	dir := os.Getenv("LANYARD_TEST_PAGES")
	if dir == "" {
		return
	}
	dir = filepath.Join(dir, language)
	pageOK(t, os.MkdirAll(dir, 0o750))
	name = strings.NewReplacer(" ", "-", "/", "-").Replace(name) + ".html"
	body = regexp.MustCompile(`"[./]*assets/(lanyard\.(?:css|js))\?v=[0-9a-f]+"`).ReplaceAllString(body, `"../assets/$1"`)
	pageOK(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
}

// languageStates visits every page in every state, by addresses and names of
// inputs, never by words.
func languageStates(t *testing.T, w *pageWorld, language string) map[string]*document {
	t.Helper()
	v := w.visit(t, language)
	owner := lanyard.Owner{Subject: language}
	states := map[string]*document{}
	keep := func(name string, status int) {
		t.Helper()
		if v.root == nil || v.status != status {
			t.Fatalf("%s in %s: %d, want a page with %d", name, language, v.status, status)
		}
		if _, twice := states[name]; twice {
			t.Fatalf("two states are called %q", name)
		}
		states[name] = v.document
	}
	see := func(name, path string) { t.Helper(); v.open(path); keep(name, http.StatusOK) }
	fill := func(name string, status int, path string, pairs ...string) {
		t.Helper()
		v.open(path)
		values := formValues(v.formAt(path))
		for i := 0; i+1 < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		v.follow(v.request(http.MethodPost, w.mount(path), values))
		keep(name, status)
	}
	create := func(name string, life time.Duration, scopes ...string) string {
		t.Helper()
		made, err := w.keys.Create(t.Context(), owner, apikey.CreateRequest{Name: name, ExpiresAt: w.now.Load().Add(life), Scopes: scopes})
		pageOK(t, err)
		return "api-keys/" + made.Key.ID
	}

	see("profile", "")
	see("profile form", "profile/edit")
	fill("profile form with error", 422, "profile/edit", "given_name", strings.Repeat("1", 101))
	fill("profile saved", 200, "profile/edit", "given_name", "77")
	see("profile form overridden", "profile/edit")
	see("no keys", "api-keys")
	see("key form", "api-keys/new")
	fill("key form with error", 422, "api-keys/new", "name", "")
	fill("key form with a bad date", 422, "api-keys/new", "name", "1", "expiry", "custom", "expires_on", "2020-01-01")
	fill("reveal", 201, "api-keys/new", "name", "1", "scope", "read")
	soon, old := create("2", 72*time.Hour), create("3", 90*24*time.Hour, "read", "write")
	create("4", time.Hour)
	see("keys", "api-keys")
	see("rename", soon+"/rename")
	fill("rename with error", 422, soon+"/rename", "name", "")
	see("rotation", old+"/rotate")
	fill("rotation with error", 422, old+"/rotate", "grace", "5")
	fill("reveal of a successor", 201, old+"/rotate", "grace", "3600")
	see("rotated already", old+"/rotate")
	fill("key limit", 409, "api-keys/new", "name", "6")
	w.pass(2 * time.Hour)
	see("keys that expired", "api-keys")
	see("key deletion", old+"/delete")
	fill("key deleted", 200, soon+"/delete")
	see("no connections", "provider-tokens")
	for _, p := range w.tokens.Providers() {
		for _, m := range p.Methods {
			see("token form "+p.ID+" "+m.ID, "provider-tokens/new?provider="+p.ID+"&method="+m.ID)
		}
	}
	const jira = "provider-tokens/new?provider=jira"
	fill("token form with error", 422, jira, "secrets/token", pageBadSecret)
	for _, lie := range []providertest.Lie{providertest.Captcha, providertest.Broken, providertest.NoRight} {
		w.jira.Tell(lie)
		fill("token form "+string(lie), 422, jira, "secrets/token", pageSecret)
	}
	w.jira.Tell(providertest.Broken)
	fill("token unverified", 200, jira, "secrets/token", pageSecret, "allow_unverified", "yes", "label", "1")
	w.jira.Tell(providertest.Truth)
	fill("token saved", 200, jira, "secrets/token", pageSecret)
	fill("token form with a label that is taken", 409, jira, "secrets/token", pageSecret, "label", "1")
	tokens, err := w.tokens.Tokens(t.Context(), owner)
	pageOK(t, err)
	see("token edit", "provider-tokens/"+tokens[0].ID+"/edit")
	see("token deletion", "provider-tokens/"+tokens[0].ID+"/delete")
	w.jira.Tell(providertest.NoRight)
	_, err = w.tokens.Verify(t.Context(), owner, tokens[0].ID)
	pageOK(t, err)
	w.jira.Tell(providertest.Truth)
	for id := range shippedTexts(t, "en") {
		if done, ok := strings.CutPrefix(id, "done."); ok {
			kind, _, _ := strings.Cut(done, "-")
			see("done "+done, map[string]string{"profile": "", "key": "api-keys", "token": "provider-tokens"}[kind]+"?provider=jira&done="+done)
		}
	}
	see("activity", "activity")
	see("docs", "docs")
	// Before it is known who asks, only the browser says what he reads.
	browser := func(name string, status int, method, path string) {
		t.Helper()
		r := v.request(method, w.mount(path), nil)
		r.Header.Set("Accept-Language", language)
		v.do(r)
		keep(name, status)
	}
	browser("not found", http.StatusNotFound, http.MethodGet, "nothing")
	browser("method not allowed", http.StatusMethodNotAllowed, http.MethodPost, "activity")
	v.post("profile/edit", map[string][]string{"owner": {"1"}})
	keep("malformed", http.StatusBadRequest)
	v.user = ""
	browser("signed out", http.StatusUnauthorized, http.MethodGet, "")
	return states
}

// formAt is the form that is posted to the path, or the only one.
func (v *visitor) formAt(path string) *html.Node {
	v.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	for _, form := range v.all("form") {
		to, err := v.url.Parse(attr(form, "action"))
		pageOK(v.t, err)
		if to.Path == v.w.mount(path).Path {
			return form
		}
	}
	v.t.Fatalf("%s has no form that is posted to %s", v.url, path)
	return nil
}

// saidInBrackets is a text of ours that holds no other.
var saidInBrackets = regexp.MustCompile(`⟦[^⟦⟧]*⟧`)

// notOurs are names and data that stand in the pages of the tests.
func notOurs() []string {
	words := []string{
		accented, fromRight, "@example.com", "Ana Lima", "Ana", "Lima", "(ana@acme.example)", "Handbook", "curl", "Python", "Go", ".env",
		"UTC", "read", "write", "expires_in", "api/v1", "acme",
	}
	for _, d := range withSite(catalog.All()) {
		words = append(words, d.Name)
		for _, m := range d.Methods {
			for _, f := range m.Fields {
				words = append(words, f.Suffix, f.Example)
			}
		}
	}
	words = append(words, "Jira", "Cloud")
	slices.SortStableFunc(words, func(a, b string) int { return len(b) - len(a) })
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// checkPseudo finds words that did not come from the texts.
func checkPseudo(t *testing.T, name string, d *document, data []string) {
	t.Helper()
	language := attr(d.all("html")[0], "lang")
	if want := map[string]string{accented: "ltr", fromRight: "rtl"}[language]; attr(d.all("html")[0], "dir") != want || want == "" {
		t.Errorf("%s is in %q and runs %q", name, language, attr(d.all("html")[0], "dir"))
	}
	check := func(where, text string) {
		// Keys first: one may have any of the words in it.
		text = regexp.MustCompile(`aic_\w+`).ReplaceAllString(keptPlaces.ReplaceAllString(text, " "), " ")
		for _, word := range data {
			text = strings.ReplaceAll(text, word, " ")
		}
		// Neither language has a letter of ours: one in brackets was filled in.
		filledIn := strings.ContainsFunc(text, func(c rune) bool { return strings.ContainsRune(pseudoFrom, c) })
		unsaid := text
		for saidInBrackets.MatchString(unsaid) {
			unsaid = saidInBrackets.ReplaceAllString(unsaid, " ")
		}
		if filledIn || strings.ContainsFunc(unsaid, unicode.IsLetter) {
			t.Errorf("%s: %s says %q in no language", name, where, strings.TrimSpace(text))
		}
	}
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode {
			check("<"+n.Parent.Data+">", n.Data)
			return
		}
		if n.Data == "code" || n.Data == "pre" || n.Data == "script" || hasAttr(n, "lang") && n.Data != "html" {
			return
		}
		for _, a := range []string{"aria-label", "title", "placeholder", "alt", "data-ly-label", "data-ly-text", "data-ly-done", "data-ly-failed", "data-ly-working", "data-ly-ok", "data-ly-bad"} {
			check(a, attr(n, a))
		}
		for c := range n.ChildNodes() {
			walk(c)
		}
	}
	walk(d.root)
}
