package vault_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/store/memory"
)

// Under a Sealer a sealed server is noticed by who is not in memory, and by the
// others when their time is over. Nothing is written. It heals by itself,
// within about a second, also after many failures.
func TestSealedUnderASealer(t *testing.T) {
	t.Parallel()
	e := ownEngine(t)
	r := e.newRole(t, nil)
	secrets, heard := e.loggedIn(t, r.login(r.secretID(t)))
	st := memory.New()
	const ttl = 3 * time.Second
	sealer, err := crypto.NewSealer(secrets, st, &crypto.SealerOptions{CacheTTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	envelopes := make(map[string][]byte)
	for i := range 40 {
		who := fmt.Sprint("user-", i)
		sealed, err := sealer.Seal(t.Context(), binding(who), lanyard.NewSecret("hunter2"))
		if err != nil {
			t.Fatal(err)
		}
		envelopes[who] = sealed.Envelope
	}
	cold, err := crypto.NewSealer(secrets, st, nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(s *crypto.Sealer, who string) error {
		_, err := s.Open(t.Context(), binding(who), envelopes[who])
		return err
	}
	sealer.Forget(lanyard.Owner{Subject: "user-0"})
	filled := time.Now()
	if err := open(sealer, "user-0"); err != nil {
		t.Fatal(err)
	}
	if err := e.Root.Sys().SealWithContext(t.Context()); err != nil {
		t.Fatalf("Seal() = %v", err)
	}
	before := heard.requests()
	for who := range envelopes {
		began := time.Now()
		e.wantError(t, "Open() of a sealed server", open(cold, who), lanyard.ErrUnavailable, nil)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Open() of a sealed server took %v", took)
		}
	}
	if n := heard.requests() - before; n > 15 {
		t.Errorf("forty owners asked a sealed server %d times, want about ten", n)
	}
	_, err = sealer.Seal(t.Context(), binding("new"), lanyard.NewSecret("hunter2"))
	e.wantError(t, "Seal() for a new owner", err, lanyard.ErrUnavailable, nil)
	if _, err := st.OwnerKey(t.Context(), lanyard.Owner{Subject: "new"}); !errors.Is(err, lanyard.ErrNotFound) {
		t.Errorf("OwnerKey() of the new owner = %v, want none", err)
	}
	if err := open(sealer, "user-0"); err != nil && time.Since(filled) < ttl {
		t.Errorf("Open() from memory = %v, want nil", err)
	}
	within(t, 10*time.Second, "the end of what is in memory", func() bool { return time.Since(filled) > ttl })
	e.wantError(t, "Open() when its time in memory is over", open(sealer, "user-0"), lanyard.ErrUnavailable, nil)

	e.Unseal(t)
	within(t, 10*time.Second, "Check() after the server was unsealed", func() bool {
		probe, err := crypto.NewSealer(e.transit(t, "lanyard"), memory.New(), nil)
		return err == nil && probe.Check(t.Context()) == nil
	})
	back := time.Now()
	for _, s := range []*crypto.Sealer{cold, sealer} {
		within(t, 10*time.Second, "Open() after the server was unsealed", func() bool { return open(s, "user-0") == nil })
	}
	if took := time.Since(back); took > 2*time.Second {
		t.Errorf("it healed %v after the server was back, want about a second", took)
	}
	for who := range envelopes {
		if err := open(cold, who); err != nil {
			t.Errorf("Open() after that = %v, want nil", err)
		}
	}
}

// A server that hangs has few calls hanging in it, holds nobody beyond his
// deadline, and is asked about once a second once that is known, whoever waits.
func TestHungUnderASealer(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	through := newProxy(t, e.Root.Address())
	client := e.client(t, e.token)
	if err := client.SetAddress(through.URL); err != nil {
		t.Fatal(err)
	}
	client.SetClientTimeout(time.Second)
	st := memory.New()
	warm := newSealer(t, e.transit(t, "lanyard"), st)
	envelopes := make([][]byte, 300)
	for i := range envelopes {
		sealed, err := warm.Seal(t.Context(), binding(fmt.Sprint("user-", i)), lanyard.NewSecret("hunter2"))
		if err != nil {
			t.Fatal(err)
		}
		envelopes[i] = sealed.Envelope
	}
	sealer := newSealer(t, e.with(t, client, "lanyard"), st)
	open := func(i int, limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := sealer.Open(ctx, binding(fmt.Sprint("user-", i)), envelopes[i])
		return err
	}
	if err := open(0, 10*time.Second); err != nil {
		t.Fatal(err)
	}

	free := through.hold()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			began := time.Now()
			e.wantError(t, "Open() while it hangs", open(1+i, 300*time.Millisecond), lanyard.ErrUnavailable, nil)
			if took := time.Since(began); took > time.Second {
				t.Errorf("Open() with 300 ms took %v", took)
			}
		})
	}
	all.Wait()
	within(t, 10*time.Second, "an answer at once", func() bool {
		began := time.Now()
		return open(250, time.Second) != nil && time.Since(began) < 20*time.Millisecond
	})
	asked := func(d time.Duration) int {
		before := through.requests()
		for end := time.Now().Add(d); time.Now().Before(end); {
			for i := range 50 {
				all.Go(func() { _ = open(201+i, 10*time.Millisecond) })
			}
			all.Wait()
		}
		return through.requests() - before
	}
	asked(time.Second) // those that were let through a moment before
	if n := asked(3 * time.Second); n < 2 || n > 4 {
		t.Errorf("three seconds made %d requests, want about one a second", n)
	}
	if err := open(0, time.Second); err != nil {
		t.Errorf("Open() from memory while it hangs = %v, want nil", err)
	}
	free()
	back := time.Now()
	within(t, 10*time.Second, "Open() once it answers", func() bool { return open(299, 5*time.Second) == nil })
	if took := time.Since(back); took > 2*time.Second {
		t.Errorf("it healed %v after it was back, want about a second", took)
	}
	for i := range envelopes {
		if err := open(i, 10*time.Second); err != nil {
			t.Errorf("Open() after that = %v, want nil", err)
		}
	}
}

// Keys move between two servers that have the same mount and key, where the new
// one was given another name.
func TestMoveToAnotherServer(t *testing.T) {
	t.Parallel()
	was, is := newEngine(t), ownEngine(t)
	if err := is.Root.Sys().MountWithContext(t.Context(), was.Mount, &api.MountInput{Type: "transit"}); err != nil {
		t.Fatal(err)
	}
	is.Mount = was.Mount
	is.write(t, "keys/lanyard", keyOptions(t))
	is.allow(t, is.Mount, documented(t, is.Mount))
	is.token = is.newToken(t, is.Mount, "1h")

	st := memory.New()
	old := was.transit(t, "lanyard")
	sealed, err := newSealer(t, old, st).Seal(t.Context(), binding("ana"), lanyard.NewSecret("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	named, err := vaulttransit.New(is.client(t, is.token), "lanyard", &vaulttransit.Options{Mount: is.Mount, Name: "vault-2:" + is.Mount + "/lanyard"})
	if err != nil {
		t.Fatal(err)
	}
	both, err := crypto.NewSealer(named, st, &crypto.SealerOptions{Previous: []crypto.Secrets{old}})
	if err != nil {
		t.Fatalf("NewSealer() = %v, want nil", err)
	}
	if _, err := both.Open(t.Context(), binding("ana"), sealed.Envelope); err != nil {
		t.Errorf("Open() before the move = %v, want nil", err)
	}
	report, err := both.Rewrap(t.Context(), st, nil)
	if err != nil || report.Rewrapped != report.Keys || len(report.Remaining) != 0 {
		t.Errorf("Rewrap() = %+v, %v, want all moved", report, err)
	}
	got, err := newSealer(t, named, st).Open(t.Context(), binding("ana"), sealed.Envelope)
	if err != nil || got.Reveal() != "hunter2" {
		t.Errorf("Open() without the old server = %v, want what was sealed", err)
	}
}
