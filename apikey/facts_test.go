package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// deletedKey makes a key and deletes it.
func (b *bench) deletedKey(t testing.TB, owner lanyard.Owner) (apikey.Key, string) {
	t.Helper()
	key, token := b.create(t, owner, apikey.CreateRequest{})
	if err := b.Delete(t.Context(), owner, key.ID, 0); err != nil {
		t.Fatal(err)
	}
	return key, token
}

// Who holds a deleted key must not be able to end the host's process by way of
// a hook of the host that panics.
func TestOnEventThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		b := &bench{memory: st, store: &watched{Store: st}}
		var panics atomic.Bool
		b.Service = newService(t, b.store, &apikey.Options{OnEvent: func(context.Context, lanyard.Event) {
			if panics.Load() {
				panic("a hook of the host")
			}
		}})
		_, token := b.deletedKey(t, ana)
		panics.Store(true)
		b.wantRefused(t, "deleted", token)
		<-time.After(time.Minute)
		told := func(e lanyard.Event) bool { return e.Action == apikey.ActionUsedAfterDelete }
		if history := b.history(t, ana); !slices.ContainsFunc(history, told) {
			t.Errorf("the history is %v, want a use of a deleted key in it", history)
		}
	})
}

// A fact is told as the call that it tells of, whoever's call it is that has it
// stored.
func TestFactsKeepTheirContext(t *testing.T) {
	t.Parallel()
	st := memory.New()
	b := &bench{memory: st, store: &watched{Store: st}, clock: newClock()}
	type caller struct{}
	var heard, appended atomic.Value
	b.store.ctxAppend = func(ctx context.Context) { appended.Store(fmt.Sprint(ctx.Value(caller{}))) }
	b.Service = newService(t, b.store, &apikey.Options{OnEvent: func(ctx context.Context, e lanyard.Event) {
		if e.Action == apikey.ActionUsedAfterDelete {
			heard.Store(fmt.Sprint(ctx.Value(caller{})))
		}
	}})
	_, token := b.deletedKey(t, ana)
	if _, err := b.Verify(context.WithValue(t.Context(), caller{}, "who used it"), token); !errors.Is(err, lanyard.ErrUnauthenticated) {
		t.Fatalf("Verify() = %v, want ErrUnauthenticated", err)
	}
	if _, err := b.Keys(context.WithValue(t.Context(), caller{}, "who lists"), bob); err != nil {
		t.Fatal(err)
	}
	if heard.Load() != "who used it" || appended.Load() != "who used it" {
		t.Errorf("the hook heard the context of %v, the store that of %v, want that of who used it", heard.Load(), appended.Load())
	}
}

// A fact that the store will never take is dropped, with a word in the log.
func TestRefusedFactsKeepNoneUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, poisoned := b.deletedKey(t, ana)
	_, token := b.deletedKey(t, bob)
	b.store.poisoned = ana
	b.wantRefused(t, "deleted", poisoned)
	b.settle(t)
	b.wantRefused(t, "deleted", token)
	b.settle(t)
	told := func(e lanyard.Event) bool { return e.Action == apikey.ActionUsedAfterDelete }
	if history := b.history(t, bob); !slices.ContainsFunc(history, told) {
		t.Errorf("the history of another is %v, want a use of a deleted key in it", history)
	}
}

// One leak that cannot be dealt with keeps no other key alive, and is said.
func TestReportLeaksGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, broken := b.create(t, ana, apikey.CreateRequest{})
	_, token := b.create(t, bob, apikey.CreateRequest{})
	var once atomic.Bool
	b.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
		if !once.Swap(true) {
			return store.KeyLookup{}, lanyard.ErrUnavailable
		}
		return row, err
	}
	results, err := b.ReportLeaks(t.Context(), []apikey.Leak{{Token: lanyard.NewSecret(broken)}, {Token: lanyard.NewSecret(token)}})
	var verdicts []apikey.LeakVerdict
	for _, r := range results {
		verdicts = append(verdicts, r.Verdict)
	}
	if !errors.Is(err, lanyard.ErrUnavailable) || !slices.Equal(verdicts, []apikey.LeakVerdict{apikey.LeakFailed, apikey.LeakDeleted}) {
		t.Errorf("ReportLeaks() = %v, %v, want one that failed, one deleted, and ErrUnavailable", verdicts, err)
	}
	b.wantRefused(t, "leaked", token)
}

// A scope that is not offered any more is none, and what one caller appends to
// his scopes no other sees.
func TestScopesOfAPrincipal(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour, Scopes: []string{"a", "b", "c", "gone"}})
	_, token := b.create(t, ana, apikey.CreateRequest{Scopes: []string{"a", "b", "gone"}})
	later := newService(t, b.memory, &apikey.Options{Now: b.clock.now, Scopes: []string{"a", "b", "c"}})
	first, err := later.Verify(t.Context(), token)
	if err != nil || first.HasScope("gone") || !slices.Equal(first.Scopes, []string{"a", "b"}) {
		t.Errorf("Verify() = %v, %v, want the scopes that are offered", first.Scopes, err)
	}
	second, err := later.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	mine, his := append(first.Scopes, "mine"), append(second.Scopes, "his")
	if strings.Join(mine, " ") != "a b mine" || strings.Join(his, " ") != "a b his" {
		t.Errorf("two callers appended to %v and %v", mine, his)
	}
}

// A hook for foreign tokens that panics refuses a token and ends nothing.
func TestAcceptForeignThatPanics(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{AcceptForeign: func(string) (string, bool) { panic("a hook of the host") }})
	b.wantRefused(t, "foreign", "1|whatever")
}
