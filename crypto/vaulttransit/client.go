package vaulttransit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// maxAnswer is the longest answer that is read, in bytes. A batch of a hundred
// keys is some 20 KB.
const maxAnswer = 1 << 20

// A connection of HTTP/2 that has brought nothing for pingAfter is asked
// whether it still does, and closed if that takes pingTimeout. Otherwise one
// that was lost without a word, as when the server's machine is replaced, is
// used again and again until TCP notices after a quarter of an hour.
const (
	pingAfter   = 3 * time.Second
	pingTimeout = 2 * time.Second
)

// isolated returns a copy of client that calls the same server over connections
// of its own, follows no redirect, retries nothing, reads no more than
// maxAnswer and holds no token. Making one reads the environment, so what comes
// from there is replaced by what client has. What it returns beside the copy
// closes the connections that nobody uses.
func isolated(client *api.Client, plainHTTP bool) (own *api.Client, closeIdle func(), err error) {
	config := client.CloneConfig()
	config.Address, config.AgentAddress = client.Address(), "" // the address after any SetAddress
	config.DisableRedirects = true
	config.MaxRetries = 0
	config.Timeout = 0 // the client would end a call before its answer was read
	config.Logger = nil

	// An error of a URL holds all of it, and there may be a password in it.
	u, err := url.Parse(config.Address)
	if err != nil || u.Host == "" {
		return nil, nil, errors.New("the client's address is not a URL")
	}
	if u.Scheme != "https" && !plainHTTP && !loopback(u.Hostname()) {
		return nil, nil, errors.New("the client's address is not https; see Options.PlainHTTP")
	}

	// HttpClient is a copy already; its transport is shared until now.
	config.HttpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	next := config.HttpClient.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	closeIdle = func() {} // another's transport is not ours to tell
	if shared, ok := next.(*http.Transport); ok {
		copied := pinging(shared)
		next, closeIdle = copied, copied.CloseIdleConnections
	}
	config.HttpClient.Transport = capped{next: next}

	if own, err = api.NewClient(config); err != nil {
		return nil, nil, errors.New("the client cannot be copied; is a VAULT_ variable of the environment malformed?")
	}
	own.SetHeaders(client.Headers())
	own.ClearToken()
	own.SetWrappingLookupFunc(func(string, string) string { return "" })
	return own, closeIdle, nil
}

// pinging returns a copy of a transport that notices when a connection of
// HTTP/2 is lost.
func pinging(shared *http.Transport) *http.Transport {
	own := shared.Clone()
	if own.TLSNextProto["h2"] == nil {
		return own // it speaks HTTP/1.1 only, which gives up a connection that is late
	}
	// What is registered there would use the connections of the shared one.
	// Where nothing is, net/http itself speaks HTTP/2, and by our settings.
	own.TLSNextProto, own.ForceAttemptHTTP2 = nil, true
	settings := http.HTTP2Config{}
	if own.HTTP2 != nil {
		settings = *own.HTTP2
	}
	settings.SendPingTimeout, settings.PingTimeout = pingAfter, pingTimeout
	own.HTTP2 = &settings
	return own
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// capped bounds what is read of an answer, because the client reads error
// answers to their end by itself.
type capped struct{ next http.RoundTripper }

func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	if after, ok := r.Context().Value(busyKey{}).(*time.Duration); ok && resp != nil {
		*after = retryAfter(resp.StatusCode, resp.Header, time.Now())
	}
	if resp != nil && resp.Body != nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// call has the server do one operation on each item and returns one result an
// item, in order. A result may hold an error of its own.
//
// A token of our own that is refused is replaced, once.
func (t *Transit) call(ctx context.Context, operation string, items []item) ([]result, error) {
	if err := ctx.Err(); err != nil {
		return nil, gaveUp(err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if t.session == nil {
		return t.ask(ctx, t.token(), operation, items)
	}
	g, err := t.session.get(ctx, 0)
	if err != nil {
		return nil, err
	}
	results, err := t.ask(ctx, g.token.Reveal(), operation, items)
	if !errors.Is(err, crypto.ErrDenied) {
		return results, err
	}
	if g, err = t.session.get(ctx, g.n); err != nil {
		return nil, err
	}
	return t.ask(ctx, g.token.Reveal(), operation, items)
}

// ask makes one request.
//
// Also a single item travels as a batch. Then a status 400 says whether the key
// or the item is at fault by the shape of its body, where it would otherwise
// say so by its text only.
func (t *Transit) ask(ctx context.Context, token, operation string, items []item) ([]result, error) {
	body, err := encodeBatch(items)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", lanyard.ErrUnavailable)
	}
	client := t.anonymous()
	client.SetToken(token)
	// The error holds what the server said. Where it answered, there is a
	// response too, whose body can be read.
	resp, _ := client.Logical().WriteRawWithContext(ctx, t.mount+"/"+operation+"/"+t.key, body)
	if resp == nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.closeIdle() // the others may be as dead as the one that was used
		}
		if ctx.Err() != nil {
			return nil, gaveUp(ctx.Err())
		}
		return nil, fmt.Errorf("the server cannot be reached: %w", lanyard.ErrUnavailable)
	}
	defer func() { _ = resp.Body.Close() }()
	if after := retryAfter(resp.StatusCode, resp.Header, time.Now()); after > 0 {
		return nil, fmt.Errorf("status %d: %w", resp.StatusCode, &crypto.BusyError{RetryAfter: after})
	}
	raw, err := io.ReadAll(resp.Body)
	defer clear(raw)
	if err != nil {
		if ctx.Err() != nil {
			return nil, gaveUp(ctx.Err())
		}
		return nil, fmt.Errorf("the answer is too long or cut short: %w", lanyard.ErrUnavailable)
	}
	return decodeAnswer(resp.StatusCode, raw, len(items))
}

// busyKey is for a login in the context, whose errors hold no headers: a
// *time.Duration that takes what retryAfter says of the last answer.
type busyKey struct{}

// retryAfter returns how long a server that is busy wants to be left alone, 0
// where it does not say. The header holds seconds or a date, RFC 9110 section
// 10.2.3. Vault sends it with the 429 of a rate limit where sys/quotas/config
// has enable_rate_limit_response_headers.
// https://developer.hashicorp.com/vault/api-docs/system/quotas-config
func retryAfter(status int, h http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	said := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(said, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(said); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// gaveUp is the error of a call whose context ended: nothing is known.
func gaveUp(ctxErr error) error {
	return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, ctxErr)
}
