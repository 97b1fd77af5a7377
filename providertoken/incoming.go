package providertoken

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
)

// incoming prepares an answer for the caller: it holds no session that the
// credential began, and where it repeats the credential, that is masked. It
// returns ErrUnreadable for an answer in which nobody could look for it.
func (now *sight) incoming(res *http.Response, most int64) error {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return ErrUnreadable
	}
	empty := res.Body == nil || res.Body == http.NoBody || res.Request.Method == http.MethodHead
	for _, encoding := range res.Header.Values("Content-Encoding") {
		if !empty && encoding != "" && !strings.EqualFold(encoding, "identity") {
			return ErrUnreadable
		}
	}
	if !empty {
		now.sayWhen(res)
	}
	s := now.scrub()
	res.Header.Del("Set-Cookie")
	res.Header.Del("Set-Cookie2")
	for _, values := range res.Header {
		for i, value := range values {
			values[i] = s.text(value)
		}
	}
	if clean := s.text(res.Status); clean != res.Status {
		res.Status = strconv.Itoa(res.StatusCode) + " " + http.StatusText(res.StatusCode)
	}
	res.Trailer = nil
	if empty {
		return nil
	}
	body := res.Body
	r := &scrubbing{body: body, s: s, left: most}
	res.Body = &scrubbed{
		read: func(p []byte) (int, error) {
			n, err := r.Read(p)
			if err != nil {
				res.Trailer = nil // net/http has just filled it
			}
			return n, err
		},
		close: body.Close,
	}
	return nil
}

// maxSaying is how much of a 429 is read to see how long to wait, in bytes.
const maxSaying = 16 << 10

// sayWhen sets Retry-After where a platform says it in the body alone, so that
// who knows HTTP and not the platform waits as long as he should.
func (now *sight) sayWhen(res *http.Response) {
	path := now.dest.offer.def.Limits.RetryAfter
	if path == "" || res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "" {
		return
	}
	said, err := io.ReadAll(io.LimitReader(res.Body, maxSaying))
	body := res.Body
	rest := io.Reader(body)
	if err != nil {
		rest = brokenOff{err}
	}
	res.Body = &joined{Reader: io.MultiReader(bytes.NewReader(said), rest), Closer: body}
	if seconds := gjson.GetBytes(said, path); gjson.ValidBytes(said) && seconds.Type == gjson.Number && seconds.Num >= 0 && seconds.Num <= 1e6 {
		res.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(seconds.Num))))
	}
}

// joined is a body whose beginning was read before.
type joined struct {
	io.Reader
	io.Closer
}

// brokenOff is the rest of a body that broke off.
type brokenOff struct{ err error }

func (b brokenOff) Read([]byte) (int, error) { return 0, b.err }

// scrubber returns what makes the scrubber of a credential, once.
func (d destination) scrubber(fields, secrets map[string]string) func() *scrubber {
	return sync.OnceValue(func() *scrubber {
		texts := make([]string, 0, len(secrets)+1)
		for _, secret := range secrets {
			texts = append(texts, secret)
		}
		values := d.values(fields, secrets)
		for _, t := range d.method.headers {
			for _, part := range t {
				for _, name := range part.b64.fields() {
					if _, is := secrets[name]; is {
						texts = append(texts, template{part}.expand(values))
						break
					}
				}
			}
		}
		return newScrubber(texts)
	})
}

// values is what the templates of a credential are filled with. A row can be
// edited by hand: what stands open in it is no secret.
func (d destination) values(fields, secrets map[string]string) map[string]string {
	values := make(map[string]string, len(d.method.Fields))
	for _, f := range d.method.Fields {
		if f.isPublic() {
			values[f.Name] = fields[f.Name]
		} else {
			values[f.Name] = secrets[f.Name]
		}
	}
	return values
}
