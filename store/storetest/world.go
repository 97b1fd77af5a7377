package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// epoch0 is when every test begins; tests count from it and read no clock.
var epoch0 = time.Date(2026, 3, 14, 15, 9, 26, 535897000, time.UTC)

// at returns the time some seconds after the beginning.
func at(seconds int) time.Time { return epoch0.Add(time.Duration(seconds) * time.Second) }

// The owners of the tests. They differ from one another in one part each.
var (
	ana         = lanyard.Owner{Tenant: "acme", Subject: "ana"}
	anaElse     = lanyard.Owner{Tenant: "globex", Subject: "ana"}
	anaCapital  = lanyard.Owner{Tenant: "acme", Subject: "Ana"}
	anaNoTenant = lanyard.Owner{Subject: "ana"}
	ben         = lanyard.Owner{Tenant: "acme", Subject: "ben"}
	strangers   = []lanyard.Owner{anaElse, anaCapital, anaNoTenant, ben}
)

// world is one owner with one record of each kind, and a tombstone.
type world struct {
	owner     lanyard.Owner
	profile   store.Profile
	key       store.APIKey
	tombstone store.APIKey
	ownerKey  store.OwnerKey
	token     store.ProviderToken
}

// populate stores a world and returns its records as they are stored.
func populate(t *testing.T, st store.Store, owner lanyard.Owner) world {
	t.Helper()
	ctx := t.Context()
	w := world{owner: owner}

	w.profile = newProfile(owner)
	ok(t, st.CreateProfile(ctx, w.profile, event(owner, "profile.created")))
	w.profile.Version = 1

	w.key = newKey(owner, "live")
	w.key.ExpiresAt = at(86400)
	ok(t, st.CreateAPIKey(ctx, w.key, 10, event(owner, "api_key.created")))
	w.key.Version = 1

	w.tombstone = newKey(owner, "dead")
	ok(t, st.CreateAPIKey(ctx, w.tombstone, 10, event(owner, "api_key.created")))
	w.tombstone.DeletedAt, w.tombstone.MAC = at(50), []byte("mac of a tombstone")
	ok(t, st.DeleteAPIKey(ctx, w.tombstone, event(owner, "api_key.deleted")))
	w.tombstone.Version = 2

	w.ownerKey = newOwnerKey(owner)
	stored, err := st.CreateOwnerKey(ctx, w.ownerKey)
	ok(t, err)
	w.ownerKey.Version = 1
	same(t, "CreateOwnerKey", stored, w.ownerKey)

	w.token = newToken(w.ownerKey, "jira", "work")
	ok(t, st.CreateProviderToken(ctx, w.token, 10, event(owner, "provider_token.created")))
	w.token.Version = 1
	return w
}

// tag makes an identifier that tells owners apart.
func tag(owner lanyard.Owner, name string) string {
	return name + "-" + owner.Tenant + "-" + owner.Subject
}

func newProfile(owner lanyard.Owner) store.Profile {
	given := "Ana Maria"
	return store.Profile{
		Owner: owner, Email: "ana@acme.example", EmailVerified: true,
		Directory: store.Names{Given: "Ana", Family: "Lima", Full: "Ana Lima"},
		Locale:    "pt-BR", ZoneInfo: "America/Sao_Paulo",
		GivenName: &given, CreatedAt: at(1), UpdatedAt: at(2),
	}
}

func newKey(owner lanyard.Owner, name string) store.APIKey {
	hash := sha256.Sum256([]byte(tag(owner, name)))
	return store.APIKey{
		ID: tag(owner, name), Owner: owner, Name: name, Hint: "aic_" + name,
		Hash: hash[:], MAC: []byte("mac " + name), Scopes: []string{"read", "write"},
		CreatedAt: at(10), CreateToken: []byte("token " + name), CreateDigest: []byte("digest " + name),
	}
}

func newOwnerKey(owner lanyard.Owner) store.OwnerKey {
	return store.OwnerKey{
		ID: tag(owner, "ok"), Owner: owner, Secrets: "keyring", KeyVersion: "v1",
		Wrapped: []byte("\x00wrapped\xff"), CreatedAt: at(20),
	}
}

func newToken(k store.OwnerKey, provider, label string) store.ProviderToken {
	return store.ProviderToken{
		ID: tag(k.Owner, provider+label), Owner: k.Owner, ProviderID: provider, MethodID: "pat", Label: label,
		Fields:     map[string]string{"site": "acme"},
		Secrets:    map[string]store.SealedSecret{"token": {Envelope: []byte("\x00LYD\xff"), Version: 1, UpdatedAt: at(30)}},
		OwnerKeyID: k.ID,
		Origin:     "https://acme.example", Account: store.Account{ID: "1", Name: "Ana", Email: "ana@acme.example"},
		Verdict: "ok", CheckedAt: at(30), ExpiresAt: at(90 * 86400), CreatedAt: at(30), UpdatedAt: at(30),
	}
}

// event returns a fresh event of the owner.
func event(owner lanyard.Owner, action string) lanyard.Event {
	e := lanyard.NewEvent(context.Background(), at(100), owner, action, "object")
	e.Detail = map[string]string{"name": "x"}
	return e
}

// erasure returns what erasing the owner leaves behind.
func erasure(owner lanyard.Owner) lanyard.Event {
	e := event(lanyard.Owner{Tenant: owner.Tenant}, "owner.erased")
	e.Actor, e.Object = lanyard.Owner{}, ""
	return e
}

// picture writes down everything that can be read of the owners of this
// package, so that two pictures are equal when nothing changed.
func picture(t *testing.T, st store.Store, w world) string {
	t.Helper()
	ctx := t.Context()
	s := pictureOf(t, st, append([]lanyard.Owner{ana}, strangers...))
	tombstone, err := st.APIKeyByHash(ctx, w.tombstone.Hash)
	s += fmt.Sprintf("tombstone %+v %v\n", tombstone, err == nil)
	for _, tenant := range []string{"", ana.Tenant, anaElse.Tenant} {
		erasures, err := st.Erasures(ctx, tenant, store.EventCursor{}, 1000)
		ok(t, err)
		s += fmt.Sprintf("erasures %+v\n", erasures)
	}
	if ep, has := st.(store.Epochs); has {
		epochs, err := ep.Epochs(ctx)
		ok(t, err)
		s += fmt.Sprintf("epochs %v\n", *epochs)
	}
	return s
}

// pictureOf writes down all records of these owners.
func pictureOf(t *testing.T, st store.Store, owners []lanyard.Owner) string {
	t.Helper()
	ctx := t.Context()
	var b strings.Builder
	note := func(what string, v any, err error) {
		t.Helper()
		if err != nil && !errors.Is(err, lanyard.ErrNotFound) {
			t.Fatalf("%s: %v", what, err)
		}
		fmt.Fprintf(&b, "%s %+v %v\n", what, v, err == nil)
	}
	for _, owner := range owners {
		p, err := st.Profile(ctx, owner)
		note("profile", flatten(p), err)
		keys, err := st.APIKeys(ctx, owner)
		note("keys", keys, err)
		tokens, err := st.ProviderTokens(ctx, owner)
		note("tokens", tokens, err)
		ownerKey, err := st.OwnerKey(ctx, owner)
		note("owner key", ownerKey, err)
		state, err := st.OwnerState(ctx, owner)
		note("state", state, err)
		events, err := st.Events(ctx, owner, store.EventCursor{}, 1000)
		note("events", events, err)
	}
	return b.String()
}

// flatten shows what a profile's pointers point to.
func flatten(p store.Profile) string {
	s := fmt.Sprintf("%+v %+v %s %v %s %s %d %v %v", p.Owner, p.Directory, p.Email, p.EmailVerified, p.Locale, p.ZoneInfo, p.Version, p.CreatedAt, p.UpdatedAt)
	for _, name := range []*string{p.GivenName, p.FamilyName} {
		if name == nil {
			s += " -"
		} else {
			s += fmt.Sprintf(" %q", *name)
		}
	}
	return s
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

// is fails unless err is the one wanted.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// isInput fails unless err is an InputError.
func isInput(t *testing.T, what string, err error) {
	t.Helper()
	var in *lanyard.InputError
	if !errors.As(err, &in) {
		t.Errorf("%s = %v, want an *InputError", what, err)
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v\nwant %+v", what, got, want)
	}
}

func ids[T any](records []T, id func(T) string) []string {
	out := make([]string, 0, len(records))
	for _, r := range records {
		out = append(out, id(r))
	}
	return out
}

func keyID(k store.APIKey) string          { return k.ID }
func tokenID(t store.ProviderToken) string { return t.ID }
