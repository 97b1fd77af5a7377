package storetest_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/storetest"
)

// Two handles on one store are the same to it.
func TestRunShared(t *testing.T) {
	t.Parallel()
	storetest.RunShared(t, func(*testing.T) (a, b store.Store) {
		st := memory.New()
		return st, st
	})
}

// Epochs are optional.
func TestRunWithoutEpochs(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store { return struct{ store.Store }{memory.New()} })
}

// brokenEnv names the fault of the store that TestBroken tests when it was
// started by itself.
const brokenEnv = "LANYARD_TEST_BROKEN"

// The suite refuses a store that breaks one sentence of the contract, and by
// the test that is named after it.
func TestBroken(t *testing.T) {
	t.Parallel()
	if fault := os.Getenv(brokenEnv); fault != "" {
		t.Run("Suite", func(t *testing.T) {
			storetest.Run(t, func(*testing.T) store.Store { return faults[fault].spoil(memory.New()) })
		})
		return
	}
	for fault, f := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$", "-test.v")
			c.Env = append(os.Environ(), brokenEnv+"="+fault)
			out, err := c.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("the suite ended with %v for a broken store", err)
			}
			if !strings.Contains(string(out), "--- FAIL: TestBroken/Suite/"+f.killedBy+" ") {
				t.Errorf("%s did not fail:\n%s", f.killedBy, out)
			}
		})
	}
}

// fault is one way to break the contract, and the test of the suite that is
// there to find it.
type fault struct {
	killedBy string
	spoil    func(*memory.Store) store.Store
}

var faults = map[string]fault{
	"a key of anybody":          {"Changes/ReadsNeedTheOwner", func(m *memory.Store) store.Store { return anybodysKey{m} }},
	"a connection of anybody":   {"Changes/ReadsNeedTheOwner", func(m *memory.Store) store.Store { return anybodysToken{m} }},
	"a deletion by anybody":     {"Changes/RefusedForForeigners", func(m *memory.Store) store.Store { return anybodyDeletes{m} }},
	"the last writer wins":      {"Profiles/UpdateProfile", func(m *memory.Store) store.Store { return lastWriterWins{m} }},
	"an event of its own":       {"Changes/CommitTheirEvent", func(m *memory.Store) store.Store { return eventOfItsOwn{m} }},
	"two events":                {"Changes/CommitTheirEvent", func(m *memory.Store) store.Store { return twoEvents{m} }},
	"the event afterwards":      {"Changes/RefusedByTakenEvent", func(m *memory.Store) store.Store { return eventAfterwards{m} }},
	"a limit counted before":    {"Concurrency/LimitsHold", func(m *memory.Store) store.Store { return limitBefore{m, make(chan struct{})} }},
	"no epoch":                  {"Epochs/WrittenByWhatVerifyReads", func(m *memory.Store) store.Store { return noEpoch{m} }},
	"an epoch read afterwards":  {"Concurrency/OneEpochOneState", func(m *memory.Store) store.Store { return epochAfterwards{m} }},
	"shared epochs":             {"Epochs/ReturnsACopy", func(m *memory.Store) store.Store { return &sharedEpochs{Store: m} }},
	"a deletion that is none":   {"APIKeys/DeleteAPIKey", func(m *memory.Store) store.Store { return noDeletion{m} }},
	"a tombstone with a MAC":    {"Maintenance/DeleteAPIKeyByID", func(m *memory.Store) store.Store { return macStays{m} }},
	"an erasure that remembers": {"Owners/EraseLeavesNothing", func(m *memory.Store) store.Store { return erasureRemembers{m} }},
	"a fact twice":              {"Events/AppendOnce", func(m *memory.Store) store.Store { return factTwice{m} }},
	"milliseconds":              {"Input/TimesToTheMicrosecond", func(m *memory.Store) store.Store { return milliseconds{m} }},
	"local time":                {"Input/TimesToTheMicrosecond", func(m *memory.Store) store.Store { return localTime{m} }},
	"NUL left out":              {"Input/BadTextIsRefused", func(m *memory.Store) store.Store { return withoutNUL{m} }},
	"shared lists":              {"APIKeys/ReturnsCopies", func(m *memory.Store) store.Store { return &sharedLists{Store: m} }},
	"nobody waits, it writes":   {"Changes/RefusedWhenCancelled", func(m *memory.Store) store.Store { return deafToContexts{m} }},
	"open for ever":             {"Changes/RefusedAfterClose", func(m *memory.Store) store.Store { return openForEver{m} }},
	"oldest first":              {"APIKeys/ListOrder", func(m *memory.Store) store.Store { return oldestFirst{m} }},
	"a cursor of time alone":    {"Events/PagesAreStable", func(m *memory.Store) store.Store { return cursorOfTime{m} }},
	"the loser's owner key":     {"Concurrency/OneOwnerKey", func(m *memory.Store) store.Store { return losersKey{m} }},
	"an owner key comes back":   {"ProviderTokens/ErasedWhileCached", func(m *memory.Store) store.Store { return keyComesBack{m} }},
	"a use for the history":     {"Changes/QuietOnesWriteNone", func(m *memory.Store) store.Store { return useForTheHistory{m} }},
	"the first use seen first":  {"APIKeys/RecordKeyUse", func(m *memory.Store) store.Store { return firstSeen{m} }},
	"the first network stays":   {"APIKeys/RecordKeyUse", func(m *memory.Store) store.Store { return firstNetwork{m} }},
	"uses in the order given":   {"APIKeys/RecordKeyUsesAtOnce", func(m *memory.Store) store.Store { return usesAsGiven{m} }},
	"a look-up without state":   {"Owners/Deactivate", func(m *memory.Store) store.Store { return alwaysActive{m} }},
}

type anybodysKey struct{ *memory.Store }

func (s anybodysKey) APIKey(ctx context.Context, _ lanyard.Owner, id string) (store.APIKey, error) {
	k, err := s.APIKeyByID(ctx, id)
	if err != nil {
		return k, err
	}
	return s.Store.APIKey(ctx, k.Owner, id)
}

type anybodysToken struct{ *memory.Store }

func (s anybodysToken) ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (store.ProviderToken, error) {
	all, err := s.AllProviderTokens(ctx, "", 1000)
	for _, t := range all {
		if t.ID == id {
			owner = t.Owner
		}
	}
	if err != nil {
		return store.ProviderToken{}, err
	}
	return s.Store.ProviderToken(ctx, owner, id)
}

type anybodyDeletes struct{ *memory.Store }

func (s anybodyDeletes) DeleteAPIKey(ctx context.Context, k store.APIKey, e lanyard.Event) error {
	if stored, err := s.APIKeyByID(ctx, k.ID); err == nil {
		k.Owner = stored.Owner
	}
	return s.Store.DeleteAPIKey(ctx, k, e)
}

type lastWriterWins struct{ *memory.Store }

func (s lastWriterWins) UpdateProfile(ctx context.Context, p store.Profile, e lanyard.Event) error {
	if stored, err := s.Profile(ctx, p.Owner); err == nil {
		p.Version = stored.Version
	}
	return s.Store.UpdateProfile(ctx, p, e)
}

type eventOfItsOwn struct{ *memory.Store }

func (s eventOfItsOwn) UpdateProviderToken(ctx context.Context, t store.ProviderToken, e lanyard.Event) error {
	return s.Store.UpdateProviderToken(ctx, t, lanyard.NewEvent(ctx, e.At, e.Owner, e.Action, e.Object))
}

type twoEvents struct{ *memory.Store }

func (s twoEvents) DeleteProviderToken(ctx context.Context, owner lanyard.Owner, id string, version int64, e lanyard.Event) error {
	if err := s.Store.DeleteProviderToken(ctx, owner, id, version, e); err != nil {
		return err
	}
	e.ID = lanyard.NewID()
	return s.Append(ctx, e)
}

type eventAfterwards struct{ *memory.Store }

func (s eventAfterwards) UpdateAPIKey(ctx context.Context, k store.APIKey, e lanyard.Event) error {
	own := lanyard.NewEvent(ctx, time.Unix(1, 0), e.Owner, "x", "")
	if err := s.Store.UpdateAPIKey(ctx, k, own); err != nil {
		return err
	}
	if _, err := s.Purge(ctx, store.Purge{EventsBefore: time.Unix(2, 0)}); err != nil {
		return err
	}
	return s.Append(ctx, e)
}

// limitBefore has those that pass its count meet in pairs before they create,
// so that it exceeds the limit at every try; who is alone does not wait long.
type limitBefore struct {
	*memory.Store
	meet chan struct{}
}

func (s limitBefore) CreateAPIKey(ctx context.Context, k store.APIKey, limit int, e lanyard.Event) error {
	keys, err := s.APIKeys(ctx, k.Owner)
	if err == nil && limit >= 0 && len(keys) >= limit {
		return lanyard.ErrLimit
	}
	if limit >= 0 {
		select {
		case s.meet <- struct{}{}:
		case <-s.meet:
		case <-time.After(10 * time.Millisecond):
		}
	}
	return s.Store.CreateAPIKey(ctx, k, -1, e)
}

type macStays struct{ *memory.Store }

func (s macStays) DeleteAPIKeyByID(ctx context.Context, id string, at time.Time, event func(store.APIKey) lanyard.Event) error {
	k, err := s.APIKeyByID(ctx, id)
	if err != nil {
		return err
	}
	e := event(k)
	k.Version, k.DeletedAt = 0, at
	return s.DeleteAPIKey(ctx, k, e)
}

type noEpoch struct{ *memory.Store }

func (s noEpoch) Epochs(ctx context.Context) (*[store.Shards]int64, error) {
	_, err := s.Store.Epochs(ctx)
	return new([store.Shards]int64), err
}

type epochAfterwards struct{ *memory.Store }

func (s epochAfterwards) APIKeyByHash(ctx context.Context, hash []byte) (store.KeyLookup, error) {
	lookup, err := s.Store.APIKeyByHash(ctx, hash)
	if err != nil {
		return lookup, err
	}
	for range 100 {
		runtime.Gosched()
	}
	all, err := s.Epochs(ctx)
	if err == nil {
		lookup.Epoch = all[store.Shard(lookup.Key.Owner)]
	}
	return lookup, err
}

type sharedEpochs struct {
	*memory.Store
	all [store.Shards]int64
}

func (s *sharedEpochs) Epochs(ctx context.Context) (*[store.Shards]int64, error) {
	_, err := s.Store.Epochs(ctx)
	return &s.all, err
}

type noDeletion struct{ *memory.Store }

func (s noDeletion) DeleteAPIKey(ctx context.Context, _ store.APIKey, e lanyard.Event) error {
	return s.Append(ctx, e)
}

type erasureRemembers struct{ *memory.Store }

func (s erasureRemembers) Erase(ctx context.Context, owner lanyard.Owner, e lanyard.Event) error {
	events, err := s.Events(ctx, owner, store.EventCursor{}, 1000)
	if err != nil {
		return err
	}
	if err := s.Store.Erase(ctx, owner, e); err != nil {
		return err
	}
	for _, e := range events {
		if err := s.Append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

type factTwice struct{ *memory.Store }

func (s factTwice) Append(ctx context.Context, e lanyard.Event) error {
	e.DedupeKey = ""
	return s.Store.Append(ctx, e)
}

type milliseconds struct{ *memory.Store }

func (s milliseconds) CreateAPIKey(ctx context.Context, k store.APIKey, limit int, e lanyard.Event) error {
	if !k.ExpiresAt.IsZero() {
		k.ExpiresAt = k.ExpiresAt.Truncate(time.Millisecond)
	}
	return s.Store.CreateAPIKey(ctx, k, limit, e)
}

type localTime struct{ *memory.Store }

func (s localTime) APIKey(ctx context.Context, owner lanyard.Owner, id string) (store.APIKey, error) {
	k, err := s.Store.APIKey(ctx, owner, id)
	if !k.ExpiresAt.IsZero() {
		k.ExpiresAt = k.ExpiresAt.In(time.FixedZone("here", 3600))
	}
	return k, err
}

type withoutNUL struct{ *memory.Store }

func (s withoutNUL) CreateAPIKey(ctx context.Context, k store.APIKey, limit int, e lanyard.Event) error {
	k.Scopes = slices.Clone(k.Scopes)
	for i := range k.Scopes {
		k.Scopes[i] = strings.ReplaceAll(k.Scopes[i], "\x00", "")
	}
	return s.Store.CreateAPIKey(ctx, k, limit, e)
}

type sharedLists struct {
	*memory.Store
	last []store.APIKey
}

func (s *sharedLists) APIKeys(ctx context.Context, owner lanyard.Owner) ([]store.APIKey, error) {
	keys, err := s.Store.APIKeys(ctx, owner)
	if len(keys) == 1 && len(s.last) == 1 && keys[0].ID == s.last[0].ID && keys[0].Version == s.last[0].Version {
		return s.last, err
	}
	s.last = keys
	return keys, err
}

type deafToContexts struct{ *memory.Store }

func (s deafToContexts) Deactivate(ctx context.Context, owner lanyard.Owner, at time.Time, e lanyard.Event) error {
	return s.Store.Deactivate(context.WithoutCancel(ctx), owner, at, e)
}

type openForEver struct{ *memory.Store }

func (openForEver) Close() error { return nil }

type oldestFirst struct{ *memory.Store }

func (s oldestFirst) APIKeys(ctx context.Context, owner lanyard.Owner) ([]store.APIKey, error) {
	keys, err := s.Store.APIKeys(ctx, owner)
	slices.Reverse(keys)
	return keys, err
}

type cursorOfTime struct{ *memory.Store }

func (s cursorOfTime) Events(ctx context.Context, owner lanyard.Owner, after store.EventCursor, limit int) ([]lanyard.Event, error) {
	if after.ID != "" {
		after.ID = "\U0010ffff" // after all of that time
	}
	return s.Store.Events(ctx, owner, after, limit)
}

type losersKey struct{ *memory.Store }

func (s losersKey) CreateOwnerKey(ctx context.Context, k store.OwnerKey) (store.OwnerKey, error) {
	_, err := s.Store.CreateOwnerKey(ctx, k)
	k.Version = 1
	return k, err
}

type keyComesBack struct{ *memory.Store }

func (s keyComesBack) CreateProviderToken(ctx context.Context, t store.ProviderToken, limit int, e lanyard.Event) error {
	k := store.OwnerKey{ID: t.OwnerKeyID, Owner: t.Owner, Secrets: "keyring", Wrapped: []byte{1}}
	if _, err := s.CreateOwnerKey(ctx, k); err != nil && !errors.Is(err, lanyard.ErrExists) {
		return err
	}
	return s.Store.CreateProviderToken(ctx, t, limit, e)
}

type useForTheHistory struct{ *memory.Store }

func (s useForTheHistory) RecordTokenUse(ctx context.Context, owner lanyard.Owner, id string, at time.Time) error {
	if err := s.Store.RecordTokenUse(ctx, owner, id, at); err != nil {
		return err
	}
	return s.Append(ctx, lanyard.NewEvent(ctx, at, owner, "used", id))
}

// firstSeen leaves out uses that are older than what it knows, as one does who
// keeps the last use alone.
type firstSeen struct{ *memory.Store }

func (s firstSeen) RecordKeyUse(ctx context.Context, uses []store.KeyUse) error {
	return s.Store.RecordKeyUse(ctx, slices.DeleteFunc(slices.Clone(uses), func(u store.KeyUse) bool {
		k, err := s.APIKeyByID(ctx, u.ID)
		return err == nil && u.At.Before(k.LastUsedAt)
	}))
}

// firstNetwork takes a network only with the first use it is told of.
type firstNetwork struct{ *memory.Store }

func (s firstNetwork) RecordKeyUse(ctx context.Context, uses []store.KeyUse) error {
	uses = slices.Clone(uses)
	for i, u := range uses {
		if k, err := s.APIKeyByID(ctx, u.ID); err == nil && !k.LastUsedAt.IsZero() {
			uses[i].From = k.LastUsedFrom
		}
	}
	return s.Store.RecordKeyUse(ctx, uses)
}

// usesAsGiven takes the last of a list for the newest.
type usesAsGiven struct{ *memory.Store }

func (s usesAsGiven) RecordKeyUse(ctx context.Context, uses []store.KeyUse) error {
	last := map[string]store.KeyUse{}
	for _, u := range uses {
		last[u.ID] = u
	}
	return s.Store.RecordKeyUse(ctx, slices.Collect(maps.Values(last)))
}

type alwaysActive struct{ *memory.Store }

func (s alwaysActive) APIKeyByHash(ctx context.Context, hash []byte) (store.KeyLookup, error) {
	lookup, err := s.Store.APIKeyByHash(ctx, hash)
	lookup.Owner = store.OwnerState{}
	return lookup, err
}
