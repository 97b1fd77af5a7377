package httpadapter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store"
)

// configured changes the Config of a world.
func configured(change func(*httpadapter.Config)) apiOptions {
	return apiOptions{config: func(_ *apiWorld, c *httpadapter.Config) { change(c) }}
}

func TestWithoutIdentity(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	a := w.call(nobody, "GET", "/profile", "", "Accept", "text/html").refused(401, "unauthenticated")
	if a.text("login_url") != "/login" || a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("401 = %s with WWW-Authenticate %q, want a login_url and Bearer", a.body, a.header.Get("WWW-Authenticate"))
	}
	w = newAPIWorld(t, configured(func(c *httpadapter.Config) { c.LoginURL = "" }))
	if a := w.call(nobody, "GET", "/profile", "").refused(401, "unauthenticated"); a.get("login_url") != nil {
		t.Errorf("401 without a LoginURL = %s", a.body)
	}
}

// Whatever else Identify returns, it is not the caller's fault, and what it
// says stays inside.
func TestIdentifyFails(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"any error":   errors.New("ldap: bind as cn=root password canary failed"),
		"unavailable": fmt.Errorf("session store: %w", lanyard.ErrUnavailable),
		"forbidden":   lanyard.ErrForbidden,
		"not found":   lanyard.ErrNotFound,
		"input":       &lanyard.InputError{Field: "cookie", Code: "invalid", Message: "canary"},
		"cancelled":   context.Canceled,
	} {
		w := newAPIWorld(t, configured(func(c *httpadapter.Config) {
			c.Identify = func(*http.Request) (lanyard.Principal, error) { return lanyard.Principal{}, err }
		}))
		a := w.call(nobody, "GET", "/profile", "").refused(503, "unavailable")
		if a.header.Get("Retry-After") != "1" || strings.Contains(string(a.body)+w.log.String(), "canary") {
			t.Errorf("Identify with %s: Retry-After %q and %s, log %s", name, a.header.Get("Retry-After"), a.body, w.log)
		}
	}
	for name, p := range map[string]lanyard.Principal{
		"nobody":             {},
		"no subject":         {Owner: lanyard.Owner{Tenant: "acme"}},
		"NUL":                {Owner: lanyard.Owner{Subject: "a\x00"}},
		"long":               {Owner: lanyard.Owner{Subject: strings.Repeat("x", 256)}},
		"as if with a key":   {Owner: ownerOf(ana), Via: lanyard.ViaAPIKey, KeyID: "x"},
		"as if the operator": {Owner: ownerOf(ana), Via: lanyard.ViaSystem},
	} {
		w := newAPIWorld(t, apiOptions{config: identifiedAs(p)})
		w.call(nobody, "GET", "/whoami", "").refused(503, "unavailable")
		if name == "as if with a key" && !strings.Contains(w.log.String(), "request failed") {
			t.Errorf("a principal that Identify must not return left no line in the log")
		}
	}
}

func TestStoreIsDown(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		_, secret := w.newKey(ana)
		mustAPI(t, w.store.Close())
		for _, who := range []apiCaller{session(ana), withKey(secret)} {
			a := w.call(who, "GET", "/whoami", "").refused(503, "unavailable")
			if a.header.Get("Retry-After") != "1" || a.get("detail") != nil {
				t.Errorf("503 = %s with Retry-After %q, want 1 and no detail", a.body, a.header.Get("Retry-After"))
			}
		}
		// What only looks like a key costs no question.
		w.call(withKey("aic_"+strings.Repeat("0", 46)), "GET", "/whoami", "").refused(401, "unauthenticated")
	})
}

func TestPanicOfAHook(t *testing.T) {
	t.Parallel()
	hooks := map[string]func(*httpadapter.Config){
		"Identify": func(c *httpadapter.Config) {
			c.Identify = func(*http.Request) (lanyard.Principal, error) { panic("canary-7f3Q in a panic") }
		},
		"ClientIP": func(c *httpadapter.Config) {
			c.ClientIP = func(*http.Request) string { panic(errors.New("canary-7f3Q in a panic")) }
		},
		"Limit": func(c *httpadapter.Config) {
			c.Limit = func(*http.Request, lanyard.Principal) time.Duration {
				var m map[string]int
				m["x"] = 1 //nolint:staticcheck // this is the panic
				return 0
			}
		},
	}
	for name, change := range hooks {
		w := newAPIWorld(t, configured(change))
		a := w.call(session(ana), "GET", "/profile", "").refused(500, "internal-error")
		if a.get("detail") != nil || !strings.Contains(w.log.String(), a.text("request_id")) || !strings.Contains(w.log.String(), "handler panicked") {
			t.Errorf("a panic of %s answers %s and logs %.200s, want no detail, and a line with the request id", name, a.body, w.log)
		}
	}
}

// A hook that ends the connection on purpose still can.
func TestAbortedHandler(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, configured(func(c *httpadapter.Config) {
		c.Identify = func(*http.Request) (lanyard.Principal, error) { panic(http.ErrAbortHandler) }
	}))
	defer func() {
		if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // a panic's value
			t.Errorf("the handler panicked with %v, want http.ErrAbortHandler", got)
		}
	}()
	w.call(session(ana), "GET", "/profile", "")
}

func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	_, secret := w.newKey(ana)
	for _, c := range []struct {
		header string
		want   string // who calls; "" = nobody
	}{
		{"Bearer " + secret, "ana"},
		{"bearer " + secret, "ana"},
		{"BEARER " + secret, "ana"},
		{"Bearer  " + secret, "ana"},
		{"Bearer\t" + secret, ""},
		{"Bearer" + secret, ""},
		{"Bearer", ""},
		{"Bearer ", ""},
		{"", ""},
		{"Basic " + secret, ""},
		{"Basic YWljOng=", ""},
		{"Token " + secret, ""},
		{secret, ""},
		{"Bearer " + secret + " ", ""},
		{"Bearer " + secret + "," + secret, ""},
		{`Bearer "` + secret + `"`, ""},
		{"Bearer " + strings.ToUpper(secret), ""},
		{"Bearer " + secret[:len(secret)-1], ""},
		{"Bearer " + secret + "0", ""},
		{"Bearer aic_", ""},
	} {
		a := w.call(nobody, "GET", "/whoami", "", "Authorization", c.header)
		if c.want == "" {
			a.refused(401, "unauthenticated")
			continue
		}
		if a.is(200).text("sub") != c.want || a.text("via") != "api_key" {
			t.Errorf("Authorization %.12q… = %s, want %s by key", c.header, a.body, c.want)
		}
	}
	w.call(nobody, "GET", "/whoami", "", "Authorization", "Bearer "+secret, "Authorization", "Bearer "+secret).refused(400, "malformed-request")
	w.call(session(ana), "GET", "/whoami", "", "Authorization", "Basic x", "Authorization", "").refused(400, "malformed-request")
	w.call(session(ben), "GET", "/whoami?key="+secret, "").refused(400, "malformed-request")
	w.call(session(ben), "GET", "/whoami?"+secret, "").refused(400, "malformed-request")

	// Another scheme, and a bearer token of somebody else's, are the host's.
	if a := w.call(session(ben), "GET", "/whoami", "", "Authorization", "Bearer ghp_0123"); a.is(200).text("sub") != ben {
		t.Errorf("a foreign bearer token with ben's session = %s", a.body)
	}
	// A key beside the session of another user wins, good or not.
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/account/api/v1/whoami", nil)
	r.Body = http.NoBody
	r.Header.Set("Authorization", "Bearer "+secret)
	if a := w.send(session(ben), r).is(200); a.text("sub") != ana {
		t.Errorf("ana's key beside ben's session = %s, want ana", a.body)
	}
	w.call(session(ben), "GET", "/whoami", "", "Authorization", "Bearer aic_0123456789012345678901234567890123456789012345").refused(401, "unauthenticated")
}

// A key reaches /whoami and what the host opens, and nothing else.
func TestKeyRoutes(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, configured(func(c *httpadapter.Config) {
		c.KeyRoutes = []string{"GET /profile", "PATCH /profile", "GET /api-keys/{id}"}
	}))
	w.call(session(ana), "GET", "/profile", "").is(200)
	id, secret := w.newKey(ana)
	_, unseen := w.newKey(ben)
	w.call(withKey(secret), "GET", "/whoami", "").is(200)
	w.call(withKey(secret), "HEAD", "/whoami", "").is(200)
	if a := w.call(withKey(secret), "GET", "/profile", "").is(200); a.text("email") != "ana@acme.example" {
		t.Errorf("GET /profile with a key = %s, want the whole profile", a.body)
	}
	w.call(withKey(secret), "HEAD", "/profile", "").is(200)
	w.advance(time.Second)
	w.call(withKey(secret), "PATCH", "/profile", `{"given_name":"K"}`, "If-Match", `"1"`).is(200)
	w.call(withKey(secret), "GET", "/api-keys/"+id, "").is(200)
	w.call(withKey(unseen), "GET", "/profile", "").refused(404, "not-found")
	for _, other := range []struct{ method, path string }{
		{"GET", "/api-keys"}, {"POST", "/api-keys"}, {"DELETE", "/api-keys/" + id}, {"PATCH", "/api-keys/" + id},
		{"POST", "/api-keys/" + id + "/rotations"}, {"GET", "/activity"}, {"GET", "/meta"}, {"GET", "/openapi.json"},
		{"GET", "/providers"}, {"GET", "/provider-tokens"}, {"POST", "/provider-tokens"}, {"GET", "/provider-tokens/x"},
		{"PATCH", "/provider-tokens/x"}, {"DELETE", "/provider-tokens/x"}, {"POST", "/provider-tokens/x/verifications"},
	} {
		w.call(withKey(secret), other.method, other.path, "").refused(403, "key-not-allowed")
	}
	events := w.call(session(ana), "GET", "/activity", "").is(200)
	if events.text("items.0.via") != "api_key" || events.text("items.0.detail.key_id") != id {
		t.Errorf("the history of an edit with a key = %s, want the key's id", events.body)
	}
	for _, unknown := range []string{"GET /nothing", "get /profile", "GET /profile/", "/profile", ""} {
		_, err := httpadapter.New(httpadapter.Config{Identify: identifyByCookie, Profiles: w.profiles, KeyRoutes: []string{unknown}})
		if err == nil {
			t.Errorf("New with the key route %q = nil, want an error", unknown)
		}
	}
}

// A key that may make and rotate keys gets itself no scope that it lacks.
func TestKeysGiveNoScopesTheyLack(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, configured(func(c *httpadapter.Config) {
		c.KeyRoutes = []string{"POST /api-keys", "POST /api-keys/{id}/rotations"}
	}))
	w.call(session(ana), "GET", "/profile", "").is(200)
	mine, reader := w.newKey(ana, "read")
	wide, _ := w.newKey(ana, "read", "write")
	_, none := w.newKey(ana)

	w.call(withKey(reader), "POST", "/api-keys", `{"name":"ci","scopes":["read"]}`).is(201)
	w.call(withKey(none), "POST", "/api-keys", `{"name":"ci"}`).is(201)
	w.call(withKey(reader), "POST", "/api-keys", `{"name":"ci","scopes":["read","write"]}`).refused(403, "forbidden")
	w.call(withKey(none), "POST", "/api-keys", `{"name":"ci","scopes":["read"]}`).refused(403, "forbidden")
	w.call(withKey(reader), "POST", "/api-keys", `{"name":"ci","scopes":["unknown"]}`).refused(403, "forbidden")

	const grace = `{"grace_seconds":3600}`
	w.call(withKey(reader), "POST", "/api-keys/"+wide+"/rotations", grace).refused(403, "forbidden")
	w.call(withKey(reader), "POST", "/api-keys/aaaaaaaaaa/rotations", grace).refused(404, "not-found")
	w.call(withKey(reader), "POST", "/api-keys/"+mine+"/rotations", grace).is(201)
	w.call(session(ana), "POST", "/api-keys/"+wide+"/rotations", grace).is(201)
}

func TestDeactivatedOwner(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		w.call(session(ana), "GET", "/profile", "").is(200)
		id, secret := w.newKey(ana)
		mustAPI(t, w.profiles.Deactivate(t.Context(), ownerOf(ana)))
		w.call(session(ana), "GET", "/profile", "").refused(403, "owner-deactivated")
		w.call(session(ana), "DELETE", "/api-keys/"+id, "").refused(403, "owner-deactivated")
		unknown := w.call(withKey(strangersKey(t)), "GET", "/whoami", "", "X-Request-Id", "same-request").refused(401, "unauthenticated")
		barred := w.call(withKey(secret), "GET", "/whoami", "", "X-Request-Id", "same-request").refused(401, "unauthenticated")
		if string(unknown.body) != string(barred.body) || fmt.Sprint(unknown.header) != fmt.Sprint(barred.header) {
			t.Errorf("the key of a deactivated owner answers\n%v %s, an unknown one\n%v %s", barred.header, barred.body, unknown.header, unknown.body)
		}
		mustAPI(t, w.profiles.Reactivate(t.Context(), ownerOf(ana)))
		w.call(withKey(secret), "GET", "/whoami", "").is(200)
		w.call(session(ana), "GET", "/profile", "").is(200)
	})
}

func TestMaxAuthAge(t *testing.T) {
	t.Parallel()
	var proved time.Time
	w := newAPIWorld(t, configured(func(c *httpadapter.Config) {
		c.MaxAuthAge = 10 * time.Minute
		c.Identify = func(r *http.Request) (lanyard.Principal, error) {
			p, err := identifyByCookie(r)
			p.AuthTime = proved
			return p, err
		}
	}))
	id, _ := w.newKey(ana)
	guarded := []struct{ method, path, body string }{
		{"POST", "/api-keys", `{"name":"k"}`}, {"POST", "/api-keys/" + id + "/rotations", `{"grace_seconds":60}`},
		{"POST", "/provider-tokens", jiraBody("", apiSecretAna)}, {"PATCH", "/provider-tokens/x", `{}`},
		{"DELETE", "/provider-tokens/x", ""}, {"DELETE", "/api-keys/" + id, ""},
	}
	for _, at := range []time.Time{{}, w.clock().Add(-10*time.Minute - time.Microsecond)} {
		proved = at
		for _, g := range guarded {
			w.call(session(ana), g.method, g.path, g.body).refused(403, "reauthentication-required")
		}
		w.call(session(ana), "GET", "/api-keys", "").is(200)
		w.call(session(ana), "PATCH", "/api-keys/"+id, `{"name":"k"}`).is(200)
	}
	proved = w.clock().Add(-10 * time.Minute)
	for _, g := range guarded {
		if a := w.call(session(ana), g.method, g.path, g.body); a.status == 403 {
			t.Errorf("%s %s after a proof in time = %s", g.method, g.path, a.body)
		}
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	var asked []string
	wait := 1500 * time.Millisecond
	w := newAPIWorld(t, configured(func(c *httpadapter.Config) {
		c.Limit = func(r *http.Request, p lanyard.Principal) time.Duration {
			asked = append(asked, r.Method+" "+p.Owner.Subject)
			return wait
		}
	}))
	_, secret := w.newKey(ben)
	if a := w.call(session(ana), "POST", "/api-keys", `{"name":"k"}`).refused(429, "too-many-requests"); a.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After = %q, want whole seconds, rounded up", a.header.Get("Retry-After"))
	}
	w.call(withKey(secret), "GET", "/whoami", "").refused(429, "too-many-requests")
	wait = 0
	w.call(session(ana), "POST", "/api-keys", `{"name":"k"}`).is(201)
	wait = -time.Second
	w.call(session(ana), "GET", "/api-keys", "").is(200)
	w.call(nobody, "GET", "/api-keys", "").refused(401, "unauthenticated")
	if got := strings.Join(asked, ", "); got != "POST ana, GET ben, POST ana, GET ana" {
		t.Errorf("Limit was asked %s, want once for each identified caller", got)
	}
}

func TestClientIP(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, configured(func(c *httpadapter.Config) {
		c.ClientIP = func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }
	}))
	for said, want := range map[string]any{
		"2001:db8::7": "2001:db8::7", "a\x1b[31m\nb": "a[31mb", strings.Repeat("1", 70): strings.Repeat("1", 64), "": nil,
	} {
		w.advance(time.Second)
		w.call(session(ana), "PATCH", "/profile", fmt.Sprintf(`{"given_name":"%d"}`, w.clock().Unix()), "X-Forwarded-For", said).is(200)
		if got := w.call(session(ana), "GET", "/activity", "").is(200).get("items.0.ip"); got != want {
			t.Errorf("ClientIP %q is kept as %v, want %v", said, got, want)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	for id, kept := range map[string]bool{
		"0123abcd": true, "trace-1.a_b": true, strings.Repeat("x", 64): true,
		"": false, "short": false, strings.Repeat("x", 65): false, "with space": false, "ev\x1bil-id": false, "ключ-ключ": false,
	} {
		a := w.call(session(ana), "GET", "/whoami", "", "X-Request-Id", id).is(200)
		if got := a.header.Get("X-Request-Id"); (got == id) != kept || len(got) < 8 {
			t.Errorf("X-Request-Id %q is answered with %q, want kept: %v", id, got, kept)
		}
	}
}

func TestCrossSite(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, configured(func(c *httpadapter.Config) { c.TrustedOrigins = []string{"https://hub.example.com"} }))
	id, secret := w.newKey(ana)
	before := w.dump()
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
	} {
		for _, c := range []struct{ method, path, body string }{
			{"POST", "/api-keys", `{"name":"k"}`}, {"DELETE", "/api-keys/" + id, ""}, {"PATCH", "/profile", `{}`},
		} {
			w.call(session(ana), c.method, c.path, c.body, headers...).refused(403, "cross-site-request")
			w.call(withKey(secret), c.method, c.path, c.body, headers...).refused(403, "cross-site-request")
			w.call(nobody, c.method, c.path, c.body, headers...).refused(403, "cross-site-request")
		}
		// Reading is not forged; another site cannot see the answer.
		if a := w.call(session(ana), "GET", "/api-keys", "", headers...).is(200); a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("an answer to another site opens itself to it")
		}
	}
	if after := w.dump(); !strings.HasPrefix(after, before[:20]) || strings.Contains(after, `"api_key.deleted"`) {
		t.Errorf("a forged request changed what is stored:\n%s", after)
	}
	for _, headers := range [][]string{
		{}, {"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none"}, {"Origin", "http://example.com"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://hub.example.com"},
	} {
		w.call(session(ana), "POST", "/api-keys", `{"name":"k"}`, headers...).is(201)
	}
	// A preflight opens nothing.
	a := w.call(nobody, "OPTIONS", "/api-keys", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST").refused(405, "method-not-allowed")
	for name := range a.header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("the answer to a preflight has %s", name)
		}
	}
}

func TestNewRefusesBadConfig(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	good := httpadapter.Config{Identify: identifyByCookie, Profiles: w.profiles}
	if _, err := httpadapter.New(good); err != nil {
		t.Fatalf("New = %v, want nil", err)
	}
	for field, change := range map[string]func(*httpadapter.Config){
		"Identify":       func(c *httpadapter.Config) { c.Identify = nil },
		"Profiles":       func(c *httpadapter.Config) { c.Profiles = nil },
		"KeyRoutes":      func(c *httpadapter.Config) { c.KeyRoutes = []string{"GET /api-keys"} }, // not served
		"TrustedOrigins": func(c *httpadapter.Config) { c.TrustedOrigins = []string{"hub.example.com"} },
		"LoginURL":       func(c *httpadapter.Config) { c.LoginURL = "javascript:alert(1)" },
		"Docs":           func(c *httpadapter.Config) { c.Docs = []httpadapter.Link{{Title: "x", URL: "data:text/html,x"}} },
	} {
		bad := good
		change(&bad)
		if _, err := httpadapter.New(bad); err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("New with a bad %s = %v, want an error that names it", field, err)
		}
	}
}

// strangersKey is a well-formed key that nobody has.
func strangersKey(t *testing.T) string {
	t.Helper()
	_, secret := newAPIWorld(t, apiOptions{}).newKey(ana)
	return secret
}

// Hosts see a request as it was sent, body included.
func TestHooksSeeTheRequest(t *testing.T) {
	t.Parallel()
	var path, body string
	w := newAPIWorld(t, configured(func(c *httpadapter.Config) {
		c.Identify = func(r *http.Request) (lanyard.Principal, error) {
			path = r.URL.Path
			b, err := io.ReadAll(r.Body)
			body = string(b)
			r.Body = io.NopCloser(strings.NewReader(body))
			if err != nil {
				return lanyard.Principal{}, err
			}
			return identifyByCookie(r)
		}
	}))
	w.call(session(ana), "PATCH", "/profile", `{}`).is(200)
	if path != "/api/v1/profile" || body != "{}" {
		t.Errorf("Identify saw %q with the body %q, want the path below the mount and the body", path, body)
	}
}
