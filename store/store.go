package store

import (
	"context"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
)

// ErrOwnerKeyGone says that a sealed record names an owner key that does not
// exist any more: the owner was erased while this process still cached his
// key. It is a [lanyard.ErrConflict]; the caller forgets the key.
var ErrOwnerKeyGone = fmt.Errorf("owner key is gone: %w", lanyard.ErrConflict)

// ErrDamaged says that the record that was asked for holds what no store wrote,
// so that it cannot be read: others have written the tables. It is a
// [lanyard.ErrUnavailable].
var ErrDamaged = fmt.Errorf("the record is damaged: %w", lanyard.ErrUnavailable)

// Store is everything. Services take the roles they need.
type Store interface {
	Profiles
	APIKeys
	ProviderTokens
	OwnerKeys
	Owners
	Events
	Maintenance

	// Close releases what the store opened itself. Later calls answer
	// lanyard.ErrClosed; those under way may too. A second Close does nothing.
	Close() error
}

// Profiles keeps one profile an owner.
type Profiles interface {
	// Profile returns the owner's profile or ErrNotFound.
	Profile(ctx context.Context, owner lanyard.Owner) (Profile, error)

	// CreateProfile stores p with Version 1. It returns ErrExists when the
	// owner has one.
	CreateProfile(ctx context.Context, p Profile, e lanyard.Event) error

	// UpdateProfile replaces everything but CreatedAt of the profile whose
	// version is p.Version; ErrConflict when it is another, ErrNotFound when
	// there is none.
	UpdateProfile(ctx context.Context, p Profile, e lanyard.Event) error

	// RefreshProfile replaces Directory, Locale and ZoneInfo of the profile
	// whose version is p.Version, for a change of which its owner sees nothing:
	// it takes no event and leaves Version and UpdatedAt as they are. It
	// returns what UpdateProfile returns.
	RefreshProfile(ctx context.Context, p Profile) error
}

// APIKeys keeps API keys by the hash of their token. A deleted key stays as a
// tombstone that only APIKeyByHash, APIKeyByCreateToken and Maintenance see.
type APIKeys interface {
	// APIKeyByHash returns the key with this SHA-256 (32 bytes), tombstones
	// included, with the state of its owner and the epoch of its shard, all
	// from one statement on the primary and so from one snapshot. It returns
	// ErrNotFound for an unknown hash, and ErrDamaged where there is a key with
	// it that cannot be read, or of which nobody would hear that it changed.
	// KeyUsage is not filled.
	APIKeyByHash(ctx context.Context, hash []byte) (KeyLookup, error)

	// APIKey returns a live key, with KeyUsage, or ErrNotFound, also for a
	// tombstone.
	APIKey(ctx context.Context, owner lanyard.Owner, id string) (APIKey, error)

	// APIKeys returns all live keys of the owner, expired ones too, with
	// KeyUsage, newest first, then by id.
	APIKeys(ctx context.Context, owner lanyard.Owner) ([]APIKey, error)

	// APIKeyByCreateToken returns the key that was created with this
	// CreateToken, tombstones included, or ErrNotFound.
	APIKeyByCreateToken(ctx context.Context, owner lanyard.Owner, createToken []byte) (APIKey, error)

	// CreateAPIKey stores k with Version 1. It returns ErrLimit when the owner
	// has limit live keys already (a limit below 0 is none), and ErrExists
	// when the id, the hash or the owner's CreateToken is taken, also by a
	// tombstone. A taken CreateToken is reported even at the limit.
	CreateAPIKey(ctx context.Context, k APIKey, limit int, e lanyard.Event) error

	// UpdateAPIKey sets Name, Scopes, ExpiresAt, RotatedAt, LifeEndsAt and MAC of the live key with
	// k's owner and id whose version is k.Version, and writes the epoch. It
	// returns ErrConflict when the version is another and ErrNotFound when
	// there is no such live key.
	UpdateAPIKey(ctx context.Context, k APIKey, e lanyard.Event) error

	// RotateAPIKey does in one transaction what UpdateAPIKey does to old and
	// CreateAPIKey to next, of the same owner, whose RotatedFrom is old's id.
	// It returns what these two return, and ErrConflict when old has a live
	// successor: one that was deleted since does not count.
	RotateAPIKey(ctx context.Context, old, next APIKey, limit int, e lanyard.Event) error

	// DeleteAPIKey turns the live key with k's owner and id into a tombstone:
	// it sets DeletedAt, which must not be zero, and MAC from k and writes the
	// epoch. It is for good: a second time it returns ErrNotFound. A k.Version
	// other than 0 must be the stored one, else ErrConflict.
	DeleteAPIKey(ctx context.Context, k APIKey, e lanyard.Event) error

	// RecordKeyUse adds uses to what is known of each key, as KeyUsage.Add
	// does: the last use moves to a later one alone, the first to an earlier
	// one, whichever process is first to say so, and From goes with its time.
	// After a use that was not the first, the first is not known any more.
	// Unknown, deleted and erased keys are passed over. It takes no event,
	// changes no version and never deadlocks with another process that records
	// the same keys in another order.
	RecordKeyUse(ctx context.Context, uses []KeyUse) error
}

// ProviderTokens keeps the connections to other platforms. Their secrets come
// sealed and stay sealed.
type ProviderTokens interface {
	// ProviderToken returns one connection or ErrNotFound.
	ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (ProviderToken, error)

	// ProviderTokens returns all connections of the owner, newest first, then
	// by id.
	ProviderTokens(ctx context.Context, owner lanyard.Owner) ([]ProviderToken, error)

	// CreateProviderToken stores t with Version 1. It returns ErrLimit when
	// the owner has limit connections already (below 0 is none), ErrExists
	// when the id or the owner's pair of ProviderID and Label is taken, and
	// ErrOwnerKeyGone when t.OwnerKeyID is not the owner's key.
	CreateProviderToken(ctx context.Context, t ProviderToken, limit int, e lanyard.Event) error

	// UpdateProviderToken replaces everything but ProviderID, CreatedAt and
	// LastUsedAt of the connection with t's owner and id whose version is
	// t.Version. It returns ErrNotFound, ErrConflict when the version is
	// another, ErrExists when another connection has the pair of ProviderID
	// and Label, and ErrOwnerKeyGone as CreateProviderToken does.
	UpdateProviderToken(ctx context.Context, t ProviderToken, e lanyard.Event) error

	// DeleteProviderToken removes the connection and its sealed secrets, or
	// returns ErrNotFound. A version other than 0 must be the stored one, else
	// ErrConflict.
	DeleteProviderToken(ctx context.Context, owner lanyard.Owner, id string, version int64, e lanyard.Event) error

	// RecordTokenUse notes when a connection was last used; monotonic, without
	// event or version. An id that is unknown or somebody else's is passed over.
	RecordTokenUse(ctx context.Context, owner lanyard.Owner, id string, at time.Time) error
}

// OwnerKeys keeps one wrapped data key an owner. The owner {"", ""} is the
// system itself and is valid here and nowhere else.
type OwnerKeys interface {
	// OwnerKey returns the owner's key or ErrNotFound.
	OwnerKey(ctx context.Context, owner lanyard.Owner) (OwnerKey, error)

	// CreateOwnerKey stores k with Version 1 unless the owner has a key, and
	// returns the key that is stored then: the winner's. It returns ErrExists
	// when another owner's key has the id, and ErrConflict when the winner was
	// erased before it could be read.
	CreateOwnerKey(ctx context.Context, k OwnerKey) (OwnerKey, error)
}

// Owners keeps who is deactivated, and erases.
type Owners interface {
	// OwnerState returns the owner's state; an owner nobody deactivated is
	// active, known or not.
	OwnerState(ctx context.Context, owner lanyard.Owner) (OwnerState, error)

	// Deactivate marks the owner, known or not, and writes the epoch. The time
	// must not be zero. Deactivating twice changes nothing, writes no event and
	// is not an error.
	Deactivate(ctx context.Context, owner lanyard.Owner, at time.Time, e lanyard.Event) error

	// Reactivate removes the mark and writes the epoch. For an active owner
	// it does nothing and writes no event.
	Reactivate(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error

	// Erase removes profile, keys, tombstones, connections, owner key, usage,
	// events and state of the owner, writes the epoch and stores e, whose
	// Owner and Actor must not name the subject. Erasing an owner of whom
	// nothing is stored still stores e. What is appended to his history later
	// stays until he is erased again.
	Erase(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error
}

// Events is the history.
type Events interface {
	// Append stores a fact that comes with no change. It returns ErrExists
	// when the owner has an event with e's DedupeKey, or anybody one with its
	// ID, and stores nothing then. It asks for nothing else of the owner: he
	// may be unknown, or erased.
	Append(ctx context.Context, e lanyard.Event) error

	// Events returns the owner's events, newest first, then by id, at most
	// limit (none where it is not above 0), those after the cursor; the zero
	// cursor starts at the newest. The event of the cursor may be gone.
	Events(ctx context.Context, owner lanyard.Owner, after EventCursor, limit int) ([]lanyard.Event, error)
}

// Epochs is an optional role: all epochs in one read, from the primary. A
// store without it serves verification correctly, at one read per key and
// staleness period.
type Epochs interface {
	// Epochs returns the epoch of each shard, as committed at one instant of
	// the call. The array is the caller's own.
	Epochs(ctx context.Context) (*[Shards]int64, error)
}

// Maintenance is for operators: it works across owners and no handler reaches
// it. Pages are ordered by id and hold at most limit records, none where it is
// not above 0; after names the last id of the page before, "" starts. A page
// shorter than limit is the last. A record that is not one, because others have
// written the tables, is passed over and keeps nobody from the rest: a store with
// such tables has a way of its own to name it. An owner key that does not open
// is no such record.
//
// A function that makes the event of a deletion runs inside of the
// transaction: it may run again where that is repeated, and must not call the
// store.
type Maintenance interface {
	// APIKeyByID returns the key with this public id, tombstones included, or
	// ErrNotFound.
	APIKeyByID(ctx context.Context, id string) (APIKey, error)

	// DeleteAPIKeyByID deletes a live key by its public id as DeleteAPIKey
	// does, without a MAC, and returns ErrNotFound where there is none. The MAC
	// of the live key must go: with it, clearing DeletedAt in the table would
	// bring the key back.
	DeleteAPIKeyByID(ctx context.Context, id string, at time.Time, event func(APIKey) lanyard.Event) error

	// DeleteAPIKeysCreatedBefore deletes, as DeleteAPIKeyByID does, up to limit
	// live keys created before that time, one event each, in one transaction,
	// and returns how many; 0 means done. It is what an operator does after restoring a database to an
	// earlier point.
	DeleteAPIKeysCreatedBefore(ctx context.Context, before, at time.Time, limit int, event func(APIKey) lanyard.Event) (int, error)

	// ExpiringAPIKeys returns a page of the live keys that expire in
	// [from, to); a zero from is before all. Keys that never expire are in no
	// page.
	ExpiringAPIKeys(ctx context.Context, from, to time.Time, after string, limit int) ([]APIKey, error)

	// AllAPIKeys returns a page of all live keys. KeyUsage is not filled.
	AllAPIKeys(ctx context.Context, after string, limit int) ([]APIKey, error)

	// UnsignedAPIKeys returns a page of the live keys without a MAC.
	UnsignedAPIKeys(ctx context.Context, after string, limit int) ([]APIKey, error)

	// SignAPIKey sets the MAC of the live key with k's owner and id whose
	// version is k.Version, without an event, a new version or the epoch. It
	// returns ErrConflict when the version is another, else ErrNotFound.
	SignAPIKey(ctx context.Context, k APIKey) error

	// ExpiringProviderTokens returns a page of the connections that expire in
	// [from, to); a zero from is before all.
	ExpiringProviderTokens(ctx context.Context, from, to time.Time, after string, limit int) ([]ProviderToken, error)

	// AllProviderTokens returns a page of all connections.
	AllProviderTokens(ctx context.Context, after string, limit int) ([]ProviderToken, error)

	// AllOwnerKeys returns a page of all owner keys, the system's included.
	AllOwnerKeys(ctx context.Context, after string, limit int) ([]OwnerKey, error)

	// RewrapOwnerKey replaces Secrets, KeyVersion and Wrapped of the owner key
	// with k's owner and id whose version is k.Version. It returns ErrConflict
	// when the version is another and ErrNotFound when the owner has no key of
	// that id any more. What it does not write it does not validate.
	RewrapOwnerKey(ctx context.Context, k OwnerKey) error

	// Erasures returns the events that Owners.Erase left behind in a tenant,
	// paged as Events are.
	Erasures(ctx context.Context, tenant string, after EventCursor, limit int) ([]lanyard.Event, error)

	// CountOwnerKeys counts the owner keys of each key service and version,
	// ordered by both.
	CountOwnerKeys(ctx context.Context) ([]OwnerKeyCount, error)

	// Purge removes what is older than the given times and returns how many
	// rows of each kind went, also beside an error: it may work in several
	// transactions. It takes no event.
	Purge(ctx context.Context, p Purge) (Purged, error)
}
