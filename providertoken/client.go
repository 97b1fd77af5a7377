package providertoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// Ref names a connection of an owner.
type Ref struct {
	Provider string
	Label    string // "" is enough where there is one
}

const (
	// rereadAfter is how old a client's knowledge of its connection may be:
	// a deletion or deactivation ends it that much later at most.
	rereadAfter = 2 * time.Second

	// useEvery is how often the time of last use is stored.
	useEvery = time.Minute

	// probeEvery is how often calls that end with 401 make the service ask.
	probeEvery = time.Minute

	maxRedirects = 10
)

// Client returns an *http.Client that speaks for the owner at one provider and
// that any SDK takes. It adds the credential itself, to requests for the
// connection's own origins only; every other request fails with
// ErrForeignOrigin before anything is dialled. What the caller set to say who he
// is, in a header or in the query, is dropped. A redirect to another origin is
// returned as it is, not followed. A 401 is never tried again; it makes the
// service ask the platform, and only that answer marks the connection; then
// calls fail with ErrNeedsAttention. A call waits for a place under the
// platform's rate limit as long as its context lasts, or fails at once with a
// *RateLimitError where that ends before there is one.
//
// Who holds the client cannot read the credential from it: a response's
// Request is the caller's own, an httptrace.ClientTrace hears nothing, TRACE and
// CONNECT fail with ErrMethod, and where an answer repeats the credential, as it
// is or as it is commonly encoded, stars stand in its place. An answer is
// therefore whole and readable: ranges are not asked for, compression is undone
// before it is passed on, and what is encoded all the same, or changes the
// protocol, is ErrUnreadable. Set-Cookie and trailers stay behind. An answer
// longer than Options.MaxAnswer breaks off with ErrAnswerTooLarge.
//
// The client ends when the connection is deleted or its owner deactivated,
// within two seconds. It holds no cookie jar, and it is safe for concurrent
// use. It must not be changed.
//
// Errors: *lanyard.NotConnectedError, ErrAmbiguous, ErrNotOffered,
// ErrNeedsAttention, lanyard.ErrDeactivated, ErrAgentNotAllowed,
// *lanyard.InputError for use. A nil use names no agent.
func (s *Service) Client(ctx context.Context, owner lanyard.Owner, ref Ref, use *Use) (_ *http.Client, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Client", s.providerAttr(ref.Provider)...)
	defer end(&err)
	l, err := s.lend(ctx, owner, ref, use)
	if err != nil {
		return nil, fmt.Errorf("providertoken: client for %s: %w", ref.Provider, err)
	}
	return &http.Client{Transport: l, CheckRedirect: sameOriginOnly}, nil
}

func (s *Service) lend(ctx context.Context, owner lanyard.Owner, ref Ref, use *Use) (*lease, error) {
	cleaned, err := cleanUse(use)
	if err != nil {
		return nil, err
	}
	row, err := s.find(ctx, owner, ref)
	if err != nil {
		return nil, err
	}
	return s.lease(ctx, row, cleaned)
}

// lease returns a lease of the connection for a use that the host's policy
// allows, and notes it.
func (s *Service) lease(ctx context.Context, row store.ProviderToken, use Use) (*lease, error) {
	use, err := s.policies[row.ProviderID].allow(use)
	if err != nil {
		return nil, err
	}
	l := &lease{
		service: s, owner: row.Owner, id: row.ID, provider: row.ProviderID, use: use, looking: make(chan struct{}, 1),
	}
	if _, err := l.current(ctx); err != nil {
		return nil, err
	}
	if err := s.recordUse(ctx, row, use, s.now()); err != nil {
		return nil, err
	}
	return l, nil
}

// find returns the connection that ref names.
func (s *Service) find(ctx context.Context, owner lanyard.Owner, ref Ref) (store.ProviderToken, error) {
	rows, err := s.store.ProviderTokens(ctx, owner)
	if err != nil {
		return store.ProviderToken{}, err
	}
	rows = slices.DeleteFunc(rows, func(t store.ProviderToken) bool { return t.ProviderID != ref.Provider })
	if ref.Label != "" || len(rows) == 0 {
		for _, t := range rows {
			if t.Label == ref.Label {
				return t, nil
			}
		}
		return store.ProviderToken{}, &lanyard.NotConnectedError{Provider: ref.Provider}
	}
	if len(rows) > 1 {
		return store.ProviderToken{}, ErrAmbiguous
	}
	return rows[0], nil
}

// sameOriginOnly follows a redirect that stays where it is. Any other is
// handed to the caller, so that neither credential nor body crosses origins.
func sameOriginOnly(req *http.Request, via []*http.Request) error {
	from, ok1 := originOf(via[len(via)-1].URL)
	to, ok2 := originOf(req.URL)
	if !ok1 || !ok2 || from != to || len(via) >= maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// lease is the transport of a lent client.
type lease struct {
	service  *Service
	owner    lanyard.Owner
	id       string
	provider string
	use      Use
	forwards bool // for somebody in another process: does not wait, and each call is in the history

	looking chan struct{} // holds one token while somebody looks
	mu      sync.Mutex
	seen    *sight // nil = look
}

// sight is what a lease knows of its connection, and since when.
type sight struct {
	row     store.ProviderToken
	dest    destination
	headers map[string]lanyard.Secret // the credential, by canonical name
	scrub   func() *scrubber          // made when it is first needed
	at      time.Time
}

// RoundTrip implements [http.RoundTripper].
func (l *lease) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := l.roundTrip(req)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("providertoken: %w", err)
	}
	return res, nil
}

func (l *lease) roundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	asked := req
	req = ownCopy(req)
	now, line, err := l.admit(req)
	if err != nil {
		l.service.telemetry.refuse(ctx, l.provider, err)
		return nil, err
	}
	start := time.Now()
	res, err := l.service.send(now.dest.offer, now.outgoing(req, l.use.ReadOnly))
	passed := false
	defer func() { // also where a hook panics
		if res != nil && !passed {
			_ = res.Body.Close()
		}
	}()
	l.record(ctx, now, req, res, time.Since(start))
	if err != nil {
		return nil, err
	}
	res.Request = asked // and not the one with the credential
	l.used(ctx, line)
	if res.StatusCode == http.StatusUnauthorized && !now.dest.method.Lockout {
		l.doubt(ctx, line, now)
	}
	if err := now.incoming(res, l.service.maxAnswer); err != nil {
		return nil, err
	}
	passed = true
	return res, nil
}

// admit returns what is known of the connection, and its line, for a request
// that may go out.
func (l *lease) admit(req *http.Request) (*sight, *line, error) {
	if err := l.use.allows(req.Method); err != nil {
		return nil, nil, err
	}
	to, ok := originOf(req.URL)
	if !ok {
		return nil, nil, ErrForeignOrigin
	}
	now, err := l.to(req.Context(), to)
	if err != nil {
		return nil, nil, err
	}
	line := l.service.line(l.id, now.dest.offer.def.Limits)
	for {
		waited, err := line.wait(req.Context(), !l.forwards)
		if err != nil {
			return nil, nil, err
		}
		asked := line.owes(l.service.now())
		if asked { // in this place; then there is another to wait for
			l.ask(req.Context(), now)
		}
		if waited || asked { // perhaps for long
			if now, err = l.to(req.Context(), to); err != nil {
				return nil, nil, err
			}
		}
		if !asked {
			return now, line, nil
		}
	}
}

// to returns what is known of the connection if a request may go to that
// origin.
func (l *lease) to(ctx context.Context, to origin) (*sight, error) {
	now, err := l.current(ctx)
	if err == nil && !slices.Contains(now.dest.origins, to) {
		return nil, ErrForeignOrigin
	}
	return now, err
}

// current returns what is known of the connection, read anew when that is
// older than two seconds. One caller reads for all who wait.
func (l *lease) current(ctx context.Context) (*sight, error) {
	select {
	case l.looking <- struct{}{}:
		defer func() { <-l.looking }()
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
	now := l.service.clock()
	if seen := l.known(now); seen != nil {
		return seen, nil
	}
	seen, err := l.look(ctx, now)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = seen
	// The credential does not stay in memory with an idle client.
	time.AfterFunc(rereadAfter, func() { l.forget(seen) })
	return seen, nil
}

// known returns what is known if it is young enough, and else forgets it.
func (l *lease) known(now time.Time) *sight {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen != nil && (now.Sub(l.seen.at) >= rereadAfter || now.Before(l.seen.at)) {
		l.seen = nil
	}
	return l.seen
}

// forget drops what is known, if it still is what is known.
func (l *lease) forget(seen *sight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == seen {
		l.seen = nil
	}
}

func (l *lease) look(ctx context.Context, now time.Time) (*sight, error) {
	s := l.service
	if err := s.active(ctx, l.owner); err != nil {
		return nil, err
	}
	row, err := s.store.ProviderToken(ctx, l.owner, l.id)
	if errors.Is(err, lanyard.ErrNotFound) {
		return nil, &lanyard.NotConnectedError{Provider: l.provider}
	}
	if err != nil {
		return nil, err
	}
	d, err := s.destination(row)
	if err != nil {
		return nil, err
	}
	if Verdict(row.Verdict).rejects() {
		return nil, ErrNeedsAttention
	}
	secrets, err := s.open(ctx, row, d, nil)
	if err != nil {
		return nil, err
	}
	return &sight{row: row, dest: d, headers: d.headers(row.Fields, secrets), scrub: d.scrubber(row.Fields, secrets), at: now}, nil
}

// used stores the time of last use, at most once a minute. A store that cannot
// take it, or a caller who does not wait, loses no more than that.
func (l *lease) used(ctx context.Context, line *line) {
	now := l.service.now()
	if line.due(&line.usedAt, now, useEvery) {
		_ = l.service.store.RecordTokenUse(ctx, l.owner, l.id, now)
	}
}

// doubt asks the platform whether a 401 was meant for the credential: once for
// all callers, at most once a minute, and only a verdict against it, or the
// first one for it, marks the connection. Where the platform's limits leave no
// place for that, whoever has the next one gives it up. The caller waits for it as long as
// his context lasts; the probe goes on without him, for it is not his alone.
func (l *lease) doubt(ctx context.Context, line *line, seen *sight) {
	if now := l.service.now(); line.mayProbe(now) {
		l.ask(ctx, seen)
	} else {
		line.owe(now)
	}
}

func (l *lease) ask(ctx context.Context, seen *sight) {
	s := l.service
	asked := s.probes.DoChan(l.id, func() (_ any, err error) {
		defer s.recoverPanic(ctx, &err)
		return nil, l.recheck(ctx, seen)
	})
	select {
	case <-asked:
	case <-ctx.Done():
	}
	l.forget(seen)
}

// recheck verifies the connection again, unless it was changed since it was
// seen.
func (l *lease) recheck(ctx context.Context, seen *sight) error {
	s := l.service
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(s.verifyTimeout, defaultVerifyTimeout))
	defer cancel()
	row, err := s.store.ProviderToken(ctx, l.owner, l.id)
	if err != nil || row.Version != seen.row.Version {
		return err
	}
	f, err := s.examine(ctx, row)
	if err == nil && (f.verdict != VerdictOK || Verdict(row.Verdict) != VerdictOK) {
		_, err = s.note(ctx, row, f)
	}
	return err
}

// recoverPanic turns a panic of a store or a hook into an ErrUnavailable. On
// our own goroutine it would end the host's process, where net/http would have
// survived it.
func (s *Service) recoverPanic(ctx context.Context, err *error) {
	if recover() == nil {
		return
	}
	// What it panicked with may hold anything; the stack holds names only.
	s.logger.ErrorContext(ctx, "verifying after a 401 panicked", slog.String("stack", string(debug.Stack())))
	*err = fmt.Errorf("verifying after a 401 panicked: %w", lanyard.ErrUnavailable)
}
