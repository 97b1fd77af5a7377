package vaulttransit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/secretstest"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/store/memory"
)

type rewrapItem = crypto.RewrapItem

func TestSecrets(t *testing.T) {
	t.Parallel()
	secretstest.Run(t, func(t *testing.T) crypto.Secrets { return newServer(t).transit(t) })
}

func TestRotation(t *testing.T) {
	t.Parallel()
	secretstest.RunRotation(t, func(t *testing.T) (crypto.Secrets, func(context.Context) error) {
		s := newServer(t)
		return s.transit(t), func(context.Context) error {
			s.rotate("lanyard")
			return nil
		}
	})
}

// A key that is not derived ignores the binding in silence. The Sealer sees it.
func TestSealer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for key, want := range map[string]error{
		"lanyard": nil,
		"plain":   crypto.ErrUnbound,
		"typo":    crypto.ErrDenied,
	} {
		sealer, err := crypto.NewSealer(newTransit(t, s.client(t), key, nil), memory.New(), nil)
		if err != nil {
			t.Fatalf("NewSealer() = %v, want nil", err)
		}
		if err := sealer.Check(t.Context()); !errors.Is(err, want) {
			t.Errorf("Check() with key %q = %v, want %v", key, err, want)
		}
		b := crypto.Binding{Purpose: "test", Owner: lanyard.Owner{Subject: "ana"}, Record: "r1"}
		sealed, err := sealer.Seal(t.Context(), b, lanyard.NewSecret("hunter2"))
		if !errors.Is(err, want) {
			t.Errorf("Seal() with key %q = %v, want %v", key, err, want)
		}
		if want != nil {
			continue
		}
		if got, err := sealer.Open(t.Context(), b, sealed.Envelope); err != nil || got.Reveal() != "hunter2" {
			t.Errorf("Open() = %q, %v, want what was sealed", got.Reveal(), err)
		}
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	client := newServer(t).client(t)
	for _, tt := range []struct{ mount, key, want string }{
		{"", "lanyard", "vault:transit/lanyard"},
		{"team-a/transit.v2", "my_key.1", "vault:team-a/transit.v2/my_key.1"},
	} {
		if got := newTransit(t, client, tt.key, &vaulttransit.Options{Mount: tt.mount}).Name(); got != tt.want {
			t.Errorf("Name() of %q in %q = %q, want %q", tt.key, tt.mount, got, tt.want)
		}
	}
	if got := newTransit(t, client, "lanyard", &vaulttransit.Options{Name: "vault-eu:transit/lanyard"}).Name(); got != "vault-eu:transit/lanyard" {
		t.Errorf("Name() = %q, want the one it was given", got)
	}
	for _, name := range []string{"a b", "a\n", "clé", "\xff", "\x00", strings.Repeat("k", 256)} {
		if _, err := vaulttransit.New(client, "lanyard", &vaulttransit.Options{Name: name}); err == nil {
			t.Errorf("New() with name %q = nil, want an error", name)
		}
	}
}

// Keys move from one server to another under the same mount and key, where the
// new one has a name of its own.
func TestMoveToAnotherServer(t *testing.T) {
	t.Parallel()
	was, is := newServer(t), newServer(t)
	st := memory.New()
	old := was.transit(t)
	before, err := crypto.NewSealer(old, st, nil)
	if err != nil {
		t.Fatalf("NewSealer() = %v, want nil", err)
	}
	b := crypto.Binding{Purpose: "test", Owner: lanyard.Owner{Subject: "ana"}, Record: "r1"}
	sealed, err := before.Seal(t.Context(), b, lanyard.NewSecret("hunter2"))
	if err != nil {
		t.Fatalf("Seal() = %v, want nil", err)
	}
	if _, err := crypto.NewSealer(is.transit(t), st, &crypto.SealerOptions{Previous: []crypto.Secrets{old}}); err == nil {
		t.Error("NewSealer() with two key services of one name = nil, want an error")
	}
	named := newTransit(t, is.client(t), "lanyard", &vaulttransit.Options{Name: "vault-2:transit/lanyard"})
	after, err := crypto.NewSealer(named, st, &crypto.SealerOptions{Previous: []crypto.Secrets{old}})
	if err != nil {
		t.Fatalf("NewSealer() = %v, want nil", err)
	}
	report, err := after.Rewrap(t.Context(), st, nil)
	if err != nil || report.Rewrapped != report.Keys || len(report.Remaining) != 0 {
		t.Errorf("Rewrap() = %+v, %v, want all moved", report, err)
	}
	was.Close()
	alone, err := crypto.NewSealer(named, st, nil)
	if err != nil {
		t.Fatalf("NewSealer() = %v, want nil", err)
	}
	if got, err := alone.Open(t.Context(), b, sealed.Envelope); err != nil || got.Reveal() != "hunter2" {
		t.Errorf("Open() without the old server = %v, want what was sealed", err)
	}
}

// A busy server is left alone for as long as it says, if it says so.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Minute)
	for _, tt := range []struct {
		said     string
		min, max time.Duration
	}{
		{"", 0, 0},
		{"0", 0, 0},
		{"1", time.Second, time.Second},
		{"3600", time.Hour, time.Hour},
		{"99999999999999999999", 0, 0},
		{"-1", 0, 0},
		{"+1", 0, 0},
		{"1.5", 0, 0},
		{"1s", 0, 0},
		{"soon", 0, 0},
		{"\x00", 0, 0},
		{soon.UTC().Format(http.TimeFormat), 50 * time.Second, time.Minute},
		{soon.UTC().Format(time.RFC850), 50 * time.Second, time.Minute},
		{"Mon, 02 Jan 2006 15:04:05 GMT", 0, 0},
	} {
		for status, heeds := range map[int]bool{429: true, 503: true, 500: false, 403: false, 200: false} {
			s := newServer(t)
			secrets := s.transit(t)
			s.instead(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tt.said)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"errors":["`+canaryText+`"]}`)
			})
			_, err := secrets.Wrap(t.Context(), make([]byte, crypto.KeySize), []byte("place"))
			wantSilent(t, "Wrap()", err, nil)
			var busy *crypto.BusyError
			if !errors.As(err, &busy) {
				busy = new(crypto.BusyError)
			}
			if !heeds && busy.RetryAfter != 0 || heeds && (busy.RetryAfter < tt.min || busy.RetryAfter > tt.max) {
				t.Errorf("%d with Retry-After %q = %v to wait, want between %v and %v if it is 429 or 503", status, tt.said, busy.RetryAfter, tt.min, tt.max)
			}
			if !errors.Is(err, lanyard.ErrUnavailable) {
				t.Errorf("%d with Retry-After %q = %v, want ErrUnavailable", status, tt.said, err)
			}
			if n := len(s.requests()); n != 1 {
				t.Errorf("%d with Retry-After %q took %d requests, want 1", status, tt.said, n)
			}
			s.Close()
		}
	}
}

// A name that leads elsewhere is refused, and no request is made.
func TestNewRefusesNames(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := s.client(t)
	bad := []string{
		"..", ".", "../keys", "a/../b", "a..b", "/a", "a/", "a//b", "a/./b", "a b", "a\x00", "a\n", "a?b", "a#b", "a%2fb", `a\b`, "-a", "a-", "clé", "\xff",
		strings.Repeat("k", 256),
	}
	for _, name := range append(bad, "", "a/b") {
		if _, err := vaulttransit.New(client, name, nil); err == nil {
			t.Errorf("New(%q) = nil, want an error", name)
		}
	}
	for _, mount := range bad {
		if _, err := vaulttransit.New(client, "lanyard", &vaulttransit.Options{Mount: mount}); err == nil {
			t.Errorf("New() with mount %q = nil, want an error", mount)
		}
	}
	if _, err := vaulttransit.New(nil, "lanyard", nil); err == nil {
		t.Error("New() without a client = nil, want an error")
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("New() made %d requests, want none", n)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secrets := s.transit(t)
	key, it := sample(t, secrets, "a place")
	if it.Wrapped.KeyVersion != "v1" || !bytes.HasPrefix(it.Wrapped.Ciphertext, []byte("vault:v1:")) {
		t.Errorf("Wrap() = %q of version %q, want one of v1", it.Wrapped.Ciphertext, it.Wrapped.KeyVersion)
	}
	if _, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding); err != nil {
		t.Fatalf("Unwrap() = %v, want nil", err)
	}
	secrets.Rewrap(t.Context(), []rewrapItem{it})
	var paths []string
	for _, a := range s.requests() {
		paths = append(paths, a.path)
		if len(a.batch.Items) != 1 || a.batch.PartialFailure != http.StatusOK {
			t.Errorf("%s asked for %d items with partial failure %d, want 1 and 200", a.path, len(a.batch.Items), a.batch.PartialFailure)
			continue
		}
		if got, _ := base64.StdEncoding.DecodeString(a.batch.Items[0].Context); string(got) != "a place" {
			t.Errorf("%s has context %q, want the binding", a.path, got)
		}
		if a.token != canaryToken || a.header.Get("X-Vault-Request") != "true" {
			t.Errorf("%s has headers %v, want the client's", a.path, a.header)
		}
	}
	if want := []string{"PUT /v1/transit/encrypt/lanyard", "PUT /v1/transit/decrypt/lanyard", "PUT /v1/transit/rewrap/lanyard"}; !slices.Equal(paths, want) {
		t.Errorf("requests = %q, want %q", paths, want)
	}
	if got, _ := base64.StdEncoding.DecodeString(s.requests()[0].batch.Items[0].Plaintext); !bytes.Equal(got, key) {
		t.Error("encrypt was given another key")
	}
}

func TestUnwrapErrors(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secrets := s.transit(t)
	_, first := sample(t, secrets, "place")
	for range 9 {
		s.rotate("lanyard")
	}
	_, tenth := sample(t, secrets, "place")
	flipped := func(w crypto.Wrapped) crypto.Wrapped {
		c := bytes.Clone(w.Ciphertext)
		i := len(c) - 10
		c[i] = map[bool]byte{true: 'B', false: 'A'}[c[i] == 'A']
		return crypto.Wrapped{KeyVersion: w.KeyVersion, Ciphertext: c}
	}
	version := func(w crypto.Wrapped, v string) crypto.Wrapped {
		_, encoded, _ := strings.Cut(string(w.Ciphertext)[len("vault:v"):], ":")
		return crypto.Wrapped{KeyVersion: v, Ciphertext: []byte("vault:" + v + ":" + encoded)}
	}
	for name, tt := range map[string]struct {
		w       crypto.Wrapped
		binding string
		want    error
	}{
		"another binding":         {first.Wrapped, "elsewhere", crypto.ErrIntegrity},
		"no binding":              {first.Wrapped, "", crypto.ErrIntegrity},
		"a changed ciphertext":    {flipped(first.Wrapped), "place", crypto.ErrIntegrity},
		"another version":         {version(first.Wrapped, "v2"), "place", crypto.ErrIntegrity},
		"a version above all":     {version(tenth.Wrapped, "v11"), "place", crypto.ErrUnknownKey},
		"version 0":               {version(first.Wrapped, "v0"), "place", crypto.ErrIntegrity},
		"a version with a nought": {crypto.Wrapped{KeyVersion: "v1", Ciphertext: version(first.Wrapped, "v01").Ciphertext}, "place", crypto.ErrIntegrity},
		"a version with a sign":   {version(first.Wrapped, "v+1"), "place", crypto.ErrIntegrity},
		"a huge version":          {version(first.Wrapped, "v99999999999999999999"), "place", crypto.ErrIntegrity},
		"another version beside":  {crypto.Wrapped{KeyVersion: "v10", Ciphertext: first.Wrapped.Ciphertext}, "place", crypto.ErrIntegrity},
	} {
		key, err := secrets.Unwrap(t.Context(), tt.w, []byte(tt.binding))
		if !errors.Is(err, tt.want) || len(key) != 0 {
			t.Errorf("Unwrap() of %s = %d bytes, %v, want %v", name, len(key), err, tt.want)
		}
	}

	// A version that may be opened no more looks to us like one that was changed.
	s.keys["lanyard"].minDecrypt = 2
	if _, err := secrets.Unwrap(t.Context(), first.Wrapped, first.Binding); !errors.Is(err, crypto.ErrIntegrity) {
		t.Errorf("Unwrap() below min_decryption_version = %v, want ErrIntegrity", err)
	}
	if _, err := newTransit(t, s.client(t), "typo", nil).Unwrap(t.Context(), first.Wrapped, first.Binding); !errors.Is(err, crypto.ErrUnknownKey) {
		t.Errorf("Unwrap() with a key that is not there = %v, want ErrUnknownKey", err)
	}
	elsewhere := newTransit(t, s.client(t), "lanyard", &vaulttransit.Options{Mount: "elsewhere"})
	if _, err := elsewhere.Unwrap(t.Context(), first.Wrapped, first.Binding); !errors.Is(err, crypto.ErrUnknownKey) {
		t.Errorf("Unwrap() at a mount that is not there = %v, want ErrUnknownKey", err)
	}
}

// Statuses and bodies of a request that fails as a whole, and what they mean.
// Whatever it was, the server is asked once, and what it said stays inside.
func TestAnswers(t *testing.T) {
	t.Parallel()
	said := fmt.Sprintf(`{"errors":["%s %s"]}`, canaryText, canaryToken)
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"sealed":                      {answers(503, said), lanyard.ErrUnavailable},
		"internal error":              {answers(500, said), lanyard.ErrUnavailable},
		"internal error, by items":    {answers(500, `{"data":{"batch_results":[{"error":"x","reference":"0"}]}}`), lanyard.ErrUnavailable},
		"bad gateway":                 {answers(502, "<html>"+canaryText), lanyard.ErrUnavailable},
		"standby":                     {answers(473, said), lanyard.ErrUnavailable},
		"stale replica":               {answers(412, said), lanyard.ErrUnavailable},
		"too many requests":           {answers(429, said), lanyard.ErrUnavailable},
		"forbidden":                   {answers(403, said), crypto.ErrDenied},
		"unauthorized":                {answers(401, canaryText), crypto.ErrDenied},
		"no such mount":               {answers(404, `{"errors":[]}`), crypto.ErrUnknownKey},
		"no such key":                 {answers(400, said), crypto.ErrUnknownKey},
		"404 of something before it":  {answers(404, "<html>"+canaryText), lanyard.ErrUnavailable},
		"400 of something before it":  {answers(400, `{"message":"`+canaryText+`"}`), lanyard.ErrUnavailable},
		"400 without a body":          {answers(400, ""), lanyard.ErrUnavailable},
		"nothing":                     {answers(200, ""), lanyard.ErrUnavailable},
		"no content":                  {answers(204, ""), lanyard.ErrUnavailable},
		"null":                        {answers(200, "null"), lanyard.ErrUnavailable},
		"an empty object":             {answers(200, "{}"), lanyard.ErrUnavailable},
		"no data":                     {answers(200, `{"data":null}`), lanyard.ErrUnavailable},
		"no results":                  {answers(200, `{"data":{"batch_results":[]}}`), lanyard.ErrUnavailable},
		"no results, 400":             {answers(400, `{"data":{"batch_results":[]}}`), lanyard.ErrUnavailable},
		"a null result":               {answers(200, `{"data":{"batch_results":[null]}}`), lanyard.ErrUnavailable},
		"an empty result":             {answers(200, `{"data":{"batch_results":[{"reference":"0"}]}}`), lanyard.ErrUnavailable},
		"no reference":                {answers(200, `{"data":{"batch_results":[{"ciphertext":"vault:v1:x","plaintext":""}]}}`), lanyard.ErrUnavailable},
		"another reference":           {answers(200, `{"data":{"batch_results":[{"reference":"1"}]}}`), lanyard.ErrUnavailable},
		"an odd reference":            {answers(200, `{"data":{"batch_results":[{"reference":"+0"}]}}`), lanyard.ErrUnavailable},
		"two results":                 {answers(200, `{"data":{"batch_results":[{"reference":"0"},{"reference":"0"}]}}`), lanyard.ErrUnavailable},
		"an array":                    {answers(200, `[1]`), lanyard.ErrUnavailable},
		"a wrong type":                {answers(200, `{"data":{"batch_results":"x"}}`), lanyard.ErrUnavailable},
		"two documents":               {answers(200, `{"data":{"batch_results":[{"reference":"0"}]}}{}`), lanyard.ErrUnavailable},
		"a page":                      {answers(200, "<html>"+canaryText), lanyard.ErrUnavailable},
		"bytes":                       {answers(200, "\x00\xff\xfe"), lanyard.ErrUnavailable},
		"cut short":                   {cut, lanyard.ErrUnavailable},
		"cut short, an error":         {cutError, lanyard.ErrUnavailable},
		"a redirect to nowhere":       {answers(307, ""), lanyard.ErrUnavailable},
		"not modified":                {answers(304, ""), lanyard.ErrUnavailable},
		"connection closed":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, lanyard.ErrUnavailable},
		"more than is read":           {huge(200), lanyard.ErrUnavailable},
		"more than is read, an error": {huge(500), lanyard.ErrUnavailable},
		"more than is read, a 400":    {huge(400), lanyard.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			secrets := s.transit(t)
			key, it := sample(t, secrets, "place")
			s.instead(tt.handler)
			before := len(s.requests())

			w, err := secrets.Wrap(t.Context(), key, it.Binding)
			wantOutcome(t, "Wrap()", err, tt.want, key)
			if len(w.Ciphertext) != 0 {
				t.Errorf("Wrap() returned %q beside an error", w.Ciphertext)
			}
			got, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding)
			wantOutcome(t, "Unwrap()", err, tt.want, key)
			if len(got) != 0 {
				t.Error("Unwrap() returned a key beside an error")
			}
			answers := secrets.Rewrap(t.Context(), []rewrapItem{it})
			if len(answers) != 1 {
				t.Fatalf("Rewrap() gave %d answers, want 1", len(answers))
			}
			wantOutcome(t, "Rewrap()", answers[0].Err, tt.want, key)

			if n := len(s.requests()) - before; n != 3 {
				t.Errorf("three calls made %d requests, want 3", n)
			}
			s.instead(nil)
			if got, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding); err != nil || !bytes.Equal(got, key) {
				t.Errorf("Unwrap() afterwards = %v, want the key", err)
			}
		})
	}
}

// A key of another length, or none, is not passed on.
func TestUnwrapOfNoKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secrets := s.transit(t)
	_, it := sample(t, secrets, "place")
	for _, plaintext := range []any{"", nil, "AAAA", strings.Repeat("A", 1<<10), "not base64!", 7, base64.StdEncoding.EncodeToString(make([]byte, 33))} {
		s.mu.Lock()
		s.rewrite = func(answer map[string]any) { firstResult(answer)["plaintext"] = plaintext }
		s.mu.Unlock()
		if key, err := secrets.Unwrap(t.Context(), it.Wrapped, it.Binding); !errors.Is(err, lanyard.ErrUnavailable) || key != nil {
			t.Errorf("Unwrap() of an answer with plaintext %v = %d bytes, %v, want ErrUnavailable", plaintext, len(key), err)
		}
	}
}

// A ciphertext that is none is not passed on.
func TestWrapOfNoCiphertext(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secrets := s.transit(t)
	sealed := base64.StdEncoding.EncodeToString(make([]byte, 60))
	for _, ciphertext := range []any{
		"", nil, 7, "vault:v1:", "vault:v0:" + sealed, "vault:v-1:" + sealed, "vault:v1:" + sealed[:20], "vault:v1" + sealed, "vault:1:" + sealed,
		"vault:v1:" + sealed + "\n", "vault:v1:" + strings.Repeat("A", crypto.MaxWrapped), "vault:v1:" + sealed[:79] + "\xff", sealed, "brahms:v1:" + sealed,
		"vault:v01:" + sealed, "vault:v+1:" + sealed, "vault:v1:" + strings.Repeat("A", 81) + "B==",
	} {
		s.mu.Lock()
		s.rewrite = func(answer map[string]any) { firstResult(answer)["ciphertext"] = ciphertext }
		s.mu.Unlock()
		if w, err := secrets.Wrap(t.Context(), make([]byte, 32), []byte("place")); !errors.Is(err, lanyard.ErrUnavailable) || w.Ciphertext != nil {
			t.Errorf("Wrap() of an answer with ciphertext %.40v = %.40q, %v, want ErrUnavailable", ciphertext, w.Ciphertext, err)
		}
	}
}

func firstResult(answer map[string]any) map[string]any {
	return answer["data"].(map[string]any)["batch_results"].([]map[string]any)[0]
}

// wantOutcome fails the test unless err is what is wanted and nothing more: no
// other of our errors, no error of the client, and no word of the server.
func wantOutcome(t *testing.T, what string, err, want error, key []byte) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
		return
	}
	for _, other := range []error{crypto.ErrIntegrity, crypto.ErrUnknownKey, crypto.ErrDenied} {
		if !errors.Is(want, other) && errors.Is(err, other) {
			t.Errorf("%s = %v, which is %v too", what, err, other)
		}
	}
	wantSilent(t, what, err, key)
}

func wantSilent(t *testing.T, what string, err error, key []byte) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(fmt.Sprintf("%T", e), "vault/api") || strings.Contains(fmt.Sprintf("%T", e), "url.Error") {
			t.Errorf("%s carries a %T", what, e)
		}
	}
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, secret := range []string{
		canaryToken, canaryText, canarySecretID, canaryJWT, "hvs.", "127.0.0.1", string(key), hex.EncodeToString(key),
		base64.StdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key),
	} {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s = %q, which holds %q", what, text, secret)
		}
	}
}

// cut promises more than it writes.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`{"data":{"batch_results":[{"reference":"0"`))
}

func cutError(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write([]byte(`{"errors":["` + canaryText))
}

// huge answers with 20 MB of well-formed JSON.
func huge(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"errors":[`))
		for range 20 {
			_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20))
		}
		_, _ = w.Write([]byte(`]}`))
	}
}
