package httpadapter_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// What the platform knows. Each begins with the canary, which no answer and no
// line of a log may hold.
const (
	apiCanary     = "canary-7f3Q"
	apiSecretAna  = apiCanary + "-ana-4fJr0c9wTq"
	apiSecretNew  = apiCanary + "-new-8sLk2m5xZv"
	apiSecretDead = apiCanary + "-dead-1bNc6pYhRd"
)

// The providers that the worlds' fakes are: an instance without fields, and one
// whose field site decides where it is.
const (
	apiJira  = "jira-x"
	apiCloud = "cloud-x"
)

// The people of a world. A name with a colon is of another tenant than acme.
const (
	ana    = "ana"
	ben    = "ben"
	globex = "globex:ana"
)

func ownerOf(name string) lanyard.Owner {
	if tenant, subject, ok := strings.Cut(name, ":"); ok {
		return lanyard.Owner{Tenant: tenant, Subject: subject}
	}
	return lanyard.Owner{Tenant: "acme", Subject: name}
}

func principalOf(name string) lanyard.Principal {
	p := lanyard.Principal{Owner: ownerOf(name), GivenName: "Ana", FamilyName: "Lima", Name: "Ana Lima"}
	p.Email, p.EmailVerified = p.Owner.Subject+"@"+p.Owner.Tenant+".example", true
	return p
}

// apiWorld is a Handler below /account, with services over a fresh store and
// fakes of Jira. When its test ends it holds all that was logged and
// answered against the secrets it knows of.
type apiWorld struct {
	t        testing.TB
	store    store.Store
	profiles *profile.Service
	keys     *apikey.Service
	tokens   *providertoken.Service
	jira     *providertest.Fake
	cloud    *providertest.Fake
	unplug   []func() // each ends the server of a fake
	handler  *httpadapter.Handler
	server   http.Handler // serves it below /account
	log      *safeBuffer

	mu        sync.Mutex
	now       time.Time
	exchanges []exchange
	secrets   []string // of the keys that were shown
}

// apiOptions changes a world before it is made.
type apiOptions struct {
	store  func(t testing.TB) store.Store // default: memory
	keys   func(*apikey.Options)
	tokens func(*providertoken.Options)
	config func(*apiWorld, *httpadapter.Config)
}

func newAPIWorld(t testing.TB, o apiOptions) *apiWorld {
	t.Helper()
	w := &apiWorld{t: t, log: new(safeBuffer), now: time.Date(2026, 11, 24, 9, 30, 0, 123456000, time.UTC)}
	if o.store == nil {
		o.store = func(testing.TB) store.Store { return memory.New() }
	}
	w.store = o.store(t)
	logger := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "keys"), nil)
	mustAPI(t, err)
	sealer, err := crypto.NewSealer(ring, w.store, nil)
	mustAPI(t, err)

	keys := &apikey.Options{Prefix: "aic", Scopes: []string{"read", "write"}, Sealer: sealer, Now: w.clock, Logger: logger}
	if o.keys != nil {
		o.keys(keys)
	}
	w.keys, err = apikey.NewService(w.store, keys)
	mustAPI(t, err)
	t.Cleanup(func() { _ = w.keys.Close(context.Background()) }) // its store may be closed
	w.profiles = profile.NewService(w.store, &profile.Options{OwnerChanged: w.keys.Refresh, Now: w.clock, Logger: logger})

	accounts := providertest.Tokens{
		apiSecretAna: {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
		apiSecretNew: {ID: "ana", Name: "Ana Lima", Email: "ana@acme.example"},
	}.Account
	w.jira, w.cloud = providertest.JiraDataCenter(accounts), providertest.JiraCloud(accounts)
	instance := func(id, provider string, fake http.Handler) providertoken.Instance {
		server, err := providertest.NewServer(fake)
		mustAPI(t, err)
		w.unplug = append(w.unplug, func() { _ = server.Close(context.Background()) })
		return providertoken.Instance{
			ID: id, Provider: provider, Base: server.URL(), RootCAs: server.RootCAs(), Networks: server.Networks(),
		}
	}
	t.Cleanup(w.unplugAll)
	tokens := &providertoken.Options{
		Providers: withSite(catalog.All()), Now: w.clock, Logger: logger,
		Instances: []providertoken.Instance{
			instance(apiJira, "jira-data-center", w.jira), instance(apiCloud, "jira-cloud", w.cloud),
		},
	}
	if o.tokens != nil {
		o.tokens(tokens)
	}
	w.tokens, err = providertoken.NewService(w.store, sealer, tokens)
	mustAPI(t, err)

	config := httpadapter.Config{
		Identify: identifyByCookie, Profiles: w.profiles, APIKeys: w.keys, ProviderTokens: w.tokens,
		LoginURL: "/login", Now: w.clock, Logger: logger,
	}
	if o.config != nil {
		o.config(w, &config)
	}
	w.handler, err = httpadapter.New(config)
	mustAPI(t, err)
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", w.handler)
	w.server = recorded(t, "/account", mux, w.hear)
	t.Cleanup(w.findNoSecrets)
	return w
}

// withSite is the catalogue with a Jira Cloud that sends its site in a header,
// so that an instance asks for it too: the tests have a field that decides the
// destination without leaving this machine.
func withSite(defs []providertoken.Definition) []providertoken.Definition {
	for i, d := range defs {
		if d.ID == "jira-cloud" {
			defs[i].Methods[0].Headers["X-Site"] = "{site}"
		}
	}
	return defs
}

// identifyByCookie is a host's session: the cookie says who it is.
func identifyByCookie(r *http.Request) (lanyard.Principal, error) {
	c, err := r.Cookie("session")
	if err != nil || c.Value == "" {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return principalOf(c.Value), nil
}

// unplugAll makes every platform unreachable.
func (w *apiWorld) unplugAll() {
	for _, end := range w.unplug {
		end()
	}
	w.unplug = nil
}

func (w *apiWorld) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *apiWorld) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// hear keeps an exchange, and notes a key that it shows.
func (w *apiWorld) hear(e exchange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var shown struct{ Secret string }
	if e.Status == http.StatusCreated && json.Unmarshal(e.Answer, &shown) == nil && shown.Secret != "" {
		w.secrets = append(w.secrets, shown.Secret)
		e.Answer = bytes.ReplaceAll(e.Answer, []byte(shown.Secret), []byte("shown-once"))
	}
	w.exchanges = append(w.exchanges, e)
}

// findNoSecrets looks for every secret in all answers and in the log.
func (w *apiWorld) findNoSecrets() {
	w.mu.Lock()
	defer w.mu.Unlock()
	forbidden := append([]string{apiCanary}, w.secrets...)
	for _, secret := range forbidden {
		for _, e := range w.exchanges {
			if bytes.Contains(e.Answer, []byte(secret)) || strings.Contains(fmt.Sprint(e.AnswerHeader), secret) {
				w.t.Errorf("%s %s answered %d with a secret in it", e.Method, e.Target, e.Status)
			}
		}
		if strings.Contains(w.log.String(), secret) {
			w.t.Errorf("a secret stands in the log")
		}
	}
}

// apiAnswer is what came back.
type apiAnswer struct {
	t      testing.TB
	what   string // the request, for messages
	status int
	header http.Header
	body   []byte
}

// caller is who sends a request: a session, an API key, or nobody.
type apiCaller struct{ session, key string }

var nobody apiCaller

func session(name string) apiCaller { return apiCaller{session: name} }
func withKey(key string) apiCaller  { return apiCaller{key: key} }

// call sends a request below /account/api/v1, with headers in pairs, and checks
// what holds for every answer of the API. A body that is not empty is JSON
// unless the headers say otherwise.
func (w *apiWorld) call(who apiCaller, method, path, body string, headers ...string) apiAnswer {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "/account/api/v1"+path, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if http.CanonicalHeaderKey(headers[i]) == "Content-Type" {
			r.Header.Del("Content-Type")
		}
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" || headers[i] != "Content-Type" {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	return w.send(who, r)
}

// send is call for a request that the test made itself.
func (w *apiWorld) send(who apiCaller, r *http.Request) apiAnswer {
	w.t.Helper()
	a := w.serve(who, r)
	a.check(r.Method)
	return a
}

// serve sends a request below /account and checks nothing.
func (w *apiWorld) serve(who apiCaller, r *http.Request) apiAnswer {
	w.t.Helper()
	if who.session != "" {
		r.AddCookie(&http.Cookie{Name: "session", Value: who.session})
	}
	if who.key != "" {
		r.Header.Set("Authorization", "Bearer "+who.key)
	}
	out := httptest.NewRecorder()
	w.server.ServeHTTP(out, r)
	return apiAnswer{
		t: w.t, what: r.Method + " " + r.URL.RequestURI(), status: out.Code, header: out.Header(), body: out.Body.Bytes(),
	}
}

// check holds what every answer of the API promises.
func (a apiAnswer) check(method string) {
	a.t.Helper()
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		a.t.Errorf("%s: Cache-Control = %q, want no-store", a.what, got)
	}
	if got := a.header.Get("X-Content-Type-Options"); got != "nosniff" {
		a.t.Errorf("%s: X-Content-Type-Options = %q, want nosniff", a.what, got)
	}
	id := a.header.Get("X-Request-Id")
	if id == "" {
		a.t.Errorf("%s: no X-Request-Id", a.what)
	}
	if method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		if len(a.body) > 0 {
			a.t.Errorf("%s: %d has a body of %d bytes, want none", a.what, a.status, len(a.body))
		}
		return
	}
	want := "application/json"
	if a.status >= 400 {
		want = "application/problem+json"
	}
	if got := a.header.Get("Content-Type"); got != want {
		a.t.Errorf("%s: %d has Content-Type %q, want %q", a.what, a.status, got, want)
	}
	var body map[string]any
	if err := json.Unmarshal(a.body, &body); err != nil {
		a.t.Fatalf("%s: %d is no JSON object: %v: %s", a.what, a.status, err, a.body)
	}
	if !strings.HasSuffix(a.what, "/openapi.json") {
		a.checkValues("", body)
	}
	if a.status >= 400 {
		a.checkProblem(body, id)
	}
}

var utcTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$`)

// checkValues finds nulls, and times that are not RFC 3339 in UTC.
func (a apiAnswer) checkValues(name string, value any) {
	a.t.Helper()
	switch v := value.(type) {
	case nil:
		a.t.Errorf("%s: the member %q is null", a.what, name)
	case map[string]any:
		for name, value := range v {
			a.checkValues(name, value)
		}
	case []any:
		for _, value := range v {
			a.checkValues(name, value)
		}
	case string:
		if (name == "at" || strings.HasSuffix(name, "_at")) && !utcTime.MatchString(v) {
			a.t.Errorf("%s: %s = %q, want RFC 3339 in UTC", a.what, name, v)
		}
	}
}

func (a apiAnswer) checkProblem(body map[string]any, id string) {
	a.t.Helper()
	code, _ := body["code"].(string)
	if code == "" || body["title"] == "" || body["status"] != float64(a.status) || body["request_id"] != id {
		a.t.Errorf("%s: the problem is %s, want code, title, status %d and request id %s", a.what, a.body, a.status, id)
	}
	if kind, _ := body["type"].(string); !strings.HasSuffix(kind, "#"+code) {
		a.t.Errorf("%s: the problem's type is %q, want one that ends with its code %q", a.what, kind, code)
	}
	for _, where := range []string{"ETag", "Location"} {
		if got := a.header.Get(where); got != "" {
			a.t.Errorf("%s: a problem has %s %q", a.what, where, got)
		}
	}
	for status, name := range map[int]string{401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"} {
		if a.status == status && a.header.Get(name) == "" {
			a.t.Errorf("%s: %d has no %s", a.what, status, name)
		}
	}
}

// is fails the test unless the answer has this status, and returns it.
func (a apiAnswer) is(status int) apiAnswer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s = %d, want %d: %.300s", a.what, a.status, status, a.body)
	}
	return a
}

// refused is is for a problem, whose code and errors are "code" or
// "code /pointer code /pointer code".
func (a apiAnswer) refused(status int, want string) apiAnswer {
	a.t.Helper()
	if got := a.problem(); a.status != status || got != want {
		a.t.Errorf("%s = %d %s, want %d %s", a.what, a.status, got, status, want)
	}
	return a
}

// problem returns the code and the errors of a problem in one line.
func (a apiAnswer) problem() string {
	var p struct {
		Code   string
		Errors []struct{ Pointer, Code string }
	}
	if a.status < 400 || json.Unmarshal(a.body, &p) != nil {
		return fmt.Sprintf("no problem: %.200s", a.body)
	}
	parts := []string{p.Code}
	for _, e := range p.Errors {
		parts = append(parts, e.Pointer+" "+e.Code)
	}
	slices.Sort(parts[1:])
	return strings.Join(parts, " ")
}

// get returns a member of the answer, by a path as "api_key.id"; nil when it is
// not there.
func (a apiAnswer) get(path string) any {
	a.t.Helper()
	var at any
	if err := json.Unmarshal(a.body, &at); err != nil {
		a.t.Fatalf("%s: %d is no JSON: %v", a.what, a.status, err)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch v := at.(type) {
		case map[string]any:
			at = v[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(v) {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

func (a apiAnswer) text(path string) string {
	a.t.Helper()
	text, _ := a.get(path).(string)
	return text
}

// newKey makes a key for somebody, without HTTP.
func (w *apiWorld) newKey(name string, scopes ...string) (id, secret string) {
	w.t.Helper()
	made, err := w.keys.Create(w.t.Context(), ownerOf(name), apikey.CreateRequest{Name: "laptop", Scopes: scopes})
	mustAPI(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets = append(w.secrets, made.Secret.Reveal())
	return made.Key.ID, made.Secret.Reveal()
}

// newToken makes a connection for somebody, without HTTP.
func (w *apiWorld) newToken(name, label string) string {
	w.t.Helper()
	token, err := w.tokens.Create(w.t.Context(), ownerOf(name), providertoken.CreateRequest{
		ProviderID: apiJira, Label: label, Secrets: map[string]lanyard.Secret{"token": lanyard.NewSecret(apiSecretAna)},
	})
	mustAPI(w.t, err)
	return token.ID
}

// dump is all that is stored of the people of a world, but for when something
// was last used.
func (w *apiWorld) dump() string {
	w.t.Helper()
	ctx := context.Background()
	var b strings.Builder
	for _, name := range []string{ana, ben, globex} {
		owner := ownerOf(name)
		p, err := w.store.Profile(ctx, owner)
		if err != nil && !errors.Is(err, lanyard.ErrNotFound) {
			w.t.Fatal(err)
		}
		keys, err := w.store.APIKeys(ctx, owner)
		mustAPI(w.t, err)
		tokens, err := w.store.ProviderTokens(ctx, owner)
		mustAPI(w.t, err)
		events, err := w.store.Events(ctx, owner, store.EventCursor{}, 1000)
		mustAPI(w.t, err)
		state, err := w.store.OwnerState(ctx, owner)
		mustAPI(w.t, err)
		// What is noted in the background comes when it comes.
		for i := range keys {
			keys[i].KeyUsage = store.KeyUsage{}
		}
		events = slices.DeleteFunc(events, func(e lanyard.Event) bool { return e.Action == apikey.ActionUsedAfterDelete })
		for _, part := range []any{p, keys, tokens, events, state} {
			text, err := json.Marshal(part)
			mustAPI(w.t, err)
			b.Write(append(text, '\n'))
		}
	}
	return b.String()
}

// unchanged fails the test if what is stored is not as in an earlier dump.
func (w *apiWorld) unchanged(before, what string) {
	w.t.Helper()
	was, is := strings.Split(before, "\n"), strings.Split(w.dump(), "\n")
	for i := range min(len(was), len(is)) {
		if was[i] != is[i] {
			w.t.Errorf("%s: changed what is stored, from\n%s\nto\n%s", what, was[i], is[i])
			return
		}
	}
}

// eachAPIStore runs test over every store that is there.
func eachAPIStore(t *testing.T, test func(t *testing.T, open func(testing.TB) store.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, func(testing.TB) store.Store { return memory.New() })
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, openSQLite)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := os.Getenv("LANYARD_TEST_POSTGRES")
		if server == "" {
			t.Skip("needs PostgreSQL: run it under `scripts/postgres run`")
		}
		test(t, func(t testing.TB) store.Store { return openPostgres(t, server) })
	})
}

func openSQLite(t testing.TB) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lanyard.db"), nil)
	mustAPI(t, err)
	t.Cleanup(func() { _ = st.Close() })
	mustAPI(t, st.Migrate(t.Context()))
	return st
}

// openPostgres returns a store in a schema of its own.
func openPostgres(t testing.TB, server string) store.Store {
	t.Helper()
	u, err := url.Parse(server)
	mustAPI(t, err)
	schema := "lanyard_http_" + lanyard.NewID()
	admin, err := sql.Open("pgx", server)
	mustAPI(t, err)
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.Background(), `DROP SCHEMA `+schema+` CASCADE`)
		_ = admin.Close()
		mustAPI(t, err)
	})
	_, err = admin.ExecContext(t.Context(), `CREATE SCHEMA `+schema)
	mustAPI(t, err)
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	st, err := postgres.Open(t.Context(), u.String(), nil)
	mustAPI(t, err)
	t.Cleanup(func() { _ = st.Close() })
	mustAPI(t, st.Migrate(t.Context()))
	return st
}

func mustAPI(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

// safeBuffer is a buffer for several writers.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// canonical returns JSON with its members in order.
func canonical(t testing.TB, body []byte) string {
	t.Helper()
	var v any
	mustAPI(t, json.Unmarshal(body, &v))
	out, err := json.Marshal(v)
	mustAPI(t, err)
	return string(out)
}

// identifiedAs makes everybody p.
func identifiedAs(p lanyard.Principal) func(*apiWorld, *httpadapter.Config) {
	return func(_ *apiWorld, c *httpadapter.Config) {
		c.Identify = func(*http.Request) (lanyard.Principal, error) { return p, nil }
	}
}
