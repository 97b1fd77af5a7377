package apikey_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store/memory"
)

// What is published for scanners finds every token, and nothing that is only
// like one.
func TestPatternFindsEveryToken(t *testing.T) {
	t.Parallel()
	s := newService(t, memory.New(), &apikey.Options{Prefix: "aic", OldPrefixes: []string{"old_1"}})
	pattern := regexp.MustCompile(s.Pattern())
	seen := map[string]bool{}
	for range 10_000 {
		token := apikey.NewTokenText("aic")
		seen[token] = true
		for _, text := range []string{token, "AIC_KEY=" + token + "\n", `{"key":"` + token + `"}`, "Bearer " + token, "https://x.example/?k=" + token + "&y"} {
			if found := pattern.FindAllString(text, -1); len(found) != 1 || found[0] != token {
				t.Fatalf("Pattern() finds %q in %q, want the token", found, text)
			}
		}
		for _, near := range []string{
			token[1:], token[:49], "aic-" + token[4:], "AIC_" + token[4:], "aic_" + token[4:20] + "-" + token[21:],
			token[:25] + " " + token[25:], token[:25] + "\n" + token[25:], token[:30] + "_" + token[31:], "aid_" + token[4:], strings.ToUpper(token[:4]) + token[4:],
		} {
			if found := pattern.FindString(near); found != "" {
				t.Fatalf("Pattern() finds %q in %q, want nothing", found, near)
			}
		}
	}
	if len(seen) != 10_000 {
		t.Errorf("10000 tokens, %d of them different", len(seen))
	}
	if old := apikey.NewTokenText("old_1"); pattern.FindString("x "+old) != old {
		t.Errorf("Pattern() does not find %q", old)
	}
}

// The document shows the pattern of prefix "aic" as it is.
func TestPatternIsPublished(t *testing.T) {
	t.Parallel()
	s := newService(t, memory.New(), &apikey.Options{Prefix: "aic"})
	raw, err := os.ReadFile("../docs/leaked-keys.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), s.Pattern()) {
		t.Errorf("docs/leaked-keys.md does not show %s", s.Pattern())
	}
}
