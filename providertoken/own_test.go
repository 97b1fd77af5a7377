package providertoken_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// A platform's own ways of saying who calls do not go out in a query either, and
// at others the same names mean what they mean.
func TestAPlatformsOwnParametersAreGuarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for definition, queries := range map[string]map[string]string{
		"slack":            {"token=xoxb-thief&channel=C1": "channel=C1", "TOKEN=x&a=1": "a=1", "channel=token": "channel=token"},
		"servicenow":       {"sysparm_limit=1&x-sn-apikey=thief": "sysparm_limit=1", "token=3": "token=3"},
		"jira-data-center": {"token=3&x-sn-apikey=4": "token=3&x-sn-apikey=4"},
	} {
		_, err := w.tokens.Create(t.Context(), ana, request(definition, anaSecret))
		ok(t, err)
		client, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: definition + "-x"}, nil)
		ok(t, err)
		for query, want := range queries {
			ok(t, get(t, client, http.MethodGet, w.urls[definition]+"/things?"+query))
			asked := w.fakes[definition].Requests()
			if got := asked[len(asked)-1]; got.Path != "/things" || got.Query != want {
				t.Errorf("%s: the query %q went out as %q at %s, want %q", definition, query, got.Query, got.Path, want)
			}
		}
	}
}

// Where a platform says in the body alone how long to wait, the header says it
// too, and the body is whole.
func TestRetryAfterOfABody(t *testing.T) {
	t.Parallel()
	platform := &saying{}
	server, err := providertest.NewServer(platform)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	w := newWorld(t, func(o *providertoken.Options) {
		d := acme("X-Key")
		d.Limits.RetryAfter = "wait"
		o.Providers, o.Instances = append(o.Providers, d), append(o.Instances, instance(server))
	})
	_, err = w.tokens.Create(t.Context(), ana, request("businessmap", anaSecret))
	ok(t, err)
	client, err := w.tokens.Client(t.Context(), ana, providertoken.Ref{Provider: "businessmap-x"}, nil)
	ok(t, err)
	w.fakes["businessmap"].Tell(providertest.Busy)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.urls["businessmap"]+"/api/v2/boards", nil)
	ok(t, err)
	res, err := client.Do(req)
	ok(t, err)
	body, err := io.ReadAll(res.Body)
	ok(t, errors.Join(err, res.Body.Close()))
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "42" || !strings.Contains(string(body), `"retry_after":42}}`) {
		t.Errorf("the answer is %d, Retry-After %q, %s", res.StatusCode, res.Header.Get("Retry-After"), body)
	}

	_, err = w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	client = w.client(t, nil)
	long := `{"wait":9,"x":"` + strings.Repeat("x", 64<<10) + `"}`
	for _, tt := range []struct {
		status             int
		header, body, want string
		broken             bool
	}{
		{status: 429, body: `{"wait":1.2}`, want: "2"},
		{status: 429, body: `{"wait":0}`, want: "0"},
		{status: 429, body: `{"wait":9}`, header: "3", want: "3"},
		{status: 503, body: `{"wait":9}`},
		{status: 429, body: `{"wait":-1}`},
		{status: 429, body: `{"wait":1e300}`},
		{status: 429, body: `{"wait":"9"}`},
		{status: 429, body: `{"wait":9}}`},
		{status: 429, body: ``},
		{status: 429, body: long},
		{status: 429, body: `{"wait":9`, broken: true},
	} {
		platform.answer = func(o http.ResponseWriter) {
			if tt.header != "" {
				o.Header().Set("Retry-After", tt.header)
			}
			if tt.broken {
				o.Header().Set("Content-Length", "100")
			}
			o.WriteHeader(tt.status)
			_, _ = io.WriteString(o, tt.body)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+"/things", nil)
		ok(t, err)
		res, err := client.Do(req)
		ok(t, err)
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		body := string(text)
		if got := res.Header.Get("Retry-After"); res.StatusCode != tt.status || got != tt.want || body != tt.body || (err != nil) != tt.broken {
			t.Errorf("%d %.20s with %q: Retry-After %q, %d characters, %v; want %q and all of the body", tt.status, tt.body, tt.header, got, len(body), err, tt.want)
		}
	}
}

// saying is a platform that says in "wait" how long to wait, and answers as it is
// told.
type saying struct{ answer func(http.ResponseWriter) }

func (p *saying) ServeHTTP(o http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/me" {
		o.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(o, `{"id":"7"}`)
		return
	}
	p.answer(o)
}
