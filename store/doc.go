// Package store is the contract between lanyard's services and the place that
// keeps their records. Write a [Store] for your own database against it and
// prove it with package storetest.
//
// A service accepts only the roles it needs: [Profiles], [APIKeys],
// [ProviderTokens], [OwnerKeys], [Owners], [Events]. [Maintenance] is for the
// operator's tools and is the only role whose methods work without an owner,
// besides [APIKeys.APIKeyByHash], [APIKeys.RecordKeyUse] and [Epochs].
//
// # The rules
//
// Every method keeps all of these; storetest.Run proves each.
//
//  1. A change a user can see takes one [lanyard.Event] and commits it in the
//     same transaction. A change that is refused writes neither; an event whose
//     ID, or whose DedupeKey with the same owner, is taken refuses its change
//     with [lanyard.ErrExists].
//  2. A record with a Version is changed by compare-and-swap: the update names
//     the version it read, the stored record gets that version plus one, and
//     another version answers [lanyard.ErrConflict]. Of concurrent updates of
//     one version exactly one wins.
//  3. Limits hold under concurrency. They count live records; expired keys
//     are live, tombstones are not.
//  4. Identifiers are case-sensitive. Lists have one stable order: newest
//     first, then by id. Pages neither skip nor repeat while others insert.
//  5. Times come back in UTC and equal to the microsecond; a zero time stays
//     zero. NUL, invalid UTF-8 and what is too long for an index are refused
//     with an [*lanyard.InputError] before any SQL; the Validate method of each
//     record is the shared check. An id that no record can have is not found.
//  6. A context that is over before the call writes nothing; the answer is
//     [lanyard.ErrUnavailable] and the context's error. One that ends during
//     commit leaves the outcome unknown: the answer is the same, and the
//     caller reads again by the id it chose.
//     Slices and maps, given or returned, are the caller's own afterwards; an
//     empty one comes back nil.
//  7. A transaction that changes anything a verification reads (delete,
//     rotate, expiry, scopes, deactivate, reactivate, erase) begins by writing
//     a fresh random number to its [Shard]'s row of epochs; a creation that
//     counts a limit begins by locking that row. Several shards are taken in
//     ascending order, so there is one lock order and no deadlock.
//  8. Erase removes everything of an owner in one transaction and leaves one
//     event that names the tenant and no subject.
//
// Every method takes the owner and looks for nobody else's record: somebody
// else's id answers [lanyard.ErrNotFound], exactly as an unknown one does.
//
// # Errors
//
// Methods return the values of package lanyard, wrapped: ErrNotFound,
// ErrExists, ErrConflict, ErrLimit, ErrUnavailable (the database is down, slow
// or the outcome is unknown), ErrClosed, *InputError; and [ErrOwnerKeyGone] and
// [ErrDamaged].
// Text from a driver never reaches a caller.
//
// # Concurrency
//
// A Store is safe for concurrent use, also by several processes where the
// database is.
package store
