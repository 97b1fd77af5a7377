// Package apikey makes, lists and verifies API keys: what a user's tools call
// the host with.
//
//	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Scopes: []string{"read"}, Sealer: sealer})
//	defer keys.Close(context.WithoutCancel(ctx))
//
//	created, err := keys.Create(ctx, owner, apikey.CreateRequest{Name: "laptop", Scopes: []string{"read"}})
//	show(created.Secret.Reveal()) // once; nothing kept can bring it back
//
//	principal, err := keys.Verify(ctx, bearer)
//
// # The token
//
//	aic_ 4fJr0c9wTq Lk2…30 characters… 0pQz7d
//	     id         secret             checksum
//
// A token is the prefix, an underscore, 10 base62 characters of public id, 30
// of secret (178 bits) and 6 that are the CRC-32 of all before them, so that a
// slip of the pen never reaches the store. The id may be shown and logged. No
// token is longer than 55 bytes.
//
// # What is stored
//
// The SHA-256 of the token, and with Options.Sealer a MAC over everything in
// the row that authorises: who can write the table still cannot mint a key,
// widen one or bring a deleted one back. A row that was put back whole, as it
// once was, is not noticed.
//
// # What Verify remembers
//
// A key that was read is not read again while nothing changed. Each owner's keys
// have an epoch in the store, a number that every change of what Verify reads
// replaces in the same transaction; each process asks for all of them every
// MaxStale/2 and compares. What was read, and what a poll said, counts from when
// it was asked for, so that no answer is older than it seems, and none is
// believed for longer than MaxStale. Who deletes polls before he returns. When
// polls fail, each key in use costs one read per MaxStale.
//
// # Errors
//
// Those of package lanyard, wrapped, and those of this package: most are a
// [lanyard.ErrConflict] and say so. Verify answers every token that is not good
// alike, and never takes a store that is down for a bad token.
//
// # Concurrency
//
// A Service is safe for concurrent use and by several processes on one store.
// It owns two goroutines, which Close ends: one polls the epochs, one stores when
// keys were used.
package apikey
