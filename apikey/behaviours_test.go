package apikey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/sqlite"
)

// A token is in the answer to who made it and nowhere else: not in the files of
// the database, the log, the history or what listeners hear.
func TestTokenIsNowhereElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st, err := sqlite.Open(t.Context(), filepath.Join(dir, "lanyard.db"), nil)
	if err == nil {
		err = st.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	var (
		log    bytes.Buffer
		events heard
	)
	s := newService(t, st, &apikey.Options{
		OnEvent: events.hear, MaxStale: -1,
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	made, err := s.Create(t.Context(), ana, apikey.CreateRequest{Name: "laptop", IdempotencyKey: "once"})
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Rotate(t.Context(), ana, made.Key.ID, apikey.RotateRequest{Grace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	tokens := []string{made.Secret.Reveal(), next.Secret.Reveal()}
	for _, token := range tokens {
		if _, err := s.Verify(t.Context(), token); err != nil {
			t.Errorf("Verify() = %v, want nil", err)
		}
	}
	if err := s.Delete(t.Context(), ana, made.Key.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), tokens[0]); err == nil {
		t.Error("a deleted key is good")
	}
	keys, err := s.Keys(t.Context(), ana)
	if err != nil {
		t.Fatal(err)
	}
	history := historyOf(t, st, ana, apikey.ActionCreated)
	places := map[string]string{
		"the log": log.String(), "events": fmt.Sprintf("%+v %#v", events.actions(), events.events), "the list": fmt.Sprintf("%+v %#v", keys, keys),
		"the history": fmt.Sprintf("%+v", history), "the answer, printed": fmt.Sprintf("%v %+v %#v", made, made, made),
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the files of the database are %q (%v), want its log too", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		places[filepath.Base(file)] = string(text)
	}
	if !strings.Contains(places["lanyard.db"]+places["lanyard.db-wal"], made.Key.ID) {
		t.Error("the id of the key is not in the database either: this test looks in the wrong place")
	}
	for _, token := range tokens {
		for place, text := range places {
			if secret := token[14:44]; strings.Contains(text, secret) {
				t.Errorf("the secret of a key is in %s", place)
			}
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// The keys of an owner who is erased are refused by who erased him after
// Refresh, and by another process after MaxStale.
func TestErasedOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, token := p.here.create(t, ana, apikey.CreateRequest{})
		p.here.wantGood(t, "here", token)
		p.there.wantGood(t, "there", token)
		e := lanyard.NewEvent(t.Context(), time.Now(), lanyard.Owner{Tenant: ana.Tenant}, "owner.erased", "")
		if err := p.here.memory.Erase(t.Context(), ana, e); err != nil {
			t.Fatal(err)
		}
		if err := p.here.Refresh(t.Context()); err != nil {
			t.Errorf("Refresh() = %v, want nil", err)
		}
		p.here.wantRefused(t, "here, at once", token)
		<-time.After(maxStale)
		p.there.wantRefused(t, "there, after MaxStale", token)
	})
}

// Where a call comes from is looked at each time, also while the key is cached.
func TestNetworksWhileCached(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	_, token := b.create(t, ana, apikey.CreateRequest{})
	for _, test := range []struct {
		ip   string
		good bool
	}{{"192.0.2.1", true}, {"198.51.100.1", false}, {"::ffff:192.0.2.9", true}, {"", false}, {"192.0.2.255", true}} {
		_, err := b.VerifyCall(t.Context(), token, apikey.Call{From: lanyard.Request{IP: test.ip, UserAgent: "curl"}})
		if good := err == nil; good != test.good || !good && !errors.Is(err, lanyard.ErrUnauthenticated) {
			t.Errorf("VerifyCall() from %q = %v, want good: %t", test.ip, err, test.good)
		}
	}
	if n := b.store.lookups.Load(); n != 1 {
		t.Errorf("%d reads of the store, want 1", n)
	}
}

// A deactivation that comes while a key is being read is not undone by what was
// read before it, nor a reactivation.
func TestDeactivatedWhileBeingRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, token := p.here.create(t, ana, apikey.CreateRequest{})
		event := func(action string) lanyard.Event { return lanyard.NewEvent(t.Context(), time.Now(), ana, action, "") }
		change := func(what string, do func() error, want func(b *bench, why, token string)) {
			t.Helper()
			answer := make(chan struct{})
			var once atomic.Bool
			p.there.store.onLookup = func(row store.KeyLookup, err error) (store.KeyLookup, error) {
				if !once.Swap(true) {
					<-answer // with what it read before the change
				}
				return row, err
			}
			<-time.After(2 * time.Minute) // nothing is remembered
			verified := make(chan struct{})
			go func() {
				defer close(verified)
				_, _ = p.there.Verify(t.Context(), token) // it may have come before the change
			}()
			synctest.Wait()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			<-time.After(maxStale + time.Millisecond)
			close(answer)
			<-verified
			want(p.there, what, token)
			<-time.After(maxStale)
			want(p.there, what+", later", token)
		}
		change("deactivated while being read", func() error {
			return p.here.memory.Deactivate(t.Context(), ana, time.Now(), event("owner.deactivated"))
		}, func(b *bench, why, token string) { b.wantRefused(t, why, token) })
		change("reactivated while being read", func() error {
			return p.here.memory.Reactivate(t.Context(), ana, event("owner.reactivated"))
		}, func(b *bench, why, token string) { b.wantGood(t, why, token) })
	})
}

// What stands behind the same answer costs the same: who tries ids, secrets or
// other people's keys learns nothing from how long it takes.
func TestRefusalsCostTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t, &apikey.Options{MaxStale: time.Hour})
	key, good := b.create(t, ana, apikey.CreateRequest{})
	_, other := b.create(t, lanyard.Owner{Tenant: "globex", Subject: "ana"}, apikey.CreateRequest{})
	b.wantGood(t, "remembered", good)
	for why, token := range map[string]string{
		"unknown":                 resum("lyd_" + strings.Repeat("0", 40)),
		"right id, wrong secret":  resum(good[:14] + other[14:44]),
		"right secret, wrong id":  resum(other[:14] + good[14:44]),
		"the id and nothing else": resum("lyd_" + key.ID + strings.Repeat("0", 30)),
	} {
		for range 3 {
			before := b.store.lookups.Load()
			b.wantRefused(t, why, token)
			if n := b.store.lookups.Load() - before; n != 1 {
				t.Errorf("%s cost %d reads of the store, want 1", why, n)
			}
		}
	}
}

// Many keys that an operator deletes are refused in every process after
// MaxStale, each with one event.
func TestManyDeletedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys, owners, batch = 2000, 200, 500
		p := newPair(t)
		var tokens []string
		for i := range keys {
			made, err := p.here.Create(t.Context(), lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("u", i%owners)}, apikey.CreateRequest{Name: "x"})
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, made.Secret.Reveal())
		}
		<-time.After(time.Second)
		for _, token := range tokens {
			p.there.wantGood(t, "before", token)
		}
		deleted, calls := 0, 0
		for n := batch; n > 0; calls++ {
			var err error
			n, err = p.here.memory.DeleteAPIKeysCreatedBefore(t.Context(), time.Now(), time.Now(), batch, func(k store.APIKey) lanyard.Event {
				return lanyard.NewEvent(context.Background(), time.Now(), k.Owner, apikey.ActionDeleted, k.ID)
			})
			if err != nil {
				t.Fatal(err)
			}
			deleted += n
		}
		if deleted != keys || calls != keys/batch+1 {
			t.Errorf("%d keys deleted in %d calls, want %d in %d", deleted, calls, keys, keys/batch+1)
		}
		<-time.After(maxStale)
		for _, token := range tokens {
			p.there.wantRefused(t, "after MaxStale", token)
		}
		if n := len(historyOf(t, p.here.memory, lanyard.Owner{Tenant: "acme", Subject: "u7"}, apikey.ActionDeleted)); n != keys/owners {
			t.Errorf("%d events of one of the owners, want %d", n, keys/owners)
		}
	})
}
