package providertoken

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// incoming prepares an answer for the caller: it holds no session that the
// credential began, and where it repeats the credential, that is masked. It
// returns ErrUnreadable for an answer in which nobody could look for it.
func (now *sight) incoming(res *http.Response, most int64) error {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return ErrUnreadable
	}
	empty := res.Body == nil || res.Body == http.NoBody
	if encoding := res.Header.Get("Content-Encoding"); !empty && encoding != "" && !strings.EqualFold(encoding, "identity") {
		return ErrUnreadable
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

// values is what the templates of a credential are filled with.
func (d destination) values(fields, secrets map[string]string) map[string]string {
	values := make(map[string]string, len(fields)+len(secrets))
	for name, v := range fields {
		values[name] = v
	}
	for name, v := range secrets {
		values[name] = v
	}
	return values
}
