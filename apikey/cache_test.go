package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

const maxStale = 2 * time.Second

// pair is two processes on one store: keys are made and changed here, and used
// there, with the default MaxStale and the clock of the synctest bubble.
type pair struct {
	here, there *bench
}

func newPair(t *testing.T) *pair {
	t.Helper()
	st := memory.New()
	process := func() *bench {
		b := &bench{memory: st, store: &watched{Store: st}, heard: new(heard)}
		b.Service = newService(t, b.store, &apikey.Options{OnEvent: b.heard.hear})
		return b
	}
	return &pair{here: process(), there: process()}
}

func (b *bench) delete(t testing.TB, id string) {
	t.Helper()
	if err := b.Delete(t.Context(), ana, id, 0); err != nil {
		t.Fatalf("Delete() = %v, want nil", err)
	}
}

// A key in use costs no read of the store, for as long as polls say that
// nothing changed.
func TestWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, token := p.here.create(t, ana, apikey.CreateRequest{})
		for range 59 {
			p.there.wantGood(t, "a key in use", token)
			<-time.After(time.Second)
		}
		if n := p.there.store.lookups.Load(); n != 1 {
			t.Errorf("%d reads of the store in a minute of use, want 1", n)
		}
		// One poll a second, and none while no key is in the cache.
		if n := p.there.store.polls.Load(); n < 55 || n > 60 {
			t.Errorf("%d polls in a minute, want one a second", n)
		}
		if n := p.here.store.polls.Load(); n != 0 {
			t.Errorf("%d polls of a process that verifies nothing, want none", n)
		}
	})
}

// What is deleted in one process is refused by it at once, and by the other
// after MaxStale at the latest.
func TestDeleteReachesOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.here.wantGood(t, "here", token)
		p.there.wantGood(t, "there", token)
		<-time.After(3 * time.Second)
		p.here.wantGood(t, "here", token)
		p.there.wantGood(t, "there", token)
		p.here.delete(t, key.ID)
		p.here.wantRefused(t, "here, at once", token)
		<-time.After(maxStale)
		p.there.wantRefused(t, "there, after MaxStale", token)
	})
}

// While polls fail, a key costs one read per MaxStale, and none is believed for
// longer.
func TestFailingPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.there.wantGood(t, "there", token)
		p.there.store.failPolls()
		for range 200 {
			p.there.wantGood(t, "there", token)
			<-time.After(100 * time.Millisecond)
		}
		if n := p.there.store.lookups.Load(); n > 12 {
			t.Errorf("%d reads of the store in 20 seconds without polls, want one per MaxStale", n)
		}
		p.here.delete(t, key.ID)
		<-time.After(maxStale)
		p.there.wantRefused(t, "there, after MaxStale", token)
	})
}

// The last poll before they stop counts for MaxStale.
func TestPollsThatStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.there.wantGood(t, "there", token)
		<-time.After(1050 * time.Millisecond) // a poll was sent at 1 s
		p.there.store.failPolls()
		p.here.delete(t, key.ID)
		<-time.After(maxStale)
		p.there.wantRefused(t, "after MaxStale", token)
	})
}

// When the poll that follows a deletion fails, the process that deleted
// believes nothing that it read before.
func TestFailingPollOfDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		_, other := p.here.create(t, bob, apikey.CreateRequest{})
		p.here.wantGood(t, "before", token)
		p.here.wantGood(t, "another, before", other)
		p.here.store.failPolls()
		p.here.delete(t, key.ID)
		p.here.wantRefused(t, "deleted", token)
		p.here.wantGood(t, "another", other)
	})
}

// A change of which the store cannot say whether it was made may have been: the
// process that tried it reads the key again.
func TestChangesOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(b *bench, ctx context.Context, id, token string) error{
		"Delete":        func(b *bench, ctx context.Context, id, _ string) error { return b.Delete(ctx, ana, id, 0) },
		"DeleteByToken": func(b *bench, ctx context.Context, _, token string) error { return b.DeleteByToken(ctx, token) },
		"ReportLeaks": func(b *bench, ctx context.Context, _, token string) error {
			_, err := b.ReportLeaks(ctx, []apikey.Leak{leak(token)})
			return err
		},
		"Rotate": func(b *bench, ctx context.Context, id, _ string) error {
			_, err := b.Rotate(ctx, ana, id, apikey.RotateRequest{})
			return err
		},
	} {
		b := newBench(t, &apikey.Options{MaxStale: time.Hour})
		key, token := b.create(t, ana, apikey.CreateRequest{})
		b.wantGood(t, "before "+what, token)
		ctx, cancel := context.WithCancel(t.Context())
		b.store.onDelete = func(error) error {
			cancel()
			return lanyard.ErrUnavailable
		}
		b.store.onRotate = b.store.onDelete
		if err := change(b, ctx, key.ID, token); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("%s() = %v, want ErrUnavailable", what, err)
		}
		b.wantRefused(t, "after "+what, token)
	}
}

// A poll that hangs keeps nobody who deletes for as long as MaxStale may be.
func TestHangingPollOfALongMaxStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		b := &bench{memory: st, store: &watched{Store: st}}
		b.Service = newService(t, b.store, &apikey.Options{MaxStale: time.Hour})
		key, token := b.create(t, ana, apikey.CreateRequest{})
		b.wantGood(t, "before", token)
		hang := pollHook(func(ctx context.Context, _ *[store.Shards]int64, _ error) (*[store.Shards]int64, error) {
			<-ctx.Done()
			return nil, lanyard.ErrUnavailable
		})
		b.store.onPoll.Store(&hang)
		began := time.Now()
		b.delete(t, key.ID)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("a deletion took %v, want 10 seconds at most", took)
		}
		b.wantRefused(t, "deleted", token)
	})
}

// The age of a poll counts from when it was sent: what it says was true then.
func TestSlowPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.there.wantGood(t, "there", token)
		var once atomic.Bool
		slow := pollHook(func(_ context.Context, now *[store.Shards]int64, err error) (*[store.Shards]int64, error) {
			if once.Swap(true) {
				return nil, lanyard.ErrUnavailable
			}
			<-time.After(1900 * time.Millisecond)
			return now, err
		})
		p.there.store.onPoll.Store(&slow)
		<-time.After(1050 * time.Millisecond) // the poll was answered at 1 s, the answer arrives at 2.9 s
		p.here.delete(t, key.ID)
		<-time.After(maxStale)
		p.there.wantRefused(t, "after MaxStale", token)
	})
}

// The age of a verdict counts from when the store was asked.
func TestSlowRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.there.store.failPolls()
		var once atomic.Bool
		p.there.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
			if !once.Swap(true) {
				<-time.After(1900 * time.Millisecond)
			}
			return row, err
		}
		done := make(chan error)
		go func() {
			_, err := p.there.Verify(t.Context(), token)
			done <- err
		}()
		<-time.After(50 * time.Millisecond)
		p.here.delete(t, key.ID)
		if err := <-done; err != nil {
			t.Errorf("Verify() within MaxStale = %v, want nil", err)
		}
		<-time.After(150 * time.Millisecond)
		p.there.wantRefused(t, "2050 ms after it was deleted", token)
	})
}

// A read that takes longer than MaxStale says nothing any more. It is repeated,
// and then it is not known whether the key is good.
func TestReadSlowerThanMaxStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.there.store.failPolls()
		p.there.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
			<-time.After(maxStale + time.Second)
			return row, err
		}
		if _, err := p.there.Verify(t.Context(), token); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("Verify() with a slow store = %v, want ErrUnavailable", err)
		}
		if n := p.there.store.lookups.Load(); n != 3 {
			t.Errorf("%d reads, want 3", n)
		}
		p.here.delete(t, key.ID)
		p.there.store.onLookup = nil
		p.there.wantRefused(t, "deleted", token)
	})
}

// A key is deleted while a verification reads it from a slow store: neither who
// began before nor who joins after may bring it back.
func TestDeletedWhileBeingRead(t *testing.T) {
	t.Parallel()
	for name, deleter := range map[string]func(*pair) *bench{
		"by this process": func(p *pair) *bench { return p.there },
		"by another":      func(p *pair) *bench { return p.here },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				key, token := p.here.create(t, ana, apikey.CreateRequest{})
				answer := make(chan struct{})
				var once atomic.Bool
				p.there.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
					if !once.Swap(true) {
						<-answer // with what it read before the deletion
					}
					return row, err
				}
				var verified sync.WaitGroup
				errs := make(chan error, 20)
				for range 10 {
					verified.Go(func() {
						_, err := p.there.Verify(t.Context(), token)
						errs <- err
					})
				}
				synctest.Wait()
				deleter(p).delete(t, key.ID)
				if name == "by another" {
					<-time.After(maxStale + time.Millisecond)
				}
				for range 10 { // these join
					verified.Go(func() {
						_, err := p.there.Verify(t.Context(), token)
						errs <- err
					})
				}
				synctest.Wait()
				close(answer)
				verified.Wait()
				for range 20 {
					if err := <-errs; !errors.Is(err, lanyard.ErrUnauthenticated) {
						t.Errorf("Verify() of a key that is deleted = %v, want ErrUnauthenticated", err)
					}
				}
				if n := p.there.store.lookups.Load(); n != 2 {
					t.Errorf("%d reads of the store, want the old one and one that all share", n)
				}
				p.there.wantRefused(t, "afterwards", token)
			})
		})
	}
}

// However many callers want a key that is not in the cache, it is read once; one
// who gives up fails nobody else.
func TestReadsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, token := p.here.create(t, ana, apikey.CreateRequest{})
		answer := make(chan struct{})
		p.there.store.punctual = true
		p.there.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
			<-answer
			return row, err
		}
		ctx, giveUp := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := p.there.Verify(ctx, token)
			first <- err
		}()
		synctest.Wait()
		var others sync.WaitGroup
		for range 200 {
			others.Go(func() { p.there.wantGood(t, "who joined", token) })
		}
		synctest.Wait()
		giveUp()
		if err := <-first; !errors.Is(err, lanyard.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("Verify() of who gave up = %v, want ErrUnavailable and context.Canceled", err)
		}
		close(answer)
		others.Wait()
		if n := p.there.store.lookups.Load(); n != 1 {
			t.Errorf("%d reads of the store, want 1", n)
		}
	})
}

// Polls never overlap: with those of deletions that come in while one is under
// way, the next begins when it has ended.
func TestPollsDoNotOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		var keys []apikey.Key
		for range 5 {
			key, token := p.here.create(t, ana, apikey.CreateRequest{})
			p.here.wantGood(t, "before", token)
			keys = append(keys, key)
		}
		var at, most atomic.Int64
		slow := pollHook(func(_ context.Context, now *[store.Shards]int64, err error) (*[store.Shards]int64, error) {
			if n := at.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(300 * time.Millisecond)
			at.Add(-1)
			return now, err
		})
		p.here.store.onPoll.Store(&slow)
		<-time.After(1100 * time.Millisecond) // a poll of the ticker is under way
		var deleted sync.WaitGroup
		for _, k := range keys {
			deleted.Go(func() { p.here.delete(t, k.ID) })
		}
		deleted.Wait()
		if most.Load() != 1 {
			t.Errorf("%d polls at once, want 1", most.Load())
		}
	})
}

// An answer that arrives after a later one changes nothing: a process that
// could not poll after a change believes no poll that was sent before it.
func TestPollSentBeforeDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, token := p.here.create(t, ana, apikey.CreateRequest{})
		_, other := p.here.create(t, ana, apikey.CreateRequest{})
		p.here.wantGood(t, "another, so that there are polls", other)
		slow := pollHook(func(_ context.Context, now *[store.Shards]int64, err error) (*[store.Shards]int64, error) {
			<-time.After(1800 * time.Millisecond) // whatever its context says
			return now, err
		})
		p.here.store.onPoll.Store(&slow)
		<-time.After(1050 * time.Millisecond) // one is under way, with the epochs of before
		p.here.wantGood(t, "read after that poll was sent", token)
		e := lanyard.NewEvent(t.Context(), time.Now(), ana, "owner.deactivated", "")
		if err := p.here.memory.Deactivate(t.Context(), ana, time.Now(), e); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := p.here.Refresh(ctx); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("Refresh() = %v, want ErrUnavailable", err)
		}
		<-time.After(1700 * time.Millisecond) // the poll's answer has arrived
		p.here.wantRefused(t, "of a deactivated owner", token)
	})
}

// Who hangs up between the commit of his deletion and the poll that follows has
// his own shard read anew, and nobody else's keys.
func TestHangingUpCostsOthersNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if store.Shard(ana) == store.Shard(bob) {
			t.Fatal("ana and bob share a shard")
		}
		p := newPair(t)
		_, others := p.here.create(t, bob, apikey.CreateRequest{})
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.here.wantGood(t, "before", token)
		p.here.wantGood(t, "another's, before", others)
		ctx, hangUp := context.WithCancel(t.Context())
		leave := pollHook(func(ctx context.Context, _ *[store.Shards]int64, _ error) (*[store.Shards]int64, error) {
			hangUp()
			return nil, ctx.Err()
		})
		p.here.store.onPoll.Store(&leave)
		if err := p.here.Delete(ctx, ana, key.ID, 0); err != nil {
			t.Fatalf("Delete() = %v, want nil", err)
		}
		reads := p.here.store.lookups.Load()
		p.here.wantGood(t, "another's, after", others)
		if n := p.here.store.lookups.Load() - reads; n != 0 {
			t.Errorf("%d reads of another's key, want none", n)
		}
		p.here.wantRefused(t, "deleted", token)
	})
}

// Rotating and deactivating reach others as deleting does, and what is undone
// is good again.
func TestChangesReachOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		deleted, deletedToken := p.here.create(t, ana, apikey.CreateRequest{})
		p.here.delete(t, deleted.ID)
		event := func(action string) lanyard.Event { return lanyard.NewEvent(t.Context(), time.Now(), ana, action, "") }
		both := func(want func(*bench, string)) {
			t.Helper()
			want(p.here, "here, at once")
			<-time.After(maxStale)
			want(p.there, "there, after MaxStale")
		}
		good := func(b *bench, where string) { b.wantGood(t, where, token) }
		refused := func(b *bench, where string) { b.wantRefused(t, where, token) }
		both(good)

		if err := p.here.memory.Deactivate(t.Context(), ana, time.Now(), event("owner.deactivated")); err != nil {
			t.Fatal(err)
		}
		if err := p.here.Refresh(t.Context()); err != nil {
			t.Errorf("Refresh() = %v, want nil", err)
		}
		both(refused)
		if err := p.here.memory.Reactivate(t.Context(), ana, event("owner.reactivated")); err != nil {
			t.Fatal(err)
		}
		if err := p.here.Refresh(t.Context()); err != nil {
			t.Errorf("Refresh() = %v, want nil", err)
		}
		both(good)
		p.here.wantRefused(t, "a tombstone of a reactivated owner, here", deletedToken)
		p.there.wantRefused(t, "a tombstone of a reactivated owner, there", deletedToken)
		if _, err := p.here.Rotate(t.Context(), ana, key.ID, apikey.RotateRequest{}); err != nil {
			t.Fatal(err)
		}
		both(refused)
	})
}

// Refresh that cannot read the epochs says so, and the promise holds.
func TestRefreshWhenPollsFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.here.wantGood(t, "before", token)
		p.here.store.failPolls()
		e := lanyard.NewEvent(t.Context(), time.Now(), ana, "owner.deactivated", "")
		if err := p.here.memory.Deactivate(t.Context(), ana, time.Now(), e); err != nil {
			t.Fatal(err)
		}
		if err := p.here.Refresh(t.Context()); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("Refresh() = %v, want ErrUnavailable", err)
		}
		p.here.wantRefused(t, "of a deactivated owner", token)
	})
}

// A key expires in the cache as it does in the store.
func TestExpiryWhileCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		expires := time.Now().Add(1500 * time.Millisecond)
		_, token := p.here.create(t, ana, apikey.CreateRequest{ExpiresAt: expires})
		p.there.wantGood(t, "before", token)
		<-time.After(1500*time.Millisecond - time.Microsecond)
		p.there.wantGood(t, "a microsecond before its end", token)
		<-time.After(time.Microsecond)
		p.there.wantRefused(t, "at its end", token)
		if n := p.there.store.lookups.Load(); n != 1 {
			t.Errorf("%d reads of the store, want 1", n)
		}
	})
}

// A tombstone is kept like any key: a tool nobody told costs no reads.
func TestTombstonesAreCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		key, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.here.delete(t, key.ID)
		for range 1000 {
			p.there.wantRefused(t, "deleted", token)
		}
		if n := p.there.store.lookups.Load(); n != 1 {
			t.Errorf("%d reads of the store, want 1", n)
		}
	})
}

// Unknown tokens and failures are never kept.
func TestFailuresAreNotCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.there.store.onLookup = func(store.KeyLookup, error) (store.KeyLookup, error) {
			return store.KeyLookup{}, lanyard.ErrUnavailable
		}
		for range 3 {
			if _, err := p.there.Verify(t.Context(), token); !errors.Is(err, lanyard.ErrUnavailable) {
				t.Errorf("Verify() = %v, want ErrUnavailable", err)
			}
		}
		p.there.store.onLookup = func(store.KeyLookup, error) (store.KeyLookup, error) {
			return store.KeyLookup{}, lanyard.ErrNotFound
		}
		p.there.wantRefused(t, "not there yet", token)
		p.there.store.onLookup = nil
		p.there.wantGood(t, "there now", token)
		if n := p.there.store.lookups.Load(); n != 5 {
			t.Errorf("%d reads of the store, want 5", n)
		}
	})
}

// Of a key that is gone nothing is kept.
func TestErasedKeysAreForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour})
	_, token := b.create(t, ana, apikey.CreateRequest{})
	b.wantGood(t, "before", token)
	e := lanyard.NewEvent(t.Context(), start, lanyard.Owner{Tenant: ana.Tenant}, "owner.erased", "")
	if err := b.memory.Erase(t.Context(), ana, e); err != nil {
		t.Fatal(err)
	}
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantRefused(t, "of an erased owner", token)
	if n := b.Cached(); n != 0 {
		t.Errorf("%d keys in the cache, want none", n)
	}
}

// A store that panics on a goroutine of ours does not end the process.
func TestReadThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, token := p.here.create(t, ana, apikey.CreateRequest{})
		boom := pollHook(func(context.Context, *[store.Shards]int64, error) (*[store.Shards]int64, error) {
			panic("a store of the host")
		})
		p.there.store.onPoll.Store(&boom)
		p.there.store.onLookup = func(store.KeyLookup, error) (store.KeyLookup, error) { panic("a store of the host") }
		if _, err := p.there.Verify(t.Context(), token); !errors.Is(err, lanyard.ErrUnavailable) {
			t.Errorf("Verify() = %v, want ErrUnavailable", err)
		}
		p.there.store.onLookup = nil
		p.there.wantGood(t, "after the panic", token)
		<-time.After(2 * maxStale)
		p.there.wantGood(t, "while polls panic", token)
	})
}

// The cache is bounded, and a flood of other keys does not drive out what is in
// use.
func TestFloodOfKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 1000
		st, tokens := newSynthetic(20 * limit)
		watched := &watched{Store: st}
		s := newService(t, watched, &apikey.Options{MaxCached: limit})
		inUse, others := tokens[:limit/10], tokens[limit/10:]
		verify := func(token string) {
			if _, err := s.Verify(t.Context(), token); err != nil {
				t.Fatalf("Verify() = %v, want nil", err)
			}
		}
		for i, token := range others {
			verify(token)
			<-time.After(10 * time.Millisecond)
			verify(inUse[i%len(inUse)])
		}
		reads := watched.lookups.Load()
		for _, token := range inUse {
			verify(token)
		}
		if again := watched.lookups.Load() - reads; again > limit/100 {
			t.Errorf("%d of %d keys in use were driven out", again, len(inUse))
		}
		if n := s.Cached(); n != limit {
			t.Errorf("%d keys in the cache, want %d", n, limit)
		}
	})
}

// Tokens that look right and are none cost a read each and no memory,
// and drive out nothing.
func TestFloodOfUnknownTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour})
	_, token := b.create(t, ana, apikey.CreateRequest{})
	b.wantGood(t, "before", token)
	const flood = 20_000
	for i := range flood {
		if _, err := b.Verify(t.Context(), resum(fmt.Sprintf("lyd_%010d%030d", i, i))); !errors.Is(err, lanyard.ErrUnauthenticated) {
			t.Fatalf("Verify() = %v, want ErrUnauthenticated", err)
		}
	}
	b.wantGood(t, "after", token)
	if n, cached := b.store.lookups.Load(), b.Cached(); n != flood+1 || cached != 1 {
		t.Errorf("%d reads and %d keys in the cache, want %d and 1", n, cached, flood+1)
	}
}

// A database that was restored to an earlier point knows nothing of what was
// done since, and its epochs may be those of then. Connections break when that
// happens, or else a minute passes.
func TestRestoredDatabase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		interrupted bool
		after       time.Duration
	}{"stopped and started": {true, maxStale}, "while it runs": {false, time.Minute}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				_, token := p.here.create(t, ana, apikey.CreateRequest{})
				p.there.wantGood(t, "before", token)
				<-time.After(1500 * time.Millisecond)
				if test.interrupted {
					p.there.store.failPolls()
					<-time.After(time.Second)
				}
				// The key is younger than the backup; no epoch says so.
				p.there.store.onLookup = func(store.KeyLookup, error) (store.KeyLookup, error) {
					return store.KeyLookup{}, lanyard.ErrNotFound
				}
				p.there.store.onPoll.Store(nil)
				<-time.After(test.after)
				p.there.wantRefused(t, "a key that is not in the database", token)
			})
		})
	}
}

// A store without epochs keeps the promise at a read per key and MaxStale.
func TestStoreWithoutEpochs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		b := &bench{memory: st, store: &watched{Store: st}, heard: new(heard)}
		b.Service = newService(t, struct{ apikey.Store }{b.store}, nil)
		key, token := b.create(t, ana, apikey.CreateRequest{})
		for range 100 {
			b.wantGood(t, "in use", token)
			<-time.After(100 * time.Millisecond)
		}
		if n := b.store.lookups.Load(); n < 5 || n > 6 {
			t.Errorf("%d reads in 10 seconds, want one per MaxStale", n)
		}
		if n := b.store.polls.Load(); n != 0 {
			t.Errorf("%d polls, want none", n)
		}
		_, other := b.create(t, bob, apikey.CreateRequest{})
		b.wantGood(t, "another's, before", other)
		b.delete(t, key.ID)
		b.wantRefused(t, "deleted", token)
		reads := b.store.lookups.Load()
		b.wantGood(t, "another's", other)
		if n := b.store.lookups.Load() - reads; n != 0 {
			t.Errorf("a deletion had the key of another read %d times, want 0", n)
		}
	})
}

// With a negative MaxStale nothing is believed twice.
func TestWithoutCache(t *testing.T) {
	t.Parallel()
	for _, maxStale := range []time.Duration{-1, -time.Hour, math.MinInt64} {
		b := newBench(t, &apikey.Options{MaxStale: maxStale})
		_, token := b.create(t, ana, apikey.CreateRequest{})
		for range 10 {
			b.wantGood(t, "in use", token)
		}
		if n := b.store.lookups.Load(); n != 10 {
			t.Errorf("%d reads of 10 verifications with a MaxStale of %d, want 10", n, maxStale)
		}
	}
}
