package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/store"
)

// post carries a letter to a user: SMTP, a chat's webhook, whatever a host has.
// It may take its time.
type post interface {
	deliver(context.Context, letter) error
}

// letter is what a user should hear of although he is not looking at the page.
// It has no link: a letter that asks for a token behind a link is what a thief
// would write.
type letter struct {
	Owner   lanyard.Owner
	Address string // verified by the identity provider; "" = unknown, and a chat needs none
	Subject string
	Text    string
	Event   lanyard.Event // what it is about
}

const (
	maxMail     = 1000 // letters that wait; what is more is in the history all the same
	mailTimeout = 10 * time.Second
)

// mail writes the letters of one instance, in the order of what happened.
type mail struct {
	post     post
	profiles store.Profiles // who has which address
	logger   *slog.Logger
	waiting  chan lanyard.Event
}

// startMail writes to users of what they should hear, until it is closed. Then
// it writes what is waiting still.
func startMail(ctx context.Context, p post, profiles store.Profiles, logger *slog.Logger) (m *mail, stop func(context.Context) error) {
	m = &mail{post: p, profiles: profiles, logger: logger, waiting: make(chan lanyard.Event, maxMail)}
	closing, ended := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(ended)
		m.write(ctx, closing)
	}()
	return m, func(waiting context.Context) error {
		defer cancel()
		close(closing)
		select {
		case <-ended:
			return nil
		case <-waiting.Done():
			return waiting.Err()
		}
	}
}

// hear is a hook of the services: it blocks nobody.
func (m *mail) hear(ctx context.Context, e lanyard.Event) {
	if subject, _ := worded(e); subject == "" {
		return
	}
	select {
	case m.waiting <- e:
	default:
		m.logger.ErrorContext(ctx, "too much mail", slog.String("action", e.Action), slog.String("object", e.Object))
	}
}

func (m *mail) write(ctx context.Context, closing <-chan struct{}) {
	for {
		select {
		case e := <-m.waiting:
			m.send(ctx, e)
		case <-closing:
			for {
				select {
				case e := <-m.waiting:
					m.send(ctx, e)
				default:
					return
				}
			}
		}
	}
}

func (m *mail) send(ctx context.Context, e lanyard.Event) {
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	defer func() {
		if recover() == nil {
			return
		}
		// This goroutine is ours: a panic of the post would end the process. What it
		// panicked with may hold anything; the stack holds names only.
		m.logger.ErrorContext(ctx, "mail panicked",
			slog.String("action", e.Action), slog.String("object", e.Object), slog.String("stack", string(debug.Stack())))
	}()
	l := letter{Owner: e.Owner, Event: e}
	l.Subject, l.Text = worded(e)
	p, err := m.profiles.Profile(ctx, e.Owner)
	if err == nil && p.EmailVerified {
		l.Address = p.Email
	}
	if err == nil || errors.Is(err, lanyard.ErrNotFound) { // he may never have been here himself
		err = m.post.deliver(ctx, l)
	}
	if err != nil {
		m.logger.ErrorContext(ctx, "mail was not delivered",
			slog.String("action", e.Action), slog.String("object", e.Object), slog.Any("error", err))
	}
}

// worded is what an owner reads of an event, or nothing where it is not worth a
// letter.
func worded(e lanyard.Event) (subject, text string) {
	key := fmt.Sprintf("your API key %q", e.Detail[apikey.DetailName])
	account := "your connection to " + e.Detail[providertoken.DetailProvider]
	if label := e.Detail[providertoken.DetailLabel]; label != "" {
		account += fmt.Sprintf(" %q", label)
	}
	switch e.Action {
	case apikey.ActionExpiring:
		return "An API key expires soon", "Within " + days(e.Detail[apikey.DetailDays]) + ", " + key + " expires. Rotate it on your profile page."
	case apikey.ActionLeaked:
		return "An API key was found in public", "Somebody found " + key + " where anybody can read it. It has been deleted; make another one, and look at your activity."
	case apikey.ActionUsedAfterDelete:
		return "A deleted API key is still in use", "Something still calls with " + key + ", which you deleted. Your activity says from where."
	case apikey.ActionRefusedNetwork:
		return "An API key was used from elsewhere", "Somebody tried " + key + " from a network it is not for. If that was not you, delete it."
	case providertoken.ActionExpiring:
		return "A connection expires soon", "Within " + days(e.Detail[providertoken.DetailDays]) + ", " + account + " expires. Enter a new token on your profile page."
	case providertoken.ActionNeedsAttention:
		return "A connection needs your attention", "The platform does not take the token of " + account + " any more, so agents cannot use it. Enter a new one on your profile page."
	}
	return "", ""
}

func days(n string) string {
	if n == "1" {
		return "a day"
	}
	return n + " days"
}

// logPost is the post of an example: a line of the log says that there would be
// a letter, and to whom by his id. Addresses and texts are not for a log.
type logPost struct{ logger *slog.Logger }

func (p logPost) deliver(ctx context.Context, l letter) error {
	p.logger.InfoContext(ctx, "mail", slog.String("owner", l.Owner.Subject), slog.String("tenant", l.Owner.Tenant),
		slog.String("action", l.Event.Action), slog.String("object", l.Event.Object), slog.Bool("address", l.Address != ""))
	return nil
}
