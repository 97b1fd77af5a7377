package crypto_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/sqlite"
)

// versioned is a key service that can rotate. A test counts its calls and puts
// something in their way.
type versioned struct {
	*vault
	mu      sync.Mutex
	version int
}

func newVersioned(name string) *versioned { return &versioned{vault: newVault(name), version: 1} }

func (v *versioned) rotate() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version++
}

func (v *versioned) newest() (int, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.version, fmt.Sprint("n", v.version)
}

// under binds a ciphertext to the version, as a key of its own would.
func under(version string, binding []byte) []byte { return append([]byte(version+":"), binding...) }

func (v *versioned) Wrap(ctx context.Context, key, binding []byte) (crypto.Wrapped, error) {
	_, version := v.newest()
	w, err := v.vault.Wrap(ctx, key, under(version, binding))
	if err == nil && w.KeyVersion == "v1" {
		w.KeyVersion = version
	}
	return w, err
}

func (v *versioned) Unwrap(ctx context.Context, w crypto.Wrapped, binding []byte) ([]byte, error) {
	newest, _ := v.newest()
	for n := range newest {
		if version := fmt.Sprint("n", n+1); w.KeyVersion == version {
			return v.vault.Unwrap(ctx, crypto.Wrapped{KeyVersion: "v1", Ciphertext: w.Ciphertext}, under(version, binding))
		}
	}
	return v.vault.Unwrap(ctx, w, binding) // as an unknown version
}

// serverSide is one that rewraps by itself.
type serverSide struct {
	*versioned
	batches  atomic.Int64
	onRewrap func(items []crypto.RewrapItem, answers []crypto.RewrapResult) []crypto.RewrapResult
}

func (s *serverSide) Rewrap(ctx context.Context, items []crypto.RewrapItem) []crypto.RewrapResult {
	s.batches.Add(1)
	_, newest := s.newest()
	answers := make([]crypto.RewrapResult, len(items))
	quiet := &vault{aead: s.aead} // its own calls are nobody's business
	inside := &versioned{vault: quiet, version: s.version}
	for i, it := range items {
		if err := s.down.Load(); err != nil {
			answers[i].Err = *err
			continue
		}
		if it.Wrapped.KeyVersion == newest {
			answers[i].Wrapped = it.Wrapped
			continue
		}
		key, err := inside.Unwrap(ctx, it.Wrapped, it.Binding)
		if err == nil {
			answers[i].Wrapped, err = inside.Wrap(ctx, key, it.Binding)
		}
		answers[i].Err = err
	}
	if s.onRewrap != nil {
		return s.onRewrap(items, answers)
	}
	return answers
}

// rotating is what both kinds have in common.
type rotating interface {
	crypto.Secrets
	rotate()
}

// upkeep is the maintenance of a store with something in its way.
type upkeep struct {
	store.Maintenance
	writes  atomic.Int64
	onWrite func(ctx context.Context, k *store.OwnerKey) error // before the call
	onPage  func() error
}

func (u *upkeep) RewrapOwnerKey(ctx context.Context, k store.OwnerKey) error {
	u.writes.Add(1)
	if u.onWrite != nil {
		if err := u.onWrite(ctx, &k); err != nil {
			return err
		}
	}
	return u.Maintenance.RewrapOwnerKey(ctx, k)
}

func (u *upkeep) AllOwnerKeys(ctx context.Context, after string, limit int) ([]store.OwnerKey, error) {
	if u.onPage != nil {
		if err := u.onPage(); err != nil {
			return nil, err
		}
	}
	return u.Maintenance.AllOwnerKeys(ctx, after, limit)
}

// world is a store with the sealed connections of several owners.
type world struct {
	store   store.Store
	upkeep  *upkeep
	owners  []lanyard.Owner
	sealed  map[lanyard.Owner]crypto.Sealed
	before  []store.ProviderToken
	keyRows int
}

// populate seals something for n owners, and makes the system key.
func populate(t *testing.T, st store.Store, s *crypto.Sealer, n int) *world {
	t.Helper()
	w := &world{store: st, upkeep: &upkeep{Maintenance: st}, sealed: map[lanyard.Owner]crypto.Sealed{}, keyRows: n + 1}
	for i := range n {
		owner := lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("user-", i)}
		sealed := seal(t, s, place(owner))
		p := store.ProviderToken{
			ID: lanyard.NewID(), Owner: owner, ProviderID: "jira", OwnerKeyID: sealed.OwnerKeyID,
			Secrets:   map[string]store.SealedSecret{"api_token": {Envelope: sealed.Envelope, Version: 3, UpdatedAt: start}},
			CreatedAt: start, UpdatedAt: start,
		}
		err := st.CreateProviderToken(t.Context(), p, 10, lanyard.NewEvent(t.Context(), start, owner, "provider_token.created", p.ID))
		if err != nil {
			t.Fatalf("CreateProviderToken() = %v, want nil", err)
		}
		w.owners, w.sealed[owner] = append(w.owners, owner), sealed
	}
	if _, err := s.MAC(t.Context(), []byte("row")); err != nil {
		t.Fatalf("MAC() = %v, want nil", err)
	}
	w.before = w.tokens(t)
	return w
}

func (w *world) tokens(t *testing.T) []store.ProviderToken {
	t.Helper()
	all, err := w.store.AllProviderTokens(t.Context(), "", 10_000)
	if err != nil {
		t.Fatalf("AllProviderTokens() = %v, want nil", err)
	}
	return all
}

func (w *world) rows(t *testing.T) []store.OwnerKey {
	t.Helper()
	rows, err := w.store.AllOwnerKeys(t.Context(), "", 10_000)
	if err != nil {
		t.Fatalf("AllOwnerKeys() = %v, want nil", err)
	}
	return rows
}

// wantSound fails the test unless every payload is what it was, byte for byte,
// and opens with a Sealer that has nothing in memory.
func (w *world) wantSound(t *testing.T, secrets crypto.Secrets, o *crypto.SealerOptions) {
	t.Helper()
	after := w.tokens(t)
	if len(after) != len(w.before) {
		t.Fatalf("%d connections, %d before", len(after), len(w.before))
	}
	for i, p := range after {
		was := w.before[i]
		if p.OwnerKeyID != was.OwnerKeyID || p.Version != was.Version || !bytes.Equal(p.Secrets["api_token"].Envelope, was.Secrets["api_token"].Envelope) {
			t.Errorf("connection %s is not what it was", p.ID)
		}
	}
	s := newSealer(t, secrets, w.store, o)
	for owner, sealed := range w.sealed {
		wantOpens(t, owner.Subject, s, place(owner), sealed.Envelope)
	}
	if _, err := s.MAC(t.Context(), []byte("row")); err != nil {
		t.Errorf("MAC() = %v, want nil", err)
	}
}

// wantVersions fails the test unless every row was written that often.
func (w *world) wantWritten(t *testing.T, times int64) {
	t.Helper()
	for _, row := range w.rows(t) {
		if row.Version != 1+times {
			t.Errorf("owner key %s was written %d times, want %d", row.ID, row.Version-1, times)
		}
	}
}

func (w *world) rewrap(t *testing.T, s *crypto.Sealer, o *crypto.RewrapOptions) crypto.Report {
	t.Helper()
	report, err := s.Rewrap(t.Context(), w.upkeep, o)
	if err != nil {
		t.Fatalf("Rewrap() = %v after %+v, want nil", err, report)
	}
	return report
}

// counts are the numbers of a report.
func counts(r crypto.Report) string {
	remaining := 0
	for _, c := range r.Remaining {
		remaining += c.Count
	}
	return fmt.Sprintf("of %d: %d rewrapped, %d current, %d raced, %d failed, %d remain; done %v",
		r.Total, r.Rewrapped, r.Current, r.Raced, len(r.Failed), remaining, r.Done)
}

func wantCounts(t *testing.T, what string, r crypto.Report, want string) {
	t.Helper()
	if got := counts(r); got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
	for _, f := range r.Failed {
		t.Logf("%s: %s: %v", what, f.OwnerKeyID, f.Err)
	}
}

func newRing(t *testing.T, name string) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Create(filepath.Join(t.TempDir(), name), nil)
	if err != nil {
		t.Fatalf("Create() = %v, want nil", err)
	}
	return ring
}

// eachStore runs a test on an empty store of each kind.
func eachStore(t *testing.T, test func(*testing.T, store.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, memory.New())
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "lanyard.db"), nil)
		if err != nil {
			t.Fatalf("Open() = %v, want nil", err)
		}
		t.Cleanup(func() { _ = st.Close() })
		if err := st.Migrate(t.Context()); err != nil {
			t.Fatalf("Migrate() = %v, want nil", err)
		}
		test(t, st)
	})
}

// eachService runs a test with a key service that rewraps by itself and with
// one that does not.
func eachService(t *testing.T, test func(*testing.T, rotating, *versioned)) {
	t.Helper()
	t.Run("server side", func(t *testing.T) {
		t.Parallel()
		v := newVersioned("vault")
		test(t, &serverSide{versioned: v}, v)
	})
	t.Run("here", func(t *testing.T) {
		t.Parallel()
		v := newVersioned("vault")
		test(t, v, v)
	})
}

func TestRewrapAfterRotation(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, st store.Store) {
		ring := newRing(t, "lanyard.keys")
		old := ring.Keys()[0].ID
		s := newSealer(t, ring, st, nil)
		w := populate(t, st, s, 120)
		if err := ring.Rotate(); err != nil {
			t.Fatalf("Rotate() = %v, want nil", err)
		}
		newest := ring.Keys()[1].ID

		report := w.rewrap(t, s, nil)
		wantCounts(t, "after a rotation", report, "of 121: 121 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true")
		if report.Keys != 121 || report.Secrets != "keyring" || report.KeyVersion != newest {
			t.Errorf("Rewrap() reports %d keys, to be under %s %s, want 121 under keyring %s", report.Keys, report.Secrets, report.KeyVersion, newest)
		}
		w.wantWritten(t, 1)
		if err := ring.Disable(old); err != nil {
			t.Fatalf("Disable() = %v, want nil", err)
		}
		w.wantSound(t, ring, nil)

		wantCounts(t, "once more", w.rewrap(t, s, nil), "of 121: 0 rewrapped, 121 current, 0 raced, 0 failed, 0 remain; done true")
		w.wantWritten(t, 1)
		wantCount(t, "writes", &w.upkeep.writes, 121)
	})
}

// Both kinds of key service end the same, and only what changes is written.
func TestRewrapOnlyWhatIsOld(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, secrets rotating, calls *versioned) {
		st := memory.New()
		s := newSealer(t, secrets, st, nil)
		populate(t, st, s, 10)
		secrets.rotate()
		w := populate(t, st, newSealer(t, secrets, st, nil), 0)
		for i := range 5 {
			seal(t, s, place(lanyard.Owner{Subject: fmt.Sprint("new-", i)}))
		}
		calls.unwraps.Store(0)
		report := w.rewrap(t, s, nil)
		wantCounts(t, "half of them old", report, "of 16: 11 rewrapped, 5 current, 0 raced, 0 failed, 0 remain; done true")
		wantCount(t, "writes", &w.upkeep.writes, 11)
		if report.KeyVersion != "n2" {
			t.Errorf("the newest key version is %q, want n2", report.KeyVersion)
		}
		secrets.rotate()
		dry := w.rewrap(t, s, &crypto.RewrapOptions{DryRun: true})
		wantCounts(t, "a dry run", dry, "of 16: 16 rewrapped, 0 current, 0 raced, 0 failed, 16 remain; done true")
		if want := []store.OwnerKeyCount{{Secrets: "vault", KeyVersion: "n2", Count: 16}}; !slices.Equal(dry.Remaining, want) || dry.KeyVersion != "n3" {
			t.Errorf("a dry run reports %v not under %s, want %v not under n3", dry.Remaining, dry.KeyVersion, want)
		}
		wantCount(t, "writes after a dry run", &w.upkeep.writes, 11)
	})
}

// Where the key service rewraps by itself it is asked once a batch, and once
// an owner key to see that it opens.
func TestRewrapServerSide(t *testing.T) {
	t.Parallel()
	secrets, st := &serverSide{versioned: newVersioned("vault")}, memory.New()
	s := newSealer(t, secrets, st, nil)
	w := populate(t, st, s, 249)
	secrets.rotate()
	secrets.wraps.Store(0)
	secrets.unwraps.Store(0)
	var steps []string
	w.rewrap(t, s, &crypto.RewrapOptions{Progress: func(r crypto.Report) { steps = append(steps, fmt.Sprint(r.Total, " ", r.Done)) }})
	wantCount(t, "batches", &secrets.batches, 3)
	wantCount(t, "keys wrapped, for the proof at the beginning", &secrets.wraps, 1)
	wantCount(t, "keys unwrapped, and two for the proof", &secrets.unwraps, 250+2)
	if want := []string{"100 false", "200 false", "250 true"}; !slices.Equal(steps, want) {
		t.Errorf("Progress heard %q, want %q", steps, want)
	}
	w.wantSound(t, secrets, nil)
}

// A key service is not asked to rewrap what another one wrapped.
func TestRewrapAsksWhoWrapped(t *testing.T) {
	t.Parallel()
	old, secrets, st := newVersioned("old"), &serverSide{versioned: newVersioned("vault")}, memory.New()
	w := populate(t, st, newSealer(t, old, st, nil), 9)
	s := newSealer(t, secrets, st, &crypto.SealerOptions{Previous: []crypto.Secrets{old}})
	wantCounts(t, "moved", w.rewrap(t, s, nil), "of 10: 10 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true")
	wantCount(t, "batches", &secrets.batches, 0)
	w.wantSound(t, secrets, nil)
}

// A master key that is rotated again on the way is noticed, and what was done
// before remains.
func TestRewrapRotatedMeanwhile(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, secrets rotating, _ *versioned) {
		st := memory.New()
		s := newSealer(t, secrets, st, nil)
		w := populate(t, st, s, 149)
		secrets.rotate()
		report := w.rewrap(t, s, &crypto.RewrapOptions{Progress: func(r crypto.Report) {
			if r.Total == 100 {
				secrets.rotate()
			}
		}})
		wantCounts(t, "rotated meanwhile", report, "of 150: 150 rewrapped, 0 current, 0 raced, 0 failed, 100 remain; done true")
		if want := []store.OwnerKeyCount{{Secrets: "vault", KeyVersion: "n2", Count: 100}}; !slices.Equal(report.Remaining, want) || report.KeyVersion != "n3" {
			t.Errorf("%v remain, not under %s; want %v, not under n3", report.Remaining, report.KeyVersion, want)
		}
		w.wantSound(t, secrets, nil)
	})
}

// namedRing lets two rings stand side by side.
type namedRing struct {
	*keyring.Ring
	name string
}

func (r namedRing) Name() string { return r.name }

// Owner keys move from one key service to another while two processes serve,
// and the old one is not needed any more.
func TestRewrapMovesWhileServing(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, st store.Store) {
		a, b := newRing(t, "a.keys"), namedRing{newRing(t, "b.keys"), "keyring-b"}
		w := populate(t, st, newSealer(t, a, st, nil), 120)
		moving := &crypto.SealerOptions{Previous: []crypto.Secrets{a}, CacheTTL: -1}
		runner := newSealer(t, b, st, moving)

		ctx, stop := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		var served atomic.Int64
		for i, s := range []*crypto.Sealer{newSealer(t, b, st, moving), newSealer(t, a, st, &crypto.SealerOptions{Previous: []crypto.Secrets{b}, CacheTTL: -1})} {
			serving.Go(func() {
				for n := i; ctx.Err() == nil || n < 100; n++ {
					owner := w.owners[n%len(w.owners)]
					wantOpens(t, "while moving", s, place(owner), w.sealed[owner].Envelope)
					served.Add(1)
				}
			})
		}
		report := w.rewrap(t, runner, nil)
		stop()
		serving.Wait()
		wantCounts(t, "moved", report, "of 121: 121 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true")
		w.wantSound(t, b, nil) // without a

		// And back.
		back := newSealer(t, a, st, &crypto.SealerOptions{Previous: []crypto.Secrets{b}})
		wantCounts(t, "moved back", w.rewrap(t, back, nil), "of 121: 121 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true")
		w.wantSound(t, a, nil)
	})
}

// Two runs at once do each owner key once between them.
func TestRewrapTwoRunners(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, st store.Store) {
		a, b := newVersioned("a"), newVersioned("b")
		w := populate(t, st, newSealer(t, a, st, nil), 150)
		o := &crypto.SealerOptions{Previous: []crypto.Secrets{a}}
		// Both have read the first batch before either writes.
		var meet sync.WaitGroup
		meet.Add(2)
		first := func() func() error {
			var once sync.Once
			return func() error {
				once.Do(func() { meet.Done(); meet.Wait() })
				return nil
			}
		}
		reports := make([]crypto.Report, 2)
		var all sync.WaitGroup
		for i := range reports {
			met := first()
			u := &upkeep{Maintenance: st, onWrite: func(context.Context, *store.OwnerKey) error { return met() }}
			s := newSealer(t, b, st, o)
			all.Go(func() {
				report, err := s.Rewrap(t.Context(), u, nil)
				if err != nil {
					t.Errorf("Rewrap() beside another = %v, want nil", err)
				}
				reports[i] = report
			})
		}
		all.Wait()
		for i, r := range reports {
			if r.Total != w.keyRows || len(r.Failed) != 0 || !r.Done || len(r.Remaining) != 0 {
				t.Errorf("run %d: %s, want all of %d and nothing left", i, counts(r), w.keyRows)
			}
		}
		if done := reports[0].Rewrapped + reports[1].Rewrapped; done != w.keyRows {
			t.Errorf("the runs rewrapped %d owner keys between them, want %d", done, w.keyRows)
		}
		if raced := reports[0].Raced + reports[1].Raced; raced == 0 {
			t.Error("no race was lost, so this test showed nothing")
		}
		w.wantWritten(t, 1)
		w.wantSound(t, b, nil)
	})
}

// A run that was cancelled, between batches or within one, goes on where it
// was and does nothing twice.
func TestRewrapResumes(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]int64{"at once": 1, "within the first batch": 37, "within the last": 230} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachStore(t, func(t *testing.T, st store.Store) {
				secrets := &serverSide{versioned: newVersioned("vault")}
				s := newSealer(t, secrets, st, nil)
				w := populate(t, st, s, 240)
				secrets.rotate()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w.upkeep.onWrite = func(context.Context, *store.OwnerKey) error {
					if w.upkeep.writes.Load() >= at {
						cancel()
					}
					return nil
				}
				report, err := s.Rewrap(ctx, w.upkeep, nil)
				if !errors.Is(err, context.Canceled) || !errors.Is(err, lanyard.ErrUnavailable) {
					t.Fatalf("Rewrap() = %v, want that it was cancelled", err)
				}
				if report.Done || len(report.Failed) != 0 || report.Rewrapped >= w.keyRows {
					t.Errorf("Rewrap() that was cancelled reports %s", counts(report))
				}
				moved := 0
				for _, row := range w.rows(t) {
					if row.KeyVersion == "n2" {
						moved++
					} else if row.ID <= report.After {
						t.Errorf("owner key %s lies before the cursor and was not rewrapped", row.ID)
					}
				}
				w.wantSound(t, secrets, nil)

				w.upkeep.onWrite = nil
				rest := w.rewrap(t, s, &crypto.RewrapOptions{After: report.After})
				if rest.Rewrapped != w.keyRows-moved || len(rest.Remaining) != 0 || len(rest.Failed) != 0 || !rest.Done {
					t.Errorf("the rest: %s, want %d rewrapped", counts(rest), w.keyRows-moved)
				}
				if at > 200 && rest.Total > w.keyRows-200 {
					t.Errorf("the rest looked at %d owner keys, want that the first 200 were left alone", rest.Total)
				}
				w.wantWritten(t, 1)
				w.wantSound(t, secrets, nil)
			})
		})
	}
}

// alter changes a row behind everybody's back.
func alter(t *testing.T, st store.Store, owner lanyard.Owner, change func(k *store.OwnerKey)) store.OwnerKey {
	t.Helper()
	k, err := st.OwnerKey(t.Context(), owner)
	if err != nil {
		t.Fatalf("OwnerKey() = %v, want nil", err)
	}
	change(&k)
	if err := st.RewrapOwnerKey(t.Context(), k); err != nil {
		t.Fatalf("RewrapOwnerKey() = %v, want nil", err)
	}
	k.Version++
	return k
}

// What does not open is named, left as it is and in nobody's way, also where
// it is under the newest key already.
func TestRewrapNamesWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, secrets rotating, _ *versioned) {
		st := memory.New()
		s := newSealer(t, secrets, st, nil)
		w := populate(t, st, s, 20)
		spoil := func(k *store.OwnerKey) { k.Wrapped[len(k.Wrapped)/2] ^= 1 }
		other, err := st.OwnerKey(t.Context(), w.owners[19])
		if err != nil {
			t.Fatal(err)
		}
		bad := map[string]error{}
		rows := map[string]store.OwnerKey{}
		note := func(i int, want error, change func(k *store.OwnerKey)) {
			k := alter(t, st, w.owners[i], change)
			bad[k.ID], rows[k.ID] = want, k
			delete(w.sealed, w.owners[i])
		}
		note(0, crypto.ErrIntegrity, spoil)
		note(1, crypto.ErrUnknownKey, func(k *store.OwnerKey) { k.KeyVersion = "n7" })
		note(2, crypto.ErrUnknownKey, func(k *store.OwnerKey) { k.Secrets, k.KeyVersion = "elsewhere", "n2" })
		note(3, crypto.ErrIntegrity, func(k *store.OwnerKey) { k.Wrapped = other.Wrapped })
		secrets.rotate()
		fresh := lanyard.Owner{Subject: "fresh"}
		seal(t, s, place(fresh))
		w.owners = append(w.owners, fresh)
		note(20, crypto.ErrIntegrity, spoil) // under the newest key

		for _, run := range []struct {
			o    *crypto.RewrapOptions
			want string
		}{
			{&crypto.RewrapOptions{DryRun: true}, "of 22: 17 rewrapped, 0 current, 0 raced, 5 failed, 21 remain; done true"},
			{nil, "of 22: 17 rewrapped, 0 current, 0 raced, 5 failed, 4 remain; done true"},
			{nil, "of 22: 0 rewrapped, 17 current, 0 raced, 5 failed, 4 remain; done true"},
		} {
			report := w.rewrap(t, s, run.o)
			wantCounts(t, "with five that do not open", report, run.want)
			var ids []string
			for _, f := range report.Failed {
				ids = append(ids, f.OwnerKeyID)
				wantOnly(t, "failure", f.Err, bad[f.OwnerKeyID])
				if strings.Contains(f.Err.Error(), "user-") {
					t.Errorf("a failure names the owner: %v", f.Err)
				}
			}
			if !slices.IsSorted(ids) || len(slices.Compact(ids)) != len(bad) {
				t.Errorf("failed: %q, want each of %d once and in order", ids, len(bad))
			}
		}
		for _, row := range w.rows(t) {
			if want, ok := rows[row.ID]; ok && (row.Version != want.Version || !bytes.Equal(row.Wrapped, want.Wrapped) || row.KeyVersion != want.KeyVersion) {
				t.Errorf("owner key %s, which does not open, was changed", row.ID)
			}
		}
		w.wantSound(t, secrets, nil)
	})
}

// Whatever a key service answers, no row is replaced by one that does not open.
func TestRewrapBelievesNothing(t *testing.T) {
	t.Parallel()
	type answers = []crypto.RewrapResult
	for name, tt := range map[string]struct {
		spoil func(answers) answers
		want  error // of each
	}{
		"another ciphertext": {func(a answers) answers {
			return each(a, func(r *crypto.RewrapResult) { r.Wrapped.Ciphertext[20] ^= 1 })
		}, crypto.ErrIntegrity},
		"another key version": {func(a answers) answers { return each(a, func(r *crypto.RewrapResult) { r.Wrapped.KeyVersion = "n9" }) }, crypto.ErrUnknownKey},
		"the wrong order":     {func(a answers) answers { slices.Reverse(a); return a }, crypto.ErrIntegrity},
		"an empty ciphertext": {func(a answers) answers { return each(a, func(r *crypto.RewrapResult) { r.Wrapped.Ciphertext = nil }) }, lanyard.ErrUnavailable},
		"no key version":      {func(a answers) answers { return each(a, func(r *crypto.RewrapResult) { r.Wrapped.KeyVersion = "" }) }, lanyard.ErrUnavailable},
		"too few answers":     {func(a answers) answers { return a[1:] }, lanyard.ErrUnavailable},
		"no answers":          {func(answers) answers { return nil }, lanyard.ErrUnavailable},
		"an error of its own": {func(a answers) answers { return each(a, func(r *crypto.RewrapResult) { r.Err = errors.New(canary) }) }, lanyard.ErrUnavailable},
		"that it was too slow": {func(a answers) answers {
			return each(a, func(r *crypto.RewrapResult) { r.Err = context.DeadlineExceeded })
		}, lanyard.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets, st := &serverSide{versioned: newVersioned("vault")}, memory.New()
			s := newSealer(t, secrets, st, nil)
			w := populate(t, st, s, 1) // two, with the system's
			secrets.rotate()
			secrets.onRewrap = func(_ []crypto.RewrapItem, a answers) answers { return tt.spoil(a) }
			report := w.rewrap(t, s, nil)
			wantCounts(t, name, report, "of 2: 0 rewrapped, 0 current, 0 raced, 2 failed, 2 remain; done true")
			for _, f := range report.Failed {
				wantOnly(t, "failure", f.Err, tt.want)
				if strings.Contains(f.Err.Error(), canary) {
					t.Errorf("a failure holds the key service's words: %v", f.Err)
				}
			}
			wantCount(t, "writes", &w.upkeep.writes, 0)
			w.wantSound(t, secrets, nil)
		})
	}
}

func each(a []crypto.RewrapResult, change func(*crypto.RewrapResult)) []crypto.RewrapResult {
	for i := range a {
		a[i].Wrapped.Ciphertext = bytes.Clone(a[i].Wrapped.Ciphertext)
		change(&a[i])
	}
	return a
}

// The same of one that is asked key by key.
func TestRewrapBelievesNothingHere(t *testing.T) {
	t.Parallel()
	secrets, st := newVersioned("vault"), memory.New()
	s := newSealer(t, secrets, st, nil)
	w := populate(t, st, s, 1)
	secrets.rotate()
	var n atomic.Int64
	secrets.onWrap = func(_ context.Context, wrapped crypto.Wrapped) (crypto.Wrapped, error) {
		if n.Add(1) > 1 { // after the proof at the beginning
			wrapped.Ciphertext[20] ^= 1
		}
		return wrapped, nil
	}
	report := w.rewrap(t, s, nil)
	wantCounts(t, "another ciphertext", report, "of 2: 0 rewrapped, 0 current, 0 raced, 2 failed, 2 remain; done true")
	wantCount(t, "writes", &w.upkeep.writes, 0)
	secrets.onWrap = nil
	w.wantSound(t, secrets, nil)
}

// A key service that gives up because the caller does says nothing about a row.
func TestRewrapCancelledInTheKeyService(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, secrets rotating, calls *versioned) {
		st := memory.New()
		s := newSealer(t, secrets, st, nil)
		w := populate(t, st, s, 150)
		secrets.rotate()
		calls.unwraps.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls.onUnwrap = func(ctx context.Context, key []byte, err error) ([]byte, error) {
			if calls.unwraps.Load() < 40 {
				return key, err
			}
			cancel()
			return nil, ctx.Err()
		}
		report, err := s.Rewrap(ctx, w.upkeep, nil)
		if !errors.Is(err, context.Canceled) || len(report.Failed) != 0 || report.Done {
			t.Errorf("Rewrap() = %s, %v, want that it was cancelled and nothing failed", counts(report), err)
		}
		calls.onUnwrap = nil
		rest := w.rewrap(t, s, &crypto.RewrapOptions{After: report.After})
		if len(rest.Failed) != 0 || len(rest.Remaining) != 0 {
			t.Errorf("the rest: %s, want all of it", counts(rest))
		}
		w.wantWritten(t, 1)
		w.wantSound(t, secrets, nil)
	})
}

// A key service that may not rewrap, but unwrap and wrap, is good enough.
func TestRewrapHereWhereTheServiceMayNot(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]error{"denied": crypto.ErrDenied, "a fault of its own": crypto.ErrIntegrity} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets, st := &serverSide{versioned: newVersioned("vault")}, memory.New()
			s := newSealer(t, secrets, st, nil)
			w := populate(t, st, s, 9)
			secrets.rotate()
			secrets.onRewrap = func(_ []crypto.RewrapItem, a []crypto.RewrapResult) []crypto.RewrapResult {
				return each(a, func(r *crypto.RewrapResult) { *r = crypto.RewrapResult{Err: why} })
			}
			wantCounts(t, name, w.rewrap(t, s, nil), "of 10: 10 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true")
			w.wantSound(t, secrets, nil)
			wantCounts(t, name+", again", w.rewrap(t, s, nil), "of 10: 0 rewrapped, 10 current, 0 raced, 0 failed, 0 remain; done true")
		})
	}
}

// A key service that goes down ends the run soon, and the next goes on.
func TestRewrapWhenTheKeyServiceGoesDown(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, secrets rotating, calls *versioned) {
		st := memory.New()
		s := newSealer(t, secrets, st, nil)
		w := populate(t, st, s, 240)
		secrets.rotate()
		w.upkeep.onWrite = func(context.Context, *store.OwnerKey) error {
			if w.upkeep.writes.Load() == 150 {
				calls.fail(lanyard.ErrUnavailable)
				calls.unwraps.Store(0)
			}
			return nil
		}
		report, err := s.Rewrap(t.Context(), w.upkeep, nil)
		if !errors.Is(err, lanyard.ErrUnavailable) || report.Done {
			t.Fatalf("Rewrap() = %v with %s, want ErrUnavailable", err, counts(report))
		}
		if n := calls.unwraps.Load(); n > 20 {
			t.Errorf("%d calls of a key service that is down, want few", n)
		}
		for _, f := range report.Failed {
			wantOnly(t, "failure", f.Err, lanyard.ErrUnavailable)
			if f.OwnerKeyID <= report.After {
				t.Errorf("owner key %s failed and lies before the cursor", f.OwnerKeyID)
			}
		}
		if _, err := s.Rewrap(t.Context(), w.upkeep, nil); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("Rewrap() with the key service down = %v, want ErrUnavailable", err)
		}

		calls.heal()
		w.upkeep.onWrite = nil
		rest := w.rewrap(t, s, &crypto.RewrapOptions{After: report.After})
		if rest.Rewrapped+report.Rewrapped != w.keyRows || len(rest.Failed) != 0 || len(rest.Remaining) != 0 {
			t.Errorf("first %s, then %s, want %d rewrapped between them", counts(report), counts(rest), w.keyRows)
		}
		w.wantWritten(t, 1)
		w.wantSound(t, secrets, nil)
	})
}

// One that is unavailable for a single owner key does not end the run.
func TestRewrapPassesOverWhatIsUnavailable(t *testing.T) {
	t.Parallel()
	secrets, st := newVersioned("vault"), memory.New()
	s := newSealer(t, secrets, st, nil)
	w := populate(t, st, s, 9)
	secrets.rotate()
	var n atomic.Int64
	secrets.onUnwrap = func(_ context.Context, key []byte, err error) ([]byte, error) {
		switch n.Add(1) {
		case 3: // after the proof at the beginning
			return nil, lanyard.ErrUnavailable
		case 4:
			panic(canary)
		}
		return key, err
	}
	report := w.rewrap(t, s, nil)
	secrets.onUnwrap = nil
	wantCounts(t, "two unavailable", report, "of 10: 8 rewrapped, 0 current, 0 raced, 2 failed, 2 remain; done true")
	w.wantSound(t, secrets, nil)
}

// Nor do several, where the key service answers in between.
func TestRewrapPassesOverWhatIsNowAndThenUnavailable(t *testing.T) {
	t.Parallel()
	secrets, st := &serverSide{versioned: newVersioned("vault")}, memory.New()
	s := newSealer(t, secrets, st, nil)
	w := populate(t, st, s, 99)
	secrets.rotate()
	secrets.onRewrap = func(_ []crypto.RewrapItem, a []crypto.RewrapResult) []crypto.RewrapResult {
		for _, i := range []int{5, 35, 65, 95} {
			a[i] = crypto.RewrapResult{Err: lanyard.ErrUnavailable}
		}
		return a
	}
	wantCounts(t, "four unavailable", w.rewrap(t, s, nil), "of 100: 96 rewrapped, 0 current, 0 raced, 4 failed, 4 remain; done true")
}

// A store that fails ends the run; nothing is lost, and the next goes on.
func TestRewrapWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	down := fmt.Errorf("the store: %w", lanyard.ErrUnavailable)
	for name, fail := range map[string]func(w *world, b *table){
		"writing": func(w *world, _ *table) {
			w.upkeep.onWrite = func(context.Context, *store.OwnerKey) error {
				if w.upkeep.writes.Load() >= 120 {
					return down
				}
				return nil
			}
		},
		"after it has written": func(w *world, _ *table) { // the outcome of the commit is unknown
			w.upkeep.onWrite = func(ctx context.Context, k *store.OwnerKey) error {
				if w.upkeep.writes.Load() < 120 {
					return nil
				}
				return errors.Join(down, w.store.RewrapOwnerKey(ctx, *k))
			}
		},
		"reading back": func(_ *world, b *table) {
			b.reads.Store(0)
			b.onRead = func(_ context.Context, k store.OwnerKey, err error) (store.OwnerKey, error) {
				if b.reads.Load() >= 120 {
					return store.OwnerKey{}, down
				}
				return k, err
			}
		},
		"reading a page": func(w *world, _ *table) {
			pages := 0
			w.upkeep.onPage = func() error {
				if pages++; pages == 2 {
					return down
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachStore(t, func(t *testing.T, st store.Store) {
				secrets, keys := newVersioned("vault"), &table{OwnerKeys: st}
				s := newSealer(t, secrets, keys, nil)
				w := populate(t, st, s, 240)
				secrets.rotate()
				fail(w, keys)
				report, err := s.Rewrap(t.Context(), w.upkeep, nil)
				if !errors.Is(err, lanyard.ErrUnavailable) || report.Done || len(report.Failed) != 0 {
					t.Fatalf("Rewrap() = %v with %s, want ErrUnavailable", err, counts(report))
				}
				if n := w.upkeep.writes.Load(); n > 135 {
					t.Errorf("%d writes, want few after the first that failed", n)
				}
				if report.Rewrapped < 100 {
					t.Errorf("%s, want the first batch at least", counts(report))
				}
				w.upkeep.onWrite, w.upkeep.onPage, keys.onRead = nil, nil, nil
				rest := w.rewrap(t, s, &crypto.RewrapOptions{After: report.After})
				if len(rest.Failed) != 0 || len(rest.Remaining) != 0 {
					t.Errorf("the rest: %s, want all of it", counts(rest))
				}
				w.wantWritten(t, 1)
				w.wantSound(t, secrets, nil)
			})
		})
	}
}

// A store that spoils what it is given gets no more.
func TestRewrapReadsBack(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(k *store.OwnerKey){
		"the ciphertext":  func(k *store.OwnerKey) { k.Wrapped = k.Wrapped[1:] },
		"the key version": func(k *store.OwnerKey) { k.KeyVersion = "n1" },
		"the key service": func(k *store.OwnerKey) { k.Secrets = "Vault" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets, st := newVersioned("vault"), memory.New()
			s := newSealer(t, secrets, st, nil)
			w := populate(t, st, s, 240)
			secrets.rotate()
			w.upkeep.onWrite = func(_ context.Context, k *store.OwnerKey) error {
				spoil(k)
				return nil
			}
			report, err := s.Rewrap(t.Context(), w.upkeep, nil)
			wantOnly(t, "Rewrap()", err, crypto.ErrIntegrity)
			if n := w.upkeep.writes.Load(); n > 8 || report.Rewrapped != 0 {
				t.Errorf("%d writes and %s, want that the first ended it", n, counts(report))
			}
		})
	}
}

// Who loses a race looks at what the other made of the row.
func TestRewrapRaces(t *testing.T) {
	t.Parallel()
	eachService(t, func(t *testing.T, secrets rotating, _ *versioned) {
		for name, tt := range map[string]struct {
			other func(t *testing.T, st store.Store, owner lanyard.Owner) // what he does before our write
			want  string
			err   error
		}{
			"rewrapped": {func(t *testing.T, st store.Store, _ lanyard.Owner) {
				if _, err := newSealer(t, secrets, st, nil).Rewrap(t.Context(), st, nil); err != nil {
					t.Errorf("the other's Rewrap() = %v, want nil", err)
				}
			}, "of 1: 0 rewrapped, 0 current, 1 raced, 0 failed, 0 remain; done true", nil},
			"left under the old key": {func(t *testing.T, st store.Store, owner lanyard.Owner) {
				alter(t, st, owner, func(*store.OwnerKey) {})
			}, "of 1: 1 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true", nil},
			"spoiled": {func(t *testing.T, st store.Store, owner lanyard.Owner) {
				alter(t, st, owner, func(k *store.OwnerKey) { k.Wrapped[20] ^= 1 })
			}, "of 1: 0 rewrapped, 0 current, 0 raced, 1 failed, 1 remain; done true", crypto.ErrIntegrity},
			"spoiled under the newest key": {func(t *testing.T, st store.Store, owner lanyard.Owner) {
				alter(t, st, owner, func(k *store.OwnerKey) { k.Wrapped[20] ^= 1; k.KeyVersion = "n2" })
			}, "of 1: 0 rewrapped, 0 current, 0 raced, 1 failed, 0 remain; done true", crypto.ErrIntegrity},
			"erased": {func(t *testing.T, st store.Store, owner lanyard.Owner) {
				gone := lanyard.NewEvent(t.Context(), start, lanyard.Owner{Tenant: owner.Tenant}, "owner.erased", "")
				if err := st.Erase(t.Context(), owner, gone); err != nil {
					t.Errorf("Erase() = %v, want nil", err)
				}
			}, "of 1: 0 rewrapped, 0 current, 1 raced, 0 failed, 0 remain; done true", nil},
		} {
			t.Run(name, func(t *testing.T) {
				if v, ok := secrets.(*versioned); ok {
					v.version = 1
				} else {
					secrets.(*serverSide).version = 1
				}
				st := memory.New()
				s := newSealer(t, secrets, st, nil)
				seal(t, s, place(ana))
				secrets.rotate()
				u := &upkeep{Maintenance: st}
				u.onWrite = func(context.Context, *store.OwnerKey) error {
					if u.writes.Load() == 1 {
						tt.other(t, st, ana)
					}
					return nil
				}
				report, err := s.Rewrap(t.Context(), u, nil)
				if err != nil {
					t.Fatalf("Rewrap() = %v, want nil", err)
				}
				wantCounts(t, name, report, tt.want)
				if tt.err != nil {
					wantOnly(t, "failure", report.Failed[0].Err, tt.err)
				}
			})
		}
	})
}

// Who keeps changing a row keeps nobody busy for ever.
func TestRewrapGivesUpARow(t *testing.T) {
	t.Parallel()
	secrets, st := newVersioned("vault"), memory.New()
	s := newSealer(t, secrets, st, nil)
	seal(t, s, place(ana))
	secrets.rotate()
	u := &upkeep{Maintenance: st, onWrite: func(context.Context, *store.OwnerKey) error { return lanyard.ErrConflict }}
	report, err := s.Rewrap(t.Context(), u, nil)
	if err != nil || len(report.Failed) != 1 || !errors.Is(report.Failed[0].Err, lanyard.ErrConflict) {
		t.Errorf("Rewrap() = %s, %v, want one failure that is an ErrConflict", counts(report), err)
	}
}

// Nothing moves to a key service that ignores the binding, or that does not
// give back what it wrapped.
func TestRewrapProvesTheKeyService(t *testing.T) {
	t.Parallel()
	old, st := newVersioned("old"), memory.New()
	w := populate(t, st, newSealer(t, old, st, nil), 3)
	unbound := newVault("new")
	unbound.unbound = true
	forgetful := newVault("new")
	forgetful.onWrap = func(context.Context, crypto.Wrapped) (crypto.Wrapped, error) {
		return crypto.Wrapped{KeyVersion: "v1", Ciphertext: []byte("nothing")}, nil
	}
	for _, tt := range []struct {
		name string
		to   *vault
		want error
	}{{"unbound", unbound, crypto.ErrUnbound}, {"forgetful", forgetful, lanyard.ErrUnavailable}} {
		s := newSealer(t, tt.to, st, &crypto.SealerOptions{Previous: []crypto.Secrets{old}})
		report, err := s.Rewrap(t.Context(), w.upkeep, nil)
		wantOnly(t, tt.name+": Rewrap()", err, tt.want)
		wantCounts(t, tt.name, report, "of 0: 0 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done false")
	}
	wantCount(t, "writes", &w.upkeep.writes, 0)
	w.wantSound(t, old, nil)
	if _, err := newSealer(t, old, st, nil).Rewrap(t.Context(), nil, nil); err == nil {
		t.Error("Rewrap(nil) = nil, want an error")
	}
}

func TestRewrapNothing(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, st store.Store) {
		report, err := newSealer(t, newRing(t, "k"), st, nil).Rewrap(t.Context(), st, nil)
		if err != nil {
			t.Fatalf("Rewrap() = %v, want nil", err)
		}
		wantCounts(t, "an empty table", report, "of 0: 0 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true")
	})
}

func TestRewrapSpan(t *testing.T) {
	t.Parallel()
	b, spans, _ := watchedBench(t)
	seal(t, b.Sealer, place(ana))
	spans.Reset()
	if _, err := b.Rewrap(t.Context(), b.memory, nil); err != nil {
		t.Fatalf("Rewrap() = %v, want nil", err)
	}
	want := []string{"crypto.Rewrap ok", "crypto.Unwrap integrity", "crypto.Unwrap ok", "crypto.Unwrap ok", "crypto.Wrap ok"}
	if got := ended(t, spans); !slices.Equal(got, want) {
		t.Errorf("spans = %q, want %q", got, want)
	}
}

// A key service that limits how often it is asked slows a run down and does not
// end it.
func TestRewrapWaitsForABusyKeyService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		secrets, st := newVersioned("vault"), memory.New()
		s := newSealer(t, secrets, st, nil)
		w := populate(t, st, s, 250)
		secrets.rotate()
		began, asked := time.Now(), new(atomic.Int64)
		secrets.onUnwrap = func(_ context.Context, key []byte, err error) ([]byte, error) {
			if asked.Add(1) > 50*(1+int64(time.Since(began).Seconds())) {
				return nil, &crypto.BusyError{RetryAfter: time.Second}
			}
			return key, err
		}
		report := w.rewrap(t, s, nil)
		secrets.onUnwrap = nil
		wantCounts(t, "under a limit", report, "of 251: 251 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true")
		w.wantSound(t, secrets, nil)
	})
}

// One request of many that got no answer ends nothing.
func TestRewrapAsksAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		secrets, st := &serverSide{versioned: newVersioned("vault")}, memory.New()
		s := newSealer(t, secrets, st, nil)
		w := populate(t, st, s, 150)
		secrets.rotate()
		var lost atomic.Bool
		secrets.onRewrap = func(_ []crypto.RewrapItem, a []crypto.RewrapResult) []crypto.RewrapResult {
			if !lost.Swap(true) {
				return each(a, func(r *crypto.RewrapResult) { *r = crypto.RewrapResult{Err: lanyard.ErrUnavailable} })
			}
			return a
		}
		report := w.rewrap(t, s, nil)
		wantCounts(t, "after a lost request", report, "of 151: 151 rewrapped, 0 current, 0 raced, 0 failed, 0 remain; done true")
		w.wantSound(t, secrets, nil)
	})
}

// A row that the store does not take keeps no other up.
func TestRewrapPassesOverARowTheStoreRefuses(t *testing.T) {
	t.Parallel()
	secrets, st := newVersioned("vault"), memory.New()
	s := newSealer(t, secrets, st, nil)
	w := populate(t, st, s, 20)
	secrets.rotate()
	w.upkeep.onWrite = func(_ context.Context, k *store.OwnerKey) error {
		if k.Owner == w.owners[3] {
			return fmt.Errorf("store: %w", &lanyard.InputError{Field: "created_at", Code: lanyard.CodeInvalid, Message: "out of range"})
		}
		return nil
	}
	report := w.rewrap(t, s, nil)
	wantCounts(t, "with a row that is refused", report, "of 21: 20 rewrapped, 0 current, 0 raced, 1 failed, 1 remain; done true")
}
