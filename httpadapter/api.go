package httpadapter

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/aichub/lanyard"
)

// call is one request to an operation of the API.
type call struct {
	r      *http.Request
	id     string // of the record the path names; "" when none can have it
	caller caller
	body   []byte // one well-formed JSON document, or nothing
}

// answer is what an operation returns: a status, a body to encode as JSON (nil
// for none) and the headers of its own.
type answer struct {
	status  int
	body    any
	version int64 // of the one record in the body; makes the ETag
	header  map[string]string
}

// serveAPI answers everything under api/. The order of its checks is the order
// of the statuses: 404 and 405, cross-site, who, what he may, how often, body.
func (h *Handler) serveAPI(w http.ResponseWriter, r *http.Request) {
	route, id, p := match(h.routes, r.Method, r.URL.EscapedPath())
	if p != nil {
		h.refuse(w, r, *p)
		return
	}
	c := &call{id: id}
	var err error
	if c.r, c.caller, p = h.admit(r, route); p != nil {
		h.refuse(w, c.r, *p)
		return
	}
	var a answer
	if c.body, err = readBody(w, c.r); err == nil {
		a, err = route.serve(h, c)
	}
	if err != nil {
		h.refuse(w, c.r, h.fail(c.r.Context(), err))
		return
	}
	if err := writeAnswer(w, r, a); err != nil {
		h.refuse(w, c.r, h.fail(r.Context(), err))
	}
}

// admit lets a caller in or says why not.
func (h *Handler) admit(r *http.Request, route route) (*http.Request, caller, *problem) {
	refuse := func(p problem) (*http.Request, caller, *problem) { return r, caller{}, &p }
	if h.crossSite.Check(r) != nil {
		return refuse(problem{Code: codeCrossSite})
	}
	if keys := h.config.APIKeys; keys != nil && keyInQuery(keys, r.URL) {
		return refuse(keyInAddress)
	}
	r, who, err := h.caller(r)
	if err != nil {
		p := h.fail(r.Context(), err)
		if p.Code == codeUnauthenticated {
			p.LoginURL = h.config.LoginURL
		}
		return refuse(p)
	}
	if who.byKey() && !route.anyKey && !h.keysMayUse[route.name()] {
		return refuse(problem{Code: codeKeyNotAllowed})
	}
	if wait := h.wait(r, who); wait > 0 {
		return refuse(problem{Code: codeTooManyRequests, RetryAfter: wait})
	}
	if route.proof && !h.recentlyProved(who) {
		return refuse(problem{Code: codeReauthenticate})
	}
	return r, who, nil
}

func writeAnswer(w http.ResponseWriter, r *http.Request, a answer) error {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	for name, value := range a.header {
		header.Set(name, value)
	}
	if a.version != 0 {
		header.Set("ETag", etag(a.version))
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return nil
	}
	body, raw := a.body.([]byte)
	if !raw {
		var err error
		if body, err = json.Marshal(a.body, json.Deterministic(true)); err != nil {
			return err
		}
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	return nil
}

// items is the form of every list.
type items[T any] struct {
	Items []T `json:"items"`
}

// list makes the form of a list from records.
func list[T, R any](records []R, view func(R) T) items[T] {
	out := make([]T, 0, len(records))
	for _, r := range records {
		out = append(out, view(r))
	}
	return items[T]{Items: out}
}

// etag is the strong validator of a version (RFC 9110 section 8.8.3).
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// precondition evaluates If-Match (RFC 9110 section 13.1.1). Without the
// header it returns 0, which stands for any version. With it, it asks for the
// record's current version and returns that when the header names it, so that
// the change is made to that version and no other; else a 412.
func precondition(c *call, current func() (int64, error)) (int64, error) {
	values := c.r.Header.Values("If-Match")
	if len(values) == 0 {
		return 0, nil
	}
	version, err := current()
	if err != nil {
		return 0, err
	}
	header := strings.Join(values, ",")
	if strings.TrimSpace(header) == "*" {
		return version, nil
	}
	tags, ok := entityTags(header)
	if !ok {
		return 0, errProblem{problem{Code: codeMalformed, Detail: "If-Match is neither * nor a list of entity tags"}}
	}
	for _, tag := range tags {
		if tag == etag(version) {
			return version, nil
		}
	}
	return 0, errStale
}

var errStale = errProblem{problem{Code: codeStale}}

// stale turns a lost compare-and-swap into 412 where the caller asked for one.
func stale(c *call, err error) error {
	if problemOf(err).Code == codeConflict && len(c.r.Header.Values("If-Match")) > 0 {
		return errStale
	}
	return err
}

// entityTags splits a list of entity tags. Weak ones keep their W/ and so
// never equal one of ours: If-Match compares strongly.
func entityTags(header string) (tags []string, ok bool) {
	rest := header
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return tags, len(tags) > 0
		}
		weak := ""
		if strings.HasPrefix(rest, "W/") {
			weak, rest = "W/", rest[2:]
		}
		if rest == "" || rest[0] != '"' {
			return nil, false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return nil, false
		}
		tag := rest[:end+2]
		rest = strings.TrimLeft(rest[end+2:], " \t")
		if rest != "" && rest[0] != ',' {
			return nil, false
		}
		tags = append(tags, weak+tag)
	}
}

// found turns an id that no record can have into the answer of an unknown one.
func (c *call) found() error {
	if c.id == "" {
		return lanyard.ErrNotFound
	}
	return nil
}
