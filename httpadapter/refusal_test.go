package httpadapter_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store"
)

// keyDoors are the two ways in for a key: a host's own API and ours. Each
// answers for a request from an address.
func keyDoors(w *apiWorld) map[string]func(authorization, ip string) apiAnswer {
	door := func(h http.Handler, target string) func(authorization, ip string) apiAnswer {
		return func(authorization, ip string) apiAnswer {
			w.t.Helper()
			r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, target, nil)
			r.Body = http.NoBody
			r.RemoteAddr = ip + ":1234"
			if authorization != "" {
				r.Header.Set("Authorization", authorization)
			}
			out := httptest.NewRecorder()
			h.ServeHTTP(out, r)
			return apiAnswer{t: w.t, what: "GET " + target, status: out.Code, header: out.Header(), body: out.Body.Bytes()}
		}
	}
	return map[string]func(authorization, ip string) apiAnswer{
		"RequireKey": door(httpadapter.RequireKey(w.keys, nil)(new(hostAPI)), "/api"),
		"whoami":     door(w.server, "/account/api/v1/whoami"),
	}
}

// whole is all of an answer but what tells requests apart.
func (a apiAnswer) whole() string {
	header := a.header.Clone()
	id := header.Get("X-Request-Id")
	header.Del("X-Request-Id")
	header.Del("Date")
	body := string(a.body)
	if id != "" {
		body = strings.ReplaceAll(body, `"request_id":"`+id+`"`, `"request_id":"…"`)
	}
	return fmt.Sprint(a.status, header, body)
}

// Whatever is wrong with a key, the answer is the same, to the byte: nobody
// learns that a key was ever good, whose it was or why it is not any more.
func TestRefusedKeysLookAlike(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open, keys: func(o *apikey.Options) {
			o.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}})
		const inside, outside = "192.0.2.1", "198.51.100.1"
		_, good := w.newKey(ana)
		_, other := w.newKey(ana)
		deletedID, deleted := w.newKey(ana)
		mustAPI(t, w.keys.Delete(t.Context(), ownerOf(ana), deletedID, 0))
		rotatedID, rotated := w.newKey(ana)
		_, err := w.keys.Rotate(t.Context(), ownerOf(ana), rotatedID, apikey.RotateRequest{})
		mustAPI(t, err)
		_, barred := w.newKey(ben)
		mustAPI(t, w.profiles.Deactivate(t.Context(), ownerOf(ben)))
		ending, err := w.keys.Create(t.Context(), ownerOf(ana), apikey.CreateRequest{Name: "n", ExpiresAt: w.clock().Add(time.Second)})
		mustAPI(t, err)
		w.advance(time.Second)
		unknown := strangersKey(t)

		for name, ask := range keyDoors(w) {
			want := ask("Bearer "+unknown, inside)
			if want.status != http.StatusUnauthorized || want.header.Get("WWW-Authenticate") != "Bearer" {
				t.Fatalf("%s: an unknown key = %s, want 401 with Bearer", name, want.whole())
			}
			for what, c := range map[string]struct{ authorization, ip string }{
				"wrong secret":     {"Bearer " + good[:14] + other[14:], inside},
				"wrong checksum":   {"Bearer " + good[:len(good)-6] + other[len(other)-6:], inside},
				"malformed":        {"Bearer aic_x", inside},
				"no checksum":      {"Bearer aic_" + strings.Repeat("0", 46), inside},
				"deleted":          {"Bearer " + deleted, inside},
				"rotated away":     {"Bearer " + rotated, inside},
				"expired":          {"Bearer " + ending.Secret.Reveal(), inside},
				"of a barred user": {"Bearer " + barred, inside},
				"from outside":     {"Bearer " + good, outside},
				"from nowhere":     {"Bearer " + good, ""},
				"not ours":         {"Bearer ghp_0123", inside},
				"Basic":            {"Basic " + good, inside},
				"no scheme":        {good, inside},
				"tab":              {"Bearer\t" + good, inside},
				"empty bearer":     {"Bearer ", inside},
				"none":             {"", inside},
			} {
				for range 2 { // read from the store, and remembered
					if got := ask(c.authorization, c.ip); got.whole() != want.whole() {
						t.Errorf("%s, %s:\n%s, want as for an unknown key\n%s", name, what, got.whole(), want.whole())
					}
				}
			}
			if got := ask("Bearer "+good, inside); got.status/100 != 2 {
				t.Errorf("%s: a good key = %s", name, got.whole())
			}
		}
	})
}

// A good key that is used too often hears when to come back, at both doors, and
// from one account.
func TestKeyRateAtBothDoors(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"RequireKey", "whoami"} {
		w := newAPIWorld(t, apiOptions{keys: func(o *apikey.Options) { o.Rate, o.Burst = 0.01, 1 }})
		_, good := w.newKey(ana)
		_, other := w.newKey(ana)
		doors := keyDoors(w)
		if a := doors[first]("Bearer "+good, "192.0.2.1"); a.status/100 != 2 {
			t.Fatalf("%s: a key's first call = %s", first, a.whole())
		}
		for name, ask := range doors {
			a := ask("Bearer "+good, "192.0.2.1").refused(429, "too-many-requests")
			if after := a.header.Get("Retry-After"); after != "100" && after != "99" {
				t.Errorf("%s: a key that is used too often has to wait %q seconds, want 100", name, after)
			}
			if a.header.Get("WWW-Authenticate") != "" || strings.Contains(string(a.body), "login_url") {
				t.Errorf("%s: 429 = %s, want nothing that asks for another credential", name, a.whole())
			}
		}
		if strings.Contains(w.log.String(), "request failed") {
			t.Errorf("a key's rate is logged as a failure: %s", w.log)
		}
		if a := doors["whoami"]("Bearer "+other, "192.0.2.1"); a.status != 200 {
			t.Errorf("another key of the same user = %s, want 200", a.whole())
		}
	}
}

// The networks are asked of the address that Config.ClientIP names.
func TestKeyNetworkBehindAProxy(t *testing.T) {
	t.Parallel()
	header := func(r *http.Request) string { return r.Header.Get("X-Real-Ip") }
	w := newAPIWorld(t, apiOptions{
		keys: func(o *apikey.Options) { o.Networks = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")} },
		config: func(_ *apiWorld, c *httpadapter.Config) {
			c.ClientIP = header
		},
	})
	_, good := w.newKey(ana)
	for ip, want := range map[string]int{"2001:db8::1": 200, "2001:db9::1": 401, "": 401, "2001:db8::1, 2001:db9::1": 401} {
		if a := w.call(withKey(good), "GET", "/whoami", "", "X-Real-Ip", ip); a.status != want {
			t.Errorf("GET /whoami from %q = %d, want %d", ip, a.status, want)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api", nil)
		r.Header.Set("Authorization", "Bearer "+good)
		r.Header.Set("X-Real-Ip", ip)
		out := httptest.NewRecorder()
		httpadapter.RequireKey(w.keys, &httpadapter.KeyOptions{ClientIP: header})(new(hostAPI)).ServeHTTP(out, r)
		if (out.Code == http.StatusNoContent) != (want == 200) {
			t.Errorf("RequireKey from %q = %d, want as whoami's %d", ip, out.Code, want)
		}
	}
	_, err := w.keys.Keys(t.Context(), ownerOf(ana)) // which stores what was noted
	mustAPI(t, err)
	events := w.call(session(ana), "GET", "/activity", "").is(200)
	if !strings.Contains(string(events.body), apikey.ActionRefusedNetwork) {
		t.Errorf("GET /activity = %s, want the refused network in it", events.body)
	}
}
