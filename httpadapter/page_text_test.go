package httpadapter_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
)

// Texts whose id is put together at run time, by what they begin with.
func computedTexts() map[string][]string {
	verdicts := []string{"ok", "invalid", "expired", "insufficient_scope", "wrong_instance", "rate_limited", "unreachable"}
	return map[string][]string{
		"tab.":             {"profile", "keys", "tokens", "activity", "docs"},
		"docs.tag.":        {"profile", "api-keys", "provider-tokens", "service"},
		"verdict.":         append(verdictTexts(), verdicts...),
		"error.":           {lanyard.CodeRequired, lanyard.CodeInvalid, lanyard.CodeTooLong, lanyard.CodeReadOnly, lanyard.CodeUnknown, apikey.CodeTooLate, providertoken.CodeSecretRequired, providertoken.CodeSecretLost, providertoken.CodeMasked, providertoken.CodeOpenSecret, providertoken.CodeLooksLikeOther},
		"keys.":            {"expires_in", "expires_today"},
		"tokens.":          {"expires_in", "expires_today"},
		"done.":            {"profile-saved", "profile-directory", "key-created", "key-renamed", "key-deleted", "token-saved", "token-changed", "token-unverified", "token-unverifiable", "token-deleted", "token-revoked-deleted"},
		"activity.via.":    {string(lanyard.ViaSession), string(lanyard.ViaAPIKey), string(lanyard.ViaSystem)},
		"activity.action.": actions(),
		"problem.":         problems(),
		"api.":             append(slices.DeleteFunc(slices.Sorted(maps.Keys(httpadapter.ProblemTitles())), ofProxy), "verdict"),
		"date.month.":      {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"},
	}
}

// verdictTexts are the verdicts with the reasons that the catalogue gives them:
// each has a sentence of its own.
func verdictTexts() (ids []string) {
	for _, d := range catalog.All() {
		for _, probe := range d.Verify {
			for _, rule := range probe.Rules {
				if id := string(rule.Verdict) + "." + rule.Reason; rule.Reason != "" && !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
		}
	}
	return append(ids, "unreachable.not_verifiable") // of definitions with verify: none
}

func actions() []string {
	return []string{
		profile.ActionCreated, profile.ActionUpdated, profile.ActionRefreshed, profile.ActionDeactivated, profile.ActionReactivated,
		apikey.ActionCreated, apikey.ActionRenamed, apikey.ActionRotated, apikey.ActionDeleted, apikey.ActionUsedAfterDelete,
		apikey.ActionUsedAfterRotate, apikey.ActionRefusedNetwork, apikey.ActionImported, apikey.ActionLeaked, apikey.ActionExpiring,
		providertoken.ActionCreated, providertoken.ActionUpdated, providertoken.ActionDeleted, providertoken.ActionVerified,
		providertoken.ActionNeedsAttention, providertoken.ActionUsed, providertoken.ActionCalled, providertoken.ActionExpiring,
		providertoken.ActionChecking,
	}
}

// ofProxy are the problems of a Proxy alone. It answers agents, in English.
func ofProxy(code string) bool {
	return slices.Contains([]string{"not-offered", "platform-unreachable", "platform-unreadable"}, code)
}

func problems() (ids []string) {
	for _, id := range []string{"400", "401", "403", "404", "405", "409", "413", "415", "429", "500", "503", "cross-site-request", "owner-deactivated", "reauthentication-required", "key-not-allowed"} {
		ids = append(ids, id, id+".text")
	}
	return ids
}

// Every text that is asked for is there, and every text that is there is asked
// for.
func TestPageTexts(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("templates/en.json")
	pageOK(t, err)
	var texts map[string]any
	pageOK(t, json.Unmarshal(raw, &texts))
	asked := map[string]bool{}
	for _, m := range regexp.MustCompile(`\{\{-? ?(?:[^{}]*\()?t "([^"]+)"`).FindAllStringSubmatch(readTemplates(t), -1) {
		asked[m[1]] = true
		if _, ok := texts[m[1]]; !ok {
			t.Errorf("a template asks for %q, which is not in en.json", m[1])
		}
	}
	for _, id := range stringsOfGo(t) {
		if _, ok := texts[id]; ok {
			asked[id] = true
		} else if regexp.MustCompile(`^(profile|keys|key_new|key_rename|key_rotate|key_delete|reveal|replayed|rotated|span|tokens|token_form|token_delete|error|problem|layout|activity|docs|form|date)\.[a-z_]+$`).MatchString(id) &&
			!slices.Contains(actions(), id) {
			t.Errorf("the code says %q, which is not in en.json", id)
		}
	}
	for prefix, ends := range computedTexts() {
		for _, end := range ends {
			asked[prefix+end] = true
			if _, ok := texts[prefix+end]; !ok {
				t.Errorf("%q is not in en.json", prefix+end)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(texts)) {
		if !asked[id] {
			t.Errorf("en.json has %q, which nothing asks for", id)
		}
		if text, ok := texts[id].(string); ok && (text == "" || strings.TrimSpace(text) != text) {
			t.Errorf("en.json: %q is %q", id, text)
		}
	}
}

// Each language that ships says everything, fills in the same, and says it in
// its own words.
func TestLanguagesSayTheSame(t *testing.T) {
	t.Parallel()
	english := shippedTexts(t, "en")
	languages, err := fs.Glob(httpadapter.Texts(), "*.json")
	pageOK(t, err)
	if !slices.Equal(languages, []string{"en.json", "pt-BR.json"}) {
		t.Errorf("Texts() has %q", languages)
	}
	for _, name := range languages[1:] {
		tag := strings.TrimSuffix(name, ".json")
		other := shippedTexts(t, tag)
		if got, want := slices.Sorted(maps.Keys(other)), slices.Sorted(maps.Keys(english)); !slices.Equal(got, want) {
			t.Errorf("%s has the texts %q, want %q", tag, got, want)
		}
		if err := httpadapter.CheckTexts(tag); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
		for id, text := range english {
			if other[id] == text && strings.Trim(regexp.MustCompile(`\{\{[^}]*\}\}`).ReplaceAllString(text, ""), "· ,") != "" {
				t.Errorf("%s: %q is still in English: %q", tag, id, text)
			}
		}
	}
}

// shippedTexts are the texts of a language by id. Of a count it is the form
// "other".
func shippedTexts(t *testing.T, tag string) map[string]string {
	t.Helper()
	raw, err := fs.ReadFile(httpadapter.Texts(), tag+".json")
	pageOK(t, err)
	var values map[string]any
	pageOK(t, json.Unmarshal(raw, &values))
	all := map[string]string{}
	for id, value := range values {
		switch v := value.(type) {
		case string:
			all[id] = v
		case map[string]any:
			all[id], _ = v["other"].(string)
		}
	}
	return all
}

// Proxy and RequireKey say the titles of problems in English; the page's file
// says the same.
func TestProblemTitlesAreOne(t *testing.T) {
	t.Parallel()
	english := shippedTexts(t, "en")
	for code, title := range httpadapter.ProblemTitles() {
		if text := english["api."+code]; text != title && !ofProxy(code) {
			t.Errorf("en.json calls %s %q, and problem.go %q", code, text, title)
		}
	}
}

// stringsOfGo lists the string literals of the page's code.
func stringsOfGo(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("page*.go")
	pageOK(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		pageOK(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				pageOK(t, err)
				all = append(all, text)
			}
			return true
		})
	}
	return all
}

// No template says a word of its own. Code is no text, nor are the names of
// languages and files.
func TestPageTemplatesHoldNoText(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("templates/*.html")
	pageOK(t, err)
	code := regexp.MustCompile(`(?s)<pre.*?</pre>|<code>[^<]*</code>|<summary>(curl|Python|Go|\.env)</summary>|aria-label="(curl|Python|Go|\.env)"`)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		pageOK(t, err)
		text := code.ReplaceAllString(string(raw), "")
		text = regexp.MustCompile(`(?s)\{\{.*?\}\}`).ReplaceAllString(text, "")
		for _, attribute := range regexp.MustCompile(`(?:aria-label|title|alt|placeholder|aria-description)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if strings.TrimSpace(attribute[1]) != "" {
				t.Errorf("%s: the attribute %s is not translated", name, attribute[0])
			}
		}
		text = regexp.MustCompile(`(?s)<[^>]*>`).ReplaceAllString(text, "")
		if words := regexp.MustCompile(`\pL{2,}`).FindAllString(text, -1); len(words) > 0 {
			t.Errorf("%s: %q is not translated", name, words)
		}
	}
}
