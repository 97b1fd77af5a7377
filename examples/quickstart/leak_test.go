package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// Secrets planted everywhere a user can type them, and those made for him, are
// found in no file, no log and no answer, however they might be written down.
// The one answer that reveals a new key is not looked at.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := start(t, "-data", dir)
	secrets := make(map[string]string) // what it is to the secret
	plant := func(what, before string) string {
		secrets[what] = before + rand.Text()
		return secrets[what]
	}

	id, key := a.createKey("ana")
	secrets["a living key"] = secretOf(key)
	deletedID, deleted := a.createKey("ana")
	secrets["a deleted key"] = secretOf(deleted)
	a.deleteKey("ana", deletedID)
	rotated := a.send(http.MethodPost, a.page+"/api/v1/api-keys/"+id+"/rotations", `{"grace_seconds":60}`, userHeader, "ana")
	if rotated.status != http.StatusCreated {
		t.Fatalf("rotating = %d, want 201", rotated.status)
	}
	secrets["a rotated key"] = secretOf(rotated.member(t, "secret"))

	token := a.connectJira("ana", plant("a saved token", "demo-"))
	if token.status != http.StatusCreated {
		t.Fatalf("connecting = %d, want 201", token.status)
	}
	tokenURL := a.page + "/api/v1/provider-tokens/" + token.member(t, "id")
	a.connectJira("bob", plant("a refused token", ""))
	a.connectJira("bob", "demo-\n"+plant("a token with a line feed", ""))
	a.call(http.MethodPatch, tokenURL, `{"secrets":{"`+jiraField+`":"`+plant("a replacement", "demo-")+`"}}`, userHeader, "ana")
	a.call(http.MethodPatch, tokenURL, `{"secrets":{"`+plant("a secret as a name", "")+`":"x"}}`, userHeader, "ana")
	a.call(http.MethodPatch, tokenURL, `{"secrets":"`+plant("a secret of the wrong type", "")+`"}`, userHeader, "ana")
	a.call(http.MethodPatch, tokenURL, `{"secrets":{"`+jiraField+`":"`+plant("a secret in broken JSON", "")+`"`, userHeader, "ana")
	a.call(http.MethodPost, tokenURL+"/verifications", "", userHeader, "ana")
	for _, path := range []string{"/api/hello", "/api/agent/issues"} {
		a.call(http.MethodGet, a.url+path, "", "Authorization", "Bearer "+key)
		a.call(http.MethodGet, a.url+path, "", "Authorization", "Bearer "+deleted)
		a.call(http.MethodGet, a.url+path, "", "Authorization", "Bearer "+plant("a made up key", "aic_"))
		a.call(http.MethodGet, a.url+path, "", "Authorization", "Bearer "+key, "Authorization", "Bearer "+deleted)
		a.call(http.MethodGet, a.url+path+"?api_key="+key+"&token="+plant("a key in a query", ""), "")
	}
	for _, path := range []string{"/", "/api-keys", "/provider-tokens", "/activity", "/docs"} {
		a.call(http.MethodGet, a.page+path, "", userHeader, "ana", "Accept", "text/html")
	}
	for _, path := range []string{"whoami", "profile", "api-keys", "provider-tokens", "providers", "activity", "meta"} {
		a.call(http.MethodGet, a.page+"/api/v1/"+path, "", userHeader, "ana")
		a.call(http.MethodGet, a.page+"/api/v1/"+path, "", "Authorization", "Bearer "+key)
	}

	places := map[string][]byte{
		"the answers":         []byte(a.heard.String()),
		"the standard output": []byte(a.stdout.String()),
	}
	addFiles(t, places, dir, "while it runs")
	a.stop()
	addFiles(t, places, dir, "at the end")
	places["the log"] = []byte(a.stderr.String())

	for what, secret := range secrets {
		for place, content := range places {
			for form, text := range forms(secret) {
				if bytes.Contains(content, text) {
					t.Errorf("%s is in %s, as %s", what, place, form)
				}
			}
		}
	}
	// A hash opens nothing, and is nobody's business but the database's.
	sum := sha256.Sum256([]byte(key))
	for _, place := range []string{"the answers", "the log", "the standard output"} {
		for form, text := range forms(string(sum[:])) {
			if bytes.Contains(places[place], text) {
				t.Errorf("the hash of a key is in %s, as %s", place, form)
			}
		}
	}

	// The search does find what is there.
	if !bytes.Contains(places["lanyard.db at the end"], []byte(id)) || !bytes.Contains(places["the answers"], []byte(id)) {
		t.Error("the public id of a key is in neither database nor answers: the scan looks in the wrong places")
	}
}

// What the host logs about a run is not what was asked of it.
func TestLogSaysNothingOfRequests(t *testing.T) {
	t.Parallel()
	a := start(t)
	_, key := a.createKey("ana")
	a.connectJira("ana", "demo-ana")
	a.issues(key)
	a.hello("aic_" + strings.Repeat("0", 46))
	a.call(http.MethodGet, a.url+"/api/hello?marker=1", "", "User-Agent", "marker", "Referer", "http://marker/")
	a.call(http.MethodGet, a.page+"/api/v1/marker", "", userHeader, "marker")
	a.stop()
	for _, log := range []*output{a.stderr, a.stdout} {
		text := strings.Replace(log.String(), greeting(a), "", 1)
		for _, word := range []string{"marker", "/api/", "GET", "POST", "Bearer", "aic_", "demo-ana", "HTTP/1"} {
			if strings.Contains(text, word) {
				t.Errorf("the log holds %q: %s", word, text)
			}
		}
	}
}

func TestWithoutAddress(t *testing.T) {
	t.Parallel()
	inner := errors.New("connection refused")
	err := withoutAddress(&url.Error{Op: "Get", URL: "https://jira/rest?jql=marker", Err: inner})
	if !errors.Is(err, inner) || strings.Contains(err.Error(), "marker") {
		t.Errorf("withoutAddress = %v, want %v alone", err, inner)
	}
	if got := withoutAddress(inner); got != inner { //nolint:errorlint // the very same
		t.Errorf("withoutAddress(%v) = %v", inner, got)
	}
}

// greeting is what is printed once, at the start.
func greeting(a *app) string {
	before, _, _ := strings.Cut(a.stdout.String(), "Ctrl-C ends it.")
	return before
}

// secretOf is the part of a key that is not public: 30 characters before the
// checksum of 6.
func secretOf(key string) string { return key[len(key)-36 : len(key)-6] }

func addFiles(t *testing.T, places map[string][]byte, dir, when string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("the directory holds %v, %v; want database and keyring", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		places[file.Name()+" "+when] = content
	}
}

// forms are the ways in which a secret might be written down.
func forms(secret string) map[string][]byte {
	forms := map[string][]byte{
		"text":             []byte(secret),
		"hexadecimal":      []byte(hex.EncodeToString([]byte(secret))),
		"HEXADECIMAL":      []byte(strings.ToUpper(hex.EncodeToString([]byte(secret)))),
		"UTF-16, little":   nil,
		"UTF-16, big":      nil,
		"text, lower case": []byte(strings.ToLower(secret)),
	}
	for _, unit := range utf16.Encode([]rune(secret)) {
		forms["UTF-16, little"] = append(forms["UTF-16, little"], byte(unit), byte(unit>>8))
		forms["UTF-16, big"] = append(forms["UTF-16, big"], byte(unit>>8), byte(unit))
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 { // the secret may stand anywhere in what was encoded
			text := encoding.EncodeToString(append(make([]byte, shift), secret...))
			first, last := (shift*8+5)/6, (shift+len(secret))*8/6
			forms[name+" shifted by "+string(rune('0'+shift))] = []byte(text[first:last])
		}
	}
	return forms
}
