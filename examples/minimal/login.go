package main

import (
	"net/http"

	"github.com/aichub/lanyard"
)

// whoIs says who is signed in.
func whoIs(r *http.Request) (lanyard.Principal, error) {
	user, ok := userOf(r) // your session
	if !ok {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return lanyard.Principal{
		Owner:     lanyard.Owner{Subject: user.ID}, // stable, never an e-mail address
		Email:     user.Email,
		GivenName: user.GivenName, FamilyName: user.FamilyName,
	}, nil
}

// user stands for what your application knows about who is signed in.
type user struct {
	ID, Email, GivenName, FamilyName string
}

// userOf stands for your session. This one believes a header.
func userOf(r *http.Request) (user, bool) {
	name := r.Header.Get("X-Demo-User")
	return user{ID: name, Email: name + "@example.com"}, name != ""
}
