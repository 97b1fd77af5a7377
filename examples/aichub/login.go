package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
)

// The sign-in is the one part that is not for production: a visitor is who he
// says he is, in a header or in a cookie. A host looks into its session here.
const (
	userHeader  = "X-Demo-User"
	loginCookie = "aichub_demo"
)

// identify is what httpadapter.Config.Identify asks for.
func identify(r *http.Request) (lanyard.Principal, error) {
	name := r.Header.Get(userHeader)
	if cookie, err := r.Cookie(loginCookie); name == "" && err == nil {
		name, err = url.QueryUnescape(cookie.Value)
		if err != nil {
			return lanyard.Principal{}, lanyard.ErrUnauthenticated
		}
	}
	owner := lanyard.Owner{Subject: name}
	if owner.Validate() != nil {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return lanyard.Principal{Owner: owner, Via: lanyard.ViaSession, Name: name}, nil
}

// login signs in as the name in the query and shows the page.
func login(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	name := r.URL.Query().Get("as")
	if (lanyard.Owner{Subject: name}).Validate() != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintln(w, "Say who you are, as in /login?as=ana. Nobody asks for a password.")
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where there is TLS; a demo on loopback has none
		Name: loginCookie, Value: url.QueryEscape(name), Path: "/",
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.Header.Get("X-Forwarded-Proto") == "https",
	})
	http.Redirect(w, r, httpadapter.ReturnPath(pagePrefix, r.URL.Query().Get("return")), http.StatusSeeOther) //nolint:gosec // ReturnPath names no other place than a page of the mount
}
