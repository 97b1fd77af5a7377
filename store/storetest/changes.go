package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// change is one call that changes what a user can see.
type change struct {
	name string
	// epoch says that the call writes the epoch of the owner's shard.
	epoch bool
	// owner of the record the call is about, in a world of ana's.
	owner lanyard.Owner
	// prepare, where not nil, does what the call needs to find.
	prepare func(ctx context.Context, st store.Store) error
	do      func(ctx context.Context, st store.Store, w world, e lanyard.Event) error
	// foreign is the same call with another owner's name on the record; nil
	// where the call creates the record.
	foreign func(ctx context.Context, st store.Store, w world, other lanyard.Owner) error
}

// changes are all of them.
var changes = []change{
	{
		name: "CreateProfile", owner: ben,
		do: func(ctx context.Context, st store.Store, _ world, e lanyard.Event) error {
			return st.CreateProfile(ctx, newProfile(ben), e)
		},
	},
	{
		name: "UpdateProfile", owner: ana,
		do: func(ctx context.Context, st store.Store, w world, e lanyard.Event) error {
			w.profile.Email = "new@acme.example"
			return st.UpdateProfile(ctx, w.profile, e)
		},
		foreign: func(ctx context.Context, st store.Store, w world, other lanyard.Owner) error {
			w.profile.Owner = other
			return st.UpdateProfile(ctx, w.profile, event(other, "x"))
		},
	},
	{
		name: "CreateAPIKey", owner: ana,
		do: func(ctx context.Context, st store.Store, _ world, e lanyard.Event) error {
			return st.CreateAPIKey(ctx, newKey(ana, "second"), 10, e)
		},
	},
	{
		name: "UpdateAPIKey", owner: ana, epoch: true,
		do: func(ctx context.Context, st store.Store, w world, e lanyard.Event) error {
			w.key.Name = "renamed"
			return st.UpdateAPIKey(ctx, w.key, e)
		},
		foreign: func(ctx context.Context, st store.Store, w world, other lanyard.Owner) error {
			w.key.Owner = other
			return st.UpdateAPIKey(ctx, w.key, event(other, "x"))
		},
	},
	{
		name: "RotateAPIKey", owner: ana, epoch: true,
		do: func(ctx context.Context, st store.Store, w world, e lanyard.Event) error {
			next := newKey(ana, "next")
			next.RotatedFrom = w.key.ID
			return st.RotateAPIKey(ctx, w.key, next, 10, e)
		},
		foreign: func(ctx context.Context, st store.Store, w world, other lanyard.Owner) error {
			w.key.Owner = other
			next := newKey(other, "next")
			next.RotatedFrom = w.key.ID
			return st.RotateAPIKey(ctx, w.key, next, 10, event(other, "x"))
		},
	},
	{
		name: "DeleteAPIKey", owner: ana, epoch: true,
		do: func(ctx context.Context, st store.Store, w world, e lanyard.Event) error {
			w.key.DeletedAt = at(60)
			return st.DeleteAPIKey(ctx, w.key, e)
		},
		foreign: func(ctx context.Context, st store.Store, w world, other lanyard.Owner) error {
			w.key.Owner, w.key.DeletedAt = other, at(60)
			return st.DeleteAPIKey(ctx, w.key, event(other, "x"))
		},
	},
	{
		name: "CreateProviderToken", owner: ana,
		do: func(ctx context.Context, st store.Store, w world, e lanyard.Event) error {
			return st.CreateProviderToken(ctx, newToken(w.ownerKey, "github", ""), 10, e)
		},
	},
	{
		name: "UpdateProviderToken", owner: ana,
		do: func(ctx context.Context, st store.Store, w world, e lanyard.Event) error {
			w.token.Label = "home"
			return st.UpdateProviderToken(ctx, w.token, e)
		},
		foreign: func(ctx context.Context, st store.Store, w world, other lanyard.Owner) error {
			w.token.Owner = other
			return st.UpdateProviderToken(ctx, w.token, event(other, "x"))
		},
	},
	{
		name: "DeleteProviderToken", owner: ana,
		do: func(ctx context.Context, st store.Store, w world, e lanyard.Event) error {
			return st.DeleteProviderToken(ctx, ana, w.token.ID, w.token.Version, e)
		},
		foreign: func(ctx context.Context, st store.Store, w world, other lanyard.Owner) error {
			return st.DeleteProviderToken(ctx, other, w.token.ID, 0, event(other, "x"))
		},
	},
	{
		name: "Deactivate", owner: ana, epoch: true,
		do: func(ctx context.Context, st store.Store, _ world, e lanyard.Event) error {
			return st.Deactivate(ctx, ana, at(70), e)
		},
	},
	{
		name: "Reactivate", owner: ana, epoch: true,
		prepare: func(ctx context.Context, st store.Store) error {
			return st.Deactivate(ctx, ana, at(69), event(ana, "owner.deactivated"))
		},
		do: func(ctx context.Context, st store.Store, _ world, e lanyard.Event) error {
			return st.Reactivate(ctx, ana, e)
		},
	},
	{
		name: "Append", owner: ana,
		do: func(ctx context.Context, st store.Store, _ world, e lanyard.Event) error {
			return st.Append(ctx, e)
		},
	},
	{
		name: "DeleteAPIKeyByID", owner: ana, epoch: true,
		do: func(ctx context.Context, st store.Store, w world, e lanyard.Event) error {
			return st.DeleteAPIKeyByID(ctx, w.key.ID, at(60), func(store.APIKey) lanyard.Event { return e })
		},
	},
	{
		name: "DeleteAPIKeysCreatedBefore", owner: ana, epoch: true,
		do: func(ctx context.Context, st store.Store, _ world, e lanyard.Event) error {
			_, err := st.DeleteAPIKeysCreatedBefore(ctx, at(1000), at(60), 10, func(store.APIKey) lanyard.Event { return e })
			return err
		},
	},
}

var changeTests = map[string]func(*testing.T, store.Store){
	"CommitTheirEvent":       testOneEvent,
	"QuietOnesWriteNone":     testQuiet,
	"RefusedByTakenEvent":    testTakenEvent,
	"RefusedByInvalidEvent":  testInvalidEvent,
	"RefusedWhenCancelled":   testCancelled,
	"RefusedAfterClose":      testClosed,
	"RefusedForForeigners":   testForeign,
	"LeaveOtherOwnersAlone":  testOthersUntouched,
	"ReadsNeedTheOwner":      testForeignReads,
	"RequireAnOwnersSubject": testEmptySubject,
}

// eachChange runs f for every change on a world of its own: the worlds are
// made one after the other in one store, by erasing ana and ben in between.
func eachChange(t *testing.T, st store.Store, f func(t *testing.T, c change, w world)) {
	t.Helper()
	for _, c := range changes {
		w := populate(t, st, ana)
		if c.prepare != nil {
			ok(t, c.prepare(t.Context(), st))
		}
		f(t, c, w)
		for _, owner := range append(slices.Clone(strangers), ana) {
			ok(t, st.Erase(t.Context(), owner, erasure(owner)))
		}
		if t.Failed() {
			t.Fatalf("stopped after %s", c.name)
		}
	}
}

func testOneEvent(t *testing.T, st store.Store) {
	eachChange(t, st, func(t *testing.T, c change, w world) {
		before, err := st.Events(t.Context(), c.owner, store.EventCursor{}, 1000)
		ok(t, err)
		e := event(c.owner, "test."+c.name)
		e.Actor, e.Via = ben, lanyard.ViaSession
		e.RequestID, e.IP, e.UserAgent = "req-1", "192.0.2.1", "test/1"
		if err := c.do(t.Context(), st, w, e); err != nil {
			t.Fatalf("%s = %v", c.name, err)
		}
		after, err := st.Events(t.Context(), c.owner, store.EventCursor{}, 1000)
		ok(t, err)
		if len(after) != len(before)+1 {
			t.Fatalf("%s wrote %d events, want 1", c.name, len(after)-len(before))
		}
		i := slices.IndexFunc(after, func(x lanyard.Event) bool { return x.ID == e.ID })
		if i < 0 {
			t.Fatalf("%s wrote another event than it was given", c.name)
		}
		same(t, c.name+": event", after[i], e)
	})
}

func testTakenEvent(t *testing.T, st store.Store) {
	eachChange(t, st, func(t *testing.T, c change, w world) {
		taken := event(c.owner, "test.taken")
		taken.DedupeKey = "fact"
		ok(t, st.Append(t.Context(), taken))
		sameID := event(c.owner, "test.id")
		sameID.ID = taken.ID
		sameFact := event(c.owner, "test.fact")
		sameFact.DedupeKey = "fact"
		before := picture(t, st, w)
		for _, e := range []lanyard.Event{sameID, sameFact} {
			is(t, c.name+" with a taken event", c.do(t.Context(), st, w, e), lanyard.ErrExists)
		}
		unchanged(t, st, w, c.name+" with a taken event", before)
	})
}

func testInvalidEvent(t *testing.T, st store.Store) {
	eachChange(t, st, func(t *testing.T, c change, w world) {
		bad := map[string]func(*lanyard.Event){
			"no id":         func(e *lanyard.Event) { e.ID = "" },
			"no action":     func(e *lanyard.Event) { e.Action = "" },
			"no time":       func(e *lanyard.Event) { e.At = time.Time{} },
			"no such year":  func(e *lanyard.Event) { e.At = e.At.AddDate(-3000, 0, 0) },
			"a long id":     func(e *lanyard.Event) { e.ID = strings.Repeat("x", store.MaxIDLen+1) },
			"a long fact":   func(e *lanyard.Event) { e.DedupeKey = strings.Repeat("x", store.MaxDedupeKeyLen+1) },
			"no subject":    func(e *lanyard.Event) { e.Owner.Subject = "" },
			"NUL":           func(e *lanyard.Event) { e.UserAgent = "a\x00b" },
			"invalid UTF-8": func(e *lanyard.Event) { e.Detail = map[string]string{"k": "\xff"} },
		}
		before := picture(t, st, w)
		for name, spoil := range bad {
			e := event(c.owner, "test.bad")
			spoil(&e)
			isInput(t, c.name+" with an event with "+name, c.do(t.Context(), st, w, e))
		}
		unchanged(t, st, w, c.name+" with bad events", before)
	})
}

// calls are all methods, on a world of ana's; the changes are in them under
// their own names.
func calls(ctx context.Context, st store.Store, w world) map[string]func() error {
	of := func(k store.APIKey) lanyard.Event { return event(k.Owner, "x") }
	all := map[string]func() error{
		"Profile":             func() error { _, err := st.Profile(ctx, ana); return err },
		"RefreshProfile":      func() error { return st.RefreshProfile(ctx, w.profile) },
		"APIKeyByHash":        func() error { _, err := st.APIKeyByHash(ctx, w.key.Hash); return err },
		"APIKey":              func() error { _, err := st.APIKey(ctx, ana, w.key.ID); return err },
		"APIKeys":             func() error { _, err := st.APIKeys(ctx, ana); return err },
		"APIKeyByCreateToken": func() error { _, err := st.APIKeyByCreateToken(ctx, ana, w.key.CreateToken); return err },
		"RecordKeyUse":        func() error { return st.RecordKeyUse(ctx, []store.KeyUse{{ID: w.key.ID, At: at(99)}}) },
		"ProviderToken":       func() error { _, err := st.ProviderToken(ctx, ana, w.token.ID); return err },
		"ProviderTokens":      func() error { _, err := st.ProviderTokens(ctx, ana); return err },
		"RecordTokenUse":      func() error { return st.RecordTokenUse(ctx, ana, w.token.ID, at(99)) },
		"OwnerKey":            func() error { _, err := st.OwnerKey(ctx, ana); return err },
		"CreateOwnerKey":      func() error { _, err := st.CreateOwnerKey(ctx, newOwnerKey(ben)); return err },
		"OwnerState":          func() error { _, err := st.OwnerState(ctx, ana); return err },
		"Reactivate":          func() error { return st.Reactivate(ctx, ana, event(ana, "x")) },
		"Erase":               func() error { return st.Erase(ctx, ana, erasure(ana)) },
		"Events":              func() error { _, err := st.Events(ctx, ana, store.EventCursor{}, 1); return err },
		"APIKeyByID":          func() error { _, err := st.APIKeyByID(ctx, w.key.ID); return err },
		"DeleteAPIKeyByID":    func() error { return st.DeleteAPIKeyByID(ctx, w.key.ID, at(60), of) },
		"ExpiringAPIKeys":     func() error { _, err := st.ExpiringAPIKeys(ctx, at(0), at(1), "", 1); return err },
		"AllAPIKeys":          func() error { _, err := st.AllAPIKeys(ctx, "", 1); return err },
		"UnsignedAPIKeys":     func() error { _, err := st.UnsignedAPIKeys(ctx, "", 1); return err },
		"SignAPIKey":          func() error { return st.SignAPIKey(ctx, w.key) },
		"ExpiringProviderTokens": func() error {
			_, err := st.ExpiringProviderTokens(ctx, at(0), at(1), "", 1)
			return err
		},
		"AllProviderTokens": func() error { _, err := st.AllProviderTokens(ctx, "", 1); return err },
		"AllOwnerKeys":      func() error { _, err := st.AllOwnerKeys(ctx, "", 1); return err },
		"RewrapOwnerKey":    func() error { return st.RewrapOwnerKey(ctx, w.ownerKey) },
		"Erasures":          func() error { _, err := st.Erasures(ctx, ana.Tenant, store.EventCursor{}, 1); return err },
		"CountOwnerKeys":    func() error { _, err := st.CountOwnerKeys(ctx); return err },
		"Purge":             func() error { _, err := st.Purge(ctx, store.Purge{EventsBefore: at(9999)}); return err },
	}
	for _, c := range changes {
		all[c.name] = func() error { return c.do(ctx, st, w, event(c.owner, "x")) }
	}
	if e, has := st.(store.Epochs); has {
		all["Epochs"] = func() error { _, err := e.Epochs(ctx); return err }
	}
	return all
}

func testCancelled(t *testing.T, st store.Store) {
	w := populate(t, st, ana)
	before := picture(t, st, w)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), epoch0.AddDate(-30, 0, 0))
	defer cancel()
	for why, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: expired} {
		for name, call := range calls(ctx, st, w) {
			if err := call(); !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, why) {
				t.Errorf("%s with a context that is over = %v, want ErrUnavailable and %v", name, err, why)
			}
		}
	}
	unchanged(t, st, w, "calls with a context that is over", before)
}

func testClosed(t *testing.T, st store.Store) {
	w := populate(t, st, ana)
	ok(t, st.Close())
	ok(t, st.Close())
	for name, call := range calls(t.Context(), st, w) {
		is(t, name+" after Close", call(), lanyard.ErrClosed)
	}
}

// testQuiet calls what nobody needs to read about.
func testQuiet(t *testing.T, st store.Store) {
	w := populate(t, st, ana)
	before, err := st.Events(t.Context(), ana, store.EventCursor{}, 1000)
	ok(t, err)
	ok(t, st.RecordKeyUse(t.Context(), []store.KeyUse{{ID: w.key.ID, At: at(99)}}))
	ok(t, st.RecordTokenUse(t.Context(), ana, w.token.ID, at(99)))
	ok(t, st.RefreshProfile(t.Context(), w.profile))
	_, err = st.CreateOwnerKey(t.Context(), newOwnerKey(ana))
	ok(t, err)
	ok(t, st.RewrapOwnerKey(t.Context(), w.ownerKey))
	ok(t, st.SignAPIKey(t.Context(), w.key))
	_, err = st.Purge(t.Context(), store.Purge{TombstonesBefore: at(51), UsageBefore: at(100)})
	ok(t, err)
	after, err := st.Events(t.Context(), ana, store.EventCursor{}, 1000)
	ok(t, err)
	same(t, "Events after what writes none", after, before)
}

func testForeign(t *testing.T, st store.Store) {
	eachChange(t, st, func(t *testing.T, c change, w world) {
		if c.foreign == nil {
			return
		}
		before := picture(t, st, w)
		for _, other := range strangers {
			is(t, c.name+" by "+other.Tenant+"/"+other.Subject, c.foreign(t.Context(), st, w, other), lanyard.ErrNotFound)
		}
		unchanged(t, st, w, c.name+" by strangers", before)
	})
}

func testOthersUntouched(t *testing.T, st store.Store) {
	others := []lanyard.Owner{anaElse, anaCapital, anaNoTenant}
	for _, other := range others {
		populate(t, st, other)
	}
	for _, c := range changes {
		if c.name == "DeleteAPIKeysCreatedBefore" {
			continue // by its nature for everybody
		}
		w := populate(t, st, ana)
		if c.prepare != nil {
			ok(t, c.prepare(t.Context(), st))
		}
		before := pictureOf(t, st, others)
		ok(t, c.do(t.Context(), st, w, event(c.owner, "x")))
		ok(t, st.Erase(t.Context(), ana, erasure(ana)))
		ok(t, st.Erase(t.Context(), ben, erasure(ben)))
		if after := pictureOf(t, st, others); after != before {
			t.Errorf("%s or Erase changed somebody else:\nbefore %s\nafter  %s", c.name, before, after)
		}
	}
}

func testForeignReads(t *testing.T, st store.Store) {
	w := populate(t, st, ana)
	for _, other := range strangers {
		name := " by " + other.Tenant + "/" + other.Subject
		_, err := st.Profile(t.Context(), other)
		is(t, "Profile"+name, err, lanyard.ErrNotFound)
		_, err = st.APIKey(t.Context(), other, w.key.ID)
		is(t, "APIKey"+name, err, lanyard.ErrNotFound)
		_, err = st.APIKeyByCreateToken(t.Context(), other, w.key.CreateToken)
		is(t, "APIKeyByCreateToken"+name, err, lanyard.ErrNotFound)
		_, err = st.ProviderToken(t.Context(), other, w.token.ID)
		is(t, "ProviderToken"+name, err, lanyard.ErrNotFound)
		_, err = st.OwnerKey(t.Context(), other)
		is(t, "OwnerKey"+name, err, lanyard.ErrNotFound)
		is(t, "SignAPIKey"+name, st.SignAPIKey(t.Context(), store.APIKey{ID: w.key.ID, Owner: other, Version: 1}), lanyard.ErrNotFound)
		stolen := w.ownerKey
		stolen.Owner = other
		is(t, "RewrapOwnerKey"+name, st.RewrapOwnerKey(t.Context(), stolen), lanyard.ErrNotFound)
		keys, err := st.APIKeys(t.Context(), other)
		ok(t, err)
		tokens, err := st.ProviderTokens(t.Context(), other)
		ok(t, err)
		events, err := st.Events(t.Context(), other, store.EventCursor{}, 100)
		ok(t, err)
		if len(keys)+len(tokens)+len(events) != 0 {
			t.Errorf("lists%s hold %d keys, %d tokens, %d events, want none", name, len(keys), len(tokens), len(events))
		}
		ok(t, st.RecordTokenUse(t.Context(), other, w.token.ID, at(500)))
	}
	got, err := st.ProviderToken(t.Context(), ana, w.token.ID)
	ok(t, err)
	same(t, "the connection after strangers recorded its use", got, w.token)
	key, err := st.OwnerKey(t.Context(), ana)
	ok(t, err)
	same(t, "the owner key after strangers rewrapped it", key, w.ownerKey)
}

func testEmptySubject(t *testing.T, st store.Store) {
	nobody := lanyard.Owner{Tenant: "acme"}
	w := populate(t, st, ana)
	before := picture(t, st, w)
	for name, call := range map[string]func() error{
		"Profile":       func() error { _, err := st.Profile(t.Context(), nobody); return err },
		"CreateProfile": func() error { return st.CreateProfile(t.Context(), newProfile(nobody), event(ana, "x")) },
		"APIKeys":       func() error { _, err := st.APIKeys(t.Context(), nobody); return err },
		"CreateAPIKey":  func() error { return st.CreateAPIKey(t.Context(), newKey(nobody, "k"), 10, event(ana, "x")) },
		"APIKey":        func() error { _, err := st.APIKey(t.Context(), nobody, w.key.ID); return err },
		"DeleteAPIKey": func() error {
			k := w.key
			k.Owner, k.DeletedAt = nobody, at(60)
			return st.DeleteAPIKey(t.Context(), k, event(ana, "x"))
		},
		"APIKeyByCreateToken": func() error {
			_, err := st.APIKeyByCreateToken(t.Context(), nobody, w.key.CreateToken)
			return err
		},
		"RefreshProfile": func() error { return st.RefreshProfile(t.Context(), newProfile(nobody)) },
		"SignAPIKey":     func() error { return st.SignAPIKey(t.Context(), store.APIKey{ID: w.key.ID, Owner: nobody, Version: 1}) },
		"ProviderToken":  func() error { _, err := st.ProviderToken(t.Context(), nobody, w.token.ID); return err },
		"ProviderTokens": func() error { _, err := st.ProviderTokens(t.Context(), nobody); return err },
		"DeleteProviderToken": func() error {
			return st.DeleteProviderToken(t.Context(), nobody, w.token.ID, 0, event(ana, "x"))
		},
		"RecordTokenUse": func() error { return st.RecordTokenUse(t.Context(), nobody, w.token.ID, at(99)) },
		"OwnerState":     func() error { _, err := st.OwnerState(t.Context(), nobody); return err },
		"Reactivate":     func() error { return st.Reactivate(t.Context(), nobody, event(ana, "x")) },
		"OwnerKey":       func() error { _, err := st.OwnerKey(t.Context(), nobody); return err },
		"CreateOwnerKey": func() error { _, err := st.CreateOwnerKey(t.Context(), newOwnerKey(nobody)); return err },
		"Deactivate":     func() error { return st.Deactivate(t.Context(), nobody, at(1), event(ana, "x")) },
		"Erase":          func() error { return st.Erase(t.Context(), lanyard.Owner{}, erasure(lanyard.Owner{})) },
		"Events": func() error {
			_, err := st.Events(t.Context(), nobody, store.EventCursor{}, 10)
			return err
		},
	} {
		isInput(t, name+" of an owner without a subject", call())
	}
	unchanged(t, st, w, "calls without a subject", before)
}

// unchanged fails when a picture differs from the one taken before.
func unchanged(t *testing.T, st store.Store, w world, what, before string) {
	t.Helper()
	if after := picture(t, st, w); after != before {
		t.Errorf("%s changed something:\nbefore %s\nafter  %s", what, before, after)
	}
}
