package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/sqlite"
)

func TestMain(m *testing.M) {
	_ = os.Unsetenv(databaseVariable) // what a developer has there is not ours
	goleak.VerifyTestMain(m)
}

// said is what one call of the command said and ended with.
type said struct {
	code     int
	out, err string
}

func call(t *testing.T, args ...string) said {
	t.Helper()
	return callUntil(t.Context(), t, args...)
}

func callUntil(ctx context.Context, t *testing.T, args ...string) said {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(ctx, args, &stdout, &stderr)
	return said{exitCode(err), stdout.String(), stderr.String()}
}

func (s said) want(t *testing.T, what string, code int, parts ...string) said {
	t.Helper()
	if s.code != code {
		t.Fatalf("%s ended with %d, want %d:\n%s%s", what, s.code, code, s.out, s.err)
	}
	for _, part := range parts {
		if !strings.Contains(s.out+s.err, part) {
			t.Errorf("%s does not say %q:\n%s%s", what, part, s.out, s.err)
		}
	}
	return s
}

// decode reads what was said with -json, and nothing but that.
func decode[T any](t *testing.T, s said) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(s.out))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil || d.More() {
		t.Fatalf("standard output is not one JSON object: %v\n%s", err, s.out)
	}
	return v
}

// site is a host's database and keyring, with owners and keys in it.
type site struct {
	database, keyring string
	sealed            map[lanyard.Owner]crypto.Sealed
	secrets           map[string][]byte // what must not be said
	keys              []apikey.Created
}

const owners = 120

func ownerNamed(i int) lanyard.Owner {
	return lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("user-", i)}
}

func place(owner lanyard.Owner) crypto.Binding {
	return crypto.Binding{Purpose: "provider-token", Owner: owner, Record: "r", Field: "f"}
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{
		database: filepath.Join(dir, "lanyard.db"), keyring: filepath.Join(dir, "lanyard.keys"),
		sealed: map[lanyard.Owner]crypto.Sealed{}, secrets: map[string][]byte{},
	}
	call(t, "migrate", "-database", s.database).want(t, "migrate", 0, "the tables were migrated")
	call(t, "keyring", "create", "-keyring", s.keyring).want(t, "keyring create", 0, "primary")
	s.with(t, func(st *sqlite.Store, sealer *crypto.Sealer) {
		for i := range owners {
			sealed, err := sealer.Seal(t.Context(), place(ownerNamed(i)), lanyard.NewSecret("canary-plaintext"))
			if err != nil {
				t.Fatal(err)
			}
			s.sealed[ownerNamed(i)] = sealed
		}
		keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			k, err := keys.Create(t.Context(), ownerNamed(i), apikey.CreateRequest{Name: fmt.Sprint("laptop ", i)})
			if err != nil {
				t.Fatal(err)
			}
			s.keys = append(s.keys, k)
			s.secrets[fmt.Sprint("token ", i)] = []byte(k.Secret.Reveal())
		}
		if err := keys.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

// with lends the store and a Sealer on the keyring as the host has them.
func (s *site) with(t *testing.T, f func(*sqlite.Store, *crypto.Sealer)) {
	t.Helper()
	st, err := sqlite.Open(t.Context(), s.database, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	ring, err := keyring.Open(s.keyring, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := crypto.NewSealer(ring, st, nil)
	if err != nil {
		t.Fatal(err)
	}
	f(st, sealer)
}

func (s *site) wantSound(t *testing.T) {
	t.Helper()
	s.with(t, func(_ *sqlite.Store, sealer *crypto.Sealer) {
		for owner, sealed := range s.sealed {
			if text, err := sealer.Open(t.Context(), place(owner), sealed.Envelope); err != nil || text.Reveal() != "canary-plaintext" {
				t.Fatalf("Open() for %s = %v, want what was sealed", owner.Subject, err)
			}
		}
	})
}

func (s *site) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.database+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func (s *site) ringKeys(t *testing.T) []ringKey {
	t.Helper()
	return decode[ringReport](t, call(t, "keyring", "list", "-json", "-keyring", s.keyring, "-database", s.database).want(t, "keyring list", 0)).Keys
}

func TestCalledTheWrongWay(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{
		{}, {"destroy"}, {"keyring"}, {"keyring", "forget"}, {"keys", "shown", "x"}, {"migrate", "-x"}, {"migrate", "now", "-database", none},
		{"migrate"}, {"keyring", "create"}, {"keyring", "disable", "-keyring", none, "x"}, {"keyring", "enable", "-keyring", none},
		{"rewrap", "-database", none}, {"rewrap", "-database", none, "-keyring", none, "-vault", "k"},
		{"rewrap", "-database", none, "-keyring", none, "-vault", "k", "-to", "other"}, {"rewrap", "-database", none, "-keyring", none, "-to", "keyring"},
		{"rewrap", "-database", none, "-keyring", none, "-previous-vault", "k"}, {"rewrap", "-database", none, "-vault", "k", "-previous-vault", "k"},
		{"rewrap", "-database", none, "-keyring", none, "-vault-name", "n"}, {"doctor", "-database", none, "-previous-vault", "k"},
		{"keys", "show", "-database", none}, {"keys", "delete", "-database", none, "a", "b"},
		{"keys", "delete-before", "-database", none, "yesterday"}, {"keys", "delete-before", "-database", none, "2999-01-01T00:00:00Z"},
		{"keys", "sign", "-database", none, "2026-01-01T00:00:00Z"}, {"keys", "sign", "-database", none, "-keyring", none}, {"keys", "sign", "-database", none, "-keyring", none, "soon"},
		{"keys", "sign", "-database", none, "-keyring", none, "2999-01-01T00:00:00Z"}, {"keys", "sign", "-database", none, "-keyring", none, "-history-since", "2999-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"purge", "-database", none}, {"purge", "-database", none, "-events", "0d"}, {"purge", "-database", none, "-events", "-1d"}, {"purge", "-database", none, "-events", "-36h"},
		{"purge", "-database", none, "-events", "soon"}, {"purge", "-database", none, "-events", "99999999999d"}, {"doctor"},
	} {
		if got := call(t, args...); got.code != exitUsage || got.out != "" || !strings.Contains(got.err, "lanyard") {
			t.Errorf("lanyard %q ended with %d and %q, want %d and nothing: %s", args, got.code, got.out, exitUsage, got.err)
		}
	}
	for _, args := range [][]string{{"help"}, {"-h"}, {"rewrap", "-h"}} {
		call(t, args...).want(t, fmt.Sprint(args), exitOK, "usage: lanyard")
	}
	if _, err := os.Stat(none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

// A misspelled path is an error and never an empty database or a fresh ring.
func TestNothingIsMadeByAccident(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, keys := filepath.Join(dir, "canary"), filepath.Join(dir, "keys")
	for _, args := range [][]string{
		{"doctor", "-database", db}, {"keys", "show", "-database", db, "x"}, {"purge", "-database", db, "-events", "1d"},
		{"rewrap", "-database", db, "-keyring", keys}, {"keyring", "list", "-keyring", keys}, {"keyring", "rotate", "-keyring", keys},
	} {
		if got := call(t, args...).want(t, fmt.Sprint(args), exitProblem); strings.Contains(got.out+got.err, "canary") {
			t.Errorf("%q repeats the database's name: %s%s", args[0], got.out, got.err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("the directory holds %v, %v, want nothing", files, err)
	}
}

// What is meant for PostgreSQL makes no file, and no password of it is said; nor
// is a key that somebody pasted where its id belongs.
func TestNothingPastedIsSaid(t *testing.T) {
	t.Chdir(t.TempDir()) // where a file would be made
	for _, database := range []string{
		"postgresq://u:canary@127.0.0.1:1/x", "http://u:canary@127.0.0.1/x", "u:canary@127.0.0.1", "u:canary@127.0.0.1/x", "/nowhere/canary/db",
		"./x password=canary", "127.0.0.1 PASSWORD = canary", "host=127.0.0.1 port=1 user=u password=canary", " password=canary host=127.0.0.1 port=1",
		"postgres://u:canary@127.0.0.1:1/x", "postgres://u:canary@127.0.0.1:port/x", "host=127.0.0.1 port=canary",
	} {
		for _, args := range [][]string{
			{"migrate", "-database", database}, {"doctor", "-database", database}, {"doctor", "-json", "-database", database},
			{"keys", "show", "-database", database, "x"}, {"-database", database, "migrate"}, {database}, {"migrate", database}, {"migrate", "-database", database, "x"},
		} {
			if got := call(t, args...); got.code == exitOK || strings.Contains(got.out+got.err, "canary") {
				t.Errorf("%q ended with %d and says %s%s", args, got.code, got.out, got.err)
			}
		}
	}
	if files, err := os.ReadDir("."); err != nil || len(files) != 0 {
		t.Errorf("the directory holds %v, %v, want nothing", files, err)
	}
	call(t, "migrate", "-database", "a=b.db").want(t, "migrate of pairs that PostgreSQL does not have", exitProblem)
	call(t, "migrate", "-database", "lanyard.db").want(t, "migrate", exitOK)
	for _, args := range [][]string{{"keys", "show"}, {"keys", "delete"}} {
		got := call(t, append(args, "-database", "lanyard.db", "aic_canary_of_a_whole_key")...).want(t, fmt.Sprint(args), exitProblem, "after its prefix")
		if strings.Contains(got.out+got.err, "canary") {
			t.Errorf("%q says %s%s", args, got.out, got.err)
		}
	}
}

// The database may be named by the environment, and stays out of what is said.
func TestDatabaseOfTheEnvironment(t *testing.T) {
	db := filepath.Join(t.TempDir(), "canary.db")
	t.Setenv(databaseVariable, db)
	call(t, "migrate").want(t, "migrate", exitOK, "the tables were migrated")
	if got := call(t, "migrate", "-h").want(t, "migrate -h", exitOK, databaseVariable); strings.Contains(got.out+got.err, "canary") {
		t.Errorf("help prints the environment's database: %s%s", got.out, got.err)
	}
	other := filepath.Join(t.TempDir(), "other.db")
	call(t, "migrate", "-database", other).want(t, "migrate of another", exitOK, "the tables were migrated")
	call(t, "migrate").want(t, "migrate again", exitOK, "the tables are up to date")
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "lanyard.db")
	for _, want := range []bool{true, false} {
		got := decode[map[string]bool](t, call(t, "migrate", "-json", "-database", db).want(t, "migrate", exitOK))
		if got["migrated"] != want {
			t.Errorf("migrate says %v, want %v", got, want)
		}
	}
}

// The life of a master key: rotated, everything moved, disabled, removed.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := s.ringKeys(t)[0]
	if old.OwnerKeys == nil || *old.OwnerKeys != owners+1 {
		t.Errorf("keyring list counts %v owner keys, want %d", old.OwnerKeys, owners+1)
	}
	call(t, "keyring", "create", "-keyring", s.keyring).want(t, "keyring create over another", exitProblem, "exist")
	call(t, "keyring", "rotate", "-keyring", s.keyring).want(t, "keyring rotate", exitOK, old.ID+"  decrypt", "primary")
	newest := s.ringKeys(t)[1]

	call(t, "keyring", "disable", "-keyring", s.keyring, "-database", s.database, old.ID).
		want(t, "keyring disable of a key in use", exitProblem, fmt.Sprint("wrapped ", owners+1))
	call(t, "keyring", "remove", "-keyring", s.keyring, "-database", s.database, old.ID).want(t, "keyring remove of a key in use", exitProblem)
	dry := decode[rewrapReport](t, call(t, "rewrap", "-json", "-dry-run", "-database", s.database, "-keyring", s.keyring).want(t, "rewrap -dry-run", exitOK))
	if dry.Rewrapped != owners+1 || !dry.DryRun || len(dry.Remaining) != 1 || dry.Remaining[0].KeyVersion != old.ID {
		t.Errorf("rewrap -dry-run says %+v, want all under %s", dry, old.ID)
	}

	got := call(t, "rewrap", "-json", "-database", s.database, "-keyring", s.keyring).want(t, "rewrap", exitOK, "100 of 121\n", "100% 121 of 121\n")
	report := decode[rewrapReport](t, got)
	if report.Rewrapped != owners+1 || report.KeyVersion != newest.ID || report.KeyService != "keyring" || !report.Done || len(report.Remaining)+len(report.Failed) != 0 {
		t.Errorf("rewrap says %+v, want all under %s", report, newest.ID)
	}
	call(t, "rewrap", "-database", s.database, "-keyring", s.keyring).want(t, "rewrap again", exitOK, "0 rewrapped, 121 current")

	call(t, "keyring", "remove", "-keyring", s.keyring, "-database", s.database, old.ID).want(t, "keyring remove of what is not disabled", exitProblem)
	call(t, "keyring", "disable", "-keyring", s.keyring, "-database", s.database, newest.ID).want(t, "keyring disable of the primary key", exitProblem)
	call(t, "keyring", "disable", "-keyring", s.keyring, "-database", s.database, old.ID).want(t, "keyring disable", exitOK, "disabled")
	call(t, "keyring", "enable", "-keyring", s.keyring, old.ID).want(t, "keyring enable", exitOK, old.ID+"  decrypt")
	call(t, "keyring", "disable", "-keyring", s.keyring, "-force", old.ID).want(t, "keyring disable -force", exitOK, "disabled")
	s.wantSound(t)
	call(t, "keyring", "remove", "-keyring", s.keyring, "-database", filepath.Join(t.TempDir(), "other.db"), old.ID).want(t, "keyring remove without the database", exitProblem)
	call(t, "keyring", "remove", "-keyring", s.keyring, "-database", s.database, old.ID).want(t, "keyring remove", exitOK)
	if keys := s.ringKeys(t); len(keys) != 1 || keys[0].ID != newest.ID {
		t.Errorf("the ring has %v, want %s", keys, newest.ID)
	}
	s.wantSound(t)
}

// A key is not removed for a database that has no tables to count in.
func TestRemoveWantsTheTables(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := s.ringKeys(t)[0].ID
	call(t, "keyring", "rotate", "-keyring", s.keyring).want(t, "keyring rotate", exitOK)
	call(t, "keyring", "disable", "-force", "-keyring", s.keyring, old).want(t, "keyring disable -force", exitOK)
	empty := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	call(t, "keyring", "remove", "-keyring", s.keyring, "-database", empty, old).want(t, "keyring remove", exitProblem, "migrated")
	call(t, "doctor", "-database", s.database, "-keyring", s.keyring).want(t, "doctor", exitProblem, "key service")
	call(t, "keyring", "enable", "-keyring", s.keyring, old).want(t, "keyring enable", exitOK)
	s.wantSound(t)
}

func TestRewrapFailures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	victim := s.sealed[ownerNamed(7)].OwnerKeyID
	s.exec(t, `UPDATE lanyard_owner_keys SET wrapped = x'00' WHERE id = ?`, victim)
	report := decode[rewrapReport](t, call(t, "rewrap", "-json", "-database", s.database, "-keyring", s.keyring).want(t, "rewrap under the newest key", exitProblem))
	if report.Current != owners || len(report.Failed) != 1 || len(report.Remaining) != 0 {
		t.Errorf("rewrap says %+v, want one that failed and none that remains", report)
	}
	call(t, "keyring", "rotate", "-keyring", s.keyring).want(t, "keyring rotate", exitOK)
	report = decode[rewrapReport](t, call(t, "rewrap", "-json", "-database", s.database, "-keyring", s.keyring).want(t, "rewrap", exitProblem))
	if want := []failedKey{{victim, "integrity"}}; !slices.Equal(report.Failed, want) || report.Rewrapped != owners || len(report.Remaining) != 1 || report.Error != "" {
		t.Errorf("rewrap says %+v, want %v failed", report, want)
	}
	call(t, "rewrap", "-database", s.database, "-keyring", s.keyring).want(t, "rewrap", exitProblem, "failed     "+victim+"  integrity", "remaining  1 under keyring")
	call(t, "doctor", "-database", s.database, "-keyring", s.keyring).want(t, "doctor", exitProblem, "1 of 121 do not open", victim+"  integrity")
}

// A run that was stopped says how to go on.
func TestRewrapStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	call(t, "keyring", "rotate", "-keyring", s.keyring).want(t, "keyring rotate", exitOK)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	callUntil(ctx, t, "rewrap", "-database", s.database, "-keyring", s.keyring).want(t, "rewrap", exitProblem, "context canceled")
	ids := make([]string, 0, owners)
	for _, sealed := range s.sealed {
		ids = append(ids, sealed.OwnerKeyID)
	}
	slices.Sort(ids)
	middle := ids[owners/2]
	report := decode[rewrapReport](t, call(t, "rewrap", "-json", "-after", middle, "-database", s.database, "-keyring", s.keyring).want(t, "rewrap -after", exitProblem))
	if report.Total >= owners || report.Total < owners/2-2 || len(report.Remaining) != 1 || !report.Done {
		t.Errorf("rewrap -after says %+v, want the second half and that the first remains", report)
	}
	s.wantSound(t)
}

func TestTellRewrapStopped(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j := &job{stdout: &out, json: true}
	stopped := fmt.Errorf("it is down: %w", lanyard.ErrUnavailable)
	if err := j.tellRewrap(crypto.Report{After: "abc"}, false, stopped); !errors.Is(err, stopped) || exitCode(err) != exitProblem {
		t.Errorf("tellRewrap() = %v, want %v", err, stopped)
	}
	if r := decode[rewrapReport](t, said{out: out.String()}); r.After != "abc" || r.Done || r.Error == "" {
		t.Errorf("it says %+v, want where to go on and why", r)
	}
	out.Reset()
	j.json = false
	_ = j.tellRewrap(crypto.Report{After: "abc"}, false, stopped)
	if !strings.Contains(out.String(), "go on with -after abc") {
		t.Errorf("it says %q, want how to go on", out.String())
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.keys[0].Key.ID
	got := decode[keyReport](t, call(t, "keys", "show", "-json", "-database", s.database, id).want(t, "keys show", exitOK))
	if got.ID != id || got.Subject != "user-0" || got.Tenant != "acme" || got.Name != "laptop 0" || !got.Signed || got.CreatedAt == "" || got.DeletedAt != "" {
		t.Errorf("keys show says %+v", got)
	}
	call(t, "keys", "show", "-database", s.database, id).want(t, "keys show", exitOK, `subject      "user-0"`)
	call(t, "keys", "show", "-database", s.database, "unknown").want(t, "keys show of an unknown id", exitProblem)
	call(t, "keys", "delete", "-database", s.database, id).want(t, "keys delete", exitOK, "1 deleted")
	call(t, "keys", "delete", "-database", s.database, id).want(t, "keys delete again", exitProblem)
	if got := decode[keyReport](t, call(t, "keys", "show", "-json", "-database", s.database, id)); got.DeletedAt == "" {
		t.Errorf("keys show of a deleted key says %+v", got)
	}
	call(t, "keys", "delete-before", "-database", s.database, "2020-01-01T00:00:00Z").want(t, "keys delete-before long ago", exitOK, "0 deleted")
	now := time.Now().UTC().Format(time.RFC3339Nano)
	all := decode[map[string]int](t, call(t, "keys", "delete-before", "-json", "-database", s.database, now).want(t, "keys delete-before", exitOK))
	if all["deleted"] != 2 {
		t.Errorf("keys delete-before says %v, want 2", all)
	}
	s.with(t, func(st *sqlite.Store, _ *crypto.Sealer) {
		for i, k := range s.keys {
			stored, err := st.APIKeyByID(t.Context(), k.Key.ID)
			if err != nil || stored.DeletedAt.IsZero() {
				t.Errorf("key %d: %v, deleted at %v, want a tombstone", i, err, stored.DeletedAt)
			}
			events, err := st.Events(t.Context(), ownerNamed(i), store.EventCursor{}, 1)
			if err != nil || len(events) != 1 || events[0].Action != apikey.ActionDeleted || events[0].Object != k.Key.ID || events[0].Via != lanyard.ViaSystem {
				t.Errorf("the history of owner %d ends with %+v, %v, want the deletion", i, events, err)
			}
		}
	})
}

func TestPurge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	call(t, "keys", "delete", "-database", s.database, s.keys[0].Key.ID).want(t, "keys delete", exitOK)
	got := decode[purgeReport](t, call(t, "purge", "-json", "-database", s.database, "-events", "90d", "-tombstones", "30d", "-usage", "365d").want(t, "purge", exitOK))
	if got != (purgeReport{}) {
		t.Errorf("purge of what is old says %+v, want nothing", got)
	}
	s.exec(t, `UPDATE lanyard_events SET at = at - 91 * 86400000000`)
	s.exec(t, `UPDATE lanyard_api_keys SET deleted_at = deleted_at - 31 * 86400000000 WHERE deleted_at IS NOT NULL`)
	got = decode[purgeReport](t, call(t, "purge", "-json", "-database", s.database, "-tombstones", "720h").want(t, "purge", exitOK))
	if got != (purgeReport{Tombstones: 1}) {
		t.Errorf("purge -tombstones says %+v, want 1 and no event", got)
	}
	call(t, "purge", "-database", s.database, "-events", "90d").want(t, "purge -events", exitOK, "4 events, 0 tombstones")
}

// status returns what the doctor says of each thing.
func status(t *testing.T, s *site, code int, args ...string) map[string]check {
	t.Helper()
	args = append([]string{"doctor", "-json", "-database", s.database}, args...)
	e := decode[examination](t, call(t, args...).want(t, "doctor", code))
	if e.OK != (code == exitOK) {
		t.Errorf("doctor ended with %d and says ok %v", code, e.OK)
	}
	out := map[string]check{}
	for _, c := range e.Checks {
		out[c.Name] = c
	}
	return out
}

func wantProblem(t *testing.T, checks map[string]check, name string, items ...string) {
	t.Helper()
	for _, c := range checks {
		if (c.Status == statusProblem) != (c.Name == name) {
			t.Errorf("%s is %s (%s), want a problem with %q only", c.Name, c.Status, c.Detail, name)
		}
	}
	if got := checks[name].Items; len(items) > 0 && !slices.Equal(got, items) {
		t.Errorf("%s: the problem is with %q, want %q", name, got, items)
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ring := []string{"-keyring", s.keyring}
	healthy := status(t, s, exitOK, ring...)
	for _, name := range []string{"database", "migrations", "indexes", "constraints", "epochs", "rows", "key service", "owner keys", "key versions", "connections", "signatures"} {
		if healthy[name].Status != statusOK {
			t.Errorf("%s of a healthy site: %+v, want ok", name, healthy[name])
		}
	}
	if got := status(t, s, exitOK); got["owner keys"].Status != statusSkipped || len(got["owner keys"].Items) != 1 {
		t.Errorf("owner keys without a key service: %+v, want that they were skipped, and their number", got["owner keys"])
	}

	old := s.ringKeys(t)[0].ID
	call(t, "keyring", "rotate", "-keyring", s.keyring).want(t, "keyring rotate", exitOK)
	wantProblem(t, status(t, s, exitProblem, ring...), "key versions", fmt.Sprintf("%d under keyring %s", owners+1, old))
	call(t, "rewrap", "-database", s.database, "-keyring", s.keyring).want(t, "rewrap", exitOK)
	wantProblem(t, status(t, s, exitOK, ring...), "")

	s.exec(t, `UPDATE lanyard_api_keys SET mac = NULL WHERE id = ?`, s.keys[1].Key.ID)
	wantProblem(t, status(t, s, exitProblem, ring...), "signatures", s.keys[1].Key.ID)
	call(t, "doctor", "-database", s.database, ring[0], ring[1]).want(t, "doctor", exitProblem, "lanyard keys sign")
	if got := status(t, s, exitOK); got["signatures"].Status != statusSkipped {
		t.Errorf("signatures without a key service: %+v, want that they were skipped", got["signatures"])
	}
	call(t, "keys", "delete", "-database", s.database, s.keys[1].Key.ID).want(t, "keys delete", exitOK)

	s.exec(t, `DROP INDEX lanyard_api_keys_owner`)
	wantProblem(t, status(t, s, exitProblem, ring...), "indexes", "lanyard_api_keys_owner")
	s.exec(t, `CREATE INDEX lanyard_api_keys_owner ON lanyard_api_keys (id)`)

	s.exec(t, `DROP INDEX lanyard_api_keys_create_token`)
	s.exec(t, `CREATE INDEX lanyard_api_keys_create_token ON lanyard_api_keys (tenant, subject, create_token)`)
	wantProblem(t, status(t, s, exitProblem, ring...), "constraints", "lanyard_api_keys UNIQUE INDEX lanyard_api_keys_create_token (tenant, subject, create_token)")
	s.exec(t, `DROP INDEX lanyard_api_keys_create_token`)
	s.exec(t, `CREATE UNIQUE INDEX lanyard_api_keys_create_token ON lanyard_api_keys (tenant, subject, create_token) WHERE create_token IS NOT NULL`)

	s.exec(t, `DELETE FROM lanyard_epochs WHERE shard = 77`)
	wantProblem(t, status(t, s, exitProblem, ring...), "epochs", "77")
	s.exec(t, `INSERT INTO lanyard_epochs (shard, epoch) VALUES (77, 0)`)

	s.exec(t, `UPDATE lanyard_api_keys SET scopes = '{not json' WHERE id = ?`, s.keys[2].Key.ID)
	wantProblem(t, status(t, s, exitProblem, ring...), "rows", fmt.Sprintf("lanyard_api_keys %q", s.keys[2].Key.ID))
	s.exec(t, `UPDATE lanyard_api_keys SET scopes = '["admin"]' WHERE id = ?`, s.keys[2].Key.ID)
	wantProblem(t, status(t, s, exitProblem, ring...), "signatures", s.keys[2].Key.ID+"  integrity")
	s.exec(t, `UPDATE lanyard_api_keys SET mac = x'00'`)
	forged := []string{s.keys[0].Key.ID + "  integrity", s.keys[2].Key.ID + "  integrity"}
	slices.Sort(forged)
	wantProblem(t, status(t, s, exitProblem, ring...), "signatures", forged...)
	call(t, "keys", "delete-before", "-database", s.database, time.Now().UTC().Format(time.RFC3339Nano)).want(t, "keys delete-before", exitOK, "2 deleted")

	victim := s.sealed[ownerNamed(3)].OwnerKeyID
	s.exec(t, `UPDATE lanyard_owner_keys SET wrapped = x'00' WHERE id = ?`, victim)
	wantProblem(t, status(t, s, exitProblem, ring...), "owner keys", victim+"  integrity")

	other := newSite(t)
	wantProblem(t, status(t, s, exitProblem, "-keyring", other.keyring), "key service")

	s.exec(t, `UPDATE lanyard_schema SET min_reader = 999`)
	wantProblem(t, status(t, s, exitProblem, ring...), "database")
}

// One bad row of a kind is named, and the others are looked at all the same.
func TestDoctorNamesBadRows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ids []string
	for i := range 3 {
		ids = append(ids, s.connect(t, ownerNamed(i)).ID)
	}
	slices.Sort(ids)
	ring := []string{"-keyring", s.keyring}
	s.exec(t, `UPDATE lanyard_provider_tokens SET secrets = '{not json' WHERE id = ?`, ids[0])
	s.exec(t, `UPDATE lanyard_owner_keys SET id = '' WHERE id = ?`, s.sealed[ownerNamed(9)].OwnerKeyID)
	got := status(t, s, exitProblem, ring...)
	wantProblem(t, got, "rows", fmt.Sprintf("lanyard_provider_tokens %q", ids[0]), `lanyard_owner_keys ""`)
	if c := got["connections"]; c.Status != statusOK || c.Checked != 2 {
		t.Errorf("connections beside a bad row: %+v, want that both others open", c)
	}
	s.exec(t, `DELETE FROM lanyard_owner_keys WHERE id = ''`)
	s.exec(t, `DELETE FROM lanyard_provider_tokens WHERE id = ?`, ids[0])

	// A date that cannot be keeps no owner key under its old key.
	s.exec(t, `UPDATE lanyard_owner_keys SET created_at = 999999999999999999 WHERE id = ?`, s.sealed[ownerNamed(7)].OwnerKeyID)
	call(t, "keyring", "rotate", "-keyring", s.keyring).want(t, "keyring rotate", exitOK)
	call(t, "rewrap", "-database", s.database, ring[0], ring[1]).want(t, "rewrap", exitOK, "120 rewrapped")
	wantProblem(t, status(t, s, exitOK, ring...), "")
}

// Who is asked and says nothing has not said that anything is wrong.
func TestDoctorWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"postgres://u:canary@127.0.0.1:1/x", "host=127.0.0.1 port=1 user=u password=canary"} {
		s := &site{database: database}
		got := status(t, s, exitAway)
		if got["database"].Status != statusUnavailable {
			t.Errorf("the database: %+v, want that it is unavailable", got["database"])
		}
	}
	wantProblem(t, status(t, &site{database: "postgres://u@127.0.0.1:port/x"}, exitProblem), "database")
}

func TestDoctorBeforeMigrate(t *testing.T) {
	t.Parallel()
	s := &site{database: filepath.Join(t.TempDir(), "empty.db")}
	if err := os.WriteFile(s.database, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, status(t, s, exitProblem), "migrations")
}

func TestPassphraseFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ring, file, empty := filepath.Join(dir, "keys"), filepath.Join(dir, "passphrase"), filepath.Join(dir, "empty")
	for name, text := range map[string]string{file: "canary horse battery\n", empty: "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	call(t, "keyring", "create", "-keyring", ring, "-passphrase-file", empty).want(t, "keyring create with an empty passphrase", exitProblem)
	call(t, "keyring", "create", "-keyring", ring, "-passphrase-file", file).want(t, "keyring create", exitOK)
	if got := call(t, "keyring", "list", "-keyring", ring).want(t, "keyring list without", exitProblem, "passphrase"); strings.Contains(got.err, "canary") {
		t.Error("the passphrase was said")
	}
	if _, err := keyring.Open(ring, &keyring.Options{Passphrase: lanyard.NewSecret("canary horse battery")}); err != nil {
		t.Errorf("Open() with the passphrase = %v, want nil", err)
	}
}

// Nothing that opens anything is ever said, nor what it is kept as.
func TestSaysNoSecret(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec(t, `UPDATE lanyard_owner_keys SET wrapped = x'00' WHERE id = ?`, s.sealed[ownerNamed(7)].OwnerKeyID)
	s.with(t, func(st *sqlite.Store, _ *crypto.Sealer) {
		k, err := st.APIKeyByID(t.Context(), s.keys[0].Key.ID)
		if err != nil {
			t.Fatal(err)
		}
		s.secrets["hash"], s.secrets["mac"] = k.Hash, k.MAC
	})
	var all strings.Builder
	for _, args := range [][]string{
		{"keyring", "list", "-keyring", s.keyring}, {"keyring", "rotate", "-keyring", s.keyring}, {"doctor", "-database", s.database, "-keyring", s.keyring},
		{"rewrap", "-database", s.database, "-keyring", s.keyring}, {"keys", "sign", "-database", s.database, "-keyring", s.keyring, "2026-01-01T00:00:00Z"}, {"keys", "show", "-database", s.database, s.keys[0].Key.ID},
		{"keys", "delete", "-database", s.database, s.keys[0].Key.ID}, {"doctor", "-database", s.database},
	} {
		got := call(t, args...)
		asJSON := call(t, slices.Insert(slices.Clone(args), wordsOf(args), "-json")...)
		all.WriteString(got.out + got.err + asJSON.out + asJSON.err)
	}
	raw, err := os.ReadFile(s.keyring)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Keys []struct{ Key, Check []byte }
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Keys) < 2 {
		t.Fatalf("the keyring holds %d keys, %v", len(file.Keys), err)
	}
	for i, k := range file.Keys {
		s.secrets[fmt.Sprint("master key ", i)], s.secrets[fmt.Sprint("check value ", i)] = k.Key, k.Check
	}
	if !strings.Contains(all.String(), s.keys[0].Key.ID) || len(s.secrets) < 8 {
		t.Errorf("looked for %d secrets in %d bytes", len(s.secrets), all.Len())
	}
	for what, secret := range s.secrets {
		if len(secret) < 8 {
			t.Errorf("%s has %d bytes, which prove nothing", what, len(secret))
		}
		for form, text := range map[string]string{
			"text": string(secret), "hex": hex.EncodeToString(secret), "base64": base64.RawStdEncoding.EncodeToString(secret),
			"numbers": strings.Trim(fmt.Sprintf("%d", secret), "[]"),
		} {
			if strings.Contains(all.String(), text) {
				t.Errorf("%s was said, as %s", what, form)
			}
		}
	}
}

// wordsOf counts the words of the command that args begin with.
func wordsOf(args []string) int {
	c, rest := find(args)
	if c == nil {
		return 0
	}
	return len(args) - len(rest)
}
