// Package profile keeps who a user is and what happened in his account: the
// names he edits, the e-mail address only his identity provider changes, the
// history, and the life of an owner from first sight to erasure.
//
//	profiles := profile.NewService(st, &profile.Options{OwnerChanged: keys.Refresh})
//
//	p, err := profiles.Seen(ctx, principal) // at each request of a signed-in user
//	p, err = profiles.Update(ctx, principal.Owner, p.Version, profile.Update{GivenName: profile.Set("Ana")})
//
// Nobody registers. The first sight of a principal creates the profile, and a
// later one refreshes what the identity provider says. What the user wrote is
// kept beside it and comes first, so a login never overwrites it.
//
// A profile belongs to an Owner, which is never an e-mail address: two users
// may swap theirs, and an address may be given to somebody else.
//
// # Errors
//
// Those of package lanyard, wrapped.
//
// # Concurrency
//
// A Service is safe for concurrent use and by several processes on one store.
// It starts no goroutine.
package profile
