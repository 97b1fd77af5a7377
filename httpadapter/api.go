package httpadapter

import (
	"net/http"
	"slices"
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

	// settled says that no answer with this version looks different, so that
	// If-None-Match can spare a GET the body. A profile's is; a key and a
	// connection tell of their last use and of time that passed, and their
	// version does not move with it.
	settled bool
}

// serveAPI answers everything under api/. The order of its checks is the order
// of the statuses: 404 and 405, cross-site, who, what he may, how often, body.
func (h *Handler) serveAPI(w http.ResponseWriter, r *http.Request) {
	route, id, p := match(h.routes, r.Method, r.URL.EscapedPath())
	if p != nil {
		if h.config.Development && p.Code == codeNotFound {
			p.Detail = h.adviseMount(r)
		}
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
			p.LoginURL = h.loginURL("")
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
	if a.settled && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		if same, _ := names(r.Header.Values("If-None-Match"), etag(a.version), true); same {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
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

// precondition evaluates If-Match and If-None-Match (RFC 9110 section 13.1).
// Without either it returns 0, which stands for any version. With one, it asks
// for the record's current version and returns that when it meets the
// condition, so that the change is made to that version and no other; else a
// 412.
func precondition(c *call, current func() (int64, error)) (int64, error) {
	if !conditional(c.r) {
		return 0, nil
	}
	version, err := current()
	if err != nil {
		return 0, err
	}
	if values := c.r.Header.Values("If-Match"); len(values) > 0 {
		named, ok := names(values, etag(version), false)
		switch {
		case !ok:
			return 0, malformed("If-Match is neither * nor a list of entity tags")
		case !named:
			return 0, errStale
		}
	}
	named, ok := names(c.r.Header.Values("If-None-Match"), etag(version), true)
	switch {
	case !ok:
		return 0, malformed("If-None-Match is neither * nor a list of entity tags")
	case named:
		return 0, errSame
	}
	return version, nil
}

var (
	errStale = errProblem{problem{Code: codeStale}}
	errSame  = errProblem{problem{Code: codeStale, Detail: "If-None-Match names the current version"}}
)

// conditional reports whether a request says which version it is for.
func conditional(r *http.Request) bool {
	return len(r.Header.Values("If-Match")) > 0 || len(r.Header.Values("If-None-Match")) > 0
}

// names reports whether the values of a header, * or a list of entity tags,
// name one; ok is false where they are neither. No values name none. Only a
// weak comparison takes a weak tag for the strong one.
func names(values []string, tag string, weakly bool) (named, ok bool) {
	if len(values) == 0 {
		return false, true
	}
	header := strings.Join(values, ",")
	if strings.TrimSpace(header) == "*" {
		return true, true
	}
	tags, ok := entityTags(header)
	return slices.ContainsFunc(tags, func(t string) bool {
		return t == tag || weakly && t == "W/"+tag
	}), ok
}

// stale turns a lost compare-and-swap into 412 where the caller asked for one.
func stale(c *call, err error) error {
	if problemOf(err).Code == codeConflict && conditional(c.r) {
		return errStale
	}
	return err
}

// entityTags splits a list of entity tags. Weak ones keep their W/, and so
// never equal one of ours.
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
