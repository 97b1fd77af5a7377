package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store/memory"
)

// letterbox keeps the letters it was given.
type letterbox struct {
	mu      sync.Mutex
	letters []letter
	fails   error
}

func (b *letterbox) deliver(_ context.Context, l letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters = append(b.letters, l)
	return b.fails
}

func (b *letterbox) all() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.letters)
}

func (b *letterbox) subjects() []string {
	var out []string
	for _, l := range b.all() {
		out = append(out, l.Subject)
	}
	return out
}

// A connection that the platform rejects is a letter to its owner, from a whole
// host, and nothing in it is a secret.
func TestRejectedConnectionIsMailed(t *testing.T) {
	t.Parallel()
	box := new(letterbox)
	s := configure(t, nil)
	s.post = box
	token, fake := withFakeJira(t, &s)
	a := start(t, s)
	var made struct{ ID string }
	r := a.connectJira(a.url, token)
	r.decode(t, &made)
	fake.Tell(providertest.Revoked)
	if r := a.call(http.MethodPost, a.url+"/account/api/v1/provider-tokens/"+made.ID+"/verifications", "", userHeader, "ana"); r.status != http.StatusOK {
		t.Fatalf("verifying = %d %s, want 200", r.status, r.body)
	}
	eventually(t, 10*time.Second, "the owner has a letter", func() bool { return len(box.all()) > 0 })
	a.stop()
	letters := box.all()
	if len(letters) != 1 {
		t.Fatalf("%d letters, want one: %v", len(letters), box.subjects())
	}
	l := letters[0]
	if l.Owner.Subject != "ana" || l.Event.Action != providertoken.ActionNeedsAttention || l.Event.Object != made.ID || !strings.Contains(l.Text, "jira") {
		t.Errorf("the letter is %+v, want one to ana about her connection", l)
	}
	if strings.Contains(l.Subject+l.Text, token) {
		t.Error("the letter holds the token")
	}
}

// Mail goes to a verified address, blocks no hook, and is written to the end.
func TestMail(t *testing.T) {
	t.Parallel()
	st, box, log := memory.New(), &letterbox{fails: errors.New("the server of mail is down")}, newOutput()
	profiles := profile.NewService(st, nil)
	for name, verified := range map[string]bool{"ana": true, "bob": false} {
		_, err := profiles.Seen(t.Context(), lanyard.Principal{
			Owner: lanyard.Owner{Subject: name}, Email: name + "@acme.example", EmailVerified: verified,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	m, stop := startMail(t.Context(), box, st, slog.New(slog.NewJSONHandler(log, nil)))
	const each = 20 // more than are written before it is stopped
	now := time.Now()
	for _, name := range []string{"ana", "bob", "eve"} {
		owner := lanyard.Owner{Subject: name}
		for range each {
			m.hear(t.Context(), lanyard.NewEvent(t.Context(), now, owner, apikey.ActionLeaked, "k").With(apikey.DetailName, "ci"))
		}
		m.hear(t.Context(), lanyard.NewEvent(t.Context(), now, owner, apikey.ActionCreated, "k"))
	}
	if err := stop(t.Context()); err != nil {
		t.Errorf("stop = %v", err)
	}
	want := map[string]string{"ana": "ana@acme.example", "bob": "", "eve": ""}
	letters := box.all()
	if len(letters) != each*len(want) {
		t.Fatalf("%d letters, want %d: %v", len(letters), each*len(want), box.subjects())
	}
	for _, l := range letters {
		if address, known := want[l.Owner.Subject]; !known || l.Address != address || !strings.Contains(l.Text, `"ci"`) {
			t.Errorf("the letter to %s goes to %q and says %q, want %q and the key's name", l.Owner.Subject, l.Address, l.Text, address)
		}
	}
	if text := log.String(); strings.Count(text, "mail was not delivered") != len(letters) || strings.Contains(text, "acme.example") {
		t.Errorf("the log says %s, want what was not delivered and no address", text)
	}
}

// What is too much for the post is dropped and said; no change waits for it.
func TestTooMuchMail(t *testing.T) {
	t.Parallel()
	log := newOutput()
	m := &mail{logger: slog.New(slog.NewJSONHandler(log, nil)), waiting: make(chan lanyard.Event, 1)}
	for range 2 {
		m.hear(t.Context(), lanyard.NewEvent(t.Context(), time.Now(), lanyard.Owner{Subject: "ana"}, providertoken.ActionExpiring, "t"))
	}
	if text := log.String(); strings.Count(text, "too much mail") != 1 {
		t.Errorf("the log says %s, want that one letter was too much", text)
	}
}

// Everything an owner should hear of has words, and nothing else has.
func TestWorded(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]bool{
		apikey.ActionExpiring: true, apikey.ActionLeaked: true, apikey.ActionUsedAfterDelete: true, apikey.ActionRefusedNetwork: true,
		providertoken.ActionExpiring: true, providertoken.ActionNeedsAttention: true,
		apikey.ActionCreated: false, providertoken.ActionUsed: false, providertoken.ActionVerified: false,
	} {
		e := lanyard.Event{Action: action, Detail: map[string]string{"days": "1", "name": "ci", "provider": "jira", "label": "work"}}
		subject, text := worded(e)
		if (subject != "") != want || (text != "") != want {
			t.Errorf("worded(%s) = %q, %q; want words: %v", action, subject, text, want)
		}
		if strings.HasSuffix(action, ".expiring") && !strings.HasPrefix(text, "Within a day, your ") {
			t.Errorf("worded(%s) = %q, want the day", action, text)
		}
	}
}

// A post that panics loses one letter and nothing else.
func TestAPostThatPanics(t *testing.T) {
	t.Parallel()
	box, log := new(letterbox), newOutput()
	panics := postFunc(func(ctx context.Context, l letter) error {
		if l.Owner.Subject == "ana" {
			panic("to ana@acme.example")
		}
		return box.deliver(ctx, l)
	})
	m, stop := startMail(t.Context(), panics, memory.New(), slog.New(slog.NewJSONHandler(log, nil)))
	for _, name := range []string{"ana", "bob"} {
		m.hear(t.Context(), lanyard.NewEvent(t.Context(), time.Now(), lanyard.Owner{Subject: name}, apikey.ActionLeaked, "k"))
	}
	if err := stop(t.Context()); err != nil {
		t.Errorf("stop = %v", err)
	}
	if letters := box.all(); len(letters) != 1 || letters[0].Owner.Subject != "bob" {
		t.Errorf("%d letters, want the one to bob", len(letters))
	}
	if text := log.String(); !strings.Contains(text, "mail panicked") || strings.Contains(text, "acme.example") {
		t.Errorf("the log says %s, want that mail panicked and not with what", text)
	}
}

type postFunc func(context.Context, letter) error

func (f postFunc) deliver(ctx context.Context, l letter) error { return f(ctx, l) }
