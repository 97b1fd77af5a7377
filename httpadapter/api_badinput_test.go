package httpadapter_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

// badInput is one entry of a class of bad input, sent as a body to one route.
type badInput struct {
	name   string
	method string // "" = POST
	path   string // "" = /api-keys
	body   string
	more   []string // headers
	status int
	want   string // code and errors; see apiAnswer.refused
	echo   string // what must not be in the answer
}

// refuseAll sends each input to every store: the same answer everywhere, and
// nothing changed.
func refuseAll(t *testing.T, inputs func(w *apiWorld) []badInput) {
	t.Helper()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		w.call(session(ana), "GET", "/whoami", "").is(200)
		for _, in := range inputs(w) {
			if in.method == "" {
				in.method = "POST"
			}
			if in.path == "" {
				in.path = "/api-keys"
			}
			before := w.dump()
			a := w.call(session(ana), in.method, in.path, in.body, in.more...)
			if got := a.problem(); a.status != in.status || got != in.want {
				t.Errorf("%s: %s %s = %d %s, want %d %s", in.name, in.method, in.path, a.status, got, in.status, in.want)
			}
			// The request id is random and may hold anything short.
			said := bytes.ReplaceAll(a.body, []byte(a.text("request_id")), nil)
			if in.echo != "" && bytes.Contains(said, []byte(in.echo)) {
				t.Errorf("%s: the answer repeats the value: %.300s", in.name, a.body)
			}
			w.unchanged(before, fmt.Sprintf("%s: the refused request", in.name))
		}
	})
}

const (
	invalidName = "invalid-input /name invalid"
	badDocument = "malformed-request"
)

func TestBadSizes(t *testing.T) {
	t.Parallel()
	pad := func(total int, inner string) string { return inner + strings.Repeat(" ", total-len(inner)) }
	valid := `{"name":"n"}`
	refuseAll(t, func(w *apiWorld) []badInput {
		id, _ := w.newKey(ana)
		token := w.newToken(ana, "")
		return []badInput{
			{name: "A1 empty body", body: "", status: 400, want: badDocument},
			{name: "A1 empty body of a patch", method: "PATCH", path: "/profile", status: 400, want: badDocument},
			{name: "A1 white space", body: " \n\t ", status: 400, want: badDocument},
			{name: "A2 empty name", body: `{"name":""}`, status: 422, want: "invalid-input /name required"},
			{name: "A2 only white space", body: `{"name":" \u00a0\t"}`, status: 422, want: "invalid-input /name required"},
			{name: "A2 empty provider", path: "/provider-tokens", body: `{"provider_id":""}`, status: 422, want: "invalid-input /provider_id unknown"},
			{name: "A2 empty secret", path: "/provider-tokens", body: jiraBody("", ""), status: 422, want: "invalid-input /secrets/token required"},
			{name: "A2 empty rename", method: "PATCH", path: "/api-keys/" + id, body: `{"name":""}`, status: 422, want: "invalid-input /name required"},
			{name: "A6 name above the limit", body: fmt.Sprintf(`{"name":%q}`, strings.Repeat("é", 101)), status: 422, want: "invalid-input /name too-long", echo: "éé"},
			{name: "A6 label above the limit", path: "/provider-tokens", body: jiraBody(strings.Repeat("x", 101), "s"), status: 422, want: "invalid-input /label too-long", echo: "xx"},
			{name: "A6 label of an edit", method: "PATCH", path: "/provider-tokens/" + token, body: fmt.Sprintf(`{"label":%q}`, strings.Repeat("x", 101)), status: 422, want: "invalid-input /label too-long"},
			{name: "A6 given name above the limit", method: "PATCH", path: "/profile", body: fmt.Sprintf(`{"given_name":%q}`, strings.Repeat("x", 101)), status: 422, want: "invalid-input /given_name too-long"},
			{name: "A6 secret above the limit", path: "/provider-tokens", body: jiraBody("", strings.Repeat("q", 8193)), status: 422, want: "invalid-input /secrets/token too-long", echo: "qq"},
			{name: "A6 field above the limit", path: "/provider-tokens", body: fmt.Sprintf(`{"provider_id":%q,"fields":{"site":"a","email":%q},"secrets":{"api_token":"s"}}`, apiCloud, "a@"+strings.Repeat("b", 1024)), status: 422, want: "invalid-input /fields/email too-long"},
			{name: "A6 many scopes", body: `{"name":"n","scopes":[` + strings.Repeat(`"read",`, 5000) + `"no"]}`, status: 422, want: "invalid-input /scopes unknown"},
			{name: "A7 64 KiB and one byte", body: pad(64<<10+1, valid), status: 413, want: "too-large"},
			{name: "A7 on another route", method: "PATCH", path: "/profile", body: pad(64<<10+1, "{}"), status: 413, want: "too-large"},
			{name: "A7 on a GET", method: "GET", path: "/whoami", body: pad(64<<10+1, "{}"), status: 413, want: "too-large"},
			{name: "A8 10 MiB", body: pad(10<<20, valid), status: 413, want: "too-large"},
			{name: "A14 compressed", body: gzipped(1 << 20), more: []string{"Content-Encoding", "gzip"}, status: 415, want: "unsupported-media-type"},
			{name: "A14 compressed JSON", body: valid, more: []string{"Content-Encoding", "identity"}, status: 415, want: "unsupported-media-type"},
		}
	})
}

// The limits themselves are good.
func TestGoodSizes(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		for _, name := range []string{"x", strings.Repeat("é", 99), strings.Repeat("é", 100), " " + strings.Repeat("é", 100) + "\n"} { // A3 A4 A5
			a := w.call(session(ana), "POST", "/api-keys", jsonObject(t, "name", name)).is(201)
			if got := a.text("api_key.name"); got != strings.TrimSpace(name) {
				t.Errorf("the name %q became %q", name, got)
			}
		}
		body := `{"name":"n"}`
		w.call(session(ana), "POST", "/api-keys", body+strings.Repeat(" ", 64<<10-len(body))).is(201) // A5
		w.call(session(ana), "GET", "/whoami", `{"ignored":true}`).is(200)
		w.jira.Tell("")
		w.call(session(ana), "POST", "/provider-tokens", jiraBody(strings.Repeat("é", 100), apiSecretAna)).is(201)
	})
}

// A15: a body that comes slowly is read to its end; how long that may take is
// the server's to say.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	slow := func(text string) io.Reader { return io.MultiReader(oneByOne(text)...) }
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/account/api/v1/api-keys", slow(`{"name":"slow"}`))
	r.Header.Set("Content-Type", "application/json")
	w.send(session(ana), r).is(201)
	r = httptest.NewRequestWithContext(t.Context(), "POST", "/account/api/v1/api-keys", io.MultiReader(slow(`{"name":`), failing{}))
	r.Header.Set("Content-Type", "application/json")
	w.send(session(ana), r).refused(400, "malformed-request")
}

func oneByOne(text string) []io.Reader {
	var out []io.Reader
	for i := range text {
		out = append(out, strings.NewReader(text[i:i+1]))
	}
	return out
}

// failing is a body that breaks off.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("canary-7f3Q: connection reset") }

func gzipped(n int) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte(" "), n))
	_ = z.Close()
	return b.String()
}

func TestBadJSON(t *testing.T) {
	t.Parallel()
	deep := func(n int, inner string) string { return strings.Repeat(`{"a":`, n) + inner + strings.Repeat("}", n) }
	many := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"name":"n"`)
		for i := range n {
			fmt.Fprintf(&b, `,"m%d":0`, i)
		}
		return b.String() + "}"
	}
	refuseAll(t, func(w *apiWorld) []badInput {
		id, _ := w.newKey(ana)
		inputs := []badInput{
			{name: "C35 a name twice", body: `{"name":"a","name":"b"}`, status: 400, want: badDocument},
			{name: "C35 a name twice, escaped", body: `{"name":"a","\u006eame":"b"}`, status: 400, want: badDocument},
			{name: "C35 a name twice, inside", path: "/provider-tokens", body: `{"provider_id":"x","secrets":{"a":"1","a":"2"}}`, status: 400, want: badDocument},
			{name: "C35 a name twice, inside a member that is unknown", body: `{"name":"a","x":{"y":1,"y":2}}`, status: 400, want: badDocument},
			{name: "C36 another case", body: `{"Name":"a"}`, status: 422, want: "invalid-input /Name unknown"},
			{name: "C36 both cases", body: `{"name":"a","NAME":"b"}`, status: 422, want: "invalid-input /NAME unknown"},
			{name: "C36 another case of a read-only name", method: "PATCH", path: "/profile", body: `{"Email":"x@example.com"}`, status: 422, want: "invalid-input /Email unknown"},
			{name: "C37 an unknown name", body: `{"name":"a","admin":true}`, status: 422, want: "invalid-input /admin unknown"},
			{name: "C37 a name that is a value", body: `{"name":"a","not a name! 4fJr0c9wTq":1}`, status: 422, want: "invalid-input  unknown", echo: "4fJr0c9wTq"},
			{name: "C38 data behind", body: `{"name":"a"} x`, status: 400, want: badDocument},
			{name: "C38 NUL behind", body: "{\"name\":\"a\"}\x00", status: 400, want: badDocument},
			{name: "C39 two documents", body: `{"name":"a"}{"name":"b"}`, status: 400, want: badDocument},
			{name: "C39 two lines", body: "{\"name\":\"a\"}\n{\"name\":\"b\"}", status: 400, want: badDocument},
			{name: "C39 two documents where none is wanted", method: "DELETE", path: "/api-keys/" + id, body: "{}{}", status: 400, want: badDocument},
			{name: "C39 two documents on a GET", method: "GET", path: "/whoami", body: "{} {}", status: 400, want: badDocument},
			{name: "C40 null", body: `null`, status: 422, want: "invalid-input /name required"},
			{name: "C41 array", body: `[{"name":"a"}]`, status: 400, want: badDocument},
			{name: "C41 string", body: `"name"`, status: 400, want: badDocument},
			{name: "C41 number", body: `7`, status: 400, want: badDocument},
			{name: "C41 true", body: `true`, status: 400, want: badDocument},
			{name: "C42 depth 10^4", body: deep(10_000, "1"), status: 422, want: "invalid-input /a unknown"},
			{name: "C42 one deeper", body: deep(10_001, "1"), status: 400, want: badDocument},
			{name: "C42 depth 10^4 of arrays", body: `{"name":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, status: 400, want: badDocument},
			{name: "C42 depth 100", body: deep(100, "1"), status: 422, want: "invalid-input /a unknown"},
			{name: "C43 10^6 names", body: many(1_000_000), status: 413, want: "too-large"},
			{name: "C43 5 000 names", body: many(5000), status: 422, want: "invalid-input /m0 unknown"},
			{name: "C44 1e400", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":1e400}`, status: 422, want: "invalid-input /grace_seconds invalid"},
			{name: "C44 2^63", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":9223372036854775808}`, status: 422, want: "invalid-input /grace_seconds invalid"},
			{name: "C44 2^62", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":4611686018427387904}`, status: 422, want: "invalid-input /grace_seconds invalid"},
			{name: "C44 1.0", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":1.0}`, status: 422, want: "invalid-input /grace_seconds invalid"},
			{name: "C44 leading zero", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":01}`, status: 400, want: badDocument},
			{name: "C44 plus", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":+1}`, status: 400, want: badDocument},
			{name: "C44 hexadecimal", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":0x1}`, status: 400, want: badDocument},
			{name: "C45 NaN", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":NaN}`, status: 400, want: badDocument},
			{name: "C45 Infinity", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":-Infinity}`, status: 400, want: badDocument},
			{name: "C46 comment", body: "{\"name\":\"a\" /* x */}", status: 400, want: badDocument},
			{name: "C46 line comment", body: "{\"name\":\"a\"} // x", status: 400, want: badDocument},
			{name: "C46 trailing comma", body: `{"name":"a",}`, status: 400, want: badDocument},
			{name: "C47 single quotes", body: `{'name':'a'}`, status: 400, want: badDocument},
			{name: "C47 no quotes", body: `{name:"a"}`, status: 400, want: badDocument},
			{name: "C48 UTF-16", body: inUTF16(`{"name":"a"}`), status: 400, want: badDocument},
			{name: "C48 UTF-16 by its charset", body: inUTF16(`{"name":"a"}`), more: []string{"Content-Type", "application/json; charset=utf-16"}, status: 415, want: "unsupported-media-type"},
			{name: "C48 byte order mark", body: "\ufeff" + `{"name":"a"}`, status: 400, want: badDocument},
			{name: "C49 __proto__", body: `{"name":"a","__proto__":{"admin":true}}`, status: 422, want: "invalid-input /__proto__ unknown"},
			{name: "C49 constructor", body: `{"name":"a","constructor":{}}`, status: 422, want: "invalid-input /constructor unknown"},
			{name: "C50 a number for a name", body: `{"name":7}`, status: 422, want: invalidName},
			{name: "C50 an array for a name", body: `{"name":["4fJr0c9wTq"]}`, status: 422, want: invalidName, echo: "4fJr0c9wTq"},
			{name: "C50 an object for a name", body: `{"name":{"x":1}}`, status: 422, want: invalidName},
			{name: "C50 true for a name", body: `{"name":true}`, status: 422, want: invalidName},
			{name: "C50 a string for scopes", body: `{"name":"a","scopes":"read"}`, status: 422, want: "invalid-input /scopes invalid"},
			{name: "C50 numbers for scopes", body: `{"name":"a","scopes":[1]}`, status: 422, want: "invalid-input /scopes invalid"},
			{name: "C50 null among scopes", body: `{"name":"a","scopes":[null]}`, status: 422, want: "invalid-input /scopes unknown"},
			{name: "C50 a string for a map", path: "/provider-tokens", body: `{"provider_id":"x","secrets":"4fJr0c9wTq"}`, status: 422, want: "invalid-input /secrets invalid", echo: "4fJr0c9wTq"},
			{name: "C50 a number for a secret", path: "/provider-tokens", body: `{"provider_id":"x","secrets":{"token":12345678}}`, status: 422, want: "invalid-input /secrets/token invalid", echo: "12345678"},
			{name: "C50 a string for a number", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":"60"}`, status: 422, want: "invalid-input /grace_seconds invalid"},
			{name: "C51 null for a name", body: `{"name":null}`, status: 422, want: "invalid-input /name required"},
			{name: "C51 null for a date", body: `{"name":"a","expires_at":null}`, status: 422, want: "invalid-input /expires_at invalid"},
			{name: "C51 null for scopes", body: `{"name":"a","scopes":null}`, status: 422, want: "invalid-input /scopes invalid"},
			{name: "C51 null for a rename", method: "PATCH", path: "/api-keys/" + id, body: `{"name":null}`, status: 422, want: "invalid-input /name required"},
			{name: "C51 an empty patch of a key", method: "PATCH", path: "/api-keys/" + id, body: `{}`, status: 422, want: "invalid-input /name required"},
			{name: "C51 null for a grace", path: "/api-keys/" + id + "/rotations", body: `{"grace_seconds":null}`, status: 422, want: "invalid-input /grace_seconds required"},
			{name: "C51 null for a provider", path: "/provider-tokens", body: `{"provider_id":null}`, status: 422, want: "invalid-input /provider_id required"},
			{name: "C51 null for a label", path: "/provider-tokens", body: `{"provider_id":"x","label":null}`, status: 422, want: "invalid-input /label invalid"},
			{name: "C51 null for a method", path: "/provider-tokens", body: `{"provider_id":"x","method_id":null}`, status: 422, want: "invalid-input /method_id invalid"},
			{name: "C51 null for secrets", path: "/provider-tokens", body: `{"provider_id":"x","secrets":null}`, status: 422, want: "invalid-input /secrets invalid"},
			{name: "C51 null for a secret", path: "/provider-tokens", body: `{"provider_id":"x","secrets":{"token":null}}`, status: 422, want: "invalid-input /secrets/token invalid"},
			{name: "C51 null for fields", path: "/provider-tokens", body: `{"provider_id":"x","fields":null}`, status: 422, want: "invalid-input /fields invalid"},
			{name: "unfinished", body: `{"name":"a"`, status: 400, want: badDocument},
			{name: "invalid UTF-8", body: "{\"name\":\"a\xff\"}", status: 400, want: badDocument},
			{name: "invalid UTF-8 in a name", body: "{\"name\":\"a\",\"\xc0\xaf\":1}", status: 400, want: badDocument},
			{name: "lone surrogate", body: `{"name":"a\ud800"}`, status: 400, want: badDocument},
			{name: "control character in a string", body: "{\"name\":\"a\x01\"}", status: 400, want: badDocument},
			{name: "NUL in a name", body: `{"name":"a\u0000b"}`, status: 422, want: invalidName},
			{name: "NUL in a label", path: "/provider-tokens", body: `{"provider_id":"jira-x","label":"a\u0000","secrets":{"token":"s"}}`, status: 422, want: "invalid-input /label invalid"},
			{name: "NUL in a secret", path: "/provider-tokens", body: `{"provider_id":"jira-x","secrets":{"token":"s\u0000t"}}`, status: 422, want: "invalid-input /secrets/token invalid"},
			{name: "line feed in a secret", path: "/provider-tokens", body: `{"provider_id":"jira-x","secrets":{"token":"s\r\nX-Evil: 1"}}`, status: 422, want: "invalid-input /secrets/token invalid"},
			{name: "NUL in a provider", path: "/provider-tokens", body: `{"provider_id":"a\u0000"}`, status: 422, want: "invalid-input /provider_id unknown"},
			{name: "NUL in a scope", body: `{"name":"a","scopes":["\u0000"]}`, status: 422, want: "invalid-input /scopes unknown"},
			{name: "NUL in a given name", method: "PATCH", path: "/profile", body: `{"given_name":"\u0000"}`, status: 422, want: "invalid-input /given_name invalid"},
		}
		// C52, C53: what only we write, on every route that takes a body.
		for _, route := range []struct{ method, path, body string }{
			{"POST", "/api-keys", `"name":"a"`}, {"PATCH", "/api-keys/" + id, `"name":"a"`},
			{"POST", "/api-keys/" + id + "/rotations", `"grace_seconds":0`},
			{"POST", "/provider-tokens", `"provider_id":"jira-x","secrets":{"token":"` + apiSecretAna + `"}`},
			{"PATCH", "/provider-tokens/" + w.newToken(ana, id), `"label":"b"`}, {"PATCH", "/profile", `"given_name":"a"`},
		} {
			for _, name := range []string{
				"id", "owner", "user_id", "subject", "sub", "tenant", "email", "email_verified", "hash", "hint", "mac", "secret",
				"status", "version", "created_at", "updated_at", "last_used_at", "rotated_from", "account", "origin",
			} {
				inputs = append(inputs, badInput{
					name: "C52 C53 " + name, method: route.method, path: route.path,
					body: `{` + route.body + `,"` + name + `":"4fJr0c9wTq"}`, status: 422,
					want: "invalid-input /" + name + " read-only", echo: "4fJr0c9wTq",
				})
			}
		}
		inputs = append(inputs,
			badInput{name: "C52 the life of a key", method: "PATCH", path: "/api-keys/" + id, body: `{"name":"a","expires_at":"2030-01-01T00:00:00Z"}`, status: 422, want: "invalid-input /expires_at read-only"},
			badInput{name: "C52 the scopes of a key", method: "PATCH", path: "/api-keys/" + id, body: `{"name":"a","scopes":["write"]}`, status: 422, want: "invalid-input /scopes read-only"},
		)
		// C54: dates.
		for _, date := range []string{
			"2026-11-24T09:30:00Z", "2026-11-24T09:29:59Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
			"0001-01-01T05:00:00+05:00", "2030-01-01", "2030-01-01T00:00", "2030-01-01T00:00:00", "2030-01-01 00:00:00Z", "2030-01-01T00:00:00z",
			"2030-01-01t00:00:00Z", "2030-02-30T00:00:00Z", "2030-13-01T00:00:00Z", "2030-01-01T24:00:00Z", "2030-01-01T00:00:60Z",
			"2030-06-30T23:59:60Z", "2030-01-01T00:00:00+24:00", "2030-01-01T00:00:00+1400", "2030-1-1T00:00:00Z", "2030-01-01T00:00:00,5Z",
			"12030-01-01T00:00:00Z", "-2030-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "tomorrow", "", "1893456000", "２０３０-01-01T00:00:00Z",
		} {
			for path, body := range map[string]string{"/api-keys": `"name":"a"`, "/provider-tokens": `"provider_id":"jira-x","secrets":{"token":"s"}`} {
				inputs = append(inputs, badInput{
					name: "C54 " + date, path: path, body: fmt.Sprintf(`{%s,"expires_at":%q}`, body, date), status: 422,
					want: "invalid-input /expires_at invalid",
				})
			}
		}
		inputs = append(inputs, badInput{name: "C54 a number", body: `{"name":"a","expires_at":1893456000}`, status: 422, want: "invalid-input /expires_at invalid"})
		// D55 to D61: what is no JSON.
		for _, kind := range []string{
			"", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp",
			"application/json; charset=utf-16", "application/json; charset=latin1", "application/ld+json", "application/problem+json",
			"application/json, text/plain", "application", "application/json; charset", "*/*",
		} {
			inputs = append(inputs, badInput{
				name: "D " + kind, body: `{"name":"a"}`, more: []string{"Content-Type", kind}, status: 415, want: "unsupported-media-type",
			})
		}
		return append(inputs,
			badInput{name: "D61 two types", body: `{"name":"a"}`, more: []string{"Content-Type", "application/json", "Content-Type", "application/json"}, status: 415, want: "unsupported-media-type"},
			badInput{name: "a merge patch is no creation", body: `{"name":"a"}`, more: []string{"Content-Type", "application/merge-patch+json"}, status: 415, want: "unsupported-media-type"},
		)
	})
}

// The other forms of what is good.
func TestGoodJSON(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	for _, kind := range []string{"application/json", "Application/JSON", "application/json; charset=utf-8", `application/json; charset="UTF-8"`, "application/json;odata=verbose"} {
		w.call(session(ana), "POST", "/api-keys", " {\"name\" : \"\\u0061\\ud83d\\ude00\"}\r\n", "Content-Type", kind).is(201)
	}
	id, _ := w.newKey(ana)
	w.call(session(ana), "POST", "/api-keys/"+id+"/rotations", `{"grace_seconds":-0}`).is(201)
	for date, want := range map[string]string{
		"2030-01-01T00:00:00.123456789+14:00": "2029-12-31T10:00:00.123456Z", "9999-12-31T23:59:59Z": "9999-12-31T23:59:59Z",
		"2030-01-01T00:00:00-00:00": "2030-01-01T00:00:00Z",
	} {
		a := w.call(session(ana), "POST", "/api-keys", jsonObject(t, "name", "n", "expires_at", date)).is(201)
		if got := a.text("api_key.expires_at"); got != want {
			t.Errorf("expires_at %s became %s, want %s", date, got, want)
		}
	}
	// No body, no Content-Type; a type alone is not looked at.
	w.call(session(ana), "DELETE", "/api-keys/"+id, "", "Content-Type", "text/plain").is(204)
}

func inUTF16(text string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

// jsonObject makes an object of strings, in pairs.
func jsonObject(t *testing.T, pairs ...string) string {
	t.Helper()
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, fmt.Sprintf("%q:%s", pairs[i], quoteJSON(pairs[i+1])))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// G103 to G108: who knows another's id learns nothing and changes nothing.
func TestForeignIDsAreUnknownIDs(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		w.call(session(ana), "GET", "/whoami", "").is(200)
		benKey, _ := w.newKey(ben)
		globexKey, _ := w.newKey(globex)
		deleted, _ := w.newKey(ana)
		mustAPI(t, w.keys.Delete(t.Context(), ownerOf(ana), deleted, 0))
		own, _ := w.newKey(ana)
		expired, err := w.keys.Create(t.Context(), ownerOf(ben), apikey.CreateRequest{Name: "old", ExpiresAt: w.clock().Add(time.Second)})
		mustAPI(t, err)
		w.advance(time.Minute)
		benToken, globexToken := w.newToken(ben, ""), w.newToken(globex, "")
		ownToken, gone := w.newToken(ana, ""), w.newToken(ana, "gone")
		mustAPI(t, w.tokens.Delete(t.Context(), ownerOf(ana), gone, 0))
		before := w.dump()
		for _, c := range []struct {
			method, before, after, body string
			ids                         map[string]string
		}{
			{"GET", "/api-keys/", "", "", nil},
			{"PATCH", "/api-keys/", "", `{"name":"stolen"}`, nil},
			{"DELETE", "/api-keys/", "", "", nil},
			{"POST", "/api-keys/", "/rotations", `{"grace_seconds":0}`, nil},
			{"GET", "/provider-tokens/", "", "", nil},
			{"PATCH", "/provider-tokens/", "", `{"label":"stolen"}`, nil},
			{"DELETE", "/provider-tokens/", "", "", nil},
			{"POST", "/provider-tokens/", "/verifications", "", nil},
		} {
			const unknown = "0000000000"
			want := w.call(session(ana), c.method, c.before+unknown+c.after, c.body, "X-Request-Id", "same-request").refused(404, "not-found")
			ids := map[string]string{
				"G103 another user's": benKey, "G104 another tenant's": globexKey, "G105 deleted": deleted, "G106 of another type": ownToken,
				"G107 in another case": strings.Map(swapCase, own), "G108 a neighbour": own[:9] + string(own[9]^1), "another's expired": expired.Key.ID,
			}
			if c.before == "/provider-tokens/" {
				ids = map[string]string{
					"G103 another user's": benToken, "G104 another tenant's": globexToken, "G105 deleted": gone, "G106 of another type": own,
					"G107 in another case": strings.ToUpper(ownToken), "G108 a neighbour": ownToken[:25] + "1",
				}
			}
			for name, id := range ids {
				for _, header := range [][]string{{}, {"If-Match", "*"}, {"If-Match", `"1"`}} {
					got := w.call(session(ana), c.method, c.before+id+c.after, c.body, append(header, "X-Request-Id", "same-request")...)
					if got.status != want.status || !bytes.Equal(got.body, want.body) || fmt.Sprint(got.header) != fmt.Sprint(want.header) {
						t.Errorf("%s: %s %s…%s = %d %s, want as for an unknown id", name, c.method, c.before, c.after, got.status, got.body)
					}
				}
			}
		}
		w.unchanged(before, "requests for what is not ana's")
	})
}

func swapCase(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z':
		return r - 'a' + 'A'
	case r >= 'A' && r <= 'Z':
		return r - 'A' + 'a'
	}
	return r
}

// G109 to G119: keys that are not good, under the mount.
func TestBadKeys(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		w := newAPIWorld(t, apiOptions{store: open})
		w.call(session(ana), "GET", "/whoami", "").is(200)
		_, good := w.newKey(ana)
		deletedID, deleted := w.newKey(ana)
		mustAPI(t, w.keys.Delete(t.Context(), ownerOf(ana), deletedID, 0))
		ending, err := w.keys.Create(t.Context(), ownerOf(ana), apikey.CreateRequest{Name: "n", ExpiresAt: w.clock().Add(time.Second)})
		mustAPI(t, err)
		w.advance(time.Second)
		_, other := w.newKey(ana)
		stored, err := w.store.APIKeys(context.Background(), ownerOf(ana))
		mustAPI(t, err)
		hash := hex.EncodeToString(stored[0].Hash)
		w.call(withKey(deleted), "GET", "/whoami", "").refused(401, "unauthenticated") // leaves its one event of the hour

		const prefix = "aic_"
		want := w.call(withKey(strangersKey(t)), "GET", "/whoami", "", "X-Request-Id", "same-request").refused(401, "unauthenticated")
		before := w.dump()
		for name, key := range map[string]string{
			"G109 deleted":                 deleted,
			"G109 expired":                 ending.Secret.Reveal(),
			"G110 right id, wrong secret":  good[:len(prefix)+10] + other[len(prefix)+10:],
			"G111 right secret, wrong id":  other[:len(prefix)+10] + good[len(prefix)+10:],
			"G112 wrong checksum":          good[:len(good)-6] + other[len(other)-6:],
			"G113 of another installation": strangersKey(t),
			"G114 the stored hash":         prefix + hash[:46],
			"G118 only the prefix":         prefix,
		} {
			got := w.call(withKey(key), "GET", "/whoami", "", "X-Request-Id", "same-request")
			if got.status != want.status || !bytes.Equal(got.body, want.body) || fmt.Sprint(got.header) != fmt.Sprint(want.header) {
				t.Errorf("%s: GET /whoami = %d %s, want as for an unknown key", name, got.status, got.body)
			}
		}
		w.call(withKey(hash), "GET", "/whoami", "").refused(401, "unauthenticated")                              // G114, without the prefix
		w.call(nobody, "GET", "/whoami?access_token="+good, "").refused(400, "malformed-request")                // G115
		w.call(withKey(good), "GET", "/api-keys", "").refused(403, "key-not-allowed")                            // G116
		w.call(nobody, "GET", "/whoami", "", "Authorization", "Bearer ").refused(401, "unauthenticated")         // G118
		w.call(nobody, "GET", "/whoami", "", "Cookie", "aic="+good).refused(401, "unauthenticated")              // not a cookie
		w.call(nobody, "GET", "/whoami", "", "X-Api-Key", good).refused(401, "unauthenticated")                  // nor another header
		w.call(nobody, "POST", "/api-keys", `{"name":"x"}`, "X-User", "ana").refused(401, "unauthenticated")     // nor a name
		w.call(nobody, "GET", "/whoami", "", "X-Original-URL", "/api-keys").refused(401, "unauthenticated")      // F96
		w.call(withKey(good), "GET", "/whoami", "", "X-Original-URL", "/api/v1/api-keys").is(200).text("key_id") // F96
		w.unchanged(before, "keys that are not good")
		w.call(withKey(good), "GET", "/whoami", "").is(200) // G119, in between
		mustAPI(t, w.profiles.Deactivate(t.Context(), ownerOf(ana)))
		w.call(withKey(good), "GET", "/whoami", "").refused(401, "unauthenticated")
	})
}

// tampered is a store that changes the connections it returns.
type tampered struct {
	store.Store
	change func(*store.ProviderToken)
}

func (s *tampered) ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (store.ProviderToken, error) {
	row, err := s.Store.ProviderToken(ctx, owner, id)
	if err == nil && s.change != nil {
		s.change(&row)
	}
	return row, err
}

// K166 to K175: sealed secrets that somebody changed in the table. What is
// wrong is ours to mend, so it is no 4xx; it is never sent anywhere, and
// nothing of it is told.
func TestTamperedSecrets(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(envelope, other []byte) []byte{
		"K166 a bit flipped at the front": func(e, _ []byte) []byte { e[0] ^= 1; return e },
		"K166 a bit flipped at the end":   func(e, _ []byte) []byte { e[len(e)-1] ^= 1; return e },
		"K167 empty":                      func([]byte, []byte) []byte { return []byte{} },
		"K167 cut":                        func(e, _ []byte) []byte { return e[:len(e)/2] },
		"K168 longer":                     func(e, _ []byte) []byte { return append(e, 0) },
		"K169 another owner's":            func(_, other []byte) []byte { return other },
		"K170 an unknown version":         func(e, _ []byte) []byte { return append([]byte{0xff}, e[1:]...) },
		"K173 the plaintext":              func([]byte, []byte) []byte { return []byte(apiSecretAna) },
		"K174 as text":                    func(e, _ []byte) []byte { return []byte(hex.EncodeToString(e)) },
		"K175 two joined":                 func(e, _ []byte) []byte { return append(e, e...) },
	} {
		st := &tampered{}
		w := newAPIWorld(t, apiOptions{store: func(t testing.TB) store.Store { st.Store = openSQLite(t); return st }})
		w.call(session(ana), "GET", "/whoami", "").is(200)
		id, foreign := w.newToken(ana, ""), w.newToken(ben, "")
		row, err := st.Store.ProviderToken(t.Context(), ownerOf(ben), foreign)
		mustAPI(t, err)
		st.change = func(row2 *store.ProviderToken) {
			sealed := row2.Secrets["token"]
			sealed.Envelope = change(bytes.Clone(sealed.Envelope), row.Secrets["token"].Envelope)
			row2.Secrets = map[string]store.SealedSecret{"token": sealed}
		}
		asked := len(w.jira.Requests())
		before := w.dump()
		for _, c := range []struct{ method, path, body string }{
			{"POST", "/verifications", ""}, {"PATCH", "", `{"fields":{"x":"y"}}`},
		} {
			a := w.call(session(ana), c.method, "/provider-tokens/"+id+c.path, c.body)
			if c.method == "PATCH" {
				continue // refused for its field before the secret is opened
			}
			if a.status != 409 || a.get("code") != "needs-attention" {
				t.Errorf("%s: %s %s = %d %s, want 409 needs-attention", name, c.method, c.path, a.status, a.body)
			}
		}
		w.call(session(ana), "GET", "/provider-tokens/"+id, "").is(200)
		if got := len(w.jira.Requests()); got != asked {
			t.Errorf("%s: the platform was asked with a secret that does not open", name)
		}
		w.unchanged(before, fmt.Sprintf("%s: a tampered row", name))
	}
}
