package crypto_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// However many begin with an owner at once, he gets one key.
func TestCreationRace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		proceed := make(chan struct{})
		b.vault.onWrap = func(_ context.Context, w crypto.Wrapped) (crypto.Wrapped, error) {
			<-proceed
			return w, nil
		}
		const n = 32
		var all sync.WaitGroup
		sealed := make([]crypto.Sealed, n)
		for i := range n {
			all.Go(func() { sealed[i] = seal(t, b.Sealer, place(ana)) })
		}
		synctest.Wait() // everybody waits for the one key
		close(proceed)
		all.Wait()
		wantCount(t, "keys wrapped", &b.vault.wraps, 1)
		wantCount(t, "keys created", &b.table.creates, 1)
		for i := range sealed {
			if sealed[i].OwnerKeyID != sealed[0].OwnerKeyID {
				t.Errorf("caller %d sealed with key %s, caller 0 with %s", i, sealed[i].OwnerKeyID, sealed[0].OwnerKeyID)
			}
			wantOpens(t, fmt.Sprint("caller ", i), b.Sealer, place(ana), sealed[i].Envelope)
		}
	})
}

// Of two processes that make an owner's key at once, the one that lost uses
// the winner's and never seals with its own.
func TestCreationRaceOfTwo(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var meet sync.WaitGroup
	meet.Add(2)
	b.table.onCreate = func(store.OwnerKey) error { // both have made a key, and neither has stored it
		meet.Done()
		meet.Wait()
		return nil
	}
	sealers := []*crypto.Sealer{b.Sealer, b.another(t, nil)}
	sealed := make([]crypto.Sealed, 2)
	var all sync.WaitGroup
	for i, s := range sealers {
		all.Go(func() { sealed[i] = seal(t, s, place(ana)) })
	}
	all.Wait()
	wantCount(t, "keys made", &b.table.creates, 2)
	row, err := b.memory.OwnerKey(t.Context(), ana)
	if err != nil {
		t.Fatalf("OwnerKey() = %v, want nil", err)
	}
	for i, s := range sealers {
		if sealed[i].OwnerKeyID != row.ID {
			t.Errorf("Sealer %d sealed with key %s, the table holds %s", i, sealed[i].OwnerKeyID, row.ID)
		}
		for j := range sealed {
			wantOpens(t, fmt.Sprintf("Sealer %d, sealed by %d", i, j), s, place(ana), sealed[j].Envelope)
		}
	}
	// A third, which has nothing in memory, opens both.
	for i := range sealed {
		wantOpens(t, fmt.Sprintf("a new Sealer, sealed by %d", i), b.another(t, nil), place(ana), sealed[i].Envelope)
	}
}

// connect stores a connection that was sealed with that key, as a service
// does.
func connect(t *testing.T, st *memory.Store, sealed crypto.Sealed) error {
	t.Helper()
	p := store.ProviderToken{
		ID: lanyard.NewID(), Owner: ana, ProviderID: "jira", OwnerKeyID: sealed.OwnerKeyID,
		Secrets:   map[string]store.SealedSecret{"api_token": {Envelope: sealed.Envelope, Version: 3, UpdatedAt: start}},
		CreatedAt: start, UpdatedAt: start, Label: lanyard.NewID(),
	}
	return st.CreateProviderToken(t.Context(), p, 10, lanyard.NewEvent(t.Context(), start, ana, "provider_token.created", p.ID))
}

func erase(t *testing.T, st *memory.Store) {
	t.Helper()
	gone := lanyard.NewEvent(t.Context(), start, lanyard.Owner{Tenant: ana.Tenant}, "owner.erased", "")
	if err := st.Erase(t.Context(), ana, gone); err != nil {
		t.Fatalf("Erase() = %v, want nil", err)
	}
}

// A process that still has an erased key in memory stores nothing with it,
// and goes on with a new one when it was told to forget.
func TestErasedWhileCachedElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	there := b.another(t, nil)
	old := seal(t, b.Sealer, place(ana))
	if err := connect(t, b.memory, old); err != nil {
		t.Fatalf("CreateProviderToken() = %v, want nil", err)
	}
	wantOpens(t, "there, before", there, place(ana), old.Envelope)

	erase(t, b.memory)
	if tokens, err := b.memory.ProviderTokens(t.Context(), ana); err != nil || len(tokens) != 0 {
		t.Errorf("ProviderTokens() after Erase = %d, %v, want none", len(tokens), err)
	}
	late := seal(t, there, place(ana))
	if late.OwnerKeyID != old.OwnerKeyID {
		t.Fatalf("the other process sealed with key %s, want the one it has in memory, %s", late.OwnerKeyID, old.OwnerKeyID)
	}
	err := connect(t, b.memory, late)
	if !errors.Is(err, store.ErrOwnerKeyGone) || !errors.Is(err, lanyard.ErrConflict) {
		t.Errorf("CreateProviderToken() with an erased key = %v, want ErrOwnerKeyGone, an ErrConflict", err)
	}

	there.Forget(ana)
	wantRefused(t, "there, forgotten", there, place(ana), old.Envelope, crypto.ErrUnknownKey)
	fresh := seal(t, there, place(ana))
	if fresh.OwnerKeyID == old.OwnerKeyID {
		t.Error("the same subject got the erased key again")
	}
	if err := connect(t, b.memory, fresh); err != nil {
		t.Errorf("CreateProviderToken() with the new key = %v, want nil", err)
	}
	wantRefused(t, "there, with a new key", there, place(ana), old.Envelope, crypto.ErrUnknownKey)

	// Here the erased key is still in memory: the table says that there is
	// another one now.
	wantOpens(t, "here, sealed with the new key", b.Sealer, place(ana), fresh.Envelope)
	wantRefused(t, "here, sealed with the erased key", b.Sealer, place(ana), old.Envelope, crypto.ErrUnknownKey)
	if again := seal(t, b.Sealer, place(ana)); again.OwnerKeyID != fresh.OwnerKeyID {
		t.Errorf("here one seals with key %s after that, want %s", again.OwnerKeyID, fresh.OwnerKeyID)
	}
}

// Forget reaches a key that is on its way, too: it may be the one that went.
func TestForgetWhileReading(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		old := seal(t, b.Sealer, place(ana))
		s := b.another(t, nil)
		proceed := make(chan struct{})
		var later atomic.Bool
		b.table.onRead = func(_ context.Context, k store.OwnerKey, err error) (store.OwnerKey, error) {
			if !later.Swap(true) {
				<-proceed
			}
			return k, err
		}
		go func() { _, _ = s.Open(t.Context(), place(ana), old.Envelope) }()
		synctest.Wait() // the row was read and has not arrived
		erase(t, b.memory)
		s.Forget(ana)
		// This one does not join the reading from before.
		late := seal(t, s, place(ana))
		if late.OwnerKeyID == old.OwnerKeyID {
			t.Error("Seal() after Forget uses the erased key")
		}
		close(proceed)
		synctest.Wait()
		// And what that reading brings is not kept.
		if again := seal(t, s, place(ana)); again.OwnerKeyID != late.OwnerKeyID {
			t.Errorf("Seal() uses key %s after a reading from before Forget arrived, want %s", again.OwnerKeyID, late.OwnerKeyID)
		}
	})
}

func TestCacheTTL(t *testing.T) {
	t.Parallel()
	b := newBench(t, &crypto.SealerOptions{CacheTTL: time.Minute})
	sealed := seal(t, b.Sealer, place(ana))
	for _, step := range []struct {
		name    string
		forward time.Duration
		want    int64
	}{
		{"at once", 0, 0},
		{"just within the TTL", time.Minute - 1, 0},
		{"at the end of the TTL", 1, 1},
		{"read anew, within the TTL", time.Minute - 1, 0},
		{"twice the TTL later", 2 * time.Minute, 1},
		{"with the clock set back", -time.Hour, 1},
	} {
		b.clock.advance(step.forward)
		b.vault.unwraps.Store(0)
		wantOpens(t, step.name, b.Sealer, place(ana), sealed.Envelope)
		wantCount(t, step.name+": unwraps", &b.vault.unwraps, step.want)
	}
}

// A key's time runs from when it was asked for, also when it was long on its
// way and younger ones came before it.
func TestCacheTTLOfSlowKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newBench(t, nil)
		anas, bobs := seal(t, first.Sealer, place(ana)), seal(t, first.Sealer, place(bob))
		s := first.another(t, &crypto.SealerOptions{CacheTTL: time.Minute})
		proceed := make(chan struct{})
		first.table.onRead = func(_ context.Context, k store.OwnerKey, err error) (store.OwnerKey, error) {
			if k.Owner == ana {
				<-proceed
			}
			return k, err
		}
		go wantOpens(t, "ana, slowly", s, place(ana), anas.Envelope)
		synctest.Wait()
		first.clock.advance(30 * time.Second)
		wantOpens(t, "bob", s, place(bob), bobs.Envelope)
		close(proceed)
		synctest.Wait()

		first.vault.unwraps.Store(0)
		first.clock.advance(30 * time.Second)
		wantOpens(t, "bob, half his time", s, place(bob), bobs.Envelope)
		wantCount(t, "unwraps of bob's key", &first.vault.unwraps, 0)
		wantOpens(t, "ana, at the end of her time", s, place(ana), anas.Envelope)
		wantCount(t, "unwraps of ana's key", &first.vault.unwraps, 1)
	})
}

func TestCacheOff(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*crypto.SealerOptions{"no TTL": {CacheTTL: -1}, "no size": {CacheSize: -1}} {
		b := newBench(t, o)
		sealed := seal(t, b.Sealer, place(ana))
		b.vault.unwraps.Store(0)
		for range 3 {
			wantOpens(t, name, b.Sealer, place(ana), sealed.Envelope)
		}
		wantCount(t, name+": unwraps of 3 openings", &b.vault.unwraps, 3)
	}
}

func TestCacheSize(t *testing.T) {
	t.Parallel()
	b := newBench(t, &crypto.SealerOptions{CacheSize: 2})
	envelopes := map[lanyard.Owner][]byte{}
	owners := []lanyard.Owner{ana, bob, {Subject: "cid"}}
	for _, owner := range owners {
		envelopes[owner] = seal(t, b.Sealer, place(owner)).Envelope
		b.clock.advance(time.Second)
	}
	for _, step := range []struct {
		owner lanyard.Owner
		want  int64
	}{{bob, 0}, {owners[2], 0}, {ana, 1}, {owners[2], 0}, {bob, 1}} { // the oldest made room
		b.vault.unwraps.Store(0)
		wantOpens(t, step.owner.Subject, b.Sealer, place(step.owner), envelopes[step.owner])
		wantCount(t, step.owner.Subject+": unwraps", &b.vault.unwraps, step.want)
	}
}

// Many that wait for one key ask for it once, and one who gives up fails
// nobody.
func TestOneUnwrapForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		sealed := seal(t, b.Sealer, place(ana))
		s := b.another(t, nil)
		proceed := make(chan struct{})
		b.vault.unwraps.Store(0)
		b.table.reads.Store(0)
		b.vault.onUnwrap = func(ctx context.Context, key []byte, err error) ([]byte, error) {
			select {
			case <-proceed:
				return key, err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		ctx, giveUp := context.WithCancel(t.Context())
		defer giveUp()
		first := make(chan error, 1)
		go func() {
			_, err := s.Open(ctx, place(ana), sealed.Envelope)
			first <- err
		}()
		synctest.Wait() // the first caller is the one whose context began the fetch
		var all sync.WaitGroup
		for i := range 31 {
			all.Go(func() { wantOpens(t, fmt.Sprint("caller ", i), s, place(ana), sealed.Envelope) })
		}
		synctest.Wait()
		giveUp()
		synctest.Wait()
		select {
		case err := <-first:
			wantOnly(t, "the caller who gave up", err, lanyard.ErrUnavailable)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the caller who gave up got %v, want context.Canceled in it", err)
			}
		default:
			t.Error("the caller who gave up still waits")
		}
		close(proceed)
		all.Wait()
		wantCount(t, "unwraps", &b.vault.unwraps, 1)
		wantCount(t, "reads of the table", &b.table.reads, 1)
	})
}

// A key service that never answers holds nobody for longer than ten seconds,
// and once it answers all is well.
func TestHangingKeyService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t, nil)
		sealed := seal(t, b.Sealer, place(ana))
		s := b.another(t, nil)
		b.vault.onUnwrap = func(ctx context.Context, _ []byte, _ error) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		wantRefused(t, "hanging", s, place(ana), sealed.Envelope, lanyard.ErrUnavailable)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("Open() waited %v, want 10s", waited)
		}
		b.vault.onUnwrap = nil
		wantOpens(t, "healed", s, place(ana), sealed.Envelope)
	})
}

// What a key service answers when it is of no use is never taken for a value
// that was changed, never kept, and never repeated in its own words.
func TestKeyServiceFails(t *testing.T) {
	t.Parallel()
	const words = "hvs.canary-of-the-key-service"
	for name, test := range map[string]struct {
		answer, want error
	}{
		"down":              {lanyard.ErrUnavailable, lanyard.ErrUnavailable},
		"denied":            {crypto.ErrDenied, crypto.ErrDenied},
		"unknown key":       {crypto.ErrUnknownKey, crypto.ErrUnknownKey},
		"integrity":         {crypto.ErrIntegrity, crypto.ErrIntegrity},
		"its own error":     {errors.New("503"), lanyard.ErrUnavailable},
		"not found":         {lanyard.ErrNotFound, lanyard.ErrUnavailable},
		"canceled":          {context.Canceled, lanyard.ErrUnavailable},
		"timeout":           {context.DeadlineExceeded, lanyard.ErrUnavailable},
		"down, changed too": {errors.Join(crypto.ErrIntegrity, lanyard.ErrUnavailable), lanyard.ErrUnavailable},
	} {
		b := newBench(t, nil)
		sealed := seal(t, b.Sealer, place(ana))
		s := b.another(t, nil)
		b.vault.fail(fmt.Errorf("%s: %w", words, test.answer))

		wantRefused(t, name, s, place(ana), sealed.Envelope, test.want)
		_, errOpen := s.Open(t.Context(), place(ana), sealed.Envelope)
		_, errSeal := s.Seal(t.Context(), place(ana), lanyard.NewSecret(canary))
		_, errMAC := s.MAC(t.Context(), []byte("part"))
		errCheck := s.Check(t.Context())
		for what, err := range map[string]error{"Open": errOpen, "Seal": errSeal, "MAC": errMAC, "Check": errCheck} {
			if err == nil || strings.Contains(err.Error(), words) || strings.Contains(err.Error(), canary) {
				t.Errorf("%s: %s() = %v, want an error without the words of the key service", name, what, err)
			}
		}
		wantOnly(t, name+": Seal()", errSeal, test.want)
		if _, err := b.memory.OwnerKey(t.Context(), lanyard.Owner{}); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("%s: the system's key = %v, want none made", name, err)
		}
		wantOpens(t, name+": from memory", b.Sealer, place(ana), sealed.Envelope)
		b.vault.heal()
		wantOpens(t, name+": healed", s, place(ana), sealed.Envelope)
	}
}

// A table that fails is not an owner without a key.
func TestTableFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sealed := seal(t, b.Sealer, place(ana))
	s := b.another(t, nil)
	b.table.creates.Store(0)
	b.table.onRead = func(context.Context, store.OwnerKey, error) (store.OwnerKey, error) {
		return store.OwnerKey{}, lanyard.ErrUnavailable
	}
	wantRefused(t, "table down", s, place(ana), sealed.Envelope, lanyard.ErrUnavailable)
	_, err := s.Seal(t.Context(), place(ana), lanyard.NewSecret(canary))
	wantOnly(t, "table down: Seal()", err, lanyard.ErrUnavailable)
	wantCount(t, "keys created while the table is down", &b.table.creates, 0)
	// Here the key is in memory, and a foreign one needs the table.
	foreign := seal(t, newBench(t, nil).Sealer, place(ana))
	wantRefused(t, "foreign key, table down", b.Sealer, place(ana), foreign.Envelope, lanyard.ErrUnavailable)
	wantOpens(t, "from memory", b.Sealer, place(ana), sealed.Envelope)
	b.table.onRead = nil
	wantOpens(t, "healed", s, place(ana), sealed.Envelope)

	b.table.onCreate = func(store.OwnerKey) error { return lanyard.ErrUnavailable }
	_, err = s.Seal(t.Context(), place(bob), lanyard.NewSecret(canary))
	wantOnly(t, "table takes nothing: Seal()", err, lanyard.ErrUnavailable)
	b.table.onCreate = nil
	wantOpens(t, "table takes again", b.another(t, nil), place(bob), seal(t, s, place(bob)).Envelope)
}

// The outcome of a commit was unknown: what is in the table counts.
func TestCreationUnknown(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.table.onCreate = func(k store.OwnerKey) error {
		b.table.onCreate = nil
		if _, err := b.memory.CreateOwnerKey(t.Context(), k); err != nil {
			t.Errorf("CreateOwnerKey() = %v, want nil", err)
		}
		return lanyard.ErrUnavailable
	}
	_, err := b.Seal(t.Context(), place(ana), lanyard.NewSecret(canary))
	wantOnly(t, "commit unknown: Seal()", err, lanyard.ErrUnavailable)
	row, err := b.memory.OwnerKey(t.Context(), ana)
	if err != nil {
		t.Fatalf("OwnerKey() = %v, want nil", err)
	}
	sealed := seal(t, b.Sealer, place(ana))
	if sealed.OwnerKeyID != row.ID {
		t.Errorf("Seal() after that uses key %s, want the one stored, %s", sealed.OwnerKeyID, row.ID)
	}
	wantOpens(t, "another process", b.another(t, nil), place(ana), sealed.Envelope)
}

// A key service that answers nonsense gets nothing sealed with its help.
func TestBrokenKeyService(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(v *vault){
		"another's ciphertext": func(v *vault) {
			other, err := v.Wrap(context.Background(), make([]byte, 32), []byte("elsewhere"))
			v.onWrap = func(context.Context, crypto.Wrapped) (crypto.Wrapped, error) { return other, err }
		},
		"no key":      func(v *vault) { v.onUnwrap = answers(nil) },
		"a short key": func(v *vault) { v.onUnwrap = answers(make([]byte, 31)) },
		"a long key":  func(v *vault) { v.onUnwrap = answers(make([]byte, 33)) },
		"another key": func(v *vault) { v.onUnwrap = answers(make([]byte, 32)) },
		"a panic on Wrap": func(v *vault) {
			v.onWrap = func(context.Context, crypto.Wrapped) (crypto.Wrapped, error) { panic(canary) }
		},
		"a panic on Unwrap": func(v *vault) {
			v.onUnwrap = func(context.Context, []byte, error) ([]byte, error) { panic(canary) }
		},
		"any binding": func(v *vault) { v.unbound = true },
	} {
		b := newBench(t, nil)
		spoil(b.vault)
		_, err := b.Seal(t.Context(), place(ana), lanyard.NewSecret(canary))
		wantOnly(t, name+": Seal()", err, lanyard.ErrUnavailable)
		if got, want := errors.Is(err, crypto.ErrUnbound), name == "any binding"; got != want {
			t.Errorf("%s: Seal() = %v, ErrUnbound %v, want %v", name, err, got, want)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: Seal() says %v", name, err)
		}
		wantCount(t, name+": keys stored", &b.table.creates, 0)
		_, err = b.MAC(t.Context(), []byte("part"))
		wantOnly(t, name+": MAC()", err, lanyard.ErrUnavailable)
		wantCount(t, name+": keys stored", &b.table.creates, 0)
	}
}

// A key service that opens whatever it is shown cannot make up for a malformed
// answer: other tools and stores would choke on it.
func TestMalformedWrapped(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]crypto.Wrapped{
		"nothing at all":               {},
		"no ciphertext":                {KeyVersion: "v1"},
		"a huge ciphertext":            {KeyVersion: "v1", Ciphertext: make([]byte, crypto.MaxWrapped+1)},
		"no key version":               {Ciphertext: []byte{1}},
		"a key version with a newline": {KeyVersion: "v1\n", Ciphertext: []byte{1}},
		"a long key version":           {KeyVersion: strings.Repeat("v", 256), Ciphertext: []byte{1}},
	} {
		st := memory.New()
		s := newSealer(t, &obliging{answer: w, keys: map[string][]byte{}}, st, nil)
		_, err := s.Seal(t.Context(), place(ana), lanyard.NewSecret(canary))
		wantOnly(t, name+": Seal()", err, lanyard.ErrUnavailable)
		wantOnly(t, name+": Check()", s.Check(t.Context()), lanyard.ErrUnavailable)
		if _, err := st.OwnerKey(t.Context(), ana); !errors.Is(err, lanyard.ErrNotFound) {
			t.Errorf("%s: OwnerKey() = %v, want none stored", name, err)
		}
	}
	for name, w := range map[string]crypto.Wrapped{
		"short": {KeyVersion: "1", Ciphertext: []byte{0}},
		"long":  {KeyVersion: strings.Repeat("v", 255), Ciphertext: make([]byte, crypto.MaxWrapped)},
	} {
		s := newSealer(t, &obliging{answer: w, keys: map[string][]byte{}}, memory.New(), nil)
		wantOpens(t, name, s, place(ana), seal(t, s, place(ana)).Envelope)
	}
}

// obliging is a key service that knows keys by their binding alone.
type obliging struct {
	answer crypto.Wrapped
	mu     sync.Mutex
	keys   map[string][]byte
}

func (*obliging) Name() string { return "obliging" }

func (o *obliging) Wrap(_ context.Context, key, binding []byte) (crypto.Wrapped, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys[string(binding)] = bytes.Clone(key)
	return o.answer, nil
}

func (o *obliging) Unwrap(_ context.Context, _ crypto.Wrapped, binding []byte) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if key, ok := o.keys[string(binding)]; ok {
		return bytes.Clone(key), nil
	}
	return nil, crypto.ErrIntegrity
}

// An answer that is no key is the key service's fault, not the envelope's. A
// shorter one would even make a weaker cipher.
func TestNoKeyUnwrapped(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sealed := seal(t, b.Sealer, place(ana))
	for _, size := range []int{0, 1, 16, 24, 31, 33, 64} {
		b.vault.onUnwrap = answers(make([]byte, size))
		wantRefused(t, fmt.Sprintf("a key of %d bytes", size), b.another(t, nil), place(ana), sealed.Envelope, lanyard.ErrUnavailable)
	}
}

func answers(key []byte) func(context.Context, []byte, error) ([]byte, error) {
	return func(_ context.Context, _ []byte, err error) ([]byte, error) { return bytes.Clone(key), err }
}

func TestMAC(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	mac := func(s *crypto.Sealer, parts ...string) []byte {
		t.Helper()
		var raw [][]byte
		for _, p := range parts {
			raw = append(raw, []byte(p))
		}
		sum, err := s.MAC(t.Context(), raw...)
		if err != nil || len(sum) != 32 {
			t.Fatalf("MAC(%q) = %d bytes, %v, want 32", parts, len(sum), err)
		}
		return sum
	}
	first := mac(b.Sealer, "id", "ana")
	for _, parts := range [][]string{{}, {""}, {"id"}, {"idana"}, {"ida", "na"}, {"", "id", "ana"}, {"id", "ana", ""}, {"ana", "id"}, {"id", "Ana"}} {
		if bytes.Equal(mac(b.Sealer, parts...), first) {
			t.Errorf("MAC(%q) is the MAC of other parts", parts)
		}
	}
	if !bytes.Equal(mac(b.Sealer, "id", "ana"), first) || !bytes.Equal(mac(b.another(t, nil), "id", "ana"), first) {
		t.Error("MAC() of the same parts differs, here or in another process")
	}
	if bytes.Equal(mac(newBench(t, nil).Sealer, "id", "ana"), first) {
		t.Error("MAC() is the same over another table and key service")
	}
	row, err := b.memory.OwnerKey(t.Context(), lanyard.Owner{})
	if err != nil || row.Secrets != "vault" {
		t.Errorf("the system's key = %s, %v, want one wrapped by vault", row.Secrets, err)
	}
	// Users come and go, and the system's key stays what it is.
	seal(t, b.Sealer, place(ana))
	erase(t, b.memory)
	b.Forget(lanyard.Owner{})
	b.clock.advance(24 * time.Hour)
	if !bytes.Equal(mac(b.another(t, nil), "id", "ana"), first) {
		t.Error("MAC() changed when an owner was erased")
	}
	if after, err := b.memory.OwnerKey(t.Context(), lanyard.Owner{}); err != nil || after.ID != row.ID {
		t.Errorf("the system's key is %s, %v after that, want %s", after.ID, err, row.ID)
	}
	// Once it was had, it needs neither store nor key service.
	b.vault.fail(lanyard.ErrUnavailable)
	if err := b.memory.Close(); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(24 * time.Hour)
	if !bytes.Equal(mac(b.Sealer, "id", "ana"), first) {
		t.Error("MAC() changed while everything else is down")
	}
	_, err = b.another(t, nil).MAC(t.Context(), []byte("id"))
	if err == nil || errors.Is(err, crypto.ErrIntegrity) {
		t.Errorf("MAC() that was never had, while everything is down = %v, want an error that is not ErrIntegrity", err)
	}
}

// Of many processes that need the system's key first, all get the same.
func TestMACRace(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sealers := []*crypto.Sealer{b.Sealer, b.another(t, nil), b.another(t, nil)}
	sums := make([][]byte, 30)
	var all sync.WaitGroup
	for i := range sums {
		all.Go(func() {
			var err error
			if sums[i], err = sealers[i%3].MAC(t.Context(), []byte("part")); err != nil {
				t.Errorf("MAC() = %v, want nil", err)
			}
		})
	}
	all.Wait()
	if i := slices.IndexFunc(sums, func(s []byte) bool { return !bytes.Equal(s, sums[0]) }); i >= 0 {
		t.Errorf("caller %d has another MAC than caller 0", i)
	}
	if n := b.table.creates.Load(); n > 3 {
		t.Errorf("%d system keys were made by 3 processes", n)
	}
}

// A context that has ended answers at once, and asks nobody.
func TestContext(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	sealed := seal(t, b.Sealer, place(ana))
	s := b.another(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.vault.wraps.Store(0)
	b.vault.unwraps.Store(0)
	b.table.reads.Store(0)
	_, errSeal := s.Seal(ctx, place(ana), lanyard.NewSecret(canary))
	_, errOpen := s.Open(ctx, place(ana), sealed.Envelope)
	_, errMAC := s.MAC(ctx, []byte("part"))
	errCheck := s.Check(ctx)
	for what, err := range map[string]error{"Seal": errSeal, "Open": errOpen, "MAC": errMAC, "Check": errCheck} {
		wantOnly(t, what+"()", err, lanyard.ErrUnavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s() = %v, want context.Canceled in it", what, err)
		}
	}
	for what, calls := range map[string]*atomic.Int64{"wraps": &b.vault.wraps, "unwraps": &b.vault.unwraps, "reads": &b.table.reads} {
		wantCount(t, what+" for a context that had ended", calls, 0)
	}
}

// A master key that was made anew under the name of another wraps nothing:
// what it wrapped would be lost once the other is restored.
func TestAnotherMasterKeyWrapsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if _, err := b.MAC(t.Context(), []byte("row")); err != nil { // makes the system key
		t.Fatal(err)
	}
	first := b.vault
	b.vault = newVault(first.name)
	anew := b.another(t, nil)
	owner := place(lanyard.Owner{Tenant: "acme", Subject: "new"})
	for range 2 {
		_, err := anew.Seal(t.Context(), owner, lanyard.NewSecret(canary))
		wantOnly(t, "Seal() under a master key made anew", err, crypto.ErrIntegrity)
	}
	if n := b.vault.wraps.Load(); n != 0 {
		t.Errorf("%d keys were wrapped, want none", n)
	}

	// A process that was at work then learns of it with the first key that does
	// not open.
	known := place(lanyard.Owner{Tenant: "acme", Subject: "known"})
	b.vault = first
	sealed := seal(t, b.another(t, nil), known)
	running := b.another(t, nil)
	seal(t, running, place(lanyard.Owner{Tenant: "acme", Subject: "before"}))
	aead := first.aead
	first.aead = newVault("").aead
	wantRefused(t, "under a master key made anew", running, known, sealed.Envelope, crypto.ErrIntegrity)
	_, err := running.Seal(t.Context(), owner, lanyard.NewSecret(canary))
	wantOnly(t, "Seal() of a process that has learned of it", err, crypto.ErrIntegrity)
	first.aead = aead

	first.fail(lanyard.ErrUnavailable)
	b.vault = first
	later := b.another(t, nil)
	_, err = later.Seal(t.Context(), owner, lanyard.NewSecret(canary))
	wantOnly(t, "Seal() while the key service is down", err, lanyard.ErrUnavailable)
	first.heal()
	seal(t, later, owner)
}
