package embed

import (
	"context"
	"net/http"

	"github.com/aichub/lanyard"
)

// sessionCookie stands for your session. This one believes what it says.
const sessionCookie = "session"

// userKey is where the context holds who is signed in.
type userKey struct{}

// session is the sign-in middleware that your application has: it puts who is
// signed in into the context, and lets everybody pass.
func session(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie(sessionCookie); err == nil && cookie.Value != "" {
			r = r.WithContext(context.WithValue(r.Context(), userKey{}, cookie.Value))
		}
		next.ServeHTTP(w, r)
	})
}

// whoIs is Config.Identify: it asks what the middleware found.
func whoIs(r *http.Request) (lanyard.Principal, error) {
	id, ok := r.Context().Value(userKey{}).(string)
	if !ok {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return lanyard.Principal{Owner: lanyard.Owner{Subject: id}, GivenName: "Ana", FamilyName: "Lima"}, nil
}

// signIn is the login that Config.LoginURL names. Behind a proxy that ends TLS
// the cookie is for TLS alone, if the proxy says so.
func signIn(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there is TLS
		Name: sessionCookie, Value: "ana", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
	w.Header().Set("Location", "./account/") // relative: a proxy may have taken a prefix off
	w.WriteHeader(http.StatusSeeOther)
}
