package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard/store"
)

// How long the walk takes for each store, and where it begins: what is
// reported names both the seed and the step.
const (
	walkVariable = "LANYARD_TEST_WALK"      // a duration, as 10m
	seedVariable = "LANYARD_TEST_WALK_SEED" // a number
)

// Whatever is sent to an operation of the document, valid or spoiled in up to
// three ways, the answer is one that the document describes: its status, its
// headers and its body. What is accepted is a request as it describes one. There
// is no 5xx, no secret, no word of somebody else's and none of what was refused,
// and nothing that is somebody else's changes.
func TestWalk(t *testing.T) {
	t.Parallel()
	long := 20 * time.Second
	if text := os.Getenv(walkVariable); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", walkVariable, err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	d := readDocument(t)
	eachStore(t, func(t *testing.T, st store.Store) {
		k := &walker{w: newWorld(t, st), d: d, random: rand.New(rand.NewPCG(seed, 0))}
		var seen coverage
		faulty, steps, began := 0, 0, time.Now()
		for ; faulty < 5; steps++ {
			// A slow machine is given the time that it takes to see everything.
			if spent := time.Since(began); spent > long && (spent > time.Minute || len(seen.missing(d)) == 0) {
				break
			}
			a := k.next()
			e := k.send(a)
			seen.add(d, e)
			if faults := append(d.faults(e), k.faults(a, e)...); len(faults) > 0 {
				faulty++
				t.Errorf("%s=%d, step %d: %s\n%s", seedVariable, seed, steps, strings.Join(faults, "\n"), describe(a, e))
			}
			k.learn(e)
		}
		if now := k.w.dump(ben); now != k.w.bens {
			t.Errorf("%s=%d: what is Ben's became\n%s, was\n%s", seedVariable, seed, now, k.w.bens)
		}
		if missing := seen.missing(d); len(missing) > 0 && faulty < 5 {
			t.Errorf("%s=%d: in %d steps there was no %s", seedVariable, seed, steps, strings.Join(missing, ", no "))
		}
		t.Logf("%d requests with the seed %d: %v", steps, seed, seen.statuses)
	})
}

// coverage is what a walk has come by.
type coverage struct {
	succeeded map[string]bool // operations
	statuses  map[int]int
}

func (c *coverage) add(d *document, e exchange) {
	if c.statuses == nil {
		c.succeeded, c.statuses = map[string]bool{}, map[int]int{}
	}
	c.statuses[e.Status]++
	if o, ok := d.operation(e); ok && e.Status < 300 {
		c.succeeded[o.name()] = true
	}
}

// missing says what a walk has to come by and has not: an operation with
// success, or a status.
func (c *coverage) missing(d *document) []string {
	var out []string
	for _, o := range d.operations {
		if !c.succeeded[o.name()] {
			out = append(out, o.name())
		}
	}
	for _, status := range []int{200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422} {
		if c.statuses[status] == 0 {
			out = append(out, strconv.Itoa(status))
		}
	}
	return out
}

// next makes a request, most of them spoiled.
func (k *walker) next() *attempt {
	a := k.valid(pick(k, k.d.operations...))
	for range pick(k, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3) {
		k.spoil(a)
	}
	return a
}

// send hands the request to the handler, as it is: more than a server lets
// through.
func (k *walker) send(a *attempt) exchange {
	target := below + a.path
	if a.query != "" {
		target += "?" + a.query
	}
	address, err := url.ParseRequestURI(target)
	if err != nil {
		address = &url.URL{Path: below + a.path, RawPath: below + a.path, RawQuery: a.query}
	}
	body := a.encode()
	r := (&http.Request{
		Method: a.method, URL: address, RequestURI: target, Header: a.header, Host: "hub.example", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		RemoteAddr: "192.0.2.7:1234", Body: http.NoBody,
	}).WithContext(k.w.t.Context())
	if len(body) > 0 {
		r.Body, r.ContentLength = readOnce{bytes.NewReader(body)}, int64(len(body))
	}
	return k.w.serve(r, body)
}

type readOnce struct{ *bytes.Reader }

func (readOnce) Close() error { return nil }

// faults says what an answer must not be, whatever the document allows.
func (k *walker) faults(a *attempt, e exchange) []string {
	var faults []string
	say := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if e.Status >= 500 {
		say("a fault of ours: %d", e.Status)
	}
	if len(a.spoiled) == 0 && !slices.Contains([]int{200, 201, 204, 304, 401, 403, 404, 409, 412, 422}, e.Status) {
		say("a request that is as described got %d", e.Status)
	}
	if e.Status < 400 {
		faults = append(faults, k.accepted(a, e)...)
	}
	header := fmt.Sprint(e.AnswerHeader)
	if strings.ContainsAny(header, "\r\n\x00") {
		say("a control character in a header: %q", header)
	}
	logged := k.w.log.take()
	for _, secret := range append([]string{canary, bensCanary}, k.tails()...) {
		if bytes.Contains(e.Answer, []byte(secret)) || strings.Contains(header, secret) {
			say("%s in the answer", secret)
		}
		if secret != bensCanary && strings.Contains(logged, secret) {
			say("%s in the log", secret)
		}
	}
	if e.Status >= 400 && (bytes.Contains(e.Answer, []byte(echo)) || strings.Contains(header, echo)) {
		say("what was refused is repeated")
	}
	if strings.Contains(logged, "panicked") {
		say("a panic: %s", logged)
	}
	return faults
}

// accepted says what must not have been, in words of the document that no schema
// has.
func (k *walker) accepted(a *attempt, e exchange) []string {
	var faults []string
	if len(e.Body) > 0 && a.header.Get("Content-Encoding") != "" {
		faults = append(faults, "a body that is encoded was accepted")
	}
	for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key"} {
		counts := name == "Authorization" || name == "Content-Type" && len(e.Body) > 0 || name == "Idempotency-Key" && a.operation.name() == "POST /api-keys" && e.Status == http.StatusCreated
		if values := a.header[name]; counts && (len(values) > 1 || name == "Idempotency-Key" && len(values) == 1 && (values[0] == "" || len(values[0]) > 255)) {
			faults = append(faults, fmt.Sprintf("%s %.40q was accepted", name, values))
		}
	}
	if slices.ContainsFunc(k.shown, func(key string) bool { return strings.HasSuffix(a.query, "="+key) }) {
		faults = append(faults, "a key in the address was accepted")
	}
	site := a.header.Get("Sec-Fetch-Site")
	if foreign := site != "" || a.header.Get("Origin") != ""; foreign && a.method != http.MethodGet && a.method != http.MethodHead {
		faults = append(faults, "another site's request was accepted")
	}
	return faults
}

// tails are the secret parts of the keys that were shown lately.
func (k *walker) tails() []string {
	var out []string
	for _, key := range k.shown[max(0, len(k.shown)-32):] {
		out = append(out, key[len(key)-36:])
	}
	return out
}

// learn remembers what later requests can name.
func (k *walker) learn(e exchange) {
	if tag := e.AnswerHeader.Get("ETag"); tag != "" {
		k.tags = append(k.tags, tag)
	}
	var said struct {
		ID            string
		Secret        string
		NextPageToken string              `json:"next_page_token"`
		APIKey        struct{ ID string } `json:"api_key"`
	}
	if e.Status >= 300 || json.Unmarshal(e.Answer, &said) != nil {
		return
	}
	if said.APIKey.ID != "" {
		k.keys = append(k.keys, said.APIKey.ID)
	}
	if e.Status == http.StatusCreated && said.ID != "" {
		k.tokens = append(k.tokens, said.ID)
	}
	if said.Secret != "" {
		k.shown = append(k.shown, said.Secret)
	}
	if said.NextPageToken != "" {
		k.pages = append(k.pages, said.NextPageToken)
	}
}

// describe shows a request and its answer as far as a reader needs it.
func describe(a *attempt, e exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %.300s\n", a.method, e.Target)
	for i, name := range slices.Sorted(maps.Keys(a.header)) {
		if i == 20 {
			fmt.Fprintf(&b, "… %d headers\n", len(a.header))
			break
		}
		fmt.Fprintf(&b, "%s: %.200q\n", name, a.header[name])
	}
	fmt.Fprintf(&b, "%.500q\nspoiled: %s\nanswer: %.500s", e.Body, strings.Join(a.spoiled, "; "), e.Answer)
	return b.String()
}
