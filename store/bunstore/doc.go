// Package bunstore is the [store.Store] for SQL databases: every query once,
// over bun, for PostgreSQL and SQLite. Most hosts use package postgres or
// package sqlite, which open a database and hand it over; New works on a pool
// the host has already:
//
//	st, err := bunstore.New(bun.NewDB(pool, pgdialect.New()), nil)
//	err = st.Migrate(ctx)
//
// A store runs its own transactions on that pool, each begun and ended inside
// one call, and always asks the primary: connection resolvers and query hooks
// of the host's bun.DB are left aside. bun writes arguments into the text of a
// statement, so a hook would see hashes and ciphertext; plaintext is never
// passed to a store. On PostgreSQL this needs standard_conforming_strings on,
// as it is by default. On SQLite the pool needs foreign_keys(1), a
// busy_timeout and _txlock=immediate.
//
// # Tables
//
//	lanyard_schema          which migrations ran, and who can still read the result
//	lanyard_epochs          256 random numbers, one of which changes with every
//	                        change of what a verification reads
//	lanyard_profiles        one row an owner
//	lanyard_owner_states    one row a deactivated owner
//	lanyard_owner_keys      one wrapped data key an owner, the system's included
//	lanyard_api_keys        live keys and tombstones, by the hash of the token
//	lanyard_api_key_usage   when and from where each key was first and last used
//	lanyard_provider_tokens connections, their secrets sealed
//	lanyard_events          the history
//	lanyard_migrations      goose's own record
//
// Times are microseconds since the Unix epoch, lists and maps are JSON in text
// columns, so both databases order and compare alike. Package migrations has
// the SQL.
//
// # Errors
//
// Those of package store, and [ErrNotMigrated] and [*SchemaError], which are
// [lanyard.ErrUnavailable]. What a driver said is reduced to its code: no
// error holds text of a database.
//
// # Concurrency
//
// A Store is safe for concurrent use by many goroutines and processes.
package bunstore
