package main

import (
	"html/template"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
)

// The demo sign-in: a visitor is who he says he is, in a cookie or in a header.
// A real host looks into its session here.
const (
	loginCookie  = "lanyard_demo"
	userHeader   = "X-Demo-User"
	tenantHeader = "X-Demo-Tenant"
)

// identify is what httpadapter.Config.Identify asks for. A header, as curl
// sends it, goes before the cookie.
func identify(r *http.Request) (lanyard.Principal, error) {
	owner, ok := ownerFromHeader(r.Header)
	if !ok {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	if owner.Subject == "" {
		cookie, err := r.Cookie(loginCookie)
		if err != nil {
			return lanyard.Principal{}, lanyard.ErrUnauthenticated
		}
		owner, ok = ownerFromCookie(cookie.Value)
		if !ok {
			return lanyard.Principal{}, lanyard.ErrUnauthenticated
		}
	}
	return principal(owner), nil
}

// ownerFromHeader returns the zero Owner when no header names a user, and
// false when the headers cannot be understood.
func ownerFromHeader(h http.Header) (lanyard.Owner, bool) {
	users, tenants := h.Values(userHeader), h.Values(tenantHeader)
	if len(users) == 0 {
		return lanyard.Owner{}, len(tenants) == 0
	}
	if len(users) > 1 || len(tenants) > 1 {
		return lanyard.Owner{}, false
	}
	owner := lanyard.Owner{Tenant: h.Get(tenantHeader), Subject: users[0]}
	return owner, validOwner(owner)
}

// A cookie's value holds few characters, so the owner is written as a query.
func ownerFromCookie(value string) (lanyard.Owner, bool) {
	q, err := url.ParseQuery(value)
	owner := lanyard.Owner{Tenant: q.Get("tenant"), Subject: q.Get("as")}
	return owner, err == nil && validOwner(owner)
}

func validOwner(o lanyard.Owner) bool {
	return o.Validate() == nil && readable(o.Subject) && readable(o.Tenant)
}

// readable reports whether a name can be shown as it is: no control or
// invisible characters, no space at its ends.
func readable(name string) bool {
	return utf8.ValidString(name) && name == strings.TrimSpace(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// principal is what the organisation's directory knows about a user.
func principal(o lanyard.Owner) lanyard.Principal {
	first, size := utf8.DecodeRuneInString(o.Subject)
	p := lanyard.Principal{
		Owner:      o,
		Via:        lanyard.ViaSession,
		GivenName:  string(unicode.ToTitle(first)) + o.Subject[size:],
		FamilyName: "Example",
	}
	p.Name = p.GivenName + " " + p.FamilyName
	address := o.Subject + "@example.com"
	if parsed, err := mail.ParseAddress(address); err == nil && parsed.Address == address {
		p.Email, p.EmailVerified = address, true
	}
	return p
}

// login signs in as the name in the query and leads back to the page below
// prefix that was asked for; without a name it asks.
func login(prefix string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		q := r.URL.Query()
		if !q.Has("as") {
			askName(w, http.StatusOK, q.Get("return"))
			return
		}
		owner := lanyard.Owner{Tenant: q.Get("tenant"), Subject: q.Get("as")}
		if !validOwner(owner) {
			askName(w, http.StatusBadRequest, q.Get("return"))
			return
		}
		value := url.Values{"as": {owner.Subject}}
		if owner.Tenant != "" {
			value.Set("tenant", owner.Tenant)
		}
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where there is TLS; a demo on loopback has none
			Name: loginCookie, Value: value.Encode(), Path: "/", MaxAge: 7 * 24 * 60 * 60,
			HttpOnly: true, SameSite: http.SameSiteLaxMode,
			Secure: r.TLS != nil,
		})
		http.Redirect(w, r, httpadapter.ReturnPath(prefix, q.Get("return")), http.StatusSeeOther) //nolint:gosec // ReturnPath names no other place than a page of the mount
	}
}

func askName(w http.ResponseWriter, status int, back string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = loginPage.Execute(w, struct { // the visitor may have left
		Refused bool
		Return  string
	}{status != http.StatusOK, back})
}

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sign in · Demo Hub</title>
</head>
<body>
<main>
<h1>Sign in to the Demo Hub</h1>
{{if .Refused}}<p role="alert">That name cannot be used: it is empty, too long or holds characters that cannot be shown.</p>
{{end}}<p>This is a demonstration: any name will do, and nobody asks for a password.</p>
<form action="/login" method="get">
<p><label for="as">Name</label> <input id="as" name="as" value="ana" required maxlength="255" autocomplete="off"> <button>Sign in</button></p>
<input type="hidden" name="return" value="{{.Return}}">
</form>
</main>
</body>
</html>
`))
