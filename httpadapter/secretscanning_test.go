package httpadapter_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// github stands for GitHub's list of public keys, and signs.
type github struct {
	mu      sync.Mutex
	keys    map[string]string // PEM
	private map[string]*ecdsa.PrivateKey
	fetched int
	down    bool
	status  int    // 0 = 200
	body    string // "" = the keys
}

func newGitHub() *github {
	return &github{keys: map[string]string{}, private: map[string]*ecdsa.PrivateKey{}}
}

func (g *github) add(t testing.TB, id string, curve elliptic.Curve) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	mustAPI(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	mustAPI(t, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys[id], g.private[id] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), key
}

func (g *github) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *github) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fetched++
	if g.down {
		return nil, errors.New("dial tcp: canary")
	}
	if r.Method != http.MethodGet || r.URL.String() != "https://api.github.com/meta/public_keys/secret_scanning" {
		return nil, fmt.Errorf("unexpected %s %s", r.Method, r.URL)
	}
	type key struct {
		ID      string `json:"key_identifier"`
		Key     string `json:"key"`
		Current bool   `json:"is_current"`
	}
	list := struct {
		Keys []key `json:"public_keys"`
	}{}
	for id, text := range g.keys {
		list.Keys = append(list.Keys, key{id, text, true})
	}
	body, err := json.Marshal(list)
	if g.body != "" {
		body = []byte(g.body)
	}
	status := g.status
	if status == 0 {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, err
}

func (g *github) sign(t testing.TB, id string, body []byte) string {
	t.Helper()
	digest := sha256.Sum256(body)
	signature, err := ecdsa.SignASN1(rand.Reader, g.private[id], digest[:])
	mustAPI(t, err)
	return base64.StdEncoding.EncodeToString(signature)
}

// scanner is a host that takes GitHub's reports.
type scanner struct {
	t       testing.TB
	github  *github
	store   *memory.Store
	keys    *apikey.Service
	handler http.Handler
	log     *safeBuffer
	now     time.Time
}

func newScanner(t testing.TB) *scanner {
	t.Helper()
	s := &scanner{t: t, github: newGitHub(), store: memory.New(), log: new(safeBuffer), now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	logger := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	s.keys, err = apikey.NewService(s.store, &apikey.Options{Prefix: "aic", Logger: logger})
	mustAPI(t, err)
	t.Cleanup(func() { mustAPI(t, s.keys.Close(context.Background())) })
	s.handler = httpadapter.SecretScanning(s.keys, &httpadapter.SecretScanningOptions{
		Client: &http.Client{Transport: s.github}, Now: func() time.Time { return s.now }, Logger: logger,
	})
	s.github.add(t, "current", elliptic.P256())
	return s
}

func (s *scanner) request(body []byte, headers ...string) *http.Request {
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/hooks/github", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "GitHub-Hookshot/1")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func (s *scanner) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if got := w.Header().Get("Cache-Control") + " " + w.Header().Get("X-Content-Type-Options"); got != "no-store nosniff" {
		s.t.Errorf("%s = %d with the headers %v", r.Method, w.Code, w.Header())
	}
	if want := map[bool]string{true: "application/json", false: "application/problem+json"}[w.Code < 400]; w.Header().Get("Content-Type") != want {
		s.t.Errorf("%s = %d as %q, want %q", r.Method, w.Code, w.Header().Get("Content-Type"), want)
	}
	return w
}

// report sends a body that GitHub signed.
func (s *scanner) report(body []byte) *httptest.ResponseRecorder {
	return s.do(s.request(body, "GITHUB-PUBLIC-KEY-IDENTIFIER", "current", "GITHUB-PUBLIC-KEY-SIGNATURE", s.github.sign(s.t, "current", body)))
}

type match struct {
	Token  string `json:"token"`
	Type   string `json:"type"`
	URL    string `json:"url"`
	Source string `json:"source"`
}

type feedback struct {
	Hash  string `json:"token_hash"`
	Type  string `json:"token_type"`
	Label string `json:"label"`
}

func (s *scanner) matches(found ...match) []byte {
	body, err := json.Marshal(found)
	mustAPI(s.t, err)
	return body
}

func (s *scanner) feedback(w *httptest.ResponseRecorder) []feedback {
	s.t.Helper()
	if w.Code != http.StatusOK {
		s.t.Fatalf("the report = %d %s, want 200", w.Code, w.Body)
	}
	var answers []feedback
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&answers); err != nil || answers == nil {
		s.t.Fatalf("the answer is no array of feedback: %v", err)
	}
	return answers
}

func (s *scanner) create(owner lanyard.Owner) (apikey.Key, string) {
	s.t.Helper()
	made, err := s.keys.Create(s.t.Context(), owner, apikey.CreateRequest{Name: "laptop"})
	mustAPI(s.t, err)
	return made.Key, made.Secret.Reveal()
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// The samples that GitHub publishes, in the page of today and in that of 2022,
// with the test keys they were signed with: github/docs,
// content/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program.md
// The newer key stands in the list at https://api.github.com/meta/public_keys/secret_scanning.
var githubSamples = []struct{ body, id, signature, key string }{
	{
		`[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]`,
		"bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c",
		"MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==",
		"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\nAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n",
	},
	{
		`[{"token":"some_token","type":"some_type","url":"some_url","source":"some_source"}]`,
		"f9525bf080f75b3506ca1ead061add62b8633a346606dc5fe544e29231c6ee0d",
		"MEUCIFLZzeK++IhS+y276SRk2Pe5LfDrfvTXu6iwKKcFGCrvAiEAhHN2kDOhy2I6eGkOFmxNkOJ+L2y8oQ9A2T9GGJo6WJY=",
		"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsz9ugWDj5jK5ELBK42ynytbo38gP\nHzZFI03Exwz8Lh/tCfL3YxwMdLjB+bMznsanlhK0RwcGP3IDb34kQDIo3Q==\n-----END PUBLIC KEY-----",
	},
}

func ExampleSecretScanning() {
	keys, err := apikey.NewService(memory.New(), &apikey.Options{Prefix: "aic"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = keys.Close(context.Background()) }()
	sample := githubSamples[0]
	api := newGitHub() // stands for api.github.com
	api.keys[sample.id] = sample.key

	mux := http.NewServeMux()
	mux.Handle("/hooks/github/secret-scanning", httpadapter.SecretScanning(keys, &httpadapter.SecretScanningOptions{
		Client: &http.Client{Transport: api},
	}))
	for _, body := range []string{sample.body, sample.body + " "} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/hooks/github/secret-scanning", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Github-Public-Key-Identifier", sample.id)
		r.Header.Set("Github-Public-Key-Signature", sample.signature)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if fmt.Println(w.Code); w.Code == http.StatusOK {
			fmt.Println(w.Body)
		}
	}
	// Output:
	// 200
	// [{"token_hash":"9a45520a1213f15016d2d768b5fb3d904492a44ee274b44d4de8803e00fb536a","token_type":"some_type","label":"false_positive"}]
	// 403
}

func TestGitHubsSamples(t *testing.T) {
	t.Parallel()
	for _, sample := range githubSamples {
		s := newScanner(t)
		for _, other := range githubSamples {
			s.github.keys[other.id] = other.key
		}
		for _, names := range [][2]string{
			{"Github-Public-Key-Identifier", "Github-Public-Key-Signature"},
			{"GITHUB-PUBLIC-KEY-IDENTIFIER", "GITHUB-PUBLIC-KEY-SIGNATURE"},
		} {
			answers := s.feedback(s.do(s.request([]byte(sample.body), names[0], sample.id, names[1], sample.signature)))
			if want := (feedback{sha("some_token"), "some_type", "false_positive"}); len(answers) != 1 || answers[0] != want {
				t.Errorf("the sample of %s is answered with %+v, want %+v", sample.id, answers, want)
			}
		}
		// Any change, and any other key, makes it a stranger's.
		for i := range sample.body {
			changed := []byte(sample.body)
			changed[i] ^= 1
			if w := s.do(s.request(changed, "Github-Public-Key-Identifier", sample.id, "Github-Public-Key-Signature", sample.signature)); w.Code != http.StatusForbidden {
				t.Errorf("the sample with byte %d changed = %d, want 403", i, w.Code)
			}
		}
		for _, other := range append(githubSamples, struct{ body, id, signature, key string }{id: "current"}) {
			if other.id == sample.id {
				continue
			}
			if w := s.do(s.request([]byte(sample.body), "Github-Public-Key-Identifier", other.id, "Github-Public-Key-Signature", sample.signature)); w.Code != http.StatusForbidden {
				t.Errorf("the sample with the key %s = %d, want 403", other.id, w.Code)
			}
		}
		if s.log.String() != "" {
			t.Errorf("logged %s", s.log)
		}
	}
}

func TestSecretScanning(t *testing.T) {
	t.Parallel()
	s := newScanner(t)
	key, token := s.create(lanyard.Owner{Subject: "ana"})
	dead, gone := s.create(lanyard.Owner{Subject: "ana"})
	mustAPI(t, s.keys.Delete(t.Context(), lanyard.Owner{Subject: "ana"}, dead.ID, 0))
	body := s.matches(
		match{token, "aic_api_key", "https://github.com/octocat/Hello-World/blob/1/.env?x=" + token, "Content"},
		match{gone, "aic_api_key", "", "commit"},
		match{"ghp_0123456789", "other_type", "https://github.com/x", "npm"},
		match{token[:49] + "-", "aic_api_key", "", ""},
		match{Token: ""},
	)
	want := []feedback{
		{sha(token), "aic_api_key", "true_positive"}, {sha(gone), "aic_api_key", "true_positive"},
		{sha("ghp_0123456789"), "other_type", "false_positive"}, {sha(token[:49] + "-"), "aic_api_key", "false_positive"},
		{sha(""), "", "false_positive"},
	}
	for _, when := range []string{"first", "replayed"} {
		w := s.report(body)
		for _, secret := range []string{token, gone, token[14:44], "ghp_0123456789"} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s: the answer holds %q", when, secret)
			}
			if strings.Contains(s.log.String(), secret) {
				t.Errorf("%s: the log holds %q", when, secret)
			}
		}
		if got := s.feedback(w); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: answered %+v, want %+v", when, got, want)
		}
		if _, err := s.keys.Verify(t.Context(), token); !errors.Is(err, lanyard.ErrUnauthenticated) {
			t.Errorf("%s: Verify() of the reported key = %v, want ErrUnauthenticated", when, err)
		}
	}
	events, err := s.store.Events(t.Context(), lanyard.Owner{Subject: "ana"}, store.EventCursor{}, 10)
	mustAPI(t, err)
	leaked := 0
	for _, e := range events {
		if e.Action != apikey.ActionLeaked {
			continue
		}
		leaked++
		if e.Object != key.ID || e.Detail["source"] != "github/content" || e.Detail["host"] != "github.com" || e.UserAgent != "GitHub-Hookshot/1" || e.RequestID == "" {
			t.Errorf("the event is %+v", e)
		}
		if strings.Contains(fmt.Sprintf("%+v", e), token) {
			t.Errorf("the event %+v holds the token", e)
		}
	}
	if leaked != 1 {
		t.Errorf("the history tells of %d leaks, want 1 although it was reported twice", leaked)
	}
	if s.github.fetched != 1 {
		t.Errorf("GitHub's keys were fetched %d times, want once", s.github.fetched)
	}
	if s.log.String() != "" {
		t.Errorf("logged %s", s.log)
	}
}

func TestSecretScanningOfTenThousand(t *testing.T) {
	t.Parallel()
	s := newScanner(t)
	var found []match
	want := map[string]bool{}
	for i := range 10_000 {
		token := fmt.Sprintf("aic_%046d", i)
		if i%1000 == 0 {
			_, token = s.create(lanyard.Owner{Subject: fmt.Sprint("u", i)})
			want[sha(token)] = true
		}
		found = append(found, match{token, "aic_api_key", "https://github.com/octocat/Hello-World/blob/12345600b9cbe38a219f39a9941c9319b600c002/foo/bar.txt", "content"})
	}
	answers := s.feedback(s.report(s.matches(found...)))
	if len(answers) != 10_000 {
		t.Fatalf("%d answers, want 10000", len(answers))
	}
	for i, a := range answers {
		if a.Hash != sha(found[i].Token) || (a.Label == "true_positive") != want[a.Hash] {
			t.Errorf("answer %d is %+v", i, a)
		}
	}
}

// What is not GitHub's report gets a problem, and changes nothing.
func TestSecretScanningRefuses(t *testing.T) {
	t.Parallel()
	s := newScanner(t)
	_, token := s.create(lanyard.Owner{Subject: "ana"})
	body := s.matches(match{Token: token, Type: "aic"})
	s.github.add(t, "p384", elliptic.P384())
	s.github.add(t, "second", elliptic.P256())
	good := s.github.sign(t, "current", body)
	const id, signature = "Github-Public-Key-Identifier", "Github-Public-Key-Signature"
	change := func(headers []string, f func(*http.Request)) *http.Request {
		r := s.request(body, headers...)
		f(r)
		return r
	}
	signed := []string{id, "current", signature, good}
	keep := func(*http.Request) {}
	for what, tt := range map[string]struct {
		r    *http.Request
		want int
	}{
		"GET":                {change(signed, func(r *http.Request) { r.Method = http.MethodGet }), 405},
		"PUT":                {change(signed, func(r *http.Request) { r.Method = http.MethodPut }), 405},
		"no type":            {change(signed, func(r *http.Request) { r.Header.Del("Content-Type") }), 415},
		"a form":             {change(signed, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }), 415},
		"compressed":         {change(signed, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), 415},
		"not signed":         {change(nil, keep), 403},
		"no identifier":      {change([]string{signature, good}, keep), 403},
		"no signature":       {change([]string{id, "current"}, keep), 403},
		"two signatures":     {change([]string{id, "current", signature, good, signature, good}, keep), 403},
		"two identifiers":    {change([]string{id, "current", id, "second", signature, good}, keep), 403},
		"no base64":          {change([]string{id, "current", signature, "!" + good}, keep), 403},
		"empty signature":    {change([]string{id, "current", signature, ""}, keep), 403},
		"short signature":    {change([]string{id, "current", signature, good[:len(good)/2/4*4]}, keep), 403},
		"another key":        {change([]string{id, "second", signature, good}, keep), 403},
		"unknown key":        {change([]string{id, "unknown", signature, good}, keep), 403},
		"empty key":          {change([]string{id, "", signature, good}, keep), 403},
		"a key of P-384":     {change([]string{id, "p384", signature, s.github.sign(t, "p384", body)}, keep), 403},
		"body of another":    {s.request([]byte("[]"), signed...), 403},
		"no body":            {s.request(nil, signed...), 403},
		"more than 8 MiB":    {s.request(make([]byte, 8<<20+1), signed...), 413},
		"signed, no JSON":    {s.request([]byte("x"), id, "current", signature, s.github.sign(t, "current", []byte("x"))), 400},
		"signed, nothing":    {s.request(nil, id, "current", signature, s.github.sign(t, "current", nil)), 400},
		"signed, null":       {s.request([]byte("null"), id, "current", signature, s.github.sign(t, "current", []byte("null"))), 400},
		"signed, an object":  {s.request([]byte("{}"), id, "current", signature, s.github.sign(t, "current", []byte("{}"))), 400},
		"signed, two arrays": {s.request([]byte("[][]"), id, "current", signature, s.github.sign(t, "current", []byte("[][]"))), 400},
		"signed, a number":   {s.request([]byte(`[{"token":1}]`), id, "current", signature, s.github.sign(t, "current", []byte(`[{"token":1}]`))), 400},
	} {
		w := s.do(tt.r)
		if w.Code != tt.want {
			t.Errorf("%s = %d %s, want %d", what, w.Code, w.Body, tt.want)
		}
		if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") != http.MethodPost {
			t.Errorf("%s: Allow = %q", what, w.Header().Get("Allow"))
		}
		if w.Code == http.StatusForbidden && !strings.Contains(w.Body.String(), "the report is not signed by GitHub") {
			t.Errorf("%s = %s, want the one answer to strangers", what, w.Body)
		}
		if strings.Contains(w.Body.String(), token) || strings.Contains(s.log.String(), token) {
			t.Errorf("%s: the token is repeated", what)
		}
	}
	if _, err := s.keys.Verify(t.Context(), token); err != nil {
		t.Errorf("Verify() after what was refused = %v, want nil", err)
	}
	if answers := s.feedback(s.report([]byte("[]"))); len(answers) != 0 {
		t.Errorf("a report of nothing is answered with %+v", answers)
	}
	more := []byte(`[{"token":"x","type":"t","later":{"a":1}},null]`)
	if answers := s.feedback(s.report(more)); len(answers) != 2 {
		t.Errorf("a report with more members is answered with %+v", answers)
	}
	if s.log.String() != "" {
		t.Errorf("logged %s", s.log)
	}
}

// GitHub's keys are fetched once an hour, and no stranger makes it more often
// than every other minute.
func TestGitHubsKeysAreKept(t *testing.T) {
	t.Parallel()
	s := newScanner(t)
	unknown := func() int {
		return s.do(s.request([]byte("[]"), "Github-Public-Key-Identifier", "later", "Github-Public-Key-Signature", "AAAA")).Code
	}
	want := func(what string, fetched, got, status int) {
		t.Helper()
		if got != status || s.github.fetched != fetched {
			t.Errorf("%s = %d after %d fetches, want %d after %d", what, got, s.github.fetched, status, fetched)
		}
	}
	ok := func() int { return s.report([]byte("[]")).Code }
	want("first", 1, ok(), 200)
	for range 100 {
		want("a stranger", 1, unknown(), 403)
	}
	s.now = s.now.Add(119 * time.Second)
	want("a stranger, later", 1, unknown(), 403)
	s.now = s.now.Add(time.Second)
	want("a stranger after two minutes", 2, unknown(), 403)

	// A new key of GitHub's is taken up by itself, and an old one dropped.
	s.github.add(t, "later", elliptic.P256())
	s.now = s.now.Add(2 * time.Minute)
	body := []byte("[]")
	later := func() int {
		return s.do(s.request(body, "Github-Public-Key-Identifier", "later", "Github-Public-Key-Signature", s.github.sign(t, "later", body))).Code
	}
	want("a new key", 3, later(), 200)
	s.github.set(func() { delete(s.github.keys, "later") })
	s.now = s.now.Add(time.Hour)
	want("a key that was dropped, for an hour", 3, later(), 200)
	s.now = s.now.Add(time.Second)
	want("a key that was dropped", 4, later(), 403)

	// While GitHub is down, what is known goes on for a day.
	s.github.set(func() { s.github.down = true })
	s.now = s.now.Add(2 * time.Hour)
	want("GitHub is down", 5, ok(), 200)
	want("a stranger while GitHub is down", 5, unknown(), 503)
	s.now = s.now.Add(22 * time.Hour)
	want("GitHub is down for a day", 6, ok(), 200)
	s.now = s.now.Add(time.Second)
	want("GitHub is down for longer", 6, ok(), 503)
	s.github.set(func() { s.github.down = false })
	s.now = s.now.Add(2 * time.Minute)
	want("GitHub is back", 7, ok(), 200)
	if strings.Contains(s.log.String(), "canary") || !strings.Contains(s.log.String(), "github's keys could not be fetched") {
		t.Errorf("logged %s, want that the keys could not be fetched, without the network's words", s.log)
	}
}

func TestGitHubsKeysAreNoKeys(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*github){
		"down":    func(g *github) { g.down = true },
		"404":     func(g *github) { g.status = http.StatusNotFound },
		"403":     func(g *github) { g.status = http.StatusForbidden },
		"HTML":    func(g *github) { g.body = "<html>" },
		"empty":   func(g *github) { g.body = `{"public_keys":[]}` },
		"another": func(g *github) { g.body = `{}` },
		"no PEM":  func(g *github) { g.body = `{"public_keys":[{"key_identifier":"current","key":"x"}]}` },
		"no key": func(g *github) {
			g.body = `{"public_keys":[{"key_identifier":"current","key":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}]}`
		},
		"very long": func(g *github) { g.body = `{"public_keys":[` + strings.Repeat(" ", 1<<21) + `]}` },
	} {
		s := newScanner(t)
		change(s.github)
		w := s.report([]byte("[]"))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: the report = %d, want 503 with Retry-After", what, w.Code)
		}
		if s.report([]byte("[]")); s.github.fetched != 1 {
			t.Errorf("%s: fetched %d times, want a pause", what, s.github.fetched)
		}
	}
}

// Many reports at once fetch the keys once, and one that gives up keeps nobody
// waiting.
func TestGitHubsKeysAreFetchedOnce(t *testing.T) {
	t.Parallel()
	s := newScanner(t)
	body := s.matches(match{Token: "x"})
	signature := s.github.sign(t, "current", body)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			r := s.request(body, "Github-Public-Key-Identifier", "current", "Github-Public-Key-Signature", signature)
			if i%5 == 0 {
				ctx, cancel := context.WithCancel(r.Context())
				cancel()
				r = r.WithContext(ctx)
			}
			if w := s.do(r); w.Code != http.StatusOK && i%5 != 0 {
				t.Errorf("report %d = %d, want 200", i, w.Code)
			}
		})
	}
	wg.Wait()
	if s.github.fetched != 1 {
		t.Errorf("GitHub's keys were fetched %d times, want once", s.github.fetched)
	}
}

// A store that is down is 503, never a verdict; the key dies when the report
// comes again, also if GitHub has hung up meanwhile.
func TestSecretScanningStoreDown(t *testing.T) {
	t.Parallel()
	s := newScanner(t)
	_, token := s.create(lanyard.Owner{Subject: "ana"})
	body := s.matches(match{Token: token})
	s.report([]byte("[]"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := s.do(s.request(body, "Github-Public-Key-Identifier", "current", "Github-Public-Key-Signature", s.github.sign(t, "current", body)).WithContext(ctx))
	if answers := s.feedback(w); answers[0].Label != "true_positive" {
		t.Errorf("a report whose sender hung up = %+v, want the key deleted", answers)
	}
	mustAPI(t, s.store.Close())
	if w := s.report(body); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "positive") {
		t.Errorf("with the store down the report = %d %s, want 503", w.Code, w.Body)
	}
	if !strings.Contains(s.log.String(), "reported secrets could not be dealt with") || strings.Contains(s.log.String(), token) {
		t.Errorf("logged %s, want the failure without the token", s.log)
	}
}
