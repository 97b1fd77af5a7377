package apikey_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/aichub/lanyard/apikey"
)

func TestTokenFormat(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "aic", "a", "a_b", "eight_ch"} {
		b := newBench(t, &apikey.Options{Prefix: prefix, OldPrefixes: []string{"old"}})
		key, token := b.create(t, ana, apikey.CreateRequest{})
		if prefix == "" {
			prefix = "lyd"
		}
		if b.Prefix() != prefix {
			t.Errorf("Prefix() = %q, want %q", b.Prefix(), prefix)
		}
		if want := len(prefix) + 1 + 46; len(token) != want || want > 55 {
			t.Errorf("a token with prefix %q has %d bytes, want %d and at most 55", prefix, len(token), want)
		}
		if want := prefix + "_" + key.ID; key.Hint != want || !strings.HasPrefix(token, want) || len(key.ID) != 10 {
			t.Errorf("Hint = %q, want prefix and id of the token, %q", key.Hint, want)
		}
		pattern := regexp.MustCompile(b.Pattern())
		text := "key=" + token + "&x=1"
		if got := pattern.FindString(text); got != token {
			t.Errorf("Pattern() %q finds %q, want the whole token", b.Pattern(), got)
		}
		if !b.IsToken(token) || !b.IsToken("old_x") || !b.IsToken(prefix+"_") {
			t.Errorf("IsToken denies a text that begins like a token with prefix %q", prefix)
		}
		b.wantGood(t, "a fresh token", token)
	}
}

func TestIsToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Prefix: "aic"})
	for text, want := range map[string]bool{
		"aic_": true, "aic_x": true, "aic": false, "": false, "AIC_x": false, "aicx_": false,
		" aic_": false, "ai": false, "eyJhbGciOi": false,
	} {
		if got := b.IsToken(text); got != want {
			t.Errorf("IsToken(%q) = %t, want %t", text, got, want)
		}
	}
}

func TestMatchesPattern(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Prefix: "aic", OldPrefixes: []string{"o_ld"}})
	tail := strings.Repeat("x", 46)
	for text, want := range map[string]bool{
		"aic_" + tail: true, "o_ld_" + tail: true, "aic_" + tail[1:]: false, "aic_" + tail + "x": false,
		"aic_" + tail[1:] + "-": false, "aic_": false, "aic_desc": false, "": false, tail: false,
		"_" + tail: false, "oth_" + tail: false, "aicx" + tail: false, " aic_" + tail: false,
	} {
		if got := b.MatchesPattern(text); got != want {
			t.Errorf("MatchesPattern(%q) = %t, want %t", text, got, want)
		}
		whole := regexp.MustCompile("^" + b.Pattern() + "$")
		if got := whole.MatchString(text); got != want {
			t.Errorf("Pattern() matches all of %q: %t, want %t", text, got, want)
		}
	}
}

// A token with one character changed, or of a wrong form, never costs a query.
func TestMalformedTokensNeverReachTheStore(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Prefix: "aic"})
	_, token := b.create(t, ana, apikey.CreateRequest{})
	other := newBench(t, &apikey.Options{Prefix: "oth"})
	_, foreign := other.create(t, ana, apikey.CreateRequest{})

	bad := map[string]string{
		"empty": "", "blank": " ", "underscore": "_", "prefix only": "aic_",
		"another prefix": foreign, "upper-case prefix": "AIC" + token[3:], "no prefix": token[3:],
		"leading space": " " + token, "trailing space": token + " ", "trailing newline": token + "\n",
		"NUL behind": token + "\x00", "twice": token + token, "1 MiB": strings.Repeat("a", 1<<20),
		"1 MiB behind": token + strings.Repeat("a", 1<<20), "Bearer": "Bearer " + token,
		"not ASCII": "aic_" + strings.Repeat("é", 23), "hidden by zero width": token[:20] + "\u200b" + token[20:],
	}
	for cut := range len(token) {
		bad["cut after "+token[:cut]] = token[:cut]
		bad["without "+token[:cut]] = token[cut+1:]
	}
	for why, text := range bad {
		b.wantRefused(t, why, text)
	}
	const instead = "0Aaz_-~\x00\xff"
	for i := range len(token) {
		for _, c := range []byte(instead) {
			if token[i] == c {
				continue
			}
			b.wantRefused(t, "one character changed", token[:i]+string([]byte{c})+token[i+1:])
		}
	}
	if n := b.store.lookups.Load(); n != 0 {
		t.Errorf("malformed tokens cost %d queries, want none", n)
	}
	b.wantGood(t, "unchanged", token)
	if n := b.store.lookups.Load(); n != 1 {
		t.Errorf("a good token cost %d queries, want 1", n)
	}
}

func TestOldPrefixes(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{Prefix: "old"})
	_, token := b.create(t, ana, apikey.CreateRequest{})

	renamed := newService(t, b.memory, &apikey.Options{Prefix: "new", OldPrefixes: []string{"older", "old"}, Now: b.clock.now})
	if _, err := renamed.Verify(t.Context(), token); err != nil {
		t.Errorf("Verify() of a token with an old prefix = %v, want nil", err)
	}
	created, err := renamed.Create(t.Context(), ana, apikey.CreateRequest{Name: "x"})
	if err != nil || !strings.HasPrefix(created.Secret.Reveal(), "new_") {
		t.Errorf("Create() with an old prefix configured = %v, want a token with the new one", err)
	}
	if pattern := regexp.MustCompile(renamed.Pattern()); !pattern.MatchString(token) || !pattern.MatchString(created.Secret.Reveal()) {
		t.Errorf("Pattern() = %s, want one that finds old and new tokens", pattern)
	}
	b.wantRefused(t, "a prefix nobody told us of", created.Secret.Reveal())
}

func TestPrefixIsChecked(t *testing.T) {
	t.Parallel()
	good := []string{"a", "aic", "a1", "a_1", "abcdefgh", "a__b"}
	bad := []string{"-", "a-b", " ", "a b", "A", "1a", "_a", "a_", "abcdefghi", "é", "a.b", "a|b", "a\n"}
	for _, prefix := range good {
		newBench(t, &apikey.Options{Prefix: prefix, OldPrefixes: good})
	}
	for _, prefix := range bad {
		_, err := apikey.NewService(newBench(t, nil).store, &apikey.Options{Prefix: prefix})
		wantInput(t, "NewService with prefix "+prefix, err, "prefix", "invalid")
	}
	for _, prefix := range append(bad, "") {
		_, err := apikey.NewService(newBench(t, nil).store, &apikey.Options{OldPrefixes: []string{"ok", prefix}})
		wantInput(t, "NewService with old prefix "+prefix, err, "old_prefixes", "invalid")
	}
}
