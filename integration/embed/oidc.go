package embed

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
)

// claims are what the provider's ID token says of a user (OpenID Connect Core
// 1.0, section 5.1).
type claims struct {
	Issuer        string `json:"iss"`
	Subject       string `json:"sub"`
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
	Name          string `json:"name"`
	GivenName     string `json:"given_name"`
	FamilyName    string `json:"family_name"`
	Locale        string `json:"locale"`
	ZoneInfo      string `json:"zoneinfo"`
	AuthTime      int64  `json:"auth_time"`
}

func principalOf(c claims) lanyard.Principal {
	p := lanyard.Principal{
		Owner: lanyard.Owner{Subject: c.Subject}, // and Tenant: c.Issuer, where there are several
		Email: c.Email, EmailVerified: c.EmailVerified,
		Name: c.Name, GivenName: c.GivenName, FamilyName: c.FamilyName,
		Locale: c.Locale, ZoneInfo: c.ZoneInfo,
	}
	if c.AuthTime > 0 {
		p.AuthTime = time.Unix(c.AuthTime, 0)
	}
	return p
}

// login signs users in at an OpenID Connect provider.
type login struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	sessions sync.Map // by the cookie's value; yours are in a database, and end
}

// The cookies of a login under way and of a session. The prefix has browsers
// take them over TLS only, for this host and no other (RFC 6265bis, 4.1.3.2).
const (
	loginCookie = "__Host-login"
	oidcCookie  = "__Host-session"
)

// newLogin asks the provider for its addresses and keys. callback is the address
// of finish, as it is registered there.
func newLogin(ctx context.Context, issuer, clientID string, secret lanyard.Secret, callback string) (*login, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	return &login{
		verifier: provider.Verifier(&oidc.Config{ClientID: clientID}),
		oauth: oauth2.Config{
			ClientID: clientID, ClientSecret: secret.Reveal(), RedirectURL: callback,
			Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
		},
	}, nil
}

// begin is Config.LoginURL, "/login?return={return}". What it remembers is in the
// browser: state ties the answer to this browser, nonce the ID token to this
// login, and PKCE the code to who asked for it.
func (l *login) begin(w http.ResponseWriter, r *http.Request) {
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	back := httpadapter.ReturnPath("/account", r.FormValue("return"))
	setCookie(w, loginCookie, strings.Join([]string{state, nonce, verifier, back}, "."), 10*time.Minute)
	http.Redirect(w, r, l.oauth.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("max_age", "3600")), http.StatusSeeOther) // asks for auth_time as well
}

// finish is where the provider leads the user back to.
func (l *login) finish(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(loginCookie)
	begun := strings.SplitN(cmp.Or(cookie, &http.Cookie{}).Value, ".", 4)
	if err != nil || len(begun) != 4 || subtle.ConstantTimeCompare([]byte(begun[0]), []byte(r.FormValue("state"))) != 1 {
		http.Error(w, "This login was not begun here. Please begin again.", http.StatusBadRequest)
		return
	}
	setCookie(w, loginCookie, "", -time.Second)
	nonce, verifier, back := begun[1], begun[2], begun[3]
	user, err := l.user(r.Context(), r.FormValue("code"), nonce, verifier)
	if err != nil {
		http.Error(w, "The login did not succeed. Please begin again.", http.StatusForbidden)
		return
	}
	id := rand.Text()
	l.sessions.Store(id, user)
	setCookie(w, oidcCookie, id, 12*time.Hour)
	http.Redirect(w, r, back, http.StatusSeeOther)
}

// user exchanges the code for an ID token, and believes it if it was made for
// this login.
func (l *login) user(ctx context.Context, code, nonce, verifier string) (claims, error) {
	var c claims
	tokens, err := l.oauth.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return c, err
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := l.verifier.Verify(ctx, raw)
	if err != nil {
		return c, err
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return c, lanyard.ErrUnauthenticated
	}
	return c, token.Claims(&c)
}

// identify is Config.Identify.
func (l *login) identify(r *http.Request) (lanyard.Principal, error) {
	cookie, err := r.Cookie(oidcCookie)
	if err != nil {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	user, ok := l.sessions.Load(cookie.Value)
	if !ok {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return principalOf(user.(claims)), nil //nolint:forcetypeassert // nothing else is stored
}

// setCookie also deletes: an age that is not positive.
func setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
