package store_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"pgregory.net/rapid"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/postgres"
	"github.com/aichub/lanyard/store/sqlite"
)

// Runs are short unless -rapid.checks or -rapid.steps says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	asked := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { asked[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": "20", "rapid.steps": "25"} {
		if !asked[name] {
			_ = flag.Set(name, value)
		}
	}
	os.Exit(m.Run())
}

// The stores answer alike, whatever they are asked in whatever order.
func TestInLockStep(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lanyard.db"), nil)
		if err != nil {
			t.Fatalf("Open = %v", err)
		}
		lockStep(t, st)
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		st, err := postgres.Open(t.Context(), newDatabase(t), nil)
		if err != nil {
			t.Fatalf("Open = %v", err)
		}
		lockStep(t, st)
	})
}

func lockStep(t *testing.T, st interface {
	store.Store
	Migrate(ctx context.Context) error
}) {
	t.Helper()
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatalf("Migrate = %v", err)
	}
	reference := memory.New()
	t.Cleanup(func() { _ = reference.Close() })
	rapid.Check(t, func(t *rapid.T) {
		run := lanyard.NewID() // whose owners no other run has
		m := &machine{
			stores: []store.Store{reference, st},
			owners: []lanyard.Owner{{Tenant: run, Subject: "ana"}, {Tenant: run, Subject: "Ana"}, {Tenant: run + "2", Subject: "ana"}},
			run:    run, clock: now,
			events: map[lanyard.Owner]int{}, inactive: map[lanyard.Owner]bool{}, erased: map[string]int{},
		}
		t.Repeat(rapid.StateMachineActions(m))
	})
}

// machine does the same to each store and holds their answers, and what they
// show afterwards, against each other and against what it counted itself.
type machine struct {
	stores []store.Store
	owners []lanyard.Owner
	run    string
	clock  time.Time
	made   int // names what is new

	keys   []store.APIKey        // as they were sent; live or not
	tokens []store.ProviderToken // likewise

	events   map[lanyard.Owner]int
	inactive map[lanyard.Owner]bool
	erased   map[string]int // by tenant
}

// limit is how many keys and connections an owner has at most.
const limit = 3

func (m *machine) owner(t *rapid.T) lanyard.Owner {
	return rapid.SampledFrom(m.owners).Draw(t, "owner")
}

func (m *machine) name() string {
	m.made++
	return fmt.Sprintf("%s-%d", m.run, m.made)
}

// when returns a time: the clock goes on, or stands still.
func (m *machine) when(t *rapid.T) time.Time {
	m.clock = m.clock.Add(rapid.SampledFrom([]time.Duration{0, 900, time.Microsecond, time.Hour}).Draw(t, "time goes on by"))
	return m.clock
}

// text is what a user writes, now and then what no store keeps.
func (m *machine) text(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "A", "'; --", "%", `\`, "é", "e\u0301", "a\x00b", "\xff"}), rapid.StringN(0, 8, -1),
	).Draw(t, label)
}

func (m *machine) event(t *rapid.T, owner lanyard.Owner) lanyard.Event {
	e := lanyard.NewEvent(context.Background(), m.when(t), owner, "test", "object")
	e.ID = m.name()
	e.DedupeKey = rapid.SampledFrom([]string{"", "", "", "", "fact", "Fact"}).Draw(t, "dedupe key")
	return e
}

// all does something to each store and returns whether it was done.
func (m *machine) all(t *rapid.T, what string, do func(st store.Store) error) bool {
	var first string
	for i, st := range m.stores {
		got := kind(do(st))
		if i == 0 {
			first = got
		} else if got != first {
			t.Fatalf("%s: %s of %T, %s of %T", what, first, m.stores[0], got, st)
		}
	}
	return first == "ok"
}

// change is all, for a change that writes an event.
func (m *machine) change(t *rapid.T, what string, owner lanyard.Owner, do func(st store.Store) error) bool {
	done := m.all(t, what, do)
	if done {
		m.events[owner]++
	}
	return done
}

// kind is what a caller can tell of an error.
func kind(err error) string {
	var in *lanyard.InputError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &in):
		return "input " + in.Field + " " + in.Code
	}
	for _, known := range []error{store.ErrOwnerKeyGone, lanyard.ErrNotFound, lanyard.ErrExists, lanyard.ErrConflict, lanyard.ErrLimit} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "something else: " + err.Error()
}

func (m *machine) profile(t *rapid.T, owner lanyard.Owner) store.Profile {
	p := store.Profile{
		Owner: owner, Version: int64(rapid.IntRange(0, 4).Draw(t, "version")), Email: m.text(t, "email"),
		Directory: store.Names{Given: "Ana"}, CreatedAt: m.when(t), UpdatedAt: m.when(t),
	}
	if rapid.Bool().Draw(t, "named by the user") {
		name := m.text(t, "given name")
		p.GivenName = &name
	}
	return p
}

func (m *machine) CreateProfile(t *rapid.T) {
	p := m.profile(t, m.owner(t))
	e := m.event(t, p.Owner)
	m.change(t, "CreateProfile", p.Owner, func(st store.Store) error { return st.CreateProfile(t.Context(), p, e) })
}

func (m *machine) UpdateProfile(t *rapid.T) {
	p := m.profile(t, m.owner(t))
	e := m.event(t, p.Owner)
	m.change(t, "UpdateProfile", p.Owner, func(st store.Store) error { return st.UpdateProfile(t.Context(), p, e) })
}

func (m *machine) RefreshProfile(t *rapid.T) {
	p := m.profile(t, m.owner(t))
	m.all(t, "RefreshProfile", func(st store.Store) error { return st.RefreshProfile(t.Context(), p) })
}

func (m *machine) newKey(t *rapid.T, owner lanyard.Owner) store.APIKey {
	id := m.name()
	hash := sha256.Sum256([]byte(id))
	k := store.APIKey{
		ID: id, Owner: owner, Name: m.text(t, "name"), Hint: "aic_", Hash: hash[:], CreatedAt: m.when(t),
		Scopes: rapid.SliceOfN(rapid.SampledFrom([]string{"read", "write"}), 0, 2).Draw(t, "scopes"),
	}
	if rapid.Bool().Draw(t, "asked with a key") {
		k.CreateToken = []byte(rapid.SampledFrom([]string{"t1", "t2"}).Draw(t, "create token"))
		k.CreateDigest = []byte("d")
	}
	return k
}

func (m *machine) CreateAPIKey(t *rapid.T) {
	k := m.newKey(t, m.owner(t))
	e := m.event(t, k.Owner)
	if m.change(t, "CreateAPIKey", k.Owner, func(st store.Store) error { return st.CreateAPIKey(t.Context(), k, limit, e) }) {
		m.keys = append(m.keys, k)
	}
}

// key draws a key that was made once, with a version that may be stale and at
// times another owner.
func (m *machine) key(t *rapid.T) store.APIKey {
	if len(m.keys) == 0 {
		t.Skip("no key yet")
	}
	k := rapid.SampledFrom(m.keys).Draw(t, "key")
	k.Version = int64(rapid.IntRange(0, 3).Draw(t, "version"))
	if rapid.IntRange(0, 9).Draw(t, "by somebody else") == 0 {
		k.Owner = m.owner(t)
	}
	return k
}

func (m *machine) UpdateAPIKey(t *rapid.T) {
	k := m.key(t)
	k.Name, k.ExpiresAt = m.text(t, "name"), m.when(t)
	e := m.event(t, k.Owner)
	m.change(t, "UpdateAPIKey", k.Owner, func(st store.Store) error { return st.UpdateAPIKey(t.Context(), k, e) })
}

func (m *machine) RotateAPIKey(t *rapid.T) {
	old := m.key(t)
	next := m.newKey(t, old.Owner)
	next.RotatedFrom = old.ID
	e := m.event(t, old.Owner)
	if m.change(t, "RotateAPIKey", old.Owner, func(st store.Store) error { return st.RotateAPIKey(t.Context(), old, next, limit, e) }) {
		m.keys = append(m.keys, next)
	}
}

func (m *machine) DeleteAPIKey(t *rapid.T) {
	k := m.key(t)
	k.DeletedAt, k.MAC = m.when(t), []byte("mac")
	e := m.event(t, k.Owner)
	m.change(t, "DeleteAPIKey", k.Owner, func(st store.Store) error { return st.DeleteAPIKey(t.Context(), k, e) })
}

func (m *machine) RecordKeyUse(t *rapid.T) {
	k := m.key(t)
	used := func(what string) time.Time {
		return m.clock.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, what)) * time.Minute)
	}
	at, before, from := used("used"), used("used before"), rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "from")
	m.all(t, "RecordKeyUse", func(st store.Store) error {
		return st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: k.ID, At: at, From: from}, {ID: k.ID, At: before}, {ID: "unknown", At: at}})
	})
}

func (m *machine) CreateOwnerKey(t *rapid.T) {
	owner := m.owner(t)
	k := store.OwnerKey{ID: m.name(), Owner: owner, Secrets: "keyring", KeyVersion: "1", Wrapped: []byte{1}, CreatedAt: m.when(t)}
	m.all(t, "CreateOwnerKey", func(st store.Store) error { _, err := st.CreateOwnerKey(t.Context(), k); return err })
}

// ownerKeyOf returns the id of the owner's key, or of another's.
func (m *machine) ownerKeyOf(t *rapid.T, owner lanyard.Owner) string {
	if rapid.IntRange(0, 9).Draw(t, "another's key") == 0 {
		owner = m.owner(t)
	}
	k, err := m.stores[0].OwnerKey(t.Context(), owner)
	if err != nil {
		return "unknown"
	}
	return k.ID
}

func (m *machine) token(t *rapid.T, owner lanyard.Owner) store.ProviderToken {
	return store.ProviderToken{
		ID: m.name(), Owner: owner, ProviderID: rapid.SampledFrom([]string{"jira", "github"}).Draw(t, "provider"),
		Label: rapid.SampledFrom([]string{"", "work", "Work"}).Draw(t, "label"), OwnerKeyID: m.ownerKeyOf(t, owner),
		Fields:    map[string]string{"site": m.text(t, "site")},
		Secrets:   map[string]store.SealedSecret{"token": {Envelope: []byte{0, 1, 0xff}, Version: 1, UpdatedAt: m.when(t)}},
		CreatedAt: m.when(t), UpdatedAt: m.when(t),
	}
}

func (m *machine) CreateProviderToken(t *rapid.T) {
	tok := m.token(t, m.owner(t))
	e := m.event(t, tok.Owner)
	if m.change(t, "CreateProviderToken", tok.Owner, func(st store.Store) error {
		return st.CreateProviderToken(t.Context(), tok, limit, e)
	}) {
		m.tokens = append(m.tokens, tok)
	}
}

// connection draws one that was made once, at times with another owner.
func (m *machine) connection(t *rapid.T) store.ProviderToken {
	if len(m.tokens) == 0 {
		t.Skip("no connection yet")
	}
	tok := rapid.SampledFrom(m.tokens).Draw(t, "connection")
	if rapid.IntRange(0, 9).Draw(t, "by somebody else") == 0 {
		tok.Owner = m.owner(t)
	}
	return tok
}

func (m *machine) UpdateProviderToken(t *rapid.T) {
	old := m.connection(t)
	tok := m.token(t, old.Owner)
	tok.ID, tok.Version = old.ID, int64(rapid.IntRange(0, 3).Draw(t, "version"))
	e := m.event(t, tok.Owner)
	m.change(t, "UpdateProviderToken", tok.Owner, func(st store.Store) error { return st.UpdateProviderToken(t.Context(), tok, e) })
}

func (m *machine) DeleteProviderToken(t *rapid.T) {
	tok := m.connection(t)
	version := int64(rapid.IntRange(0, 3).Draw(t, "version"))
	e := m.event(t, tok.Owner)
	m.change(t, "DeleteProviderToken", tok.Owner, func(st store.Store) error {
		return st.DeleteProviderToken(t.Context(), tok.Owner, tok.ID, version, e)
	})
}

func (m *machine) RecordTokenUse(t *rapid.T) {
	tok := m.connection(t)
	at := m.clock.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "used")) * time.Minute)
	m.all(t, "RecordTokenUse", func(st store.Store) error { return st.RecordTokenUse(t.Context(), tok.Owner, tok.ID, at) })
}

func (m *machine) Deactivate(t *rapid.T) {
	owner := m.owner(t)
	at, e := m.when(t), m.event(t, owner)
	if m.all(t, "Deactivate", func(st store.Store) error { return st.Deactivate(t.Context(), owner, at, e) }) && !m.inactive[owner] {
		m.inactive[owner] = true
		m.events[owner]++
	}
}

func (m *machine) Reactivate(t *rapid.T) {
	owner := m.owner(t)
	e := m.event(t, owner)
	if m.all(t, "Reactivate", func(st store.Store) error { return st.Reactivate(t.Context(), owner, e) }) && m.inactive[owner] {
		m.inactive[owner] = false
		m.events[owner]++
	}
}

func (m *machine) Erase(t *rapid.T) {
	owner := m.owner(t)
	e := m.event(t, lanyard.Owner{Tenant: owner.Tenant})
	e.Actor = lanyard.Owner{}
	if m.all(t, "Erase", func(st store.Store) error { return st.Erase(t.Context(), owner, e) }) {
		m.events[owner], m.inactive[owner] = 0, false
		m.erased[owner.Tenant]++
	}
}

func (m *machine) Append(t *rapid.T) {
	e := m.event(t, m.owner(t))
	m.change(t, "Append", e.Owner, func(st store.Store) error { return st.Append(t.Context(), e) })
}

func (m *machine) DeleteAPIKeyByID(t *rapid.T) {
	k := m.key(t)
	at, made := m.when(t), m.event(t, k.Owner)
	of := func(k store.APIKey) lanyard.Event {
		e := made
		e.Owner = k.Owner
		return e
	}
	for _, known := range m.keys {
		if known.ID == k.ID {
			k.Owner = known.Owner
		}
	}
	m.change(t, "DeleteAPIKeyByID", k.Owner, func(st store.Store) error { return st.DeleteAPIKeyByID(t.Context(), k.ID, at, of) })
}

// Check runs after each of the others.
func (m *machine) Check(t *rapid.T) {
	var first string
	for i, st := range m.stores {
		got := m.picture(t, st)
		if i == 0 {
			first = got
		} else if got != first {
			t.Fatalf("%T shows\n%s%T shows\n%s", m.stores[0], first, st, got)
		}
	}
	for _, owner := range m.owners {
		events, err := m.stores[0].Events(t.Context(), owner, store.EventCursor{}, 1000)
		if err != nil || len(events) != m.events[owner] {
			t.Fatalf("%v has %d events, %v, after %d changes", owner, len(events), err, m.events[owner])
		}
		keys, err := m.stores[0].APIKeys(t.Context(), owner)
		if err != nil || len(keys) > limit {
			t.Fatalf("%v has %d keys, %v, and may have %d", owner, len(keys), err, limit)
		}
	}
}

// picture writes down all that the owners of this run have in a store.
func (m *machine) picture(t *rapid.T, st store.Store) string {
	var b strings.Builder
	note := func(what string, v any, err error) {
		if got := kind(err); got != "ok" {
			v = got
		}
		fmt.Fprintf(&b, "%s %+v\n", what, v)
	}
	ctx := t.Context()
	for _, owner := range m.owners {
		p, err := st.Profile(ctx, owner)
		var given string
		if p.GivenName != nil {
			given = *p.GivenName
			p.GivenName = nil
		}
		note("profile "+fmt.Sprintf("%q", given), p, err)
		keys, err := st.APIKeys(ctx, owner)
		note("keys", keys, err)
		tokens, err := st.ProviderTokens(ctx, owner)
		note("connections", tokens, err)
		ownerKey, err := st.OwnerKey(ctx, owner)
		note("owner key", ownerKey, err)
		state, err := st.OwnerState(ctx, owner)
		note("state", state, err)
		events, err := st.Events(ctx, owner, store.EventCursor{}, 1000)
		note("events", events, err)
		erasures, err := st.Erasures(ctx, owner.Tenant, store.EventCursor{}, 1000)
		note("erasures", erasures, err)
		for _, token := range []string{"t1", "t2"} {
			k, err := st.APIKeyByCreateToken(ctx, owner, []byte(token))
			note("key of "+token, k, err)
		}
	}
	for _, k := range m.keys {
		lookup, err := st.APIKeyByHash(ctx, k.Hash)
		lookup.Epoch = 0 // random
		note("look-up", lookup, err)
	}
	return b.String()
}

// newDatabase returns the URL of a new database at the server that
// LANYARD_TEST_POSTGRES names.
func newDatabase(t *testing.T) string {
	t.Helper()
	server := os.Getenv("LANYARD_TEST_POSTGRES")
	if server == "" {
		t.Skip("needs PostgreSQL: run it under `scripts/postgres run`, or let LANYARD_TEST_POSTGRES name a server")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	name := "lanyard_test_" + lanyard.NewID()
	if _, err := db.ExecContext(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Errorf("drop a database: %v", err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}
