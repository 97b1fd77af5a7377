package lanyard

import (
	"context"
	"crypto/rand"
	"maps"
	"strings"
	"time"
	"unicode"
)

// Event is one line of history: who did what to which object, when and from
// where. It never holds a secret, a hash, a header or a body.
type Event struct {
	ID     string
	At     time.Time
	Owner  Owner  // whose history
	Actor  Owner  // who acted; the owner himself unless somebody else called
	Via    Via    // how the actor called
	Action string // as "api_key.created"; the constants are in the services
	Object string // the id of what was changed; "" for the profile

	RequestID string
	IP        string
	UserAgent string

	// DedupeKey, where not empty, is unique for the owner: of many processes
	// that append the same fact one writes it.
	DedupeKey string

	// Detail holds ids, names, thresholds, agent and purpose.
	Detail map[string]string
}

// How much of a [Request] an event keeps, in bytes.
const (
	maxRequestID = 64
	maxIP        = 64
	maxUserAgent = 256
)

// NewEvent returns the event of action on object, with a fresh id and with
// the actor and the request that ctx carries. Without a [Principal] in ctx the
// actor is the owner and Via is [ViaSystem].
//
// Of the request it keeps valid UTF-8 without control characters, at most 64
// bytes of ID and IP each and 256 of UserAgent, so that whatever a client sends
// keeps no change from being recorded.
func NewEvent(ctx context.Context, at time.Time, owner Owner, action, object string) Event {
	r := RequestFrom(ctx)
	e := Event{
		ID: NewID(), At: at, Owner: owner, Actor: owner, Via: ViaSystem,
		Action: action, Object: object,
		RequestID: plain(r.ID, maxRequestID), IP: plain(r.IP, maxIP), UserAgent: plain(r.UserAgent, maxUserAgent),
	}
	if p, ok := PrincipalFrom(ctx); ok {
		e.Actor, e.Via = p.Owner, p.Via
		if e.Via == "" {
			e.Via = ViaSession
		}
		if p.KeyID != "" {
			e = e.With("key_id", p.KeyID)
		}
	}
	return e
}

// plain returns the first n bytes of text as valid UTF-8 without controls.
func plain(text string, n int) string {
	if len(text) > n {
		text = text[:n]
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, ""))
}

// With returns a copy of e whose Detail also says value under key, as valid UTF-8
// without control characters. An empty value is left out.
func (e Event) With(key, value string) Event {
	value = plain(value, len(value))
	if value == "" {
		return e
	}
	d := make(map[string]string, len(e.Detail)+1)
	maps.Copy(d, e.Detail)
	d[key] = value
	e.Detail = d
	return e
}

// NewID returns a fresh random identifier: 26 characters of a-z and 2-7, 130
// bits. It needs no registry and says nothing about when it was made.
func NewID() string { return strings.ToLower(rand.Text()) }
