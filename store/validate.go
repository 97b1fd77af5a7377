package store

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aichub/lanyard"
)

// HashSize is the size in bytes of APIKey.Hash, a SHA-256.
const HashSize = 32

// How long what a database keeps in an index may be, in bytes. With the owner
// beside it, whose parts have 255 bytes each, an entry stays below the 2704
// bytes that PostgreSQL allows one: a third of a page, BTMaxItemSize in its
// src/include/access/nbtree.h.
const (
	MaxIDLen        = 255
	MaxLabelLen     = 1000
	MaxDedupeKeyLen = 2000
)

// MaxFromLen is how long the text of a network in [KeyUse] may be, in bytes. The
// longest, an IPv6 network with all its digits, has 43.
const MaxFromLen = 64

// Instant returns t as every store keeps it: in UTC, without what is finer
// than a microsecond. The zero time stays zero.
func Instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// Validate reports whether a store can keep p.
func (p Profile) Validate() error {
	var c checker
	c.owner(p.Owner)
	c.text("email", p.Email)
	c.text("directory", p.Directory.Given, p.Directory.Family, p.Directory.Full)
	c.text("locale", p.Locale)
	c.text("zoneinfo", p.ZoneInfo)
	if p.GivenName != nil {
		c.text("given_name", *p.GivenName)
	}
	if p.FamilyName != nil {
		c.text("family_name", *p.FamilyName)
	}
	c.time("created_at", p.CreatedAt)
	c.time("updated_at", p.UpdatedAt)
	return c.err
}

// Validate reports whether a store can keep k.
func (k APIKey) Validate() error {
	var c checker
	c.owner(k.Owner)
	c.id("id", k.ID)
	c.text("name", k.Name)
	c.text("hint", k.Hint)
	c.text("scopes", k.Scopes...)
	c.text("rotated_from", k.RotatedFrom)
	c.atMost("rotated_from", len(k.RotatedFrom), MaxIDLen)
	c.atMost("create_token", len(k.CreateToken), MaxIDLen)
	if len(k.Hash) != HashSize {
		c.fail("hash", lanyard.CodeInvalid, "a hash has 32 bytes")
	}
	c.time("created_at", k.CreatedAt)
	c.time("expires_at", k.ExpiresAt)
	c.time("rotated_at", k.RotatedAt)
	c.time("life_ends_at", k.LifeEndsAt)
	c.time("deleted_at", k.DeletedAt)
	return c.err
}

// Validate reports whether a store can keep u. Its ID may be any text: a key
// that cannot be is an unknown one.
func (u KeyUse) Validate() error {
	var c checker
	c.time("at", u.At)
	c.text("from", u.From)
	c.atMost("from", len(u.From), MaxFromLen)
	return c.err
}

// Validate reports whether a store can keep t.
func (t ProviderToken) Validate() error {
	var c checker
	c.owner(t.Owner)
	c.id("id", t.ID)
	c.id("provider_id", t.ProviderID)
	c.id("owner_key_id", t.OwnerKeyID)
	c.text("method_id", t.MethodID)
	c.text("label", t.Label)
	c.atMost("label", len(t.Label), MaxLabelLen)
	for name, value := range t.Fields {
		c.text("fields", name, value)
	}
	for name, s := range t.Secrets {
		c.text("secrets", name)
		c.time("secrets", s.UpdatedAt)
	}
	c.text("origin", t.Origin)
	c.text("account", t.Account.ID, t.Account.Name, t.Account.Email)
	c.text("verdict", t.Verdict)
	c.text("reason", t.Reason)
	c.time("checked_at", t.CheckedAt)
	c.time("expires_at", t.ExpiresAt)
	c.time("created_at", t.CreatedAt)
	c.time("updated_at", t.UpdatedAt)
	return c.err
}

// Validate reports whether a store can keep k. The system owner is allowed.
func (k OwnerKey) Validate() error {
	var c checker
	if k.Owner != (lanyard.Owner{}) {
		c.owner(k.Owner)
	}
	c.id("id", k.ID)
	c.id("secrets", k.Secrets)
	c.text("key_version", k.KeyVersion)
	if len(k.Wrapped) == 0 {
		c.fail("wrapped", lanyard.CodeRequired, "the wrapped key is empty")
	}
	c.time("created_at", k.CreatedAt)
	return c.err
}

// Validate reports whether a store can look for c.
func (c EventCursor) Validate() error {
	var check checker
	check.text("after", c.ID)
	return check.err
}

// ValidateInstant reports whether a store can keep t, which must be set, as
// the time something happened.
func ValidateInstant(field string, t time.Time) error {
	var c checker
	if t.IsZero() {
		c.fail(field, lanyard.CodeRequired, "the time is zero")
	}
	c.time(field, t)
	return c.err
}

// ValidateEvent reports whether a store can keep e. Its owner must name a
// subject, except in the event that [Owners.Erase] stores.
func ValidateEvent(e lanyard.Event) error {
	var c checker
	c.owner(e.Owner)
	c.event(e)
	return c.err
}

// ValidateErasure reports whether e may be what erasing owner leaves behind:
// an event of the tenant that names the subject neither as owner nor as actor.
func ValidateErasure(owner lanyard.Owner, e lanyard.Event) error {
	var c checker
	if e.Owner != (lanyard.Owner{Tenant: owner.Tenant}) || e.Actor == owner {
		c.fail("event", lanyard.CodeInvalid, "an erasure names the tenant and no subject")
	}
	c.event(e)
	return c.err
}

// checker keeps the first fault it is shown.
type checker struct{ err error }

func (c *checker) fail(field, code, message string) {
	if c.err == nil {
		c.err = &lanyard.InputError{Field: field, Code: code, Message: message}
	}
}

func (c *checker) owner(o lanyard.Owner) {
	if err := o.Validate(); err != nil && c.err == nil {
		c.err = err
	}
}

func (c *checker) id(field, value string) {
	if value == "" {
		c.fail(field, lanyard.CodeRequired, "the value is empty")
	}
	c.text(field, value)
	c.atMost(field, len(value), MaxIDLen)
}

func (c *checker) atMost(field string, length, limit int) {
	if length > limit {
		c.fail(field, lanyard.CodeTooLong, fmt.Sprintf("at most %d bytes", limit))
	}
}

func (c *checker) text(field string, values ...string) {
	for _, v := range values {
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			c.fail(field, lanyard.CodeInvalid, "text is UTF-8 without NUL")
		}
	}
}

// time refuses years that RFC 3339 cannot write.
func (c *checker) time(field string, t time.Time) {
	if t.IsZero() {
		return
	}
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		c.fail(field, lanyard.CodeInvalid, "a time lies in the years 1 to 9999")
	}
}

func (c *checker) event(e lanyard.Event) {
	c.id("event.id", e.ID)
	c.id("event.action", e.Action)
	c.time("event.at", e.At)
	if e.At.IsZero() {
		c.fail("event.at", lanyard.CodeRequired, "the time is zero")
	}
	c.text("event", e.Owner.Tenant, e.Actor.Tenant, e.Actor.Subject, string(e.Via), e.Object,
		e.RequestID, e.IP, e.UserAgent, e.DedupeKey)
	c.atMost("event.dedupe_key", len(e.DedupeKey), MaxDedupeKeyLen)
	for k, v := range e.Detail {
		c.text("event.detail", k, v)
	}
}
