package httpadapter_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

// versioned are the requests that take If-Match, on fresh records.
func versioned(w *apiWorld) []struct{ name, method, path, body string } {
	key, _ := w.newKey(ana)
	again, _ := w.newKey(ana)
	token := w.newToken(ana, key)
	return []struct{ name, method, path, body string }{
		{"profile", "PATCH", "/profile", `{"given_name":"` + key + `"}`},
		{"key", "PATCH", "/api-keys/" + key, `{"name":"renamed"}`},
		{"connection", "PATCH", "/provider-tokens/" + token, `{"label":"renamed ` + key + `"}`},
		{"rotation", "POST", "/api-keys/" + again + "/rotations", `{"grace_seconds":60}`},
		{"key", "DELETE", "/api-keys/" + key, ""},
		{"connection", "DELETE", "/provider-tokens/" + token, ""},
	}
}

// current returns the entity tag of the record a request changes.
func (w *apiWorld) current(path string) string {
	w.t.Helper()
	return w.call(session(ana), "GET", strings.TrimSuffix(path, "/rotations"), "").is(200).header.Get("ETag")
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open, keys: func(o *apikey.Options) { o.Limit = -1 }})
		for _, c := range []struct {
			name    string
			headers func(now string) []string
			status  int // 0 = success
			code    string
		}{
			{"stale", func(string) []string { return []string{`"99"`} }, 412, "stale"},
			{"no number", func(string) []string { return []string{`"x"`} }, 412, "stale"},
			{"empty tag", func(string) []string { return []string{`""`} }, 412, "stale"},
			{"weak", func(now string) []string { return []string{"W/" + now} }, 412, "stale"},
			{"weak among strong", func(now string) []string { return []string{"W/" + now + `, "0"`} }, 412, "stale"},
			{"no leading zeros", func(now string) []string { return []string{`"0` + now[1:]} }, 412, "stale"},
			{"a list without it", func(string) []string { return []string{`"98", "99"`} }, 412, "stale"},
			{"bare number", func(string) []string { return []string{"1"} }, 400, "malformed-request"},
			{"empty", func(string) []string { return []string{""} }, 400, "malformed-request"},
			{"commas", func(string) []string { return []string{", ,"} }, 400, "malformed-request"},
			{"unclosed", func(string) []string { return []string{`"1`} }, 400, "malformed-request"},
			{"junk behind", func(now string) []string { return []string{now + "x"} }, 400, "malformed-request"},
			{"junk in front", func(now string) []string { return []string{"x, " + now} }, 400, "malformed-request"},
			{"star in a list", func(now string) []string { return []string{"*, " + now} }, 400, "malformed-request"},
			{"star and another header", func(now string) []string { return []string{"*", now} }, 400, "malformed-request"},
			{"lower case weak", func(now string) []string { return []string{"w/" + now} }, 400, "malformed-request"},
			{"weak alone", func(string) []string { return []string{"W/"} }, 400, "malformed-request"},
			{"current", func(now string) []string { return []string{now} }, 0, ""},
			{"star", func(string) []string { return []string{" * "} }, 0, ""},
			{"a list with it", func(now string) []string { return []string{`"99" ,` + now + ", W/\"7\""} }, 0, ""},
			{"two headers", func(now string) []string { return []string{`"99"`, now} }, 0, ""},
			{"absent", func(string) []string { return nil }, 0, ""},
		} {
			for _, r := range versioned(w) {
				now := w.current(r.path)
				var headers []string
				for _, value := range c.headers(now) {
					headers = append(headers, "If-Match", value)
				}
				before := w.dump()
				a := w.call(session(ana), r.method, r.path, r.body, headers...)
				if c.status != 0 {
					a.refused(c.status, c.code)
					w.unchanged(before, fmt.Sprintf("If-Match %s: %s of a %s", c.name, r.method, r.name))
					continue
				}
				if a.status >= 300 {
					t.Errorf("If-Match %s: %s of a %s = %d %s, want success", c.name, r.method, r.name, a.status, a.body)
				}
			}
		}
	})
}

// If-None-Match spares a reader what he has, and keeps a change from a version
// that it rules out. Other than If-Match it compares weakly.
func TestIfNoneMatch(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open, keys: func(o *apikey.Options) { o.Limit = -1 }})
		for _, c := range []struct {
			name          string
			header        func(now string) []string
			read, changed int
		}{
			{"current", func(now string) []string { return []string{now} }, 304, 412},
			{"weak", func(now string) []string { return []string{"W/" + now} }, 304, 412},
			{"star", func(string) []string { return []string{"*"} }, 304, 412},
			{"a list with it", func(now string) []string { return []string{`"99", W/` + now} }, 304, 412},
			{"two headers", func(now string) []string { return []string{`"99"`, now} }, 304, 412},
			{"another", func(string) []string { return []string{`"99"`} }, 200, 0},
			{"weak of another", func(string) []string { return []string{`W/"99"`} }, 200, 0},
			{"junk", func(now string) []string { return []string{now + "x"} }, 200, 400},
			{"bare number", func(string) []string { return []string{"1"} }, 200, 400},
			{"empty", func(string) []string { return []string{""} }, 200, 400},
		} {
			now := w.current("/profile")
			for _, method := range []string{"GET", "HEAD"} {
				var headers []string
				for _, value := range c.header(now) {
					headers = append(headers, "If-None-Match", value)
				}
				a := w.call(session(ana), method, "/profile", "", headers...).is(c.read)
				if a.header.Get("ETag") != now || (a.status == 304 && a.header.Get("Content-Type") != "") {
					t.Errorf("%s: %s /profile = %d with ETag %q and Content-Type %q, want %s", c.name, method, a.status, a.header.Get("ETag"), a.header.Get("Content-Type"), now)
				}
			}
			for _, r := range versioned(w) {
				now := w.current(r.path)
				var headers []string
				for _, value := range c.header(now) {
					headers = append(headers, "If-None-Match", value)
				}
				before := w.dump()
				a := w.call(session(ana), r.method, r.path, r.body, headers...)
				if c.changed == 0 {
					if a.status >= 300 {
						t.Errorf("If-None-Match %s: %s of a %s = %d %s, want success", c.name, r.method, r.name, a.status, a.body)
					}
					continue
				}
				a.refused(c.changed, map[int]string{400: "malformed-request", 412: "stale"}[c.changed])
				w.unchanged(before, fmt.Sprintf("If-None-Match %s: %s of a %s", c.name, r.method, r.name))
			}
		}
		// What was used since it was read looks different and has the same
		// version, so it is always told.
		id, secret := w.newKey(ana)
		w.call(withKey(secret), "GET", "/whoami", "").is(200)
		if a := w.call(session(ana), "GET", "/api-keys/"+id, "", "If-None-Match", `"1"`).is(200); a.text("last_used_at") == "" {
			t.Errorf("GET of a key that was used = %s, want last_used_at", a.body)
		}
		// Both conditions hold or nothing is done.
		w.call(session(ana), "PATCH", "/api-keys/"+id, `{"name":"x"}`, "If-Match", `"1"`, "If-None-Match", `"1"`).refused(412, "stale")
		w.call(session(ana), "PATCH", "/api-keys/"+id, `{"name":"x"}`, "If-Match", `"2"`, "If-None-Match", `"2"`).refused(412, "stale")
		w.call(session(ana), "PATCH", "/api-keys/"+id, `{"name":"x"}`, "If-Match", `"1"`, "If-None-Match", `"2"`).is(200)
	})
}

// An unknown record is 404, whatever the header says; a header that cannot be
// read is so only for what is there.
func TestIfMatchOfAnUnknownRecord(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	for _, header := range []string{"*", `"1"`, "junk"} {
		w.call(session(ana), "DELETE", "/api-keys/0000000000", "", "If-Match", header).refused(404, "not-found")
		w.call(session(ana), "PATCH", "/api-keys/0000000000", `{"name":"x"}`, "If-Match", header).refused(404, "not-found")
		w.call(session(ana), "DELETE", "/provider-tokens/0000000000", "", "If-Match", header).refused(404, "not-found")
	}
}

// Of many who change one version at once, one wins and the others learn of it.
func TestIfMatchAtOnce(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		id, _ := w.newKey(ana)
		w.call(session(ana), "GET", "/profile", "").is(200)
		for _, path := range []string{"/api-keys/" + id, "/profile"} {
			const n = 16
			var won, lost atomic.Int32
			done := make(chan struct{})
			for i := range n {
				go func() {
					defer func() { done <- struct{}{} }()
					member := "name"
					if path == "/profile" {
						member = "given_name"
					}
					r := httptest.NewRequestWithContext(t.Context(), "PATCH", "/account/api/v1"+path, strings.NewReader(fmt.Sprintf(`{"%s":"n%d"}`, member, i)))
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("If-Match", `"1"`)
					switch a := w.serve(session(ana), r); a.status {
					case http.StatusOK:
						won.Add(1)
					case http.StatusPreconditionFailed:
						lost.Add(1)
					default:
						t.Errorf("PATCH %s at once = %d %s", path, a.status, a.body)
					}
				}()
			}
			for range n {
				<-done
			}
			if won.Load() != 1 || lost.Load() != n-1 {
				t.Errorf("%d changes of one version of %s: %d won and %d lost, want 1 and %d", n, path, won.Load(), lost.Load(), n-1)
			}
		}
	})
}
