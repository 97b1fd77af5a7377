package apikey_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store/memory"
)

// newTimed returns a bench for a synctest bubble: its clock is the bubble's.
func newTimed(t *testing.T) *bench {
	t.Helper()
	st := memory.New()
	b := &bench{memory: st, store: &watched{Store: st}, heard: new(heard)}
	b.Service = newService(t, b.store, &apikey.Options{OnEvent: b.heard.hear})
	return b
}

// used is when the store says that a key was last used. It asks the store
// behind the service, which would flush.
func (b *bench) used(t *testing.T, id string) time.Time {
	t.Helper()
	k, err := b.memory.APIKey(t.Context(), ana, id)
	if err != nil {
		t.Fatalf("APIKey() = %v, want nil", err)
	}
	return k.LastUsedAt
}

// A key's first use is stored at once, in the background; further ones every 15
// seconds, however many they are.
func TestLastUsedIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		key, token := b.create(t, ana, apikey.CreateRequest{})
		if !b.used(t, key.ID).IsZero() {
			t.Error("a key that was never used has a time of use")
		}
		first := time.Now()
		b.wantGood(t, "first use", token)
		synctest.Wait()
		if got := b.used(t, key.ID); !got.Equal(first) {
			t.Errorf("after its first use the key was last used at %v, want %v", got, first)
		}

		for range 10_000 {
			b.wantGood(t, "further use", token)
		}
		<-time.After(2 * time.Second)
		b.wantGood(t, "last use", token)
		last := time.Now()
		synctest.Wait()
		if got, n := b.used(t, key.ID), b.store.uses.Load(); !got.Equal(first) || n != 1 {
			t.Errorf("before 15 seconds: used at %v after %d calls of the store, want %v after 1", got, n, first)
		}
		<-time.After(15 * time.Second)
		synctest.Wait()
		if got, n := b.used(t, key.ID), b.store.uses.Load(); !got.Equal(last) || n != 2 {
			t.Errorf("after 15 seconds: used at %v after %d calls of the store, want %v after 2", got, n, last)
		}
		<-time.After(time.Hour)
		if n := b.store.uses.Load(); n != 2 {
			t.Errorf("%d calls of the store while nothing was used, want 2", n)
		}
	})
}

// First uses of many keys do not become many calls: at most one a second.
func TestLastUsedOncePerSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		var tokens []string
		for range 40 {
			_, token := b.create(t, ana, apikey.CreateRequest{})
			tokens = append(tokens, token)
		}
		began := time.Now()
		for _, token := range tokens {
			b.wantGood(t, "first use", token)
			<-time.After(100 * time.Millisecond)
		}
		if seconds, n := int64(time.Since(began).Seconds()), b.store.uses.Load(); n > seconds+1 || n < 2 {
			t.Errorf("%d calls of the store in %d seconds, want at most one a second", n, seconds)
		}
	})
}

// What must not wait, a first use or a fact, has nothing else written before its
// time: a key in use is written once in 15 seconds whatever else happens.
func TestFirstUsesWriteNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		key, token := b.create(t, ana, apikey.CreateRequest{})
		b.wantGood(t, "first use", token)
		synctest.Wait()
		writes, last := 0, b.used(t, key.ID)
		for range 30 {
			<-time.After(time.Second)
			b.wantGood(t, "use", token)
			fresh, first := b.create(t, bob, apikey.CreateRequest{})
			b.wantGood(t, "first use of another", first)
			if err := b.Delete(t.Context(), bob, fresh.ID, 0); err != nil {
				t.Fatal(err)
			}
			b.wantRefused(t, "deleted", first)
			synctest.Wait()
			if used := b.used(t, key.ID); !used.Equal(last) {
				writes, last = writes+1, used
			}
		}
		if writes > 2 {
			t.Errorf("a key in use was written %d times in 30 seconds, want 2", writes)
		}
	})
}

// A list has stored what its owner's keys were used for, and nothing of other
// owners: who looks at his again and again has no other row written.
func TestListsStoreTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		mine, token := b.create(t, ana, apikey.CreateRequest{})
		other, others := b.create(t, bob, apikey.CreateRequest{})
		b.wantGood(t, "first use", token)
		b.wantGood(t, "first use", others)
		<-time.After(2 * time.Second)
		first := time.Now().Add(-2 * time.Second)
		usedByBob := func() time.Time {
			t.Helper()
			k, err := b.memory.APIKey(t.Context(), bob, other.ID)
			if err != nil {
				t.Fatal(err)
			}
			return k.LastUsedAt
		}
		for range 3 {
			<-time.After(time.Second)
			b.wantGood(t, "use", token)
			b.wantGood(t, "use", others)
			if k, err := b.Key(t.Context(), ana, mine.ID); err != nil || !k.LastUsedAt.Equal(time.Now()) {
				t.Errorf("Key() = %v, %v, want a key used at %v", k, err, time.Now())
			}
			if keys, err := b.Keys(t.Context(), ana); err != nil || !keys[0].LastUsedAt.Equal(time.Now()) {
				t.Errorf("Keys() = %v, %v, want a key used at %v", keys, err, time.Now())
			}
			if got := usedByBob(); !got.Equal(first) {
				t.Errorf("a list of ana's wrote that bob used his key at %v, want %v to stand", got, first)
			}
		}
		last := time.Now()
		<-time.After(15 * time.Second)
		synctest.Wait()
		if got := usedByBob(); !got.Equal(last) {
			t.Errorf("after 15 seconds bob's key was used at %v, want %v", got, last)
		}
	})
}

// What is marked is stored before this process lists, and on Close.
func TestLastUsedBeforeLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		key, token := b.create(t, ana, apikey.CreateRequest{})
		b.wantGood(t, "first use", token)
		synctest.Wait()
		for range 3 {
			<-time.After(time.Second)
			b.wantGood(t, "use", token)
			now := time.Now()
			keys, err := b.Keys(t.Context(), ana)
			if err != nil || !keys[0].LastUsedAt.Equal(now) {
				t.Errorf("Keys() = %v, %v, want a key used at %v", keys, err, now)
			}
			<-time.After(time.Second)
			b.wantGood(t, "use", token)
			now = time.Now()
			if k, err := b.Key(t.Context(), ana, key.ID); err != nil || !k.LastUsedAt.Equal(now) {
				t.Errorf("Key() = %v, %v, want a key used at %v", k, err, now)
			}
		}
		<-time.After(time.Second)
		b.wantGood(t, "use", token)
		last := time.Now()
		if err := b.Close(t.Context()); err != nil {
			t.Fatalf("Close() = %v, want nil", err)
		}
		if got := b.used(t, key.ID); !got.Equal(last) {
			t.Errorf("after Close the key was used at %v, want %v", got, last)
		}
	})
}

// Who was refused used nothing.
func TestLastUsedOnlyWhenGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		b := &bench{memory: st, store: &watched{Store: st}, heard: new(heard)}
		b.Service = newService(t, b.store, &apikey.Options{
			Scopes: []string{"read", "write"}, Rate: 1e-6, Burst: 1,
			Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		})
		inside := lanyard.Request{IP: "192.0.2.1"}
		write, err := b.ScopeSet("write")
		if err != nil {
			t.Fatal(err)
		}
		_, expired := b.create(t, ana, apikey.CreateRequest{ExpiresAt: time.Now().Add(time.Hour)})
		_, outside := b.create(t, ana, apikey.CreateRequest{})
		_, lacking := b.create(t, ana, apikey.CreateRequest{Scopes: []string{"read"}})
		deleted, deletedToken := b.create(t, ana, apikey.CreateRequest{})
		b.delete(t, deleted.ID)
		barred, barredToken := b.create(t, bob, apikey.CreateRequest{})
		if err := st.Deactivate(t.Context(), bob, time.Now(), lanyard.NewEvent(t.Context(), time.Now(), bob, "x", "")); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour)
		for why, c := range map[string]struct {
			token string
			call  apikey.Call
			want  error
		}{
			"expired":                  {expired, apikey.Call{From: inside}, lanyard.ErrUnauthenticated},
			"mistyped":                 {expired + "x", apikey.Call{From: inside}, lanyard.ErrUnauthenticated},
			"deleted":                  {deletedToken, apikey.Call{From: inside}, lanyard.ErrUnauthenticated},
			"of a barred owner":        {barredToken, apikey.Call{From: inside}, lanyard.ErrUnauthenticated},
			"from elsewhere":           {outside, apikey.Call{From: lanyard.Request{IP: "198.51.100.1"}}, lanyard.ErrUnauthenticated},
			"without a scope it needs": {lacking, apikey.Call{From: inside, Scopes: write}, lanyard.ErrForbidden},
		} {
			if _, err := b.VerifyCall(t.Context(), c.token, c.call); !errors.Is(err, c.want) {
				t.Errorf("%s: VerifyCall() = %v, want %v", why, err, c.want)
			}
		}
		keys, err := b.Keys(t.Context(), ana)
		if err != nil || len(keys) != 3 {
			t.Fatalf("Keys() = %+v, %v, want three", keys, err)
		}
		for _, k := range keys {
			if !k.LastUsedAt.IsZero() {
				t.Errorf("Keys() = %+v, want a key that was never used", k)
			}
		}
		if k, err := b.Key(t.Context(), bob, barred.ID); err != nil || !k.LastUsedAt.IsZero() {
			t.Errorf("Key() = %+v, %v, want a key that was never used", k, err)
		}
		if n := b.store.uses.Load(); n != 0 {
			t.Errorf("%d calls of the store, want none", n)
		}

		// Beyond its rate a key was used when it was within.
		within := time.Now()
		if _, err := b.VerifyCall(t.Context(), outside, apikey.Call{From: inside}); err != nil {
			t.Errorf("VerifyCall() = %v, want nil", err)
		}
		<-time.After(time.Minute)
		var limit *apikey.RateLimitError
		if _, err := b.VerifyCall(t.Context(), outside, apikey.Call{From: inside}); !errors.As(err, &limit) {
			t.Errorf("VerifyCall() beyond the rate = %v, want a RateLimitError", err)
		}
		keys, err = b.Keys(t.Context(), ana)
		if i := slices.IndexFunc(keys, func(k apikey.Key) bool { return !k.LastUsedAt.IsZero() }); err != nil || i < 0 || !keys[i].LastUsedAt.Equal(within) {
			t.Errorf("Keys() = %+v, %v, want one that was used at %v", keys, err, within)
		}
	})
}

// While the store takes nothing, verification goes on; what was marked is
// stored when it does again.
func TestLastUsedWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		key, token := b.create(t, ana, apikey.CreateRequest{})
		other, otherToken := b.create(t, ana, apikey.CreateRequest{})
		var down atomic.Bool
		down.Store(true)
		b.store.onUse = func(context.Context) error {
			if down.Load() {
				return lanyard.ErrUnavailable
			}
			return nil
		}
		b.wantGood(t, "use", token)
		once := time.Now()
		<-time.After(time.Second)
		b.wantGood(t, "use of the other", otherToken)
		<-time.After(time.Minute)
		b.wantGood(t, "use of the other", otherToken)
		last := time.Now()
		if keys, err := b.Keys(t.Context(), ana); err != nil || len(keys) != 2 {
			t.Errorf("Keys() while uses cannot be stored = %v, %v, want the list", keys, err)
		}
		down.Store(false)
		<-time.After(15 * time.Second)
		synctest.Wait()
		if got := b.used(t, key.ID); !got.Equal(once) {
			t.Errorf("the key was used at %v, want %v, kept while the store was down", got, once)
		}
		if got := b.used(t, other.ID); !got.Equal(last) {
			t.Errorf("the other was used at %v, want %v", got, last)
		}
	})
}

// A store that hangs delays no verification, a list by two seconds, and Close
// no longer than its context allows.
func TestLastUsedWhenTheStoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		_, token := b.create(t, ana, apikey.CreateRequest{})
		_, otherToken := b.create(t, ana, apikey.CreateRequest{})
		b.store.onUse = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		began := time.Now()
		b.wantGood(t, "use", token)
		synctest.Wait() // the flush hangs
		for range 100 {
			b.wantGood(t, "use", token)
			b.wantGood(t, "use", otherToken)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("verifications waited %v for a store that hangs", waited)
		}
		if _, err := b.Keys(t.Context(), ana); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("Keys() = %v after %v, want the list after 2 seconds", err, time.Since(began))
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("Close() = %v after %v, want its context's end", err, time.Since(began))
		}
	})
}

// A store that panics takes down neither the host nor the goroutine.
func TestLastUsedWhenTheStorePanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		key, token := b.create(t, ana, apikey.CreateRequest{})
		panics := true
		b.store.onUse = func(context.Context) error {
			if panics {
				panics = false
				panic("a store of the host")
			}
			return nil
		}
		b.wantGood(t, "use", token)
		at := time.Now()
		<-time.After(16 * time.Second)
		synctest.Wait()
		if got := b.used(t, key.ID); !got.Equal(at) {
			t.Errorf("the key was used at %v, want %v", got, at)
		}
	})
}

// A use is stored although the process had no room to remember its key.
func TestLastUsedOfForgottenKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimed(t)
		small := newService(t, b.store, &apikey.Options{MaxCached: 1})
		key, token := b.create(t, ana, apikey.CreateRequest{})
		_, other := b.create(t, ana, apikey.CreateRequest{})
		verify := func(token string) {
			if _, err := small.Verify(t.Context(), token); err != nil {
				t.Fatalf("Verify() = %v, want nil", err)
			}
		}
		verify(token)
		<-time.After(5 * time.Second) // its first use is stored
		verify(token)
		last := time.Now()
		verify(other) // takes its place
		<-time.After(15 * time.Second)
		synctest.Wait()
		if got := b.used(t, key.ID); !got.Equal(last) {
			t.Errorf("the key was used at %v, want %v", got, last)
		}
	})
}

// Time of use never goes back, whatever clocks do.
func TestLastUsedIsMonotonic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		_, token := b.create(t, ana, apikey.CreateRequest{})
		for _, at := range []time.Duration{time.Hour, 0, 30 * time.Minute} {
			b.clock.set(start.Add(at))
			b.wantGood(t, "use", token)
			<-time.After(time.Second)
		}
		keys, err := b.Keys(t.Context(), ana)
		if err != nil || !keys[0].LastUsedAt.Equal(start.Add(time.Hour)) {
			t.Errorf("Keys() = %+v, %v, want the latest use", keys, err)
		}
	})
}

// Two processes that use the same keys never take each other's times away.
func TestLastUsedByTwoProcesses(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var tokens []string
	for range 5 {
		_, token := b.create(t, ana, apikey.CreateRequest{})
		tokens = append(tokens, token)
	}
	latest := start.Add(time.Hour)
	early := newService(t, b.memory, &apikey.Options{Now: b.clock.now})
	late := newService(t, b.memory, &apikey.Options{Now: func() time.Time { return latest }})
	for _, s := range []*apikey.Service{late, early} {
		for _, token := range tokens {
			if _, err := s.Verify(t.Context(), token); err != nil {
				t.Fatalf("Verify() = %v, want nil", err)
			}
		}
		if _, err := s.Keys(t.Context(), ana); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := b.Keys(t.Context(), ana)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if !k.LastUsedAt.Equal(latest) {
			t.Errorf("a key was used at %v, want %v", k.LastUsedAt, latest)
		}
	}
}
