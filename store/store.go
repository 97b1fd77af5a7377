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
	// lanyard.ErrClosed. A second Close does nothing.
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
}

// APIKeys keeps API keys by the hash of their token. A deleted key stays as a
// tombstone that only APIKeyByHash, APIKeyByCreateToken and Maintenance see.
type APIKeys interface {
	// APIKeyByHash returns the key with this SHA-256 (32 bytes), tombstones
	// included, with the state of its owner and the epoch of its shard, all
	// from one statement on the primary and so from one snapshot. It returns
	// ErrNotFound for an unknown hash. LastUsedAt is not filled.
	APIKeyByHash(ctx context.Context, hash []byte) (KeyLookup, error)

	// APIKey returns a live key, with LastUsedAt.
	APIKey(ctx context.Context, owner lanyard.Owner, id string) (APIKey, error)

	// APIKeys returns all live keys of the owner, expired ones too, with
	// LastUsedAt, newest first.
	APIKeys(ctx context.Context, owner lanyard.Owner) ([]APIKey, error)

	// APIKeyByCreateToken returns the key that was created with this
	// CreateToken, tombstones included, or ErrNotFound.
	APIKeyByCreateToken(ctx context.Context, owner lanyard.Owner, createToken []byte) (APIKey, error)

	// CreateAPIKey stores k with Version 1. It returns ErrLimit when the owner
	// has limit live keys already (a limit below 0 is none), and ErrExists
	// when the id, the hash or the owner's CreateToken is taken, also by a
	// tombstone. A taken CreateToken is reported even at the limit.
	CreateAPIKey(ctx context.Context, k APIKey, limit int, e lanyard.Event) error

	// UpdateAPIKey sets Name, Scopes, ExpiresAt and MAC of the live key with
	// k's owner and id whose version is k.Version, and writes the epoch.
	UpdateAPIKey(ctx context.Context, k APIKey, e lanyard.Event) error

	// RotateAPIKey does in one transaction what UpdateAPIKey does to old and
	// CreateAPIKey to next, whose RotatedFrom is old's id. It returns
	// ErrConflict when old's version is stale or old has a live successor.
	RotateAPIKey(ctx context.Context, old, next APIKey, limit int, e lanyard.Event) error

	// DeleteAPIKey turns the live key with k's owner and id into a tombstone:
	// it sets DeletedAt and MAC from k and writes the epoch. It is for good. A
	// k.Version other than 0 must be the stored one, else ErrConflict.
	DeleteAPIKey(ctx context.Context, k APIKey, e lanyard.Event) error

	// RecordKeyUse notes when keys were last used. It is monotonic: an older
	// time changes nothing. Unknown, deleted and erased keys are passed over.
	// It takes no event, changes no version and never deadlocks with another
	// process that records the same keys in another order.
	RecordKeyUse(ctx context.Context, uses []KeyUse) error
}

// ProviderTokens keeps the connections to other platforms. Their secrets come
// sealed and stay sealed.
type ProviderTokens interface {
	// ProviderToken returns one connection.
	ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (ProviderToken, error)

	// ProviderTokens returns all connections of the owner, newest first.
	ProviderTokens(ctx context.Context, owner lanyard.Owner) ([]ProviderToken, error)

	// CreateProviderToken stores t with Version 1. It returns ErrLimit when
	// the owner has limit connections already (below 0 is none), ErrExists
	// when the id or the owner's pair of ProviderID and Label is taken, and
	// ErrOwnerKeyGone when t.OwnerKeyID is not the owner's key.
	CreateProviderToken(ctx context.Context, t ProviderToken, limit int, e lanyard.Event) error

	// UpdateProviderToken replaces everything but ProviderID, CreatedAt and
	// LastUsedAt of the connection with t's owner and id whose version is
	// t.Version. It returns what CreateProviderToken returns, and ErrConflict
	// for a stale version.
	UpdateProviderToken(ctx context.Context, t ProviderToken, e lanyard.Event) error

	// DeleteProviderToken removes the connection and its sealed secrets. A
	// version other than 0 must be the stored one, else ErrConflict.
	DeleteProviderToken(ctx context.Context, owner lanyard.Owner, id string, version int64, e lanyard.Event) error

	// RecordTokenUse notes when a connection was last used; monotonic, without
	// event or version. An unknown id is passed over.
	RecordTokenUse(ctx context.Context, owner lanyard.Owner, id string, at time.Time) error
}

// OwnerKeys keeps one wrapped data key an owner. The owner {"", ""} is the
// system itself and is valid here and nowhere else.
type OwnerKeys interface {
	// OwnerKey returns the owner's key or ErrNotFound.
	OwnerKey(ctx context.Context, owner lanyard.Owner) (OwnerKey, error)

	// CreateOwnerKey stores k with Version 1 unless the owner has a key, and
	// returns the key that is stored then: the winner's.
	CreateOwnerKey(ctx context.Context, k OwnerKey) (OwnerKey, error)
}

// Owners keeps who is deactivated, and erases.
type Owners interface {
	// OwnerState returns the owner's state; an owner nobody deactivated is
	// active, known or not.
	OwnerState(ctx context.Context, owner lanyard.Owner) (OwnerState, error)

	// Deactivate marks the owner and writes the epoch. Deactivating twice
	// changes nothing, writes no event and is not an error.
	Deactivate(ctx context.Context, owner lanyard.Owner, at time.Time, e lanyard.Event) error

	// Reactivate removes the mark and writes the epoch. For an active owner
	// it does nothing.
	Reactivate(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error

	// Erase removes profile, keys, tombstones, connections, owner key, usage,
	// events and state of the owner, writes the epoch and stores e, whose
	// Owner and Actor must not name the subject. Erasing an owner of whom
	// nothing is stored still stores e.
	Erase(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error
}

// Events is the history.
type Events interface {
	// Append stores a fact that comes with no change. It returns ErrExists
	// when the owner has an event with e's DedupeKey, and stores nothing then.
	Append(ctx context.Context, e lanyard.Event) error

	// Events returns the owner's events, newest first, at most limit, those
	// after the cursor; the zero cursor starts at the newest.
	Events(ctx context.Context, owner lanyard.Owner, after EventCursor, limit int) ([]lanyard.Event, error)
}

// Epochs is an optional role: all epochs in one read, from the primary. A
// store without it serves verification correctly, at one read per key and
// staleness period.
type Epochs interface {
	Epochs(ctx context.Context) (*[Shards]int64, error)
}

// Maintenance is for operators: it works across owners and no handler reaches
// it. Pages are ordered by id; after names the last id of the page before, ""
// starts.
type Maintenance interface {
	// APIKeyByID returns the key with this public id, tombstones included.
	APIKeyByID(ctx context.Context, id string) (APIKey, error)

	// DeleteAPIKeyByID deletes a live key by its public id. The event is made
	// from the key inside the transaction.
	DeleteAPIKeyByID(ctx context.Context, id string, at time.Time, event func(APIKey) lanyard.Event) error

	// DeleteAPIKeysCreatedBefore deletes up to limit live keys created before
	// that time, one event each, and returns how many; 0 means done. It is
	// what an operator does after restoring a database to an earlier point.
	DeleteAPIKeysCreatedBefore(ctx context.Context, before, at time.Time, limit int, event func(APIKey) lanyard.Event) (int, error)

	// ExpiringAPIKeys returns a page of the live keys that expire in
	// [from, to).
	ExpiringAPIKeys(ctx context.Context, from, to time.Time, after string, limit int) ([]APIKey, error)

	// UnsignedAPIKeys returns a page of the live keys without a MAC.
	UnsignedAPIKeys(ctx context.Context, after string, limit int) ([]APIKey, error)

	// SignAPIKey sets the MAC of the live key with k's owner and id whose
	// version is k.Version, without an event and without a new version.
	SignAPIKey(ctx context.Context, k APIKey) error

	// ExpiringProviderTokens returns a page of the connections that expire in
	// [from, to).
	ExpiringProviderTokens(ctx context.Context, from, to time.Time, after string, limit int) ([]ProviderToken, error)

	// AllProviderTokens returns a page of all connections.
	AllProviderTokens(ctx context.Context, after string, limit int) ([]ProviderToken, error)

	// AllOwnerKeys returns a page of all owner keys, the system's included.
	AllOwnerKeys(ctx context.Context, after string, limit int) ([]OwnerKey, error)

	// RewrapOwnerKey replaces Secrets, KeyVersion and Wrapped of the owner key
	// with k's owner and id whose version is k.Version.
	RewrapOwnerKey(ctx context.Context, k OwnerKey) error

	// Erasures returns the events that Owners.Erase left behind in a tenant,
	// newest first, at most limit, those after the cursor.
	Erasures(ctx context.Context, tenant string, after EventCursor, limit int) ([]lanyard.Event, error)

	// CountOwnerKeys counts the owner keys of each key service and version,
	// ordered by both.
	CountOwnerKeys(ctx context.Context) ([]OwnerKeyCount, error)

	// Purge removes what is older than the given times and returns how many
	// rows of each kind went. It takes no event.
	Purge(ctx context.Context, p Purge) (Purged, error)
}
