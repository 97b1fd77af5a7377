package elsewhere

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/aichub/lanyard/apikey"
)

// get asks for the reports with these Authorization headers.
func get(t *testing.T, e *echo.Echo, forwarded string, authorization ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/reports", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	if forwarded != "" {
		r.Header.Set(echo.HeaderXForwardedFor, forwarded)
	}
	for _, value := range authorization {
		r.Header.Add("Authorization", value)
	}
	out := httptest.NewRecorder()
	e.ServeHTTP(out, r)
	return out
}

func TestEcho(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	own, err := newEcho(w.keys)
	ok(t, err)
	for name, e := range map[string]*echo.Echo{"own": own, "wrapped": newWrappedEcho(w.keys)} {
		for _, scheme := range []string{"Bearer ", "bearer "} {
			if out := get(t, e, "", scheme+w.good); out.Code != http.StatusOK || out.Body.String() != "the reports of ana" {
				t.Errorf("%s: a good key = %d %s, want ana's reports", name, out.Code, out.Body)
			}
		}
		whole := func(out *httptest.ResponseRecorder) string {
			return fmt.Sprint(out.Code, out.Header(), out.Body)
		}
		refused := whole(get(t, e, "", "Bearer "+stranger(t)))
		for what, values := range map[string][]string{
			"wrong secret": {"Bearer " + w.good[:14] + w.other[14:]}, "deleted": {"Bearer " + w.deleted},
			"of a deactivated user": {"Bearer " + w.deactivated}, "malformed": {"Bearer aic_x"}, "none": nil, "Basic": {"Basic " + w.good},
		} {
			out := get(t, e, "", values...)
			if whole(out) != refused || out.Code != http.StatusUnauthorized || out.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: a key that is %s = %s, want %s", name, what, whole(out), refused)
			}
		}
		if out := get(t, e, "", "Bearer "+w.good, "Bearer "+w.good); out.Code/100 != 4 {
			t.Errorf("%s: two headers = %d, want a refusal", name, out.Code)
		}
		if out := get(t, e, "", "Bearer "+w.bare); out.Code != http.StatusForbidden || out.Header().Get("WWW-Authenticate") == "Bearer" {
			t.Errorf("%s: a key without the scope = %s, want 403 and why", name, whole(out))
		}
	}
	ok(t, w.keys.Close(t.Context()))
	if out := get(t, own, "", "Bearer "+w.good); out.Code != http.StatusServiceUnavailable || out.Header().Get("Retry-After") == "" {
		t.Errorf("while keys cannot be verified: %d, want 503 with Retry-After", out.Code)
	}
	if _, err := requireKey(w.keys, "raed"); err == nil {
		t.Error("a scope that no key can have = nil, want an error")
	}
}

func TestEchoRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *apikey.Options) { o.Rate, o.Burst = 0.01, 1 })
	e, err := newEcho(w.keys)
	ok(t, err)
	get(t, e, "", "Bearer "+w.good)
	out := get(t, e, "", "Bearer "+w.good)
	if after := out.Header().Get("Retry-After"); out.Code != http.StatusTooManyRequests || after != "100" && after != "99" {
		t.Errorf("a busy key = %d with Retry-After %q, want 429 and 100", out.Code, after)
	}
}

// Nobody says of himself where he comes from.
func TestEchoFromWhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback)
	e, err := newEcho(w.keys)
	ok(t, err)
	if out := get(t, e, "127.0.0.1", "Bearer "+w.good); out.Code != http.StatusUnauthorized {
		t.Errorf("a forged X-Forwarded-For = %d, want 401", out.Code)
	}
	e.IPExtractor = func(*http.Request) string { return "127.0.0.1" }
	if out := get(t, e, "", "Bearer "+w.good); out.Code != http.StatusOK {
		t.Errorf("from an allowed network = %d, want 200", out.Code)
	}
}
