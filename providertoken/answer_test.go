package providertoken_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// answers is a platform whose answers try what a client must not pass on.
type answers struct{ recorder }

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("X-Key")
	switch r.URL.Path {
	case "/echo":
		w.Header().Set("X-Echo", key)
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("Trailer", "X-Trailing")
		_, _ = io.WriteString(w, key+" "+url.QueryEscape(key)+" "+base64.StdEncoding.EncodeToString([]byte("u:"+key)))
		w.Header().Set("X-Trailing", key)
	case "/endless":
		piece := make([]byte, 64<<10)
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	case "/bomb":
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		piece := make([]byte, 1<<20)
		for range 64 {
			if _, err := z.Write(piece); err != nil {
				return
			}
		}
		_ = z.Close()
	case "/br":
		w.Header().Set("Content-Encoding", "br")
		_, _ = io.WriteString(w, key)
	case "/identity-br":
		w.Header()["Content-Encoding"] = []string{"identity", "br"}
		_, _ = io.WriteString(w, key)
	case "/zipped", "/zipped-nothing":
		w.Header().Set("Content-Encoding", "gzip")
		if z := gzip.NewWriter(w); r.URL.Path == "/zipped" {
			_, _ = io.WriteString(z, "plain")
			_ = z.Close()
		}
	case "/gzip-br":
		w.Header()["Content-Encoding"] = []string{"gzip", "br"}
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "what br makes of "+key)
		_ = z.Close()
	case "/header":
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	default:
		a.recorder.ServeHTTP(w, r)
	}
}

func newAnswers(t *testing.T, change func(*providertoken.Options)) (*answers, *world, string) {
	t.Helper()
	a := &answers{recorder{status: http.StatusFound}}
	server, err := providertest.NewServer(a)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newWorld(t, func(o *providertoken.Options) {
		o.Providers, o.Instances = append(o.Providers, acme("X-Key")), append(o.Instances, instance(server))
		if change != nil {
			change(o)
		}
	})
	_, err = w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	return a, w, server.URL()
}

func (w *world) client(t *testing.T, use *providertoken.Use) *http.Client {
	t.Helper()
	c, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, use)
	ok(t, err)
	return c
}

// A client in the same process sees the credential in no answer either.
func TestAnAnswerDoesNotRepeatTheCredential(t *testing.T) {
	t.Parallel()
	_, w, base := newAnswers(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/echo", nil)
	ok(t, err)
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := w.client(t, nil).Do(req)
	ok(t, err)
	if text := fmt.Sprintf("%v %+v %#v", res.Body, res.Body, res.Body); strings.Contains(text, "canary") {
		t.Errorf("a body prints as %s", text)
	}
	body, err := io.ReadAll(res.Body)
	ok(t, err)
	ok(t, res.Body.Close())
	text := string(body) + fmt.Sprint(res.Header, res.Trailer, res.Status)
	for _, secret := range []string{anaSecret, base64.StdEncoding.EncodeToString([]byte("u:" + anaSecret))[4:20], "X-Trailing:", "session=1"} {
		if strings.Contains(text, secret) {
			t.Errorf("an answer repeats %d characters of what stays behind: %s", len(secret), text)
		}
	}
	if got, want := res.Header.Get("X-Echo"), strings.Repeat("*", len(anaSecret)); got != want || !strings.HasPrefix(string(body), want+" ") {
		t.Errorf("the answer is %q with %q, want stars", body, got)
	}
}

// An answer ends where the host wants it to, and one that nobody can look into
// is not passed on.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	_, w, base := newAnswers(t, func(o *providertoken.Options) { o.MaxAnswer = most })
	c := w.client(t, nil)
	for _, path := range []string{"/endless", "/bomb"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		ok(t, err)
		res, err := c.Do(req)
		ok(t, err)
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if n > most || !errors.Is(err, providertoken.ErrAnswerTooLarge) {
			t.Errorf("%s gave %d bytes and %v, want at most %d and ErrAnswerTooLarge", path, n, err, most)
		}
	}
	for _, path := range []string{"/zipped", "/zipped-nothing"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
			ok(t, err)
			res, err := c.Do(req)
			ok(t, err)
			body, err := io.ReadAll(res.Body)
			ok(t, err)
			_ = res.Body.Close()
			if want := map[string]string{"GET /zipped": "plain"}[method+" "+path]; string(body) != want || res.Uncompressed != (method == http.MethodGet) {
				t.Errorf("%s %s = %q, uncompressed %v, want %q", method, path, body, res.Uncompressed, want)
			}
		}
	}
	is(t, "an answer in another encoding", get(t, c, "GET", base+"/br"), providertoken.ErrUnreadable)
	is(t, "an answer in two encodings", get(t, c, "GET", base+"/identity-br"), providertoken.ErrUnreadable)
	is(t, "an answer in two encodings, of which one is known", get(t, c, "GET", base+"/gzip-br"), providertoken.ErrUnreadable)
	is(t, "a header without an end", get(t, c, "GET", base+"/header"), providertoken.ErrUnreachable)
	_, w, base = newAnswers(t, func(o *providertoken.Options) { o.MaxAnswer = -1 })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/bomb", nil)
	ok(t, err)
	res, err := w.client(t, nil).Do(req)
	ok(t, err)
	if n, err := io.Copy(io.Discard, res.Body); n != 64<<20 || err != nil {
		t.Errorf("without a limit: %d bytes and %v, want all", n, err)
	}
	_ = res.Body.Close()
}

// A platform that changes the protocol by itself gets no further.
func TestAnAnswerThatChangesTheProtocol(t *testing.T) {
	t.Parallel()
	switching := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/me" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id": 7}`)
			return
		}
		if r.Header.Get("Upgrade") != "" {
			t.Error("an upgrade was asked for")
		}
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("Hijack = %v", err)
			return
		}
		_, _ = out.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + r.Header.Get("X-Key"))
		_ = out.Flush()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	})
	server, err := providertest.NewServer(switching)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newWorld(t, func(o *providertoken.Options) {
		o.Providers, o.Instances = append(o.Providers, acme("X-Key")), append(o.Instances, instance(server))
	})
	one := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.RootCAs(), MinVersion: tls.VersionTLS12}}
	t.Cleanup(one.CloseIdleConnections)
	providertoken.SetTransport(w.tokens, "acme-x", one) // HTTP/2 has no such thing
	_, err = w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+"/ws", nil)
	ok(t, err)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	res, err := w.client(t, nil).Do(req)
	if err == nil {
		_ = res.Body.Close()
	}
	is(t, "an upgrade", err, providertoken.ErrUnreadable)
}

// What a query says of who calls does not go out, and all else does.
func TestTheQueryIsGuarded(t *testing.T) {
	t.Parallel()
	a, w, base := newAnswers(t, nil)
	c := w.client(t, nil)
	for query, want := range map[string]string{
		"":                                  "",
		"jql=a+b%20c&x":                     "jql=a+b%20c&x",
		"access_token=thief":                "",
		"a=1&private_token=thief&b=2":       "a=1&b=2",
		"a=1&PRIVATE_TOKEN=thief":           "a=1",
		"%70rivate_token=thief&b=2":         "b=2",
		"os_username=x&os_password=y&q=%zz": "q=%zz",
		"pageToken=3&token_type=x":          "pageToken=3&token_type=x",
		"a=1;private_token=thief;b=2":       "a=1;b=2",
		"private_token=thief;b=2&c=3;":      "b=2&c=3",
		"private_token[]=thief&b[]=2":       "b[]=2",
		"a=1&access_token%5B0%5D=thief":     "a=1",
		"a=1&+private_token+=thief":         "a=1",
		"a=1&%09private_token%00=thief":     "a=1",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/things", nil)
		ok(t, err)
		req.URL.RawQuery = query
		send(t, c, req)
		if got := a.last().query; got != want {
			t.Errorf("the query %q went out as %q, want %q", query, got, want)
		}
		if req.URL.RawQuery != query {
			t.Errorf("the caller's own query is now %q", req.URL.RawQuery)
		}
	}
}

// A part of an answer could be a part of the credential.
func TestAnAnswerIsWhole(t *testing.T) {
	t.Parallel()
	a, w, base := newAnswers(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/things", nil)
	ok(t, err)
	for _, name := range []string{"Range", "If-Range", "X-Forwarded-For", "Forwarded", "Upgrade", "Private-Token", "x_api_key"} {
		req.Header[name] = []string{"of-the-caller"}
	}
	send(t, w.client(t, nil), req)
	if text := fmt.Sprint(a.last().header); strings.Contains(text, "of-the-caller") {
		t.Errorf("what should stay behind arrived: %s", text)
	}
}

// turning is a context that does something when it is asked for its end.
type turning struct {
	context.Context //nolint:containedctx // it is a context
	turn            func()
}

func (c turning) Done() <-chan struct{} {
	c.turn()
	return c.Context.Done()
}

// What was looked at is what goes out, whatever the caller does to his request
// meanwhile.
func TestARequestCannotTurn(t *testing.T) {
	t.Parallel()
	a, w, base := newAnswers(t, nil)
	there, err := url.Parse(base)
	ok(t, err)
	c := w.client(t, &providertoken.Use{ReadOnly: true})
	var (
		req    *http.Request
		turned bool
		once   sync.Once // before anything is sent
	)
	req, err = http.NewRequestWithContext(turning{t.Context(), func() {
		once.Do(func() {
			req.URL.Host, req.URL.Path, req.Method, turned = "localhost:"+there.Port(), "/stolen", http.MethodDelete, true
		})
	}}, http.MethodGet, base+"/things", nil)
	ok(t, err)
	res, err := c.Transport.RoundTrip(req)
	if err == nil {
		_ = res.Body.Close()
	}
	got := a.last()
	if !turned || got.host != there.Host || got.method != http.MethodGet || got.path == "/stolen" {
		t.Errorf("a request that turned (%v) went out as %s %s%s, want GET %s/things", turned, got.method, got.host, got.path, there.Host)
	}
}

// Trailers are headers that come later.
func TestTrailersStayBehind(t *testing.T) {
	t.Parallel()
	a, w, base := newAnswers(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/things", io.MultiReader(strings.NewReader("body")))
	ok(t, err)
	req.Trailer = http.Header{"X-Key": {"of-the-caller"}}
	send(t, w.client(t, nil), req)
	if got := a.last().after; len(got) > 0 {
		t.Errorf("the trailer %v went out", got)
	}
}

// The five kinds of redirect, and the four ways to follow one.
func TestRedirectKinds(t *testing.T) {
	t.Parallel()
	thief := &recorder{}
	elsewhere, err := providertest.NewServer(thief)
	ok(t, err)
	t.Cleanup(func() { _ = elsewhere.Close(context.Background()) })
	for kind, c := range map[string]struct {
		to     func(base string) string
		status int
	}{
		"to an internal address": {func(string) string { return "https://169.254.169.254/latest/meta-data" }, http.StatusFound},
		"to another port":        {func(string) string { return elsewhere.URL() + "/" }, http.StatusFound},
		"to plain http":          {func(base string) string { return strings.Replace(base, "https:", "http:", 1) + "/" }, http.StatusMovedPermanently},
		"without an end":         {func(base string) string { return base + "/go" }, http.StatusFound},
		"with the body, 307":     {func(string) string { return elsewhere.URL() + "/" }, http.StatusTemporaryRedirect},
		"with the body, 308":     {func(string) string { return elsewhere.URL() + "/" }, http.StatusPermanentRedirect},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			a, w, base := newAnswers(t, nil)
			a.status = c.status
			a.sendTo(c.to(base))
			post := func(client *http.Client) (*http.Response, error) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/go", strings.NewReader("body"))
				ok(t, err)
				res, err := client.Do(req)
				if err == nil {
					_ = res.Body.Close()
				}
				return res, err
			}
			lent := w.client(t, nil)
			res, err := post(lent)
			if err != nil || res.StatusCode != c.status {
				t.Errorf("a client = %v, %v, want the redirect itself", res, err)
			}
			before := a.count()
			_, err = post(&http.Client{Transport: lent.Transport})
			if kind == "without an end" {
				if n := a.count() - before; err == nil || n > 10 {
					t.Errorf("another client over ours went on %d times: %v", n, err)
				}
			} else {
				is(t, "another client over ours", err, providertoken.ErrForeignOrigin)
			}
			// A verification does not go on either.
			d := acme("X-Key")
			d.Verify[0].Path = "/go"
			options := w.options
			options.Providers = []providertoken.Definition{d}
			options.Instances = options.Instances[len(options.Instances)-1:]
			s, err := providertoken.NewService(w.store, w.sealer, &options)
			ok(t, err)
			before = a.count()
			r := acmeRequest
			r.Label = "second"
			_, err = s.Create(t.Context(), ana, r)
			var verdict *providertoken.VerificationError
			if n := a.count() - before; !errors.As(err, &verdict) || verdict.Verdict != providertoken.VerdictInvalid || n != 1 {
				t.Errorf("a verification = %v after %d requests, want it invalid after one", err, n)
			}
		})
	}
	t.Cleanup(func() {
		if n := thief.count(); n != 0 {
			t.Errorf("%d requests arrived elsewhere", n)
		}
	})
}

// The host's policy decides who may use what.
func TestPolicies(t *testing.T) {
	t.Parallel()
	_, w, base := newAnswers(t, nil)
	ask := func(o providertoken.Options, use providertoken.Use) error {
		s, err := providertoken.NewService(w.store, w.sealer, &o)
		ok(t, err)
		c, err := s.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, &use)
		if err != nil {
			return err
		}
		return get(t, c, "POST", base+"/things")
	}
	with := func(all providertoken.Policy, byID map[string]providertoken.Policy) providertoken.Options {
		o := w.options
		o.Policy, o.Policies = all, byID
		return o
	}
	agents := func(names ...string) providertoken.Policy { return providertoken.Policy{Agents: names} }
	planner := providertoken.Use{AgentID: "planner", Purpose: "report"}
	for name, c := range map[string]struct {
		o    providertoken.Options
		use  providertoken.Use
		want error
		code string // of an InputError, by field
	}{
		"none":                        {with(providertoken.Policy{}, nil), providertoken.Use{}, nil, ""},
		"an agent that is allowed":    {with(agents("other", "planner"), nil), planner, nil, ""},
		"another":                     {with(agents("other"), nil), planner, providertoken.ErrAgentNotAllowed, ""},
		"nobody":                      {with(agents([]string{}...), map[string]providertoken.Policy{"acme": {Agents: []string{}}}), planner, providertoken.ErrAgentNotAllowed, ""},
		"without a name":              {with(agents("planner"), nil), providertoken.Use{}, providertoken.ErrAgentNotAllowed, ""},
		"for the definition":          {with(providertoken.Policy{}, map[string]providertoken.Policy{"acme": agents("other")}), planner, providertoken.ErrAgentNotAllowed, ""},
		"for the instance":            {with(providertoken.Policy{}, map[string]providertoken.Policy{"acme-x": agents("other")}), planner, providertoken.ErrAgentNotAllowed, ""},
		"for another provider":        {with(providertoken.Policy{}, map[string]providertoken.Policy{"github": agents("other")}), planner, nil, ""},
		"both hold":                   {with(agents("planner"), map[string]providertoken.Policy{"acme": agents("other")}), planner, providertoken.ErrAgentNotAllowed, ""},
		"reading for all":             {with(providertoken.Policy{ReadOnly: true}, nil), planner, providertoken.ErrReadOnly, ""},
		"reading for one":             {with(providertoken.Policy{}, map[string]providertoken.Policy{"acme": {ReadOnly: true}}), planner, providertoken.ErrReadOnly, ""},
		"an agent is asked for":       {with(providertoken.Policy{RequireAgent: true}, nil), providertoken.Use{Purpose: "p"}, nil, "agent_id"},
		"a purpose is asked for":      {with(providertoken.Policy{RequirePurpose: true}, nil), providertoken.Use{AgentID: "a"}, nil, "purpose"},
		"what is asked for was given": {with(providertoken.Policy{RequireAgent: true, RequirePurpose: true}, nil), planner, nil, ""},
	} {
		err := ask(c.o, c.use)
		switch {
		case c.code != "":
			if inputCode(err, c.code) != lanyard.CodeRequired {
				t.Errorf("%s: %v, want an InputError for %s", name, err, c.code)
			}
		case c.want == nil && err != nil, !errors.Is(err, c.want):
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	o := with(providertoken.Policy{}, map[string]providertoken.Policy{"acmee": {ReadOnly: true}})
	if _, err := providertoken.NewService(w.store, w.sealer, &o); err == nil || !strings.Contains(err.Error(), "acmee") {
		t.Errorf("a policy for nobody = %v, want an error that names it", err)
	}
	if !errors.Is(providertoken.ErrAgentNotAllowed, lanyard.ErrForbidden) {
		t.Error("ErrAgentNotAllowed is no ErrForbidden")
	}
}

// An account is stored in the open: where the platform's answer repeats the
// credential, it is masked there too, and an id that repeats it names nobody.
func TestAnAccountDoesNotRepeatTheCredential(t *testing.T) {
	t.Parallel()
	var body string
	server, err := providertest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		says(200, "application/json", body)(w, r)
	}))
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	d := acme("X-Key")
	d.Verify[0].Identity.Name, d.Verify[0].Identity.Email = "name", "email"
	w := newWorld(t, func(o *providertoken.Options) {
		o.Providers, o.Instances = append(o.Providers, d), append(o.Instances, instance(server))
	})
	body = `{"id": "canary", "name": "Ana (` + anaSecret + `)", "email": "` + strings.ReplaceAll(anaSecret, "-", `-\u200b`) + `@acme.example"}`
	token, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	stars := strings.Repeat("*", len(anaSecret))
	if want := (providertoken.Account{ID: "canary", Name: "Ana (" + stars + ")", Email: stars + "@acme.example"}); *token.Account != want {
		t.Errorf("the account is %+v, want %+v", *token.Account, want)
	}
	body = `{"id": "key ` + anaSecret + `", "name": "Ana"}`
	v, err := w.tokens.Verify(t.Context(), ana, token.ID)
	if err != nil || v.Verdict != providertoken.VerdictInvalid || v.Account != nil {
		t.Errorf("an id that is the credential: %+v, %v, want invalid", v, err)
	}
}
