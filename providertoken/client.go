package providertoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// Use says who uses a connection and why; it goes into the history.
type Use struct {
	AgentID  string // at most 100 characters
	Purpose  string // at most 200 characters
	ReadOnly bool   // only GET, HEAD and OPTIONS go out
}

const (
	// rereadAfter is how old a client's knowledge of its connection may be:
	// a deletion or deactivation ends it that much later at most.
	rereadAfter = 2 * time.Second

	// useEvery is how often the time of last use is stored.
	useEvery = time.Minute

	maxRedirects = 10
)

// Client returns an *http.Client that speaks for the owner at one provider and
// that any SDK takes. It adds the credential itself, to requests for the
// connection's own origins only; every other request fails with
// ErrForeignOrigin before anything is dialled. What the caller set on the
// credential's headers is dropped. A redirect to another origin is returned as
// it is, not followed. A 401 makes the service ask the platform, and only that
// answer marks the connection; then calls fail with ErrNeedsAttention.
//
// The client ends when the connection is deleted or its owner deactivated,
// within two seconds. It holds no cookie jar, and it is safe for concurrent
// use. It must not be changed.
//
// Errors: *lanyard.NotConnectedError, ErrAmbiguous, ErrNotOffered,
// ErrNeedsAttention, lanyard.ErrDeactivated, *lanyard.InputError for use. A nil
// use names no agent.
func (s *Service) Client(ctx context.Context, owner lanyard.Owner, ref Ref, use *Use) (_ *http.Client, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Client")
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
	l := &lease{service: s, owner: owner, id: row.ID, provider: ref.Provider, use: cleaned}
	if _, err := l.current(ctx); err != nil {
		return nil, err
	}
	return l, s.recordUse(ctx, row, cleaned, s.now())
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

	mu   sync.Mutex
	seen *sight // nil = look
}

// sight is what a lease knows of its connection, and since when.
type sight struct {
	row     store.ProviderToken
	dest    destination
	headers map[string]string // the credential
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
	if l.use.ReadOnly && req.Method != "" && req.Method != http.MethodGet && req.Method != http.MethodHead && req.Method != http.MethodOptions {
		return nil, ErrReadOnly
	}
	to, ok := originOf(req.URL)
	if !ok {
		return nil, ErrForeignOrigin
	}
	now, err := l.current(req.Context())
	if err != nil {
		return nil, err
	}
	if !slices.Contains(now.dest.origins, to) {
		return nil, ErrForeignOrigin
	}
	line := l.service.line(l.id, now.dest.offer.def.Limits)
	if err := line.wait(req.Context()); err != nil {
		return nil, err
	}
	out := req.Clone(req.Context())
	out.Host = "" // the URL's: another name would be another server
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
		out.Header.Del(name)
	}
	for name, value := range now.headers {
		out.Header.Del(name)
		out.Header.Set(name, value)
	}
	res, err := l.service.send(now.dest.offer, out)
	if err != nil {
		return nil, err
	}
	l.used(req.Context(), line)
	if res.StatusCode == http.StatusUnauthorized && !now.dest.method.Lockout {
		l.doubt(req.Context(), line, now)
	}
	return res, nil
}

// current returns what is known of the connection, read anew when that is
// older than two seconds.
func (l *lease) current(ctx context.Context) (*sight, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.service.clock()
	if l.seen != nil && now.Sub(l.seen.at) < rereadAfter && now.Sub(l.seen.at) >= 0 {
		return l.seen, nil
	}
	l.seen = nil
	seen, err := l.look(ctx, now)
	if err != nil {
		return nil, err
	}
	l.seen = seen
	// The credential does not stay in memory with an idle client.
	time.AfterFunc(rereadAfter, func() { l.forget(seen) })
	return seen, nil
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
	state, err := s.store.OwnerState(ctx, l.owner)
	if err != nil {
		return nil, err
	}
	if state.Deactivated() {
		return nil, lanyard.ErrDeactivated
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
	secrets, err := s.open(ctx, row, d)
	if err != nil {
		return nil, err
	}
	return &sight{row: row, dest: d, headers: d.headers(row.Fields, secrets), at: now}, nil
}

// used stores the time of last use, at most once a minute. A store that cannot
// take it loses no more than that.
func (l *lease) used(ctx context.Context, line *line) {
	now := l.service.now()
	if line.due(&line.usedAt, now, useEvery) {
		_ = l.service.store.RecordTokenUse(context.WithoutCancel(ctx), l.owner, l.id, now)
	}
}

// doubt asks the platform whether a 401 was meant for the credential: once for
// all callers, at most once a minute, and only that verdict marks the
// connection.
func (l *lease) doubt(ctx context.Context, line *line, seen *sight) {
	s := l.service
	if !line.due(&line.probedAt, s.now(), time.Minute) {
		return
	}
	// The answer is for every caller, so one caller's end does not stop it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(s.verifyTimeout, defaultVerifyTimeout))
	defer cancel()
	_, _, _ = s.probes.Do(l.id, func() (any, error) {
		row, err := s.store.ProviderToken(ctx, l.owner, l.id)
		if err == nil && row.Version == seen.row.Version {
			_, err = s.verify(ctx, row)
		}
		return nil, err
	})
	l.forget(seen)
}
