package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

var (
	ana  = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	now  = time.Date(2026, 3, 14, 15, 9, 26, 535897000, time.UTC)
	late = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// refusals spoil a valid record in one place each; the name begins with the
// field that the refusal names, and after a colon with its code.
type refusals[T any] map[string]func(*T)

func (r refusals[T]) hold(t *testing.T, valid func() T, validate func(T) error) {
	t.Helper()
	if err := validate(valid()); err != nil {
		t.Fatalf("a valid one is refused: %v", err)
	}
	for name, spoil := range r {
		v := valid()
		spoil(&v)
		err := validate(v)
		field, code, _ := strings.Cut(strings.Fields(name)[0], ":")
		var in *lanyard.InputError
		if !errors.As(err, &in) || in.Field != field || in.Code != code {
			t.Errorf("%s: Validate = %v, want an InputError of field %s with code %s", name, err, field, code)
			continue
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: Validate repeats the value: %v", name, err)
		}
	}
}

const bad = "canary\x00"

func TestProfileValidate(t *testing.T) {
	t.Parallel()
	text := bad
	refusals[store.Profile]{
		"owner:required":             func(p *store.Profile) { p.Owner.Subject = "" },
		"owner:too-long":             func(p *store.Profile) { p.Owner.Tenant = strings.Repeat("x", 256) },
		"email:invalid":              func(p *store.Profile) { p.Email = bad },
		"directory:invalid given":    func(p *store.Profile) { p.Directory.Given = bad },
		"directory:invalid family":   func(p *store.Profile) { p.Directory.Family = bad },
		"directory:invalid full":     func(p *store.Profile) { p.Directory.Full = "canary\xff" },
		"locale:invalid":             func(p *store.Profile) { p.Locale = bad },
		"zoneinfo:invalid":           func(p *store.Profile) { p.ZoneInfo = bad },
		"given_name:invalid":         func(p *store.Profile) { p.GivenName = &text },
		"family_name:invalid":        func(p *store.Profile) { p.FamilyName = &text },
		"created_at:invalid":         func(p *store.Profile) { p.CreatedAt = late },
		"updated_at:invalid":         func(p *store.Profile) { p.UpdatedAt = now.AddDate(-3000, 0, 0) },
		"email:invalid and a second": func(p *store.Profile) { p.Email, p.Locale = bad, bad },
	}.hold(t, func() store.Profile {
		name := "Ana"
		return store.Profile{Owner: ana, Email: "ana@acme.example", GivenName: &name, CreatedAt: now}
	}, store.Profile.Validate)
}

func TestAPIKeyValidate(t *testing.T) {
	t.Parallel()
	refusals[store.APIKey]{
		"owner:invalid":         func(k *store.APIKey) { k.Owner.Subject = bad },
		"id:required":           func(k *store.APIKey) { k.ID = "" },
		"id:invalid":            func(k *store.APIKey) { k.ID = bad },
		"id:too-long":           func(k *store.APIKey) { k.ID = strings.Repeat("x", store.MaxIDLen+1) },
		"name:invalid":          func(k *store.APIKey) { k.Name = bad },
		"hint:invalid":          func(k *store.APIKey) { k.Hint = bad },
		"scopes:invalid":        func(k *store.APIKey) { k.Scopes = []string{"read", bad} },
		"rotated_from:invalid":  func(k *store.APIKey) { k.RotatedFrom = bad },
		"rotated_from:too-long": func(k *store.APIKey) { k.RotatedFrom = strings.Repeat("x", store.MaxIDLen+1) },
		"create_token:too-long": func(k *store.APIKey) { k.CreateToken = make([]byte, store.MaxIDLen+1) },
		"hash:invalid none":     func(k *store.APIKey) { k.Hash = nil },
		"hash:invalid short":    func(k *store.APIKey) { k.Hash = k.Hash[1:] },
		"hash:invalid long":     func(k *store.APIKey) { k.Hash = append(k.Hash, 0) },
		"created_at:invalid":    func(k *store.APIKey) { k.CreatedAt = late },
		"expires_at:invalid":    func(k *store.APIKey) { k.ExpiresAt = late },
		"deleted_at:invalid":    func(k *store.APIKey) { k.DeletedAt = late },
	}.hold(t, func() store.APIKey {
		return store.APIKey{ID: "k", Owner: ana, Hash: make([]byte, store.HashSize), MAC: []byte{0, 0xff}, CreateToken: []byte{0, 0xff}}
	}, store.APIKey.Validate)
}

func TestKeyUseValidate(t *testing.T) {
	t.Parallel()
	refusals[store.KeyUse]{
		"at:invalid":    func(u *store.KeyUse) { u.At = late },
		"from:invalid":  func(u *store.KeyUse) { u.From = bad },
		"from:too-long": func(u *store.KeyUse) { u.From = strings.Repeat("x", store.MaxFromLen+1) },
	}.hold(t, func() store.KeyUse {
		return store.KeyUse{ID: bad, From: strings.Repeat("x", store.MaxFromLen)}
	}, store.KeyUse.Validate)
}

func TestProviderTokenValidate(t *testing.T) {
	t.Parallel()
	refusals[store.ProviderToken]{
		"owner:required":         func(p *store.ProviderToken) { p.Owner = lanyard.Owner{} },
		"id:required":            func(p *store.ProviderToken) { p.ID = "" },
		"provider_id:required":   func(p *store.ProviderToken) { p.ProviderID = "" },
		"provider_id:too-long":   func(p *store.ProviderToken) { p.ProviderID = strings.Repeat("x", store.MaxIDLen+1) },
		"owner_key_id:required":  func(p *store.ProviderToken) { p.OwnerKeyID = "" },
		"method_id:invalid":      func(p *store.ProviderToken) { p.MethodID = bad },
		"label:invalid":          func(p *store.ProviderToken) { p.Label = bad },
		"label:too-long":         func(p *store.ProviderToken) { p.Label = strings.Repeat("x", store.MaxLabelLen+1) },
		"fields:invalid name":    func(p *store.ProviderToken) { p.Fields = map[string]string{bad: ""} },
		"fields:invalid value":   func(p *store.ProviderToken) { p.Fields = map[string]string{"a": bad} },
		"secrets:invalid name":   func(p *store.ProviderToken) { p.Secrets = map[string]store.SealedSecret{bad: {}} },
		"secrets:invalid time":   func(p *store.ProviderToken) { p.Secrets = map[string]store.SealedSecret{"a": {UpdatedAt: late}} },
		"origin:invalid":         func(p *store.ProviderToken) { p.Origin = bad },
		"account:invalid id":     func(p *store.ProviderToken) { p.Account.ID = bad },
		"account:invalid name":   func(p *store.ProviderToken) { p.Account.Name = bad },
		"account:invalid e-mail": func(p *store.ProviderToken) { p.Account.Email = bad },
		"verdict:invalid":        func(p *store.ProviderToken) { p.Verdict = bad },
		"reason:invalid":         func(p *store.ProviderToken) { p.Reason = bad },
		"checked_at:invalid":     func(p *store.ProviderToken) { p.CheckedAt = late },
		"expires_at:invalid":     func(p *store.ProviderToken) { p.ExpiresAt = late },
		"created_at:invalid":     func(p *store.ProviderToken) { p.CreatedAt = late },
		"updated_at:invalid":     func(p *store.ProviderToken) { p.UpdatedAt = late },
	}.hold(t, func() store.ProviderToken {
		return store.ProviderToken{ID: "t", Owner: ana, ProviderID: "jira", OwnerKeyID: "ok", Label: "",
			Secrets: map[string]store.SealedSecret{"token": {Envelope: []byte{0, 0xff}}}}
	}, store.ProviderToken.Validate)
}

func TestOwnerKeyValidate(t *testing.T) {
	t.Parallel()
	valid := func() store.OwnerKey {
		return store.OwnerKey{ID: "ok", Owner: ana, Secrets: "keyring", Wrapped: []byte{0}}
	}
	refusals[store.OwnerKey]{
		"owner:required":      func(k *store.OwnerKey) { k.Owner.Subject = "" },
		"id:required":         func(k *store.OwnerKey) { k.ID = "" },
		"secrets:required":    func(k *store.OwnerKey) { k.Secrets = "" },
		"key_version:invalid": func(k *store.OwnerKey) { k.KeyVersion = bad },
		"wrapped:required":    func(k *store.OwnerKey) { k.Wrapped = nil },
		"created_at:invalid":  func(k *store.OwnerKey) { k.CreatedAt = late },
	}.hold(t, valid, store.OwnerKey.Validate)
	system := valid()
	system.Owner = lanyard.Owner{}
	if err := system.Validate(); err != nil {
		t.Errorf("Validate of the system's key = %v", err)
	}
}

func validEvent() lanyard.Event {
	return lanyard.Event{ID: "e", At: now, Owner: ana, Actor: ana, Via: lanyard.ViaSession, Action: "api_key.created",
		Detail: map[string]string{"name": "x"}}
}

var eventRefusals = refusals[lanyard.Event]{
	"event.id:required":         func(e *lanyard.Event) { e.ID = "" },
	"event.id:too-long":         func(e *lanyard.Event) { e.ID = strings.Repeat("x", store.MaxIDLen+1) },
	"event.action:required":     func(e *lanyard.Event) { e.Action = "" },
	"event.at:required":         func(e *lanyard.Event) { e.At = time.Time{} },
	"event.at:invalid":          func(e *lanyard.Event) { e.At = late },
	"event:invalid actor":       func(e *lanyard.Event) { e.Actor = lanyard.Owner{Subject: bad} },
	"event:invalid tenant":      func(e *lanyard.Event) { e.Actor = lanyard.Owner{Tenant: bad, Subject: "x"} },
	"event:invalid via":         func(e *lanyard.Event) { e.Via = bad },
	"event:invalid object":      func(e *lanyard.Event) { e.Object = bad },
	"event:invalid request":     func(e *lanyard.Event) { e.RequestID = bad },
	"event:invalid ip":          func(e *lanyard.Event) { e.IP = bad },
	"event:invalid agent":       func(e *lanyard.Event) { e.UserAgent = bad },
	"event:invalid fact":        func(e *lanyard.Event) { e.DedupeKey = bad },
	"event.dedupe_key:too-long": func(e *lanyard.Event) { e.DedupeKey = strings.Repeat("x", store.MaxDedupeKeyLen+1) },
	"event.detail:invalid key":  func(e *lanyard.Event) { e.Detail = map[string]string{bad: ""} },
	"event.detail:invalid":      func(e *lanyard.Event) { e.Detail = map[string]string{"a": "canary\xff"} },
}

func TestValidateEvent(t *testing.T) {
	t.Parallel()
	eventRefusals.hold(t, validEvent, store.ValidateEvent)
	refusals[lanyard.Event]{
		"owner:required": func(e *lanyard.Event) { e.Owner.Subject = "" },
	}.hold(t, validEvent, store.ValidateEvent)
}

func TestValidateErasure(t *testing.T) {
	t.Parallel()
	valid := func() lanyard.Event {
		e := validEvent()
		e.Owner, e.Actor = lanyard.Owner{Tenant: "acme"}, lanyard.Owner{Tenant: "acme", Subject: "admin"}
		return e
	}
	check := func(e lanyard.Event) error { return store.ValidateErasure(ana, e) }
	eventRefusals.hold(t, valid, check)
	refusals[lanyard.Event]{
		"event:invalid owner":          func(e *lanyard.Event) { e.Owner = ana },
		"event:invalid another tenant": func(e *lanyard.Event) { e.Owner.Tenant = "globex" },
		"event:invalid acting subject": func(e *lanyard.Event) { e.Actor = ana },
	}.hold(t, valid, check)
}

func TestValidateInstant(t *testing.T) {
	t.Parallel()
	if err := store.ValidateInstant("at", now); err != nil {
		t.Errorf("ValidateInstant(%v) = %v", now, err)
	}
	for when, code := range map[time.Time]string{{}: lanyard.CodeRequired, late: lanyard.CodeInvalid} {
		var in *lanyard.InputError
		if err := store.ValidateInstant("at", when); !errors.As(err, &in) || in.Field != "at" || in.Code != code {
			t.Errorf("ValidateInstant(%v) = %v, want code %s", when, err, code)
		}
	}
}

func TestInstant(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("odd", 5*3600+45*60)
	for given, want := range map[time.Time]time.Time{
		{}: {},
		time.Date(2026, 1, 2, 3, 4, 5, 123456789, zone):                      time.Date(2026, 1, 1, 21, 19, 5, 123456000, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC):             time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 1999, time.UTC):                          time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(1, 1, 1, 5, 45, 0, 0, time.FixedZone("odd", 5*3600+45*60)): {},
	} {
		if got := store.Instant(given); got != want {
			t.Errorf("Instant(%v) = %v, want %v", given, got, want)
		}
	}
}

func TestOwnerKeyGoneIsAConflict(t *testing.T) {
	t.Parallel()
	if !errors.Is(store.ErrOwnerKeyGone, lanyard.ErrConflict) {
		t.Error("ErrOwnerKeyGone is no ErrConflict")
	}
}
