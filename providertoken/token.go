package providertoken

import (
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Status says what a connection is good for now.
type Status string

// The states of a connection.
const (
	StatusConnected      Status = "connected"
	StatusUnverified     Status = "unverified" // stored while the platform could not be asked
	StatusExpiring       Status = "expiring"   // expires within 30 days
	StatusExpired        Status = "expired"
	StatusNeedsAttention Status = "needs_attention" // the platform rejected it when it was last asked
	StatusNotOffered     Status = "not_offered"     // can be deleted and nothing else
)

// expiringWithin is how long before its end a connection is "expiring".
const expiringWithin = 30 * 24 * time.Hour

// Token is one connection as its owner sees it. It holds no secret.
type Token struct {
	ID         string
	Version    int64
	ProviderID string
	MethodID   string
	Label      string
	Fields     map[string]string
	Secrets    map[string]SecretInfo
	Status     Status
	Verdict    Verdict // of the last verification that decided; "" = never
	Reason     string
	Account    *Account // nil = not proven
	Origin     string   // as "https://acme.atlassian.net"
	Base       string   // where its API begins, as "https://dev.azure.com/acme"; "" = not offered
	RevokeURL  string   // where its owner ends the credential by hand; "" = unknown
	CheckedAt  time.Time
	ExpiresAt  time.Time // zero = unknown or never
	LastUsedAt time.Time // zero = never
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// SecretInfo says that a secret is there, and since when.
type SecretInfo struct {
	Set       bool
	UpdatedAt time.Time
}

// Account is who the platform said the credential belongs to. Name and Email
// are empty where it named none.
type Account struct {
	ID    string
	Name  string
	Email string
}

// CreateRequest asks for a connection.
type CreateRequest struct {
	ProviderID      string
	MethodID        string // "" = the provider's only or first
	Label           string // at most 100 characters; "" is allowed
	Fields          map[string]string
	Secrets         map[string]lanyard.Secret
	ExpiresAt       time.Time // what the user knows; zero = unknown
	AllowUnverified bool      // store it although the platform is unreachable
}

// UpdateRequest changes a connection. What is nil or absent stays as it is.
type UpdateRequest struct {
	Version         int64 // 0 = any
	Label           *string
	Fields          map[string]string         // the named ones are replaced; "" removes an optional one
	Secrets         map[string]lanyard.Secret // the named ones are replaced
	ExpiresAt       *time.Time                // the zero time means unknown
	AllowUnverified bool
}

// Verification is the outcome of asking the platform.
type Verification struct {
	Verdict   Verdict
	Reason    string
	Account   *Account // with VerdictOK
	CheckedAt time.Time
}

// rejects reports whether a verdict is the platform's word against the
// credential, and not merely no answer.
func (v Verdict) rejects() bool {
	switch v {
	case VerdictInvalid, VerdictExpired, VerdictInsufficientScope, VerdictWrongInstance:
		return true
	}
	return false
}

// status derives what a connection is good for at that time.
func status(row store.ProviderToken, offered bool, now time.Time) Status {
	verdict := Verdict(row.Verdict)
	switch {
	case !offered:
		return StatusNotOffered
	case verdict == VerdictExpired, !row.ExpiresAt.IsZero() && !now.Before(row.ExpiresAt):
		return StatusExpired
	case verdict.rejects():
		return StatusNeedsAttention
	case row.Account.ID == "":
		return StatusUnverified
	case !row.ExpiresAt.IsZero() && row.ExpiresAt.Sub(now) <= expiringWithin:
		return StatusExpiring
	default:
		return StatusConnected
	}
}

// token returns what the owner sees of a row.
func (s *Service) token(row store.ProviderToken) Token {
	secrets := make(map[string]SecretInfo, len(row.Secrets))
	for name, secret := range row.Secrets {
		secrets[name] = SecretInfo{Set: true, UpdatedAt: secret.UpdatedAt}
	}
	t := Token{
		ID: row.ID, Version: row.Version, ProviderID: row.ProviderID, MethodID: row.MethodID, Label: row.Label,
		Fields: typedFields(row.Fields), Secrets: secrets, Verdict: Verdict(row.Verdict), Reason: row.Reason, Origin: row.Origin,
		CheckedAt: row.CheckedAt, ExpiresAt: row.ExpiresAt, LastUsedAt: row.LastUsedAt,
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}
	if row.Account.ID != "" {
		account := Account(row.Account)
		t.Account = &account
	}
	d, err := s.destination(row)
	if err == nil {
		t.Origin, t.Base, t.RevokeURL = d.base.origin.String(), d.base.String(), d.revokeURL()
	}
	t.Status = status(row, err == nil, s.now())
	return t
}
