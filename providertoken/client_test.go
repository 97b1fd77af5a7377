package providertoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

var ref = providertoken.Ref{Provider: "jira-data-center-x"}

func TestClientSpeaksForTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	c, err := w.tokens.Client(t.Context(), ana, ref, &providertoken.Use{AgentID: "planner", Purpose: "weekly report"})
	ok(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, token.Base+"/rest/api/2/search?jql=x", nil)
	ok(t, err)
	req.Header.Set("Authorization", "Bearer of-the-caller")
	req.Header.Set("Cookie", "session=of-the-caller")
	req.Host = "elsewhere.example"
	res, err := c.Do(req)
	ok(t, err)
	defer func() { _ = res.Body.Close() }()
	var found struct{ Total int }
	if err := json.NewDecoder(res.Body).Decode(&found); err != nil || found.Total != 3 {
		t.Errorf("search found %d (%v), want 3", found.Total, err)
	}
	if req.Header.Get("Authorization") != "Bearer of-the-caller" {
		t.Error("the caller's request was changed")
	}
	seen := w.fakes["jira-data-center"].Requests()
	last := seen[len(seen)-1]
	if got := last.Header.Get("Authorization"); got != "Bearer "+anaSecret || len(last.Header.Values("Authorization")) != 1 {
		t.Error("the request did not carry the connection's credential and nothing else")
	}
	if last.Header.Get("Cookie") != "" || last.Host == "elsewhere.example" {
		t.Errorf("the caller's cookie or host went out: %v, %s", last.Header["Cookie"], last.Host)
	}
	now, err := w.tokens.Token(t.Context(), ana, token.ID)
	ok(t, err)
	if !now.LastUsedAt.Equal(w.clock.Now()) {
		t.Errorf("LastUsedAt = %v, want now", now.LastUsedAt)
	}
	if got := w.actions(); got[len(got)-1] != providertoken.ActionUsed {
		t.Errorf("events %v, want the use at the end", got)
	}
	if _, err := w.tokens.Client(t.Context(), ana, ref, &providertoken.Use{AgentID: "planner", Purpose: "weekly report"}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.actions()); n != 2 {
		t.Errorf("%d events after a second client within the hour, want 2", n)
	}
}

// The credential goes to the connection's own origin and nowhere else,
// whatever a request asks for.
func TestClientIsPinned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	other := w.fakes["github"]
	c, err := w.tokens.Client(t.Context(), ana, ref, nil)
	ok(t, err)
	host := strings.TrimPrefix(token.Base, "https://")
	port := host[strings.LastIndexByte(host, ':'):]
	for _, target := range []string{
		w.urls["github"] + "/user",
		"http://" + host + "/",
		"https://localhost" + port + "/",
		"https://127.0.0.1/",
		"https://user@" + host + "/",
		"https://sub." + host + "/",
		"https://127.0.0.1." + port + "/",
		"https://①②⑦.⓪.⓪.①" + port + "/",
		"https://evil.example/#" + host,
		"https://evil.example\\@" + host + "/",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			continue // net/http refuses it itself
		}
		res, err := c.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		is(t, "a request to "+target, err, providertoken.ErrForeignOrigin)
	}
	if n := len(other.Requests()); n != 0 {
		t.Errorf("%d requests arrived elsewhere", n)
	}
}

// header is how each platform's credential is named; the six that net/http
// forwards to other hosts are among them.
var headerNames = []string{"Authorization", "apikey", "PRIVATE-TOKEN", "x-sn-apikey", "X-Figma-Token", "DD-API-KEY"}

func TestRedirectsNeverCarryTheCredential(t *testing.T) {
	t.Parallel()
	for _, name := range headerNames {
		for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect} {
			t.Run(name+" "+http.StatusText(status), func(t *testing.T) {
				t.Parallel()
				testRedirects(t, name, status)
			})
		}
	}
}

func testRedirects(t *testing.T, name string, status int) {
	thief := &recorder{}
	elsewhere, err := providertest.NewServer(thief)
	ok(t, err)
	t.Cleanup(func() { _ = elsewhere.Close(context.Background()) })
	own := &recorder{status: status}
	server, err := providertest.NewServer(own)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })

	w := newWorld(t, func(o *providertoken.Options) {
		o.Providers = append(o.Providers, acme(name))
		o.Instances = append(o.Instances, instance(server))
	})
	token, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	c, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
	ok(t, err)

	host := strings.TrimPrefix(server.URL(), "https://")
	for _, target := range []string{
		elsewhere.URL() + "/",   // another port of the same host
		"https://sub." + host,   // a sub-domain
		"https://evil.example/", // another host
		"http://" + host + "/",  // no TLS any more
	} {
		own.sendTo(target)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, token.Base+"/go", strings.NewReader("body"))
		ok(t, err)
		res, err := c.Do(req)
		if err != nil {
			t.Errorf("redirect to %s: %v, want the redirect itself", target, err)
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("redirect to %s: status %d, want %d", target, res.StatusCode, status)
		}
	}
	if thief.count() != 0 {
		t.Errorf("%d requests followed a redirect elsewhere", thief.count())
	}

	own.sendTo("/stay")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, token.Base+"/go", strings.NewReader("body"))
	ok(t, err)
	res, err := c.Do(req)
	ok(t, err)
	_ = res.Body.Close()
	if last := own.last(); res.StatusCode != http.StatusOK || last.path != "/stay" || last.header.Get(name) != anaSecret {
		t.Errorf("a redirect within the origin ended with %d at %s", res.StatusCode, last.path)
	}
}

// recorder notes what arrives. It answers /me as the account, /go with a
// redirect and anything else with 200.
type recorder struct {
	status int

	mu     sync.Mutex
	target string
	seen   []arrival
}

type arrival struct {
	path   string
	query  string
	host   string
	header http.Header
	method string
	after  http.Header // the trailer
}

func (r *recorder) sendTo(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

func (r *recorder) last() arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[len(r.seen)-1]
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	r.mu.Lock()
	r.seen = append(r.seen, arrival{req.URL.Path, req.URL.RawQuery, req.Host, req.Header.Clone(), req.Method, req.Trailer.Clone()})
	target := r.target
	r.mu.Unlock()
	switch req.URL.Path {
	case "/me":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id": 7}`)
	case "/go":
		w.Header().Set("Location", target)
		w.WriteHeader(r.status)
	}
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.tokens.Client(t.Context(), ana, ref, nil)
	var missing *lanyard.NotConnectedError
	if !errors.As(err, &missing) || missing.Provider != ref.Provider {
		t.Errorf("Client without a connection = %v, want *NotConnectedError", err)
	}
	w.connect(t)
	_, err = w.tokens.Client(t.Context(), ben, ref, nil)
	if !errors.As(err, &missing) {
		t.Errorf("Client for somebody else = %v, want *NotConnectedError", err)
	}
	second := request("jira-data-center", newSecret)
	second.Label = "work"
	_, err = w.tokens.Create(t.Context(), ana, second)
	ok(t, err)
	_, err = w.tokens.Client(t.Context(), ana, ref, nil)
	is(t, "Client without a label where there are two", err, providertoken.ErrAmbiguous)
	_, err = w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: ref.Provider, Label: "work"}, nil)
	ok(t, err)
	_, err = w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: ref.Provider, Label: "none"}, nil)
	if !errors.As(err, &missing) {
		t.Errorf("Client for an unknown label = %v, want *NotConnectedError", err)
	}
	_, err = w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: ref.Provider, Label: "work"}, &providertoken.Use{AgentID: "a\nb"})
	var input *lanyard.InputError
	if !errors.As(err, &input) {
		t.Errorf("Client for an agent with a line feed = %v, want *InputError", err)
	}
}

func TestClientReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.connect(t)
	c, err := w.tokens.Client(t.Context(), ana, ref, &providertoken.Use{ReadOnly: true})
	ok(t, err)
	before := len(w.fakes["jira-data-center"].Requests())
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "post"} {
		is(t, method, get(t, c, method, token.Base+"/rest/api/2/search"), providertoken.ErrReadOnly)
	}
	if n := len(w.fakes["jira-data-center"].Requests()); n != before {
		t.Errorf("%d writes arrived", n-before)
	}
	ok(t, get(t, c, "GET", token.Base+"/rest/api/2/search"))
	ok(t, get(t, c, "HEAD", token.Base+"/rest/api/2/search"))
}

func get(t *testing.T, c *http.Client, method, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	ok(t, err)
	res, err := c.Do(req)
	if err == nil {
		_ = res.Body.Close()
	}
	return err
}

func TestClientEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(*testing.T, *world, providertoken.Token)
		want error
	}{
		"deleted": {func(t *testing.T, w *world, token providertoken.Token) {
			ok(t, w.tokens.Delete(t.Context(), ana, token.ID, 0))
		}, lanyard.ErrNotFound},
		"deactivated": {func(t *testing.T, w *world, _ providertoken.Token) {
			e := lanyard.NewEvent(t.Context(), w.clock.Now(), ana, "owner.deactivated", "")
			ok(t, w.store.Deactivate(t.Context(), ana, w.clock.Now(), e))
		}, lanyard.ErrDeactivated},
		"rejected": {func(t *testing.T, w *world, token providertoken.Token) {
			w.fakes["jira-data-center"].Tell(providertest.LoginFailed)
			_, err := w.tokens.Verify(t.Context(), ana, token.ID)
			ok(t, err)
		}, providertoken.ErrNeedsAttention},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			token := w.connect(t)
			client, err := w.tokens.Client(t.Context(), ana, ref, nil)
			ok(t, err)
			ok(t, get(t, client, "GET", token.Base+"/rest/api/2/search"))
			c.end(t, w, token)
			w.clock.Add(2 * time.Second)
			is(t, "a call after two seconds", get(t, client, "GET", token.Base+"/rest/api/2/search"), c.want)
			_, err = w.tokens.Client(t.Context(), ana, ref, nil)
			is(t, "a new Client", err, c.want)
		})
	}
}

// A 401 is no verdict: the platform is asked once, and only its answer counts.
func TestA401IsDoubtedOnce(t *testing.T) {
	t.Parallel()
	for name, lockout := range map[string]bool{"token": false, "password": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			platform := &moody{}
			server, err := providertest.NewServer(platform)
			ok(t, err)
			t.Cleanup(func() { _ = server.Close(context.Background()) })
			w := newWorld(t, func(o *providertoken.Options) {
				d := acme("Authorization")
				d.Methods[0].Lockout = lockout
				o.Providers = append(o.Providers, d)
				o.Instances = append(o.Instances, instance(server))
			})
			token, err := w.tokens.Create(t.Context(), ana, acmeRequest)
			ok(t, err)
			c, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "acme-x"}, nil)
			ok(t, err)
			want := func(probes int, status providertoken.Status) {
				t.Helper()
				if lockout {
					probes, status = 1, providertoken.StatusConnected
				}
				now, err := w.tokens.Token(t.Context(), ana, token.ID)
				ok(t, err)
				if got := platform.count(); got != probes || now.Status != status {
					t.Errorf("%d probes and %s, want %d and %s", got, now.Status, probes, status)
				}
			}
			for range 3 {
				ok(t, get(t, c, "GET", token.Base+"/refused"))
			}
			want(2, providertoken.StatusConnected)
			w.clock.Add(time.Minute)
			platform.reject()
			ok(t, get(t, c, "GET", token.Base+"/refused"))
			want(3, providertoken.StatusNeedsAttention)
			err = get(t, c, "GET", token.Base+"/refused")
			if !lockout {
				is(t, "a call after the rejection", err, providertoken.ErrNeedsAttention)
			}
		})
	}
}

// moody answers /me until it rejects, and 401 to all else.
type moody struct {
	mu       sync.Mutex
	rejects  bool
	verified int
}

func (m *moody) reject() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejects = true
}

func (m *moody) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.verified
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.URL.Path == "/me" {
		m.verified++
		if !m.rejects {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id": 7}`)
			return
		}
	}
	w.WriteHeader(http.StatusUnauthorized)
}

func TestClientWaitsForThePlatformsLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token, err := w.tokens.Create(t.Context(), ana, request("businessmap", anaSecret))
	ok(t, err)
	c, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "businessmap-x"}, nil)
	ok(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var refused error
	sent := 0
	for refused == nil && sent < 30 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, token.Base+"/api/v2/me", nil)
		ok(t, err)
		res, err := c.Do(req)
		if refused = err; err == nil {
			_ = res.Body.Close()
			sent++
		}
	}
	is(t, "a call beyond the limit", refused, providertoken.ErrRateLimited)
	if sent != 6 {
		t.Errorf("%d calls at once, want 6: a fifth of 30 a minute", sent)
	}
}

// acme is a platform with one key in one header.
func acme(header string) providertoken.Definition {
	return providertoken.Definition{
		ID: "acme", Name: "Acme", Instance: providertoken.InstanceSpec{Mode: providertoken.ModeOperator},
		Methods: []providertoken.Method{{
			ID: "key", Label: "Key", Fields: []providertoken.Field{{Name: "key", Label: "Key"}},
			Headers: map[string]string{header: "{key}"},
		}},
		Verify: []providertoken.Probe{{Path: "/me", Identity: providertoken.Identity{ID: "id"}}},
	}
}

func instance(s *providertest.Server) providertoken.Instance {
	return providertoken.Instance{
		ID: "acme-x", Provider: "acme", Base: s.URL(), RootCAs: s.RootCAs(), Networks: s.Networks(),
	}
}

var acmeRequest = providertoken.CreateRequest{
	ProviderID: "acme-x", Secrets: map[string]lanyard.Secret{"key": lanyard.NewSecret(anaSecret)},
}
