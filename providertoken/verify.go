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
)

// maxAnswer is how much of a platform's answer to a probe is read, in bytes.
const maxAnswer = 256 << 10

// finding is what the probes of one verification found.
type finding struct {
	verdict   Verdict
	reason    string
	account   Account
	expiresAt time.Time // zero = the platform did not say
}

// answered is one platform's answer as the rules see it.
type answered struct {
	status int
	header http.Header
	json   []byte // one whole JSON document, or nil
	broken bool   // cut off, or longer than maxAnswer
}

// probe asks the platform who the credential belongs to. It returns an error
// only when the caller's own context ended: everything else is a verdict.
func (s *Service) probe(ctx context.Context, d destination, headers map[string]lanyard.Secret) (f finding, err error) {
	defer func() {
		if err == nil {
			s.telemetry.verified(ctx, d.offer.id, f.verdict)
		}
	}()
	limited := ctx
	if s.verifyTimeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, s.verifyTimeout)
		defer cancel()
	}
	for _, p := range d.offer.def.Verify {
		a, err := s.ask(limited, d, p, headers)
		if ctx.Err() != nil {
			return finding{}, unavailable(ctx.Err())
		}
		if err != nil {
			// DNS, dial, TLS, timeout: nobody answered.
			return finding{verdict: VerdictUnreachable}, nil
		}
		if f := p.judge(a); f.verdict != verdictNext {
			return f, nil
		}
	}
	return finding{verdict: VerdictInvalid}, nil
}

// ask sends one probe. A redirect is an answer and is not followed.
func (s *Service) ask(ctx context.Context, d destination, p Probe, headers map[string]lanyard.Secret) (answered, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base.String()+p.Path, nil)
	if err != nil {
		return answered{}, err
	}
	req.Header.Set("Accept", "application/json")
	for name, value := range p.Headers {
		req.Header.Set(name, value)
	}
	for name, value := range headers {
		req.Header.Set(name, value.Reveal())
	}
	res, err := s.send(d.offer, req)
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
		f.account = Account{
			ID: text(a.json, p.Identity.ID), Name: text(a.json, p.Identity.Name), Email: text(a.json, p.Identity.Email),
		}
		f.expiresAt = p.Expiry.read(a.header)
	case a.broken:
		f.verdict = VerdictUnreachable
	default:
		f.verdict = VerdictInvalid
	}
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

// text returns the string or number at a path as it can be shown: somebody else
// wrote it.
func text(body []byte, path string) string {
	if body == nil || path == "" {
		return ""
	}
	v := gjson.GetBytes(body, path)
	if v.Type != gjson.String && v.Type != gjson.Number {
		return ""
	}
	return input.Clean(v.String(), 200)
}

func (e Expiry) read(header http.Header) time.Time {
	value := header.Get(e.Header)
	if e.Header == "" || value == "" {
		return time.Time{}
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
