package providertoken

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"go.opentelemetry.io/otel/trace"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/internal/input"
	"github.com/aichub/lanyard/store"
)

// maxAnswer is how much of a platform's answer to a probe is read, in bytes.
const maxAnswer = 256 << 10

// finding is what the probes of one verification found.
type finding struct {
	verdict   Verdict
	reason    string
	account   Account
	expiresAt time.Time // zero = the platform did not say

	at     destination                                       // where it was found
	reseal func(context.Context, *store.ProviderToken) error // nil unless that is not where the row's secrets are sealed for
}

// answered is one platform's answer as the rules see it.
type answered struct {
	status int
	header http.Header
	json   []byte // one whole JSON document, or nil
	broken bool   // cut off, or longer than maxAnswer
}

// verify asks the platform who the credential belongs to: at d and, anywhere
// set, at the other bases of the same address until one proves it. It returns an
// error only when the caller's own context ended: everything else is a verdict.
func (s *Service) verify(ctx context.Context, d destination, secrets map[string]string, anywhere bool) (f finding, err error) {
	defer func() {
		if err == nil {
			s.telemetry.verified(ctx, d.offer.id, f.verdict)
		}
	}()
	limited, cancel := s.limited(ctx)
	defer cancel()
	f = s.probe(limited, d, secrets)
	// A wrong password counts at each base.
	if anywhere && !d.method.Lockout && f.verdict.elsewhere() {
		f = s.probeOthers(limited, f, secrets)
	}
	if ctx.Err() != nil {
		return finding{}, unavailable(ctx.Err())
	}
	return f, nil
}

// limited is a context that ends after VerifyTimeout.
func (s *Service) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.verifyTimeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.verifyTimeout)
}

// elsewhere reports whether a credential of that verdict may still be good at
// another base.
func (v Verdict) elsewhere() bool {
	return v == VerdictInvalid || v == VerdictWrongInstance || v == VerdictUnreachable
}

// weight orders what several bases say about one credential: where one proves
// it, knows it, or could not be asked, another that does not know it proves
// nothing against it.
func (v Verdict) weight() int {
	return slices.Index([]Verdict{VerdictWrongInstance, VerdictInvalid, VerdictUnreachable}, v)
}

// probeOthers asks at the other bases than f's, and returns what weighs most.
func (s *Service) probeOthers(ctx context.Context, f finding, secrets map[string]string) finding {
	d := f.at
	consider := func(other destination) (done bool) {
		g := s.probe(ctx, other, secrets)
		if g.verdict.weight() < 0 {
			f = g
			return true
		}
		if g.verdict.weight() > f.verdict.weight() {
			f.verdict, f.reason = g.verdict, g.reason // and stay where we are
		}
		return false
	}
	chosen := d.fields[chosenKey]
	if first, err := d.at(nil, nil); chosen != "" && err == nil && consider(first) {
		return f
	}
	for _, a := range d.offer.others {
		if a.ID == chosen {
			continue
		}
		found, answered := s.discover(ctx, d, a)
		if !answered {
			f.verdict, f.reason = VerdictUnreachable, ""
		}
		if found == nil {
			continue
		}
		if other, err := d.at(&a, found); err == nil && consider(other) {
			return f
		}
	}
	return f
}

// discover asks for what an alternative needs, without a credential. It returns
// nil where there is no such thing, and false where nobody said so.
func (s *Service) discover(ctx context.Context, d destination, a alternative) (found map[string]string, answered bool) {
	found = map[string]string{}
	for _, f := range a.Discover {
		got, err := s.ask(ctx, d.offer, http.MethodGet, d.first.String()+f.Path, nil, nil)
		if err != nil || got.broken || got.status >= 500 || got.status == http.StatusTooManyRequests {
			return nil, false
		}
		value := text(got.json, f.JSON)
		if got.status != http.StatusOK || value == "" || len(value) > 64 || !validFound(value) {
			return nil, true
		}
		found[f.Name] = value
	}
	return found, true
}

// validFound reports whether s is letters, digits and hyphens: nothing that
// could be more than one segment of a path.
func validFound(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// probe asks at one base.
func (s *Service) probe(ctx context.Context, d destination, secrets map[string]string) finding {
	if d.offer.def.Unverifiable {
		return finding{verdict: VerdictUnreachable, reason: reasonUnverifiable, at: d}
	}
	headers := d.headers(d.fields, secrets)
	for _, p := range d.offer.def.Verify {
		a, err := s.ask(ctx, d.offer, p.Method, d.base.String()+p.Path, p.Headers, headers)
		if err != nil {
			// DNS, dial, TLS, timeout: nobody answered.
			return finding{verdict: VerdictUnreachable, at: d}
		}
		f := p.judge(a)
		if f.verdict == verdictNext {
			continue
		}
		if f.verdict == VerdictOK {
			f = p.named(f, a, d.scrubber(d.fields, secrets)().whole)
		}
		if f.verdict == VerdictOK {
			f.expiresAt = s.expiresAt(ctx, d, p, a, headers)
		}
		f.at = d
		return f
	}
	return finding{verdict: VerdictInvalid, at: d}
}

// reasonUnverifiable is why there is no verdict on a credential of a definition
// that says so of itself.
const reasonUnverifiable = "not_verifiable"

// expiresAt returns when the platform says that an accepted credential ends.
func (s *Service) expiresAt(ctx context.Context, d destination, p Probe, a answered, headers map[string]lanyard.Secret) time.Time {
	if p.Expiry.Path != "" {
		var err error
		if a, err = s.ask(ctx, d.offer, http.MethodGet, d.base.String()+p.Expiry.Path, p.Headers, headers); err != nil || a.status != http.StatusOK {
			return time.Time{}
		}
	}
	return p.Expiry.read(a)
}

// ask sends one request of a verification, with those headers and the
// credential's. A redirect is an answer and is not followed.
func (s *Service) ask(ctx context.Context, o *offer, method, address string, more map[string]string, headers map[string]lanyard.Secret) (answered, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return answered{}, err
	}
	req.Header.Set("Accept", "application/json")
	for name, value := range more {
		req.Header.Set(name, value)
	}
	for name, value := range headers {
		req.Header.Set(name, value.Reveal())
	}
	res, err := s.send(o, req)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if ctx.Err() != nil {
		return answered{}, ctx.Err() // whatever was read until then is no answer
	}
	a := answered{status: res.StatusCode, header: res.Header, broken: err != nil || len(body) > maxAnswer}
	if !a.broken && gjson.ValidBytes(body) {
		a.json = body
	}
	return a, nil
}

// judge turns an answer into a verdict, in the order that Probe promises.
func (p Probe) judge(a answered) finding {
	var f finding
	for _, r := range p.Rules {
		if r.When.holds(a) {
			f.verdict, f.reason = r.Verdict, r.Reason
			return f
		}
	}
	switch {
	case a.status == http.StatusTooManyRequests:
		f.verdict = VerdictRateLimited
	case a.status >= 500:
		f.verdict = VerdictUnreachable
	case p.Accept.holds(a) && text(a.json, p.Identity.ID) != "":
		f.verdict = VerdictOK
	case a.broken:
		f.verdict = VerdictUnreachable
	default:
		f.verdict = VerdictInvalid
	}
	return f
}

// named completes a verdict of ok with the account, which is stored in the open
// and so must not repeat the credential. An id that does names nobody.
func (p Probe) named(f finding, a answered, mask func(string) string) finding {
	plain := func(path string) string { return input.Clean(said(a.json, path), maxAnswer) }
	if id := plain(p.Identity.ID); mask(id) != id {
		return finding{verdict: VerdictInvalid}
	}
	shown := func(path string) string { return input.Clean(mask(plain(path)), maxShown) }
	f.account = Account{ID: shown(p.Identity.ID), Name: shown(p.Identity.Name), Email: shown(p.Identity.Email)}
	return f
}

func (c Condition) holds(a answered) bool {
	if len(c.Status) > 0 && !slices.Contains(c.Status, a.status) {
		return false
	}
	if c.ContentType != "" {
		kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
		if err != nil || kind != c.ContentType {
			return false
		}
	}
	for _, h := range c.Headers {
		if !h.holds(a.header) {
			return false
		}
	}
	for _, j := range c.JSON {
		if !j.holds(a.json) {
			return false
		}
	}
	return true
}

func (c HeaderCondition) holds(header http.Header) bool {
	values := header.Values(c.Name)
	if len(values) == 0 {
		return false
	}
	value := strings.Join(values, ", ")
	return (c.Equals == "" || strings.EqualFold(value, c.Equals)) &&
		(c.Contains == "" || strings.Contains(strings.ToLower(value), strings.ToLower(c.Contains)))
}

func (c JSONCondition) holds(body []byte) bool {
	if body == nil {
		return false
	}
	v := gjson.GetBytes(body, c.Path)
	switch {
	case !v.Exists() || v.Type == gjson.Null:
		return false
	case c.Equals != nil && v.String() != *c.Equals:
		return false
	case c.NotEquals != nil && v.String() == *c.NotEquals:
		return false
	case c.Prefix != "" && !strings.HasPrefix(v.String(), c.Prefix):
		return false
	case c.Length != nil && (!v.IsArray() || len(v.Array()) != *c.Length):
		return false
	}
	return true
}

// maxShown is how much of what somebody else wrote is shown, in characters.
const maxShown = 200

// text returns the string or number at a path as it can be shown: somebody else
// wrote it.
func text(body []byte, path string) string { return input.Clean(said(body, path), maxShown) }

func said(body []byte, path string) string {
	if body == nil || path == "" {
		return ""
	}
	v := gjson.GetBytes(body, path)
	if v.Type != gjson.String && v.Type != gjson.Number {
		return ""
	}
	return v.String()
}

func (e Expiry) read(a answered) time.Time {
	value := text(a.json, e.JSON)
	if e.Header != "" {
		value = a.header.Get(e.Header)
	}
	for _, layout := range e.Layouts {
		if t, err := time.Parse(layout, value); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// send sends a request that carries a credential by the offer's transport, and
// counts it. The answer knows nothing of the request.
func (s *Service) send(o *offer, req *http.Request) (*http.Response, error) {
	askZipped(req)
	start := time.Now()
	res, err := o.transport.RoundTrip(req.WithContext(newUntraced(req.Context())))
	s.telemetry.call(req.Context(), o.id, res, time.Since(start))
	if err != nil {
		if ended := req.Context().Err(); ended != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, ended)
		}
		return nil, ErrUnreachable
	}
	res.Request = nil
	unzip(req, res)
	return res, nil
}

// untraced is a context that ends as its own does and has none of its values
// but the span. Among the others are an httptrace.ClientTrace, which is told
// every header that is written, and what package net reads of it.
type untraced struct {
	context.Context //nolint:containedctx // it is a context
	span            context.Context
}

func newUntraced(ctx context.Context) untraced {
	return untraced{ctx, trace.ContextWithSpan(context.Background(), trace.SpanFromContext(ctx))}
}

func (c untraced) Value(key any) any { return c.span.Value(key) }

// AfterFunc lets package context wait for the end without a goroutine.
func (c untraced) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }
