package apikey

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

const (
	maxLeakSource = 64
	maxLeakHost   = 253 // RFC 1035 section 2.3.4, without the root's dot
)

// Leak is a token that somebody found where it should not be.
type Leak struct {
	Token lanyard.Secret

	// Source says who found it and in what, as "github/commit": letters,
	// digits and /._- are kept in lower case, up to 64 bytes; any other text is
	// left out.
	Source string

	// URL is where it was found. Only its host goes into the history, because
	// the rest may hold secrets: the token, a password, a signed link.
	URL string
}

// LeakVerdict says what a leaked token was.
type LeakVerdict string

// The verdicts.
const (
	LeakDeleted       LeakVerdict = "deleted"        // a key, which is deleted now
	LeakDeletedBefore LeakVerdict = "deleted_before" // a key that was deleted already
	LeakUnknown       LeakVerdict = "unknown"        // no key of ours
	LeakFailed        LeakVerdict = "failed"         // it could not be dealt with
)

// LeakResult is what became of one [Leak]. Owner and KeyID are empty for
// LeakUnknown; they are for telling the owner, never for who reported.
type LeakResult struct {
	Verdict LeakVerdict
	Owner   lanyard.Owner
	KeyID   string
}

// ReportLeaks deletes the keys that leaks name: whoever found a token could
// have used it, so it takes no more right than that. Expired keys and those of
// deactivated owners are deleted too. The owner finds one ActionLeaked in his
// history for each, and nothing for a key that was deleted before, however often
// it is reported.
//
// A row that fails its integrity check is deleted like any other: deleting
// gives nobody a right. So neither a forged row nor a key service that is down
// keeps a leaked key alive.
//
// The results come in the order of leaks. One that cannot be dealt with is
// LeakFailed and keeps no other alive; the errors of all of them are joined,
// lanyard.ErrUnavailable in general, and reporting all leaks again is harmless.
// Those that ctx left no time for have no result.
func (s *Service) ReportLeaks(ctx context.Context, leaks []Leak) (_ []LeakResult, err error) {
	ctx, end := s.spans.Start(ctx, "apikey.ReportLeaks")
	defer end(&err)
	if s.closed.Load() {
		return nil, errClosed
	}
	var (
		results []LeakResult
		failed  []error
	)
	changed := false
	defer func() {
		if changed {
			s.forget(ctx)
		}
	}()
	for _, leak := range leaks {
		token := leak.Token.Reveal()
		k, deleted, err := s.deleteToken(ctx, token, func(k store.APIKey) lanyard.Event {
			return s.event(ctx, k.DeletedAt, ActionLeaked, k).
				With(DetailSource, leakSource(leak.Source, token)).With(DetailHost, leakHost(leak.URL, token))
		})
		switch {
		case errors.Is(err, lanyard.ErrNotFound):
			results = append(results, LeakResult{Verdict: LeakUnknown})
		case err != nil && ctx.Err() != nil:
			return results, fmt.Errorf("apikey: report leaks: %w", unavailable(ctx.Err()))
		case err != nil:
			failed = append(failed, err)
			results = append(results, LeakResult{Verdict: LeakFailed})
		case deleted:
			changed = true
			results = append(results, LeakResult{Verdict: LeakDeleted, Owner: k.Owner, KeyID: k.ID})
		default:
			results = append(results, LeakResult{Verdict: LeakDeletedBefore, Owner: k.Owner, KeyID: k.ID})
		}
	}
	if len(failed) > 0 {
		return results, fmt.Errorf("apikey: report leaks: %w", errors.Join(failed...))
	}
	return results, nil
}

// DeleteByToken deletes the key whose token the caller holds, for a finder or
// for a tool that is done with its own (RFC 7009). Its owner's history says
// ActionDeleted, by way of an API key.
//
// It returns lanyard.ErrNotFound for every token that names no live key: one
// that was deleted, one that never was, and any other text. Whether the row is
// authentic does not matter, as in ReportLeaks.
func (s *Service) DeleteByToken(ctx context.Context, token string) (err error) {
	ctx, end := s.spans.Start(ctx, "apikey.DeleteByToken")
	defer end(&err)
	if s.closed.Load() {
		return errClosed
	}
	_, deleted, err := s.deleteToken(ctx, token, func(k store.APIKey) lanyard.Event {
		e := s.event(ctx, k.DeletedAt, ActionDeleted, k)
		e.Via = lanyard.ViaAPIKey
		return e
	})
	if err == nil && !deleted {
		err = lanyard.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("apikey: delete by token: %w", err)
	}
	s.forget(ctx)
	return nil
}

// forget has this process learn of a deletion before the call returns. Where it
// cannot, Refresh drops all it knew; the key is dead in the store either way.
func (s *Service) forget(ctx context.Context) { _ = s.Refresh(context.WithoutCancel(ctx)) }

// deleteToken deletes the key that token names, and reports whether it was live
// until then. event makes what the history says of the deleted key.
func (s *Service) deleteToken(ctx context.Context, token string, event func(store.APIKey) lanyard.Event) (_ store.APIKey, deleted bool, err error) {
	k, err := s.rowOf(ctx, token)
	if err != nil || !k.DeletedAt.IsZero() {
		return k, false, err
	}
	k.Version, k.DeletedAt = 0, s.now() // any version: what its owner just renamed has leaked too
	s.signTombstone(ctx, &k)
	e := event(k)
	switch err := s.store.DeleteAPIKey(ctx, k, e); {
	case errors.Is(err, lanyard.ErrNotFound): // somebody else was faster
		return k, false, nil
	case err != nil:
		s.doubt(k.Owner, err)
		return k, false, err
	}
	s.onEvent(ctx, e)
	return k, true, nil
}

// leakSource returns what may be kept of a finder's words. The token may stand
// in them.
func leakSource(source, token string) string {
	source = strings.ToLower(source)
	if len(source) > maxLeakSource || holds(source, token) || !all([]byte(source), func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("/._-", c) >= 0
	}) {
		return ""
	}
	return source
}

// leakHost returns the host of an address, if it looks like one.
func leakHost(address, token string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if len(host) > maxLeakHost || holds(host, token) || !all([]byte(host), func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(".-:", c) >= 0
	}) {
		return ""
	}
	return host
}

// holds reports whether text, in lower case, holds the token.
func holds(text, token string) bool { return strings.Contains(text, strings.ToLower(token)) }
