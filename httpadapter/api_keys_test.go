package httpadapter_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store"
)

func TestCreateKey(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		a := w.call(session(ana), "POST", "/api-keys", `{"name":" laptop ","expires_at":"2026-12-24T09:30:00-03:00","scopes":["write","read","read"]}`).is(201)
		id, secret := a.text("api_key.id"), a.text("secret")
		for path, want := range map[string]string{
			"api_key.name": "laptop", "api_key.status": "active", "api_key.hint": "aic_" + id,
			"api_key.created_at": "2026-11-24T09:30:00.123456Z", "api_key.expires_at": "2026-12-24T12:30:00Z",
			"api_key.scopes.0": "read", "api_key.scopes.1": "write",
		} {
			if got := a.text(path); got != want {
				t.Errorf("%s = %q, want %q", path, got, want)
			}
		}
		if a.get("api_key.scopes.2") != nil || a.get("api_key.last_used_at") != nil || a.get("api_key.rotated_from") != nil {
			t.Errorf("POST /api-keys = %s, want two scopes, no last use and no predecessor", a.body)
		}
		if got := a.header.Get("ETag"); got != `"1"` {
			t.Errorf("ETag = %s, want \"1\"", got)
		}
		if got := a.header.Get("Location"); got != "api-keys/"+id {
			t.Errorf("Location = %q, want one relative to the request", got)
		}
		if got := a.header.Get("Idempotency-Replayed"); got != "" {
			t.Errorf("Idempotency-Replayed = %q, want none", got)
		}
		p, err := w.keys.Verify(t.Context(), secret)
		if err != nil || p.Owner != ownerOf(ana) {
			t.Errorf("Verify(the new key) = %v, %v, want ana's", p.Owner, err)
		}
		list := w.call(session(ana), "GET", "/api-keys", "").is(200)
		if list.text("items.0.id") != id || list.get("items.1") != nil || strings.Contains(string(list.body), "secret") {
			t.Errorf("GET /api-keys = %s, want the one key without a secret", list.body)
		}
		if got := w.call(session(ben), "GET", "/api-keys", "").is(200); string(got.body) != `{"items":[]}` {
			t.Errorf("GET /api-keys of a user without keys = %s", got.body)
		}
	})
}

func TestKeyLife(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		id, secret := w.newKey(ana)
		one := "/api-keys/" + id

		a := w.call(session(ana), "GET", one, "").is(200)
		if a.text("id") != id || a.header.Get("ETag") != `"1"` {
			t.Errorf("GET %s = %s with ETag %s", one, a.body, a.header.Get("ETag"))
		}
		a = w.call(session(ana), "PATCH", one, `{"name":"build"}`, "Content-Type", "application/merge-patch+json").is(200)
		if a.text("name") != "build" || a.header.Get("ETag") != `"2"` {
			t.Errorf("PATCH %s = %s with ETag %s, want the new name and \"2\"", one, a.body, a.header.Get("ETag"))
		}
		w.call(session(ana), "DELETE", one, "").is(204)
		w.call(session(ana), "DELETE", one, "").refused(404, "not-found")
		w.call(session(ana), "GET", one, "").refused(404, "not-found")
		w.call(session(ana), "PATCH", one, `{"name":"x"}`).refused(404, "not-found")
		w.call(session(ana), "POST", one+"/rotations", `{"grace_seconds":0}`).refused(404, "not-found")
		w.call(withKey(secret), "GET", "/whoami", "").refused(401, "unauthenticated")
	})
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		id, old := w.newKey(ana, "read")
		a := w.call(session(ana), "POST", "/api-keys/"+id+"/rotations", `{"grace_seconds":60}`).is(201)
		next := a.text("api_key.id")
		if a.text("api_key.rotated_from") != id || a.text("api_key.scopes.0") != "read" || a.text("old_expires_at") != "2026-11-24T09:31:00.123456Z" {
			t.Errorf("POST …/rotations = %s, want a successor with the scope, and the old key's end", a.body)
		}
		if got := a.header.Get("Location"); got != "../"+next {
			t.Errorf("Location = %q, want one relative to the request", got)
		}
		w.call(withKey(old), "GET", "/whoami", "").is(200)
		w.call(withKey(a.text("secret")), "GET", "/whoami", "").is(200)
		w.call(session(ana), "POST", "/api-keys/"+id+"/rotations", `{"grace_seconds":0}`).refused(409, "conflict")
		w.advance(time.Minute)
		w.call(withKey(old), "GET", "/whoami", "").refused(401, "unauthenticated")
		w.call(session(ana), "POST", "/api-keys/"+id+"/rotations", `{"grace_seconds":0}`).refused(409, "conflict")
		for _, bad := range []string{"-1", "2592001", "1.5", "1e400", "9223372036854775808", `"0"`, "true"} {
			w.call(session(ana), "POST", "/api-keys/"+next+"/rotations", `{"grace_seconds":`+bad+`}`).
				refused(422, "invalid-input /grace_seconds invalid")
		}
		w.call(session(ana), "POST", "/api-keys/"+next+"/rotations", `{}`).refused(422, "invalid-input /grace_seconds required")
		w.call(session(ana), "POST", "/api-keys/"+next+"/rotations", "").refused(400, "malformed-request")
	})
}

// "Is the old key safe to delete?" is answered by what happened.
func TestRotatedKeySaysWhetherItIsUsed(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		ip := "192.0.2.17"
		w := newAPIWorld(t, apiOptions{store: open, config: func(_ *apiWorld, c *httpadapter.Config) {
			c.ClientIP = func(*http.Request) string { return ip }
		}})
		id, old := w.newKey(ana)
		one := "/api-keys/" + id
		show := func() string {
			t.Helper()
			a := w.call(session(ana), "GET", one, "").is(200)
			list := w.call(session(ana), "GET", "/api-keys", "").is(200)
			if !bytes.Contains(list.body, a.body) {
				t.Errorf("GET /api-keys = %s, want %s in it", list.body, a.body)
			}
			var b strings.Builder
			for _, name := range []string{
				"first_used_at", "first_used_from", "last_used_at", "last_used_from", "rotated_at", "rotated_to", "used_since_rotation",
			} {
				if v := a.get(name); v != nil {
					fmt.Fprintf(&b, "%s=%v ", name, v)
				}
			}
			return b.String()
		}
		is := func(when, want string) {
			t.Helper()
			if got := show(); got != want {
				t.Errorf("%s: a key says\n%s, want\n%s", when, got, want)
			}
		}
		is("before its first use", "")

		w.call(withKey(old), "GET", "/whoami", "").is(200)
		first := "first_used_at=2026-11-24T09:30:00.123456Z first_used_from=192.0.2.0/24 "
		is("used", first+"last_used_at=2026-11-24T09:30:00.123456Z last_used_from=192.0.2.0/24 ")

		w.advance(time.Hour)
		next := w.call(session(ana), "POST", one+"/rotations", `{"grace_seconds":86400}`).is(201).text("api_key.id")
		rotated := "rotated_at=2026-11-24T10:30:00.123456Z rotated_to=" + next + " "
		is("rotated", first+"last_used_at=2026-11-24T09:30:00.123456Z last_used_from=192.0.2.0/24 "+rotated+"used_since_rotation=false ")
		if a := w.call(session(ana), "PATCH", one, `{"name":"old"}`).is(200); a.text("rotated_to") != next {
			t.Errorf("PATCH of a rotated key = %s, want rotated_to %s", a.body, next)
		}
		if a := w.call(session(ana), "GET", "/api-keys/"+next, "").is(200); a.get("rotated_at") != nil || a.get("used_since_rotation") != nil {
			t.Errorf("the successor = %s, want nothing of a rotation of its own", a.body)
		}

		w.advance(time.Hour)
		ip = "2001:db8:1:2::3"
		w.call(withKey(old), "GET", "/whoami", "").is(200)
		still := first + "last_used_at=2026-11-24T11:30:00.123456Z last_used_from=2001:db8:1::/48 "
		is("used in its grace", still+rotated+"used_since_rotation=true ")

		w.call(session(ana), "DELETE", "/api-keys/"+next, "").is(204)
		is("without its successor", still+"rotated_at=2026-11-24T10:30:00.123456Z used_since_rotation=true ")
	})
}

// A key lives no longer than the policy says, and as long as it says where
// nobody asked.
func TestKeyLifePolicy(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		const day = 24 * time.Hour
		w := newAPIWorld(t, apiOptions{store: open, keys: func(o *apikey.Options) { o.MaxLife, o.DefaultLife = 90*day, 30*day }})
		create := func(body string) apiAnswer { return w.call(session(ana), "POST", "/api-keys", body) }
		end := func(d time.Duration) string {
			return fmt.Sprintf(`{"name":"n","expires_at":%q}`, w.clock().Add(d).Format(time.RFC3339Nano))
		}
		if a := create(`{"name":"n"}`).is(201); a.text("api_key.expires_at") != "2026-12-24T09:30:00.123456Z" {
			t.Errorf("a key whose end nobody named = %s, want thirty days", a.body)
		}
		create(end(90 * day)).is(201)
		create(end(91*day+time.Microsecond)).refused(422, "invalid-input /expires_at too-late")
		if a := w.call(session(ana), "GET", "/meta", "").is(200); a.get("limits.api_key_max_life_seconds") != 7776000. || a.get("limits.api_key_default_life_seconds") != 2592000. {
			t.Errorf("GET /meta = %s, want both lives in seconds", a.body)
		}
	})
	w := newAPIWorld(t, apiOptions{keys: func(o *apikey.Options) { o.MaxLife = time.Hour }})
	if a := w.call(session(ana), "GET", "/meta", "").is(200); a.get("limits.api_key_default_life_seconds") != 3600. {
		t.Errorf("GET /meta = %s, want a default life of the longest one", a.body)
	}
}

func TestLimitOfKeys(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open, keys: func(o *apikey.Options) { o.Limit = 2 }})
		for range 2 {
			w.call(session(ana), "POST", "/api-keys", `{"name":"k"}`).is(201)
		}
		w.call(session(ana), "POST", "/api-keys", `{"name":"k"}`).refused(409, "limit-reached")
		w.call(session(ben), "POST", "/api-keys", `{"name":"k"}`).is(201)
	})
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		create := func(who, body string, keys ...string) apiAnswer {
			var headers []string
			for _, k := range keys {
				headers = append(headers, "Idempotency-Key", k)
			}
			return w.call(session(who), "POST", "/api-keys", body, headers...)
		}
		first := create(ana, `{"name":"laptop","scopes":["read","write"]}`, "k-1").is(201)
		// The order of members and scopes, and white space, make no other request.
		again := create(ana, `{ "scopes":["write","read"], "name":" laptop" }`, "k-1").is(201)
		if again.header.Get("Idempotency-Replayed") != "true" || again.get("secret") != nil {
			t.Errorf("the replay = %s with Idempotency-Replayed %q, want no secret and true", again.body, again.header.Get("Idempotency-Replayed"))
		}
		if again.text("api_key.id") != first.text("api_key.id") || again.header.Get("Location") != first.header.Get("Location") || again.header.Get("ETag") != `"1"` {
			t.Errorf("the replay = %s, want the first key", again.body)
		}
		create(ana, `{"name":"other"}`, "k-1").refused(422, "idempotency-key-reused")

		other := create(ben, `{"name":"laptop","scopes":["read","write"]}`, "k-1").is(201)
		if other.text("secret") == "" || other.text("api_key.id") == first.text("api_key.id") {
			t.Errorf("another user's request with the same key was answered as a replay")
		}
		create(globex, `{"name":"laptop"}`, "k-1").is(201)

		w.call(session(ana), "DELETE", "/api-keys/"+first.text("api_key.id"), "").is(204)
		create(ana, `{"name":"laptop","scopes":["read","write"]}`, "k-1").refused(409, "conflict")

		for _, bad := range []string{"", strings.Repeat("x", 256), strings.Repeat("x", 1<<10), "a\tb", "é", "a\x80"} {
			create(ana, `{"name":"n"}`, bad).refused(400, "malformed-request")
		}
		create(ana, `{"name":"n"}`, "a", "a").refused(400, "malformed-request")
		create(ana, `{"name":"n"}`, strings.Repeat("x", 255)).is(201)
		if got := w.call(session(ana), "GET", "/api-keys", "").is(200); got.get("items.1") != nil {
			t.Errorf("GET /api-keys = %s, want the one key that was made", got.body)
		}
	})
}

// A hundred requests at once with one Idempotency-Key make one key, and show it
// once.
func TestIdempotencyKeyAtOnce(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	w.call(session(ana), "GET", "/whoami", "").is(200)
	const n = 100
	secrets := make(chan string, n)
	for range n {
		go func() {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/account/api/v1/api-keys", strings.NewReader(`{"name":"one"}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", "once")
			a := w.serve(session(ana), r)
			if a.status != 201 {
				t.Errorf("POST /api-keys = %d, want 201", a.status)
				secrets <- ""
				return
			}
			secrets <- a.text("secret")
		}()
	}
	shown := 0
	for range n {
		if <-secrets != "" {
			shown++
		}
	}
	keys, err := w.keys.Keys(t.Context(), ownerOf(ana))
	mustAPI(t, err)
	if shown != 1 || len(keys) != 1 {
		t.Errorf("%d requests at once made %d keys and showed %d secrets, want 1 and 1", n, len(keys), shown)
	}
}

func TestKeyStatus(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	end := w.clock().Add(30 * 24 * time.Hour)
	a := w.call(session(ana), "POST", "/api-keys", fmt.Sprintf(`{"name":"k","expires_at":%q}`, end.Format(time.RFC3339Nano))).is(201)
	one := "/api-keys/" + a.text("api_key.id")
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "active"}, {24 * 24 * time.Hour, "expiring"}, {7 * 24 * time.Hour, "expired"}} {
		w.advance(step.after)
		if got := w.call(session(ana), "GET", one, "").is(200).text("status"); got != step.want {
			t.Errorf("status %v before the end = %q, want %q", end.Sub(w.clock()), got, step.want)
		}
	}
	w.call(withKey(a.text("secret")), "GET", "/whoami", "").refused(401, "unauthenticated")
	// An expired key is still there to be deleted.
	w.call(session(ana), "DELETE", one, "").is(204)
}

// A key that cannot be rotated any more is a conflict and not stale: If-Match
// names the version there is.
func TestRotateOfTheCurrentVersion(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	const grace = `{"grace_seconds":3600}`
	etagOf := func(id string) string {
		return w.call(session(ana), "GET", "/api-keys/"+id, "").is(200).header.Get("ETag")
	}
	rotated, _ := w.newKey(ana)
	before := etagOf(rotated)
	w.call(session(ana), "POST", "/api-keys/"+rotated+"/rotations", grace, "If-Match", before).is(201)
	w.call(session(ana), "POST", "/api-keys/"+rotated+"/rotations", grace, "If-Match", before).refused(412, "stale")
	w.call(session(ana), "POST", "/api-keys/"+rotated+"/rotations", grace, "If-Match", etagOf(rotated)).refused(409, "conflict")

	w.call(session(ana), "POST", "/api-keys/"+rotated+"/rotations", grace, "If-Match", "*").refused(409, "conflict")
	w.advance(2 * time.Hour)
	w.call(session(ana), "POST", "/api-keys/"+rotated+"/rotations", grace, "If-Match", etagOf(rotated)).refused(409, "conflict")
}
