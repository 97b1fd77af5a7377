package docs_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store/memory"
)

// What docs/login.md and docs/api-keys.md show, and that it does what they say.

// whoIs stands for the one of docs/login.md: a cookie says who it is.
func whoIs(r *http.Request) (lanyard.Principal, error) {
	session, err := r.Cookie("session")
	if err != nil {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return lanyard.Principal{Owner: lanyard.Owner{Subject: session.Value}}, nil
}

// requireSession lets whoever is signed in through, and tells the handler who
// it is in the same way as RequireKey does.
func requireSession(next http.Handler) http.Handler {
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := whoIs(r) // Config.Identify
		if err != nil {
			http.Error(w, "Sign in, or send an API key.", http.StatusUnauthorized)
			return
		}
		caller.Via = lanyard.ViaSession
		next.ServeHTTP(w, r.WithContext(lanyard.WithPrincipal(r.Context(), caller)))
	})
	return http.NewCrossOriginProtection().Handler(guarded) // a cookie comes along with forms of other sites
}

// logIn is Config.LoginURL, "/login?return={return}", once it is known who came.
func logIn(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "ana", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, httpadapter.ReturnPath("/account", r.FormValue("return")), http.StatusSeeOther)
}

var _ = httpadapter.Config{
	LoginURL: "/login?return={return}",
}

func oneAPI(mux *http.ServeMux, keys *apikey.Service, hostAPI http.Handler) {
	api := httpadapter.RequireKey(keys, &httpadapter.KeyOptions{Else: requireSession})(hostAPI)
	mux.Handle("/api/", api)
}

func routesWithScopes(mux *http.ServeMux, keys *apikey.Service, listReports, writeReport http.HandlerFunc) {
	read := httpadapter.RequireKey(keys, &httpadapter.KeyOptions{Scopes: []string{"read"}})
	write := httpadapter.RequireKey(keys, &httpadapter.KeyOptions{Scopes: []string{"write"}})
	mux.Handle("GET /api/reports", read(listReports))
	mux.Handle("POST /api/reports", write(writeReport))
}

func readReports(w http.ResponseWriter, r *http.Request) {
	caller, _ := lanyard.PrincipalFrom(r.Context())
	if caller.Via == lanyard.ViaAPIKey && !caller.HasScope("read") {
		http.Error(w, "The key lacks the scope read.", http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "reports of %s\n", caller.Owner.Subject)
}

// A handler behind RequireKey with Else knows a session and a key alike, and a
// scope limits keys alone.
func TestOneAPIForKeysAndSessions(t *testing.T) {
	t.Parallel()
	keys, err := apikey.NewService(memory.New(), &apikey.Options{Prefix: "aic", Scopes: []string{"read", "write"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close(t.Context()) })
	key := func(scopes ...string) string {
		made, err := keys.Create(t.Context(), lanyard.Owner{Subject: "bob"}, apikey.CreateRequest{Name: strings.Join(scopes, " ") + "key", Scopes: scopes})
		if err != nil {
			t.Fatal(err)
		}
		return made.Secret.Reveal()
	}
	mux := http.NewServeMux()
	oneAPI(mux, keys, http.HandlerFunc(readReports))
	routesWithScopes(mux, keys, readReports, readReports)
	for name, tt := range map[string]struct {
		method, path   string
		session, token string
		origin         string
		status         int
		body           string
	}{
		"a session":                   {"GET", "/api/", "ana", "", "", 200, "reports of ana\n"},
		"a key":                       {"GET", "/api/", "", key("read"), "", 200, "reports of bob\n"},
		"a key goes before a session": {"GET", "/api/", "ana", key("read"), "", 200, "reports of bob\n"},
		"a key without the scope":     {"GET", "/api/", "", key(), "", 403, "The key lacks the scope read.\n"},
		"nobody":                      {"GET", "/api/", "", "", "", 401, "Sign in, or send an API key.\n"},
		"a form of another site":      {"POST", "/api/", "ana", "", "https://evil.example", 403, ""},
		"a key from anywhere":         {"POST", "/api/", "", key("read"), "https://other.example", 200, "reports of bob\n"},
		"a route with its scope":      {"GET", "/api/reports", "", key("read"), "", 200, "reports of bob\n"},
		"a route without its scope":   {"POST", "/api/reports", "", key("read"), "", 403, ""},
		"a route for keys alone":      {"GET", "/api/reports", "ana", "", "", 401, ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, nil)
		if tt.session != "" {
			r.AddCookie(&http.Cookie{Name: "session", Value: tt.session})
		}
		if tt.token != "" {
			r.Header.Set("Authorization", "Bearer "+tt.token)
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != tt.status || tt.body != "" && w.Body.String() != tt.body {
			t.Errorf("%s: %s %s = %d %q, want %d %q", name, tt.method, tt.path, w.Code, w.Body, tt.status, tt.body)
		}
	}
}

// A login leads back to the page that was asked for, and to no other site.
func TestLoginLeadsBack(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{"api-keys%2Fnew": "/account/api-keys/new", "%2F%2Fevil.example": "/account/", "": "/account/"} {
		w := httptest.NewRecorder()
		logIn(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/login?return="+page, nil))
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("a login with the way back %q leads to %q, want %q", page, got, want)
		}
	}
}
