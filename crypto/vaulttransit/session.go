package vaulttransit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

const (
	// replaceEvery: a token that the server refuses is replaced at most this
	// often, because a policy that is too narrow refuses every token.
	replaceEvery = 10 * time.Second

	// retryEvery is how long the renewal waits after an outage.
	retryEvery = 5 * time.Second

	// longestBusy bounds for how long no login is tried because the server asks
	// for that.
	longestBusy = 5 * time.Second

	// longestLease is as good as none, and can be added to a time.
	longestLease = 10 * 365 * 24 * time.Hour
)

// How long no login is tried after the first, second and later refusals in a
// row. Vault locks an AppRole for everybody once five logins with a wrong
// secret id have come within a quarter of an hour, and answers 403 then; so
// after a 400, that is what a wrong secret id gets, one process stays below.
// https://developer.hashicorp.com/vault/docs/concepts/user-lockout
var (
	pausesAfter400 = []time.Duration{5 * time.Second, time.Minute, 15 * time.Minute}
	pausesAfter403 = []time.Duration{5 * time.Second, time.Minute, time.Minute}
)

// session keeps a token of our own: it logs in when a call first needs one,
// renews it, and logs in anew when it cannot be renewed or is refused. From the
// first login on it has a goroutine, until close.
type session struct {
	auth   func(context.Context, *api.Client) (*api.Secret, error) // a closure, as in Transit
	client func() *api.Client                                      // without a token
	logger *slog.Logger

	begin func() (context.Context, context.CancelFunc) // for one request of ours
	stop  context.CancelFunc                           // ends them all
	over  <-chan struct{}                              // is closed then
	tasks sync.WaitGroup
	woken chan struct{} // there is another token

	mu       sync.Mutex
	closed   bool
	current  grant
	renewAt  time.Time // zero = never
	pending  *attempt  // a login under way; nil = none
	replaced time.Time // when a token was last had in place of a refused one
	refusals int       // of logins, in a row
	paused   time.Time // no login before that
	busy     time.Time // nor before that: the server asked for it
}

// grant is a token and for how long it is one.
type grant struct {
	n         int // which login it is from; 0 = none
	token     lanyard.Secret
	lease     time.Duration // as it was at login; 0 = for ever
	ends      time.Time     // zero = never
	renewable bool
}

func (g grant) valid(now time.Time) bool { return g.n > 0 && (g.ends.IsZero() || now.Before(g.ends)) }

// attempt is one login. What it came to can be read once done is closed.
type attempt struct {
	replaces bool // a token that the server refused
	done     chan struct{}
	grant    grant
	err      error
}

func newSession(auth api.AuthMethod, client func() *api.Client, timeout time.Duration, logger *slog.Logger) *session {
	ctx, stop := context.WithCancel(context.Background())
	return &session{
		auth: auth.Login, client: client, logger: logger,
		begin: func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, timeout) },
		stop:  stop, over: ctx.Done(), woken: make(chan struct{}, 1),
	}
}

// get returns a token that is not from the login with the number refused, nor
// from one before it. If that takes a login, all who wait have it in common.
func (s *session) get(ctx context.Context, refused int) (grant, error) {
	g, login, err := s.look(refused)
	if login == nil {
		return g, err
	}
	select {
	case <-login.done:
		return login.grant, login.err
	case <-ctx.Done():
		return grant{}, gaveUp(ctx.Err())
	}
}

// look returns the token if there is one, or the login to wait for.
func (s *session) look(refused int) (grant, *attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.closed:
		return grant{}, nil, lanyard.ErrClosed
	case s.current.n > refused && s.current.valid(now):
		return s.current, nil, nil
	case s.pending != nil:
		return grant{}, s.pending, nil
	case now.Before(s.busy):
		return grant{}, nil, fmt.Errorf("log in: %w", &crypto.BusyError{RetryAfter: s.busy.Sub(now)})
	case now.Before(s.paused), refused > 0 && !s.replaced.IsZero() && now.Sub(s.replaced) < replaceEvery:
		return grant{}, nil, crypto.ErrDenied
	}
	login := s.start()
	login.replaces = refused > 0
	return grant{}, login, nil
}

// start begins a login. The lock is held, and no other is under way.
func (s *session) start() *attempt {
	a := &attempt{done: make(chan struct{})}
	s.pending = a
	s.tasks.Go(func() {
		asked := time.Now()
		secret, err := s.login()
		s.finish(a, asked, secret, err)
	})
	return a
}

// login logs in.
func (s *session) login() (secret *api.Secret, err error) {
	// A panic on a goroutine of ours would end the host's process.
	defer func() {
		if recover() != nil {
			s.logger.Error("logging in to Vault panicked", slog.String("stack", string(debug.Stack())))
			secret, err = nil, fmt.Errorf("logging in panicked: %w", lanyard.ErrUnavailable)
		}
	}()
	ctx, cancel := s.begin()
	defer cancel()
	var after time.Duration
	secret, err = s.auth(context.WithValue(ctx, busyKey{}, &after), s.client())
	if err != nil {
		refused := reduceLogin(ctx, err)
		if after > 0 && errors.Is(refused, lanyard.ErrUnavailable) {
			refused.why = &crypto.BusyError{RetryAfter: after}
		}
		return nil, refused
	}
	if secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "" || secret.Auth.LeaseDuration < 0 {
		return nil, fmt.Errorf("the answer to a login holds no token: %w", lanyard.ErrUnavailable)
	}
	return secret, nil
}

// finish makes known what a login came to.
func (s *session) finish(a *attempt, asked time.Time, secret *api.Secret, err error) {
	if err != nil {
		s.logger.Warn("login to Vault failed", outcome(err)...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(a.done)
	s.pending = nil
	if err != nil {
		a.err = fmt.Errorf("log in: %w", err)
		s.pause(err)
		return
	}
	first := s.current.n == 0
	s.current = grant{
		n: s.current.n + 1, token: lanyard.NewSecret(secret.Auth.ClientToken),
		lease: leaseOf(secret), renewable: secret.Auth.Renewable,
	}
	s.extend(asked, s.current.lease)
	s.refusals, s.paused = 0, time.Time{}
	if a.replaces {
		s.replaced = asked
	}
	a.grant = s.current
	if first {
		s.tasks.Go(s.keep)
	}
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// pause sees to it that a login that was refused is not repeated too often.
// The lock is held.
func (s *session) pause(err error) {
	if busy := new(crypto.BusyError); errors.As(err, &busy) {
		s.busy = time.Now().Add(min(busy.RetryAfter, longestBusy))
	}
	if !errors.Is(err, crypto.ErrDenied) {
		return
	}
	pauses := pausesAfter403
	if refused := new(loginError); errors.As(err, &refused) && refused.status == http.StatusBadRequest {
		pauses = pausesAfter400
	}
	s.paused = time.Now().Add(pauses[min(s.refusals, len(pauses)-1)])
	s.refusals++
}

// extend notes how long the token is good for, and when it is to be renewed:
// at about two thirds of that, not all processes at once. The lock is held.
func (s *session) extend(asked time.Time, lease time.Duration) {
	s.current.ends, s.renewAt = time.Time{}, time.Time{}
	if lease > 0 {
		s.current.ends = asked.Add(lease)
		s.renewAt = asked.Add(lease*2/3 - rand.N(lease/10)) //nolint:gosec // jitter
	}
}

// keep renews the token until the session is closed.
func (s *session) keep() {
	for {
		s.mu.Lock()
		g, at := s.current, s.renewAt
		s.mu.Unlock()
		var due <-chan time.Time
		if !at.IsZero() {
			due = time.After(time.Until(at))
		}
		select {
		case <-s.over:
			return
		case <-s.woken:
		case <-due:
			if !s.renew(g) {
				s.replace(g)
			}
		}
	}
}

// renew prolongs the lease of a token, and reports whether it is the better
// for it: near the end of all its time there is little left to prolong.
func (s *session) renew(g grant) (better bool) {
	if !g.renewable {
		return false
	}
	defer func() { // as in login
		if recover() != nil {
			s.logger.Error("renewing the Vault token panicked", slog.String("stack", string(debug.Stack())))
			better = false
		}
	}()
	ctx, cancel := s.begin()
	defer cancel()
	client := s.client()
	client.SetToken(g.token.Reveal())
	asked := time.Now()
	secret, err := client.Auth().Token().RenewSelfWithContext(ctx, 0)
	if err != nil || secret == nil || secret.Auth == nil {
		if err == nil {
			err = lanyard.ErrUnavailable
		}
		s.logger.Warn("renewal of the Vault token failed", outcome(reduceLogin(ctx, err))...)
		return false
	}
	lease := leaseOf(secret)
	if lease == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.n == g.n {
		s.current.renewable = secret.Auth.Renewable
		s.extend(asked, lease)
	}
	return lease >= g.lease/2
}

// replace logs in anew while g is still good, or sees when to try again. Once
// it is not good any more, whoever needs a token logs in.
func (s *session) replace(g grant) {
	s.mu.Lock()
	login := s.pending
	if login == nil && s.current.n == g.n && !s.closed && !time.Now().Before(s.paused) {
		login = s.start()
	}
	s.mu.Unlock()
	if login != nil {
		<-login.done // ends with the session at the latest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.n != g.n {
		return
	}
	now := time.Now()
	s.renewAt = now.Add(retryEvery + rand.N(time.Second)) //nolint:gosec // jitter
	if s.renewAt.Before(s.paused) {
		s.renewAt = s.paused
	}
	if !s.current.ends.IsZero() && !s.renewAt.Before(s.current.ends) {
		s.renewAt = time.Time{}
	}
}

// close ends what the session has under way.
func (s *session) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.tasks.Wait()
}

// leaseOf returns for how long a token is good. 0 = for ever.
func leaseOf(secret *api.Secret) time.Duration {
	return time.Duration(min(max(secret.Auth.LeaseDuration, 0), int(longestLease/time.Second))) * time.Second
}

// outcome is what a log may say about a login that failed.
func outcome(err error) []any {
	what := "unavailable"
	if errors.Is(err, crypto.ErrDenied) {
		what = "denied"
	}
	attributes := []any{slog.String("outcome", what)}
	if answer := new(loginError); errors.As(err, &answer) && answer.status != 0 {
		attributes = append(attributes, slog.Int("status", answer.status))
	}
	return attributes
}
