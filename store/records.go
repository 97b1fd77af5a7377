package store

import (
	"time"

	"github.com/aichub/lanyard"
)

// Profile is what is known of one owner. What the identity provider says is
// kept beside what the user wrote, so that a login can refresh the one without
// touching the other.
type Profile struct {
	Owner   lanyard.Owner
	Version int64

	// From the identity provider.
	Email         string
	EmailVerified bool
	Directory     Names
	Locale        string
	ZoneInfo      string

	// What the user wrote; nil means the directory's.
	GivenName  *string
	FamilyName *string

	CreatedAt time.Time
	UpdatedAt time.Time
}

// Names are the name claims of OpenID Connect Core 1.0 section 5.1.
type Names struct {
	Given  string
	Family string
	Full   string
}

// APIKey is one key, without its token.
type APIKey struct {
	ID      string // public, part of the token
	Owner   lanyard.Owner
	Version int64
	Name    string
	Hint    string // the first characters of the token, to recognise it
	Hash    []byte // SHA-256 of the token, unique
	MAC     []byte // opaque to stores; nil = unsigned
	Scopes  []string

	CreatedAt time.Time
	ExpiresAt time.Time // zero = never
	DeletedAt time.Time // zero = live

	RotatedFrom  string    // the id of the key this one replaces; "" = none
	RotatedAt    time.Time // when another key took its place; zero = none did
	LifeEndsAt   time.Time // of a rotated key: what ExpiresAt was before; zero = never
	CreateToken  []byte    // unique for the owner where not empty
	CreateDigest []byte    // what was asked for with CreateToken

	KeyUsage // kept apart, see RecordKeyUse
}

// KeyLookup is what one verification reads.
type KeyLookup struct {
	Key   APIKey
	Owner OwnerState
	Epoch int64
}

// KeyUse says that a key was used at that time.
type KeyUse struct {
	ID   string
	At   time.Time
	From string // a network, as "203.0.113.0/24"; "" = unknown. At most MaxFromLen bytes

	// NotFirst says that others came before it of which nothing is known, as
	// they do where another system kept the key.
	NotFirst bool
}

// KeyUsage is what is kept of all uses of one key: the first and the last, each
// with where it came from. Zero means that none is known; a first that is not
// known beside a last that is never will be.
type KeyUsage struct {
	FirstUsedAt   time.Time
	FirstUsedFrom string
	LastUsedAt    time.Time
	LastUsedFrom  string
}

// Add returns what is known with one more use, which may be older or newer than
// those before. Of two at the same microsecond the one that was added first
// stays; one without a time adds nothing.
func (u KeyUsage) Add(use KeyUse) KeyUsage {
	at := Instant(use.At)
	if at.IsZero() {
		return u
	}
	switch {
	case use.NotFirst:
		u.FirstUsedAt, u.FirstUsedFrom = time.Time{}, ""
	case u.LastUsedAt.IsZero() || at.Before(u.FirstUsedAt):
		u.FirstUsedAt, u.FirstUsedFrom = at, use.From
	}
	if at.After(u.LastUsedAt) {
		u.LastUsedAt, u.LastUsedFrom = at, use.From
	}
	return u
}

// OwnerState says whether an owner may do anything at all.
type OwnerState struct {
	DeactivatedAt time.Time // zero = active
}

// Deactivated reports whether the owner is deactivated.
func (s OwnerState) Deactivated() bool { return !s.DeactivatedAt.IsZero() }

// ProviderToken is one connection of an owner to an account elsewhere.
type ProviderToken struct {
	ID         string
	Owner      lanyard.Owner
	Version    int64
	ProviderID string
	MethodID   string
	Label      string            // tells several accounts of one provider apart; "" is a label too
	Fields     map[string]string // what is not secret; a name that begins with ":base" is the service's own note of where it is sealed for
	Secrets    map[string]SealedSecret
	OwnerKeyID string // the owner key all Secrets are sealed with

	Origin    string // scheme, host and port it was verified against
	Account   Account
	Verdict   string // of the last verification; "" = never verified
	Reason    string
	CheckedAt time.Time
	ExpiresAt time.Time // zero = unknown or never

	CreatedAt  time.Time
	UpdatedAt  time.Time
	LastUsedAt time.Time // zero = never; kept by RecordTokenUse
}

// SealedSecret is one sealed field of a connection.
type SealedSecret struct {
	Envelope  []byte
	Version   int64 // counts the writes of this field; part of the binding
	UpdatedAt time.Time
}

// Account is who the platform said the token belongs to.
type Account struct {
	ID    string
	Name  string
	Email string
}

// OwnerKey is an owner's data key, wrapped by a key service.
type OwnerKey struct {
	ID         string
	Owner      lanyard.Owner // {"", ""} is the system
	Version    int64
	Secrets    string // the name of the key service that wrapped it
	KeyVersion string // of that service's key
	Wrapped    []byte
	CreatedAt  time.Time
}

// OwnerKeyCount counts owner keys by what wrapped them.
type OwnerKeyCount struct {
	Secrets    string
	KeyVersion string
	Count      int
}

// EventCursor is a place in an owner's history: just after the event it names.
type EventCursor struct {
	At time.Time
	ID string
}

// Purge says what is old enough to go. A zero time keeps all of that kind.
type Purge struct {
	EventsBefore     time.Time
	TombstonesBefore time.Time // keys deleted before that
	UsageBefore      time.Time // KeyUsage whose last use was before that
}

// Purged counts what went.
type Purged struct {
	Events     int
	Tombstones int
	Usage      int
}
