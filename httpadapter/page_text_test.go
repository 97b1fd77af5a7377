package httpadapter_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
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
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
)

// Texts whose id is put together at run time, by what they begin with.
func computedTexts() map[string][]string {
	verdicts := []string{"invalid", "expired", "insufficient_scope", "wrong_instance", "rate_limited", "unreachable"}
	return map[string][]string{
		"tab.":             {"profile", "keys", "tokens", "activity", "docs"},
		"docs.tag.":        {"profile", "api-keys", "provider-tokens", "service"},
		"done.token-test-": append([]string{"ok"}, verdicts...),
		"verdict.":         verdicts,
		"error.":           {lanyard.CodeRequired, lanyard.CodeInvalid, lanyard.CodeTooLong, lanyard.CodeReadOnly, lanyard.CodeUnknown, apikey.CodeTooLate, providertoken.CodeSecretRequired, providertoken.CodeMasked},
		"keys.":            {"expires_in", "expires_today"},
		"tokens.":          {"expires_in", "expires_today"},
		"done.":            {"profile-saved", "profile-directory", "key-created", "key-renamed", "key-deleted", "token-saved", "token-changed", "token-unverified", "token-deleted"},
		"activity.via.":    {string(lanyard.ViaSession), string(lanyard.ViaAPIKey), string(lanyard.ViaSystem)},
		"activity.action.": actions(),
		"problem.":         problems(),
	}
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

func problems() (ids []string) {
	for _, id := range []string{"400", "401", "403", "404", "405", "413", "415", "429", "500", "503", "cross-site-request", "owner-deactivated", "reauthentication-required", "key-not-allowed"} {
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
		} else if regexp.MustCompile(`^(profile|keys|key_new|key_rename|key_rotate|key_delete|reveal|replayed|rotated|span|tokens|token_form|token_delete|error|problem|layout|activity|docs|form)\.[a-z_]+$`).MatchString(id) &&
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
