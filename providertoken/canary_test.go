package providertoken_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
	"github.com/aichub/lanyard/providertoken/providertest"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
	"github.com/aichub/lanyard/store/sqlite"
)

// spelled returns the ways in which a secret can stand in bytes: as it is, in
// hex, and in base64 at each alignment, without the characters that depend on
// its neighbours.
func spelled(secret string) map[string]string {
	out := map[string]string{
		"plain": secret, "hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for shift := range 3 {
		padded := append(bytes.Repeat([]byte{'x'}, shift), secret...)
		padded = padded[:len(padded)-len(padded)%3]
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64url": base64.URLEncoding} {
			text := encoding.EncodeToString(padded)
			if shift > 0 {
				text = text[4:]
			}
			out[fmt.Sprint(name, " at ", shift)] = text
		}
	}
	return out
}

// found reports which secrets stand in text, and how.
func found(text []byte, secrets ...string) []string {
	var out []string
	for i, secret := range secrets {
		for how, s := range spelled(secret) {
			if bytes.Contains(text, []byte(s)) {
				out = append(out, fmt.Sprintf("secret %d, %s", i, how))
			}
		}
	}
	return out
}

func TestFound(t *testing.T) {
	t.Parallel()
	const secret = "canary-Zq8wT4"
	for _, text := range []string{
		secret, hex.EncodeToString([]byte("--" + secret)), base64.StdEncoding.EncodeToString([]byte("ana@acme.example:" + secret)),
		base64.RawURLEncoding.EncodeToString([]byte("a" + secret + "b")), base64.StdEncoding.EncodeToString([]byte("ab" + secret)),
	} {
		if len(found([]byte(text), secret)) == 0 {
			t.Errorf("found(%q) is empty", text)
		}
	}
	if got := found([]byte("canary-Zq8w"), secret); len(got) != 0 {
		t.Errorf("found(a part) = %v", got)
	}
}

// everything is what a life of connections said anywhere but to a platform.
type everything struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (e *everything) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.text.Write(p)
}

func (e *everything) say(v ...any) {
	for _, one := range v {
		fmt.Fprintf(e, "%v %+v %#v %q\n", one, one, one, fmt.Sprint(one))
		if text, err := json.Marshal(one); err == nil {
			_, _ = e.Write(text)
		}
	}
}

const (
	wrongSecret  = "canary-wrong-7Hd2kQ9x"
	placedSecret = "canary-misplaced-3Vn8"

	// pastedSecret has the shape of a GitHub token, and no checksum.
	pastedSecret = "ghp_" + "canary4fJr0c9wTq8sLk2m5xZv2kTq7wPd1a"
)

// TestNoSecretAnywhere lives a life of connections with everything turned on,
// good and bad, and looks for the secrets in all that came out of it: the log
// at debug, errors, results, events, spans, metrics, the database and the key
// file.
func TestNoSecretAnywhere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := t.TempDir()
	path := filepath.Join(dir, "lanyard.db")
	st, err := sqlite.Open(ctx, path, nil)
	ok(t, err)
	ok(t, st.Migrate(ctx))
	ring, err := keyring.Create(filepath.Join(dir, "keys"), nil)
	ok(t, err)
	said := &everything{}
	spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	logger := slog.New(slog.NewJSONHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	sealer, err := crypto.NewSealer(ring, st, &crypto.SealerOptions{Logger: logger, TracerProvider: tracer, MeterProvider: meter})
	ok(t, err)
	w := newWorld(t, nil)
	o := w.options
	o.Logger, o.TracerProvider, o.MeterProvider = logger, tracer, meter
	o.OnEvent = func(_ context.Context, e lanyard.Event) { said.say(e) }
	service, err := providertoken.NewService(st, sealer, &o)
	ok(t, err)

	liveWith(t, w, service, st, said)
	agentsLiveWith(t, &o, st, sealer, said)

	for _, span := range spans.Ended() {
		said.say(span.Name(), span.Status(), span.Attributes(), span.Events(), span.Links())
	}
	var metrics metricdata.ResourceMetrics
	ok(t, reader.Collect(ctx, &metrics))
	said.say(metrics)
	events, err := st.Events(ctx, ana, store.EventCursor{}, 100)
	ok(t, err)
	if len(events) < 6 {
		t.Errorf("%d events in the history, want the whole life", len(events))
	}
	said.say(events)
	ok(t, st.Close())
	secrets := []string{anaSecret, newSecret, wrongSecret, placedSecret, pastedSecret}
	if got := found(said.text.Bytes(), secrets...); len(got) != 0 {
		t.Errorf("said somewhere: %v", got)
	}
	if len(spans.Ended()) < 20 || !strings.Contains(said.text.String(), "provider token does not open") || !strings.Contains(said.text.String(), "GitHub token") {
		t.Error("too little was said for this test to mean anything")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	ok(t, err)
	size := 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		ok(t, err)
		size += len(raw)
		if got := found(raw, secrets...); len(got) != 0 {
			t.Errorf("in the file %s: %v", filepath.Base(name), got)
		}
	}
	if size < 10_000 {
		t.Errorf("%d bytes in %v, too few for this test to mean anything", size, files)
	}
}

// liveWith makes, edits, breaks, uses and deletes connections.
func liveWith(t *testing.T, w *world, service *providertoken.Service, st providertoken.Store, said *everything) {
	t.Helper()
	ctx := t.Context()
	note := func(v any, err error) {
		t.Helper()
		said.say(v, err)
	}
	for _, definition := range slices.Sorted(maps.Keys(w.fakes)) {
		token, err := service.Create(ctx, ana, request(definition, anaSecret))
		ok(t, err)
		note(token, err)
		r := request(definition, wrongSecret)
		r.Label = "wrong"
		note(service.Create(ctx, ana, r))
		for _, lie := range []providertest.Lie{providertest.Redirect, providertest.HTMLPage, providertest.Broken, providertest.CutOff, providertest.Busy} {
			w.fakes[definition].Tell(lie)
			note(service.Create(ctx, ana, r))
			note(service.Verify(ctx, ana, token.ID))
		}
		pasted := request(definition, pastedSecret) // another platform's
		pasted.Label = "pasted"
		note(service.Create(ctx, ana, pasted))
		note(service.Hints(pasted.ProviderID, pasted.MethodID, pasted.Secrets), nil)
		i := slices.IndexFunc(w.options.Instances, func(i providertoken.Instance) bool { return i.Provider == definition })
		d := slices.IndexFunc(w.options.Providers, func(d providertoken.Definition) bool { return d.ID == definition })
		note(providertoken.Try(ctx, w.options.Providers[d], w.options.Instances[i], r))
		w.fakes[definition].Tell(providertest.Truth)
		for name := range r.Secrets {
			note(service.Update(ctx, ana, token.ID, secrets(name, newSecret)))
			note(service.Update(ctx, ana, token.ID, secrets(name, wrongSecret)))
			note(service.Update(ctx, ana, token.ID, secrets(name, wrongSecret+"\n"+wrongSecret)))
			note(service.Update(ctx, ana, token.ID, secrets(name, strings.Repeat(wrongSecret, 1000))))
		}
		note(service.Update(ctx, ana, token.ID, providertoken.UpdateRequest{Fields: map[string]string{placedSecret: placedSecret}}))
		note(service.Update(ctx, ana, token.ID, providertoken.UpdateRequest{Fields: map[string]string{"site": placedSecret + "/"}}))
		c, err := service.Client(ctx, ana, providertoken.Ref{Provider: definition + "-x"}, &providertoken.Use{AgentID: "planner", Purpose: "report"})
		ok(t, err)
		for _, target := range []string{token.Base + "/rest/api/2/search", token.Base + "/nothing", "https://evil.example/", "http://" + strings.TrimPrefix(token.Base, "https://")} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
			ok(t, err)
			res, err := c.Do(req)
			if err == nil {
				_ = res.Body.Close()
				note(res, err)
			}
			note(nil, err)
		}
		note(service.Token(ctx, ana, token.ID))
		if definition == "slack" || definition == "gitlab" { // revoked upstream, or said not to be
			w.fakes[definition].Tell(map[string]providertest.Lie{"slack": providertest.Truth, "gitlab": providertest.Broken}[definition])
			note(nil, service.Delete(ctx, ana, token.ID, 0))
			w.fakes[definition].Tell(providertest.Truth)
		}
	}
	note(service.Tokens(ctx, ana))
	w.clock.Add(8 * day)
	note(service.Recheck(ctx, st.(store.Maintenance), nil)) //nolint:forcetypeassert // every store is
	note(service.Token(ctx, ana, placedSecret))
	note(nil, service.Delete(ctx, ana, placedSecret, 0))
	note(service.Create(ctx, ana, providertoken.CreateRequest{ProviderID: placedSecret}))
	note(service, nil)

	// A row that was tampered with is an alarm.
	tokens, err := service.Tokens(ctx, ana)
	ok(t, err)
	row, err := st.ProviderToken(ctx, ana, tokens[0].ID)
	ok(t, err)
	for name, s := range row.Secrets {
		s.Version += 7
		row.Secrets[name] = s
	}
	ok(t, st.UpdateProviderToken(ctx, row, lanyard.NewEvent(ctx, w.clock.Now(), ana, "test", row.ID)))
	note(service.Verify(ctx, ana, row.ID))
	note(nil, service.Delete(ctx, ana, row.ID, 0))
	note(nil, service.Check(ctx))
}

// agentsLiveWith calls by a Proxy and by clients, a platform that repeats the
// credential in every answer, with hooks that panic and after the connection was
// broken. What their own processes see and what a server logs is said, too.
func agentsLiveWith(t *testing.T, o *providertoken.Options, st store.Store, sealer *crypto.Sealer, said *everything) {
	t.Helper()
	ctx := t.Context()
	platform, err := providertest.NewServer(&answers{recorder{status: http.StatusFound, target: "/echo"}})
	ok(t, err)
	t.Cleanup(func() { _ = platform.Close(context.WithoutCancel(ctx)) })
	mood := ""
	o.Providers, o.Instances = append(o.Providers, acme("X-Key")), append(o.Instances, instance(platform))
	o.OnCall = func(_ context.Context, c providertoken.Call) {
		said.say(c)
		if mood == "call" {
			panic(anaSecret)
		}
	}
	service, err := providertoken.NewService(st, sealer, o)
	ok(t, err)
	r := acmeRequest
	r.ExpiresAt = o.Now().Add(40 * day)
	token, err := service.Create(ctx, ana, r)
	ok(t, err)
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Scopes: []string{httpadapter.ScopeUseProviderTokens}, Now: o.Now, Logger: o.Logger})
	ok(t, err)
	defer func() { _ = keys.Close(ctx) }() // and with it, whatever it logs
	key, err := keys.Create(ctx, ana, apikey.CreateRequest{Name: "agents", Scopes: []string{httpadapter.ScopeUseProviderTokens}})
	ok(t, err)
	proxy := httptest.NewUnstartedServer(httpadapter.Proxy(service, keys, &httpadapter.ProxyOptions{
		Logger: o.Logger, Use: func(*http.Request, lanyard.Principal) providertoken.Use {
			if mood == "use" {
				panic(anaSecret)
			}
			return providertoken.Use{AgentID: "planner", Purpose: "report"}
		},
	}))
	proxy.Config.ErrorLog = log.New(said, "", 0)
	proxy.Start()
	defer proxy.Close()
	lent, err := service.Client(ctx, ana, providertoken.Ref{Provider: "acme-x"}, nil)
	ok(t, err)
	agents := map[string]*http.Client{proxy.URL + "/" + token.ID: {Transport: &http.Transport{DisableKeepAlives: true}}, token.Base: lent}
	call := func() {
		for base, c := range agents {
			for _, path := range []string{"/echo", "/go", "/bomb", "/br", "/header", "/nothing?token=x", "/../x", "/%2e%2e/x"} {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, strings.NewReader("body"))
				ok(t, err)
				req.Header.Set("Authorization", "Bearer "+key.Secret.Reveal())
				func() {
					defer func() { // a hook's panic in the caller's own process is his
						if fault := recover(); fault != nil && c != lent {
							t.Errorf("the agent panicked: %v", fault)
						}
					}()
					res, err := c.Do(req)
					said.say(res, err)
					if err == nil {
						_, err = io.Copy(said, io.LimitReader(res.Body, 1<<20))
						said.say(res.Header, res.Trailer, res.Body, res.Request.Method, err)
						_ = res.Body.Close()
					}
				}()
			}
		}
	}
	for _, mood = range []string{"", "use", "call", ""} {
		call()
	}
	for range 2 {
		n, err := service.Sweep(ctx, st)
		said.say(n, err)
	}
	row, err := st.ProviderToken(ctx, ana, token.ID)
	ok(t, err)
	broken := row.Secrets["key"]
	broken.Version++
	row.Secrets["key"] = broken
	ok(t, st.UpdateProviderToken(ctx, row, lanyard.NewEvent(ctx, o.Now(), ana, "test", row.ID)))
	call()
	f, err := service.Forward(ctx, ana, token.ID, &providertoken.Use{AgentID: "planner"})
	said.say(f, err)
}

// The errors and attributes that name what the caller typed in a place for ids
// must not be spans' business.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	st := memory.New()
	ring, err := keyring.Create(filepath.Join(t.TempDir(), "keys"), nil)
	ok(t, err)
	sealer, err := crypto.NewSealer(ring, st, nil)
	ok(t, err)
	w := newWorld(t, nil)
	recorder, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	o := w.options
	o.Providers, o.Limit = catalog.All(), 2
	o.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	o.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	s, err := providertoken.NewService(st, sealer, &o)
	ok(t, err)
	ctx := t.Context()

	token, err := s.Create(ctx, ana, request("jira-data-center", anaSecret))
	ok(t, err)
	_, _ = s.Create(ctx, ana, request("jira-data-center", anaSecret))
	_, _ = s.Create(ctx, ana, request("github", wrongSecret))
	_, _ = s.Create(ctx, ana, providertoken.CreateRequest{ProviderID: placedSecret})
	w.fakes["jira-data-center"].Tell(providertest.Broken)
	_, _ = s.Verify(ctx, ana, token.ID)
	w.fakes["jira-data-center"].Tell(providertest.Truth)
	_, _ = s.Verify(ctx, ben, token.ID)
	_, _ = s.Update(ctx, ana, token.ID, providertoken.UpdateRequest{Version: 9})
	_, _ = s.Tokens(ctx, ana)
	_, _ = s.Token(ctx, ana, placedSecret)
	c, err := s.Client(ctx, ana, ref, nil)
	ok(t, err)
	ok(t, get(t, c, "GET", token.Base+"/rest/api/2/search"))
	ok(t, get(t, c, "GET", token.Base+"/nothing?key="+placedSecret))
	_, _ = s.Client(ctx, ben, ref, nil)
	ok(t, s.Check(ctx))
	ok(t, s.Delete(ctx, ana, token.ID, 0))

	want := map[string]int{
		"providertoken.Create ok": 1, "providertoken.Create exists": 1, "providertoken.Create error": 1, "providertoken.Create invalid": 1,
		"providertoken.Verify ok": 1, "providertoken.Verify not_found": 1, "providertoken.Update conflict": 1,
		"providertoken.Tokens ok": 1, "providertoken.Token not_found": 1,
		"providertoken.Client ok": 1, "providertoken.Client not_found": 1,
		"providertoken.Check ok": 1, "providertoken.Delete ok": 1,
	}
	got := map[string]int{}
	ids := map[string]int{}
	for _, span := range recorder.Ended() {
		attrs := attribute.NewSet(span.Attributes()...)
		outcome, _ := attrs.Value("lanyard.outcome")
		got[span.Name()+" "+outcome.AsString()]++
		for _, key := range []attribute.Key{"lanyard.provider", "lanyard.token_id"} {
			if v, there := attrs.Value(key); there {
				ids[v.AsString()]++
			}
		}
		if scope := span.InstrumentationScope().Name; scope != "github.com/aichub/lanyard/providertoken" {
			t.Errorf("a span of %s, want one of this package", scope)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("spans = %v, want %v", got, want)
	}
	wantIDs := map[string]int{"jira-data-center-x": 4, "github-x": 1, token.ID: 4}
	if !maps.Equal(ids, wantIDs) {
		t.Errorf("spans name %v, want %v", ids, wantIDs)
	}

	var metrics metricdata.ResourceMetrics
	ok(t, reader.Collect(ctx, &metrics))
	wantCounts := map[string]int64{
		"lanyard.provider.calls jira-data-center-x 200": 2, "lanyard.provider.calls jira-data-center-x 500": 1,
		"lanyard.provider.calls jira-data-center-x 404": 1, "lanyard.provider.calls github-x 401": 1,
		"lanyard.provider.verifications jira-data-center-x ok": 1, "lanyard.provider.verifications jira-data-center-x unreachable": 1,
		"lanyard.provider.verifications github-x invalid":  1,
		"lanyard.provider.duration jira-data-center-x 200": 2, "lanyard.provider.duration jira-data-center-x 500": 1,
		"lanyard.provider.duration jira-data-center-x 404": 1, "lanyard.provider.duration github-x 401": 1,
	}
	if got := counts(metrics); !maps.Equal(got, wantCounts) {
		t.Errorf("metrics = %v, want %v", got, wantCounts)
	}
}

// counts returns how often each instrument was told each set of attributes.
func counts(metrics metricdata.ResourceMetrics) map[string]int64 {
	out := map[string]int64{}
	name := func(instrument string, set attribute.Set) string {
		text := instrument
		for _, kv := range set.ToSlice() {
			if kv.Key != "lanyard.provider" {
				continue
			}
			text += " " + kv.Value.String()
		}
		for _, kv := range set.ToSlice() {
			if kv.Key != "lanyard.provider" {
				text += " " + kv.Value.String()
			}
		}
		return text
	}
	for _, scope := range metrics.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					out[name(m.Name, p.Attributes)] += p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					out[name(m.Name, p.Attributes)] += int64(p.Count)
				}
			}
		}
	}
	return out
}
