package httpadapter_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store"
)

// apiRoutes are all operations, with an id that nobody has.
var apiRoutes = []struct{ method, path, allow string }{
	{"GET", "/profile", "GET, HEAD, PATCH"},
	{"PATCH", "/profile", "GET, HEAD, PATCH"},
	{"GET", "/activity", "GET, HEAD"},
	{"GET", "/whoami", "GET, HEAD"},
	{"GET", "/meta", "GET, HEAD"},
	{"GET", "/openapi.json", "GET, HEAD"},
	{"GET", "/api-keys", "GET, HEAD, POST"},
	{"POST", "/api-keys", "GET, HEAD, POST"},
	{"GET", "/api-keys/0000000000", "DELETE, GET, HEAD, PATCH"},
	{"PATCH", "/api-keys/0000000000", "DELETE, GET, HEAD, PATCH"},
	{"DELETE", "/api-keys/0000000000", "DELETE, GET, HEAD, PATCH"},
	{"POST", "/api-keys/0000000000/rotations", "POST"},
	{"GET", "/providers", "GET, HEAD"},
	{"GET", "/provider-tokens", "GET, HEAD, POST"},
	{"POST", "/provider-tokens", "GET, HEAD, POST"},
	{"GET", "/provider-tokens/0000000000", "DELETE, GET, HEAD, PATCH"},
	{"PATCH", "/provider-tokens/0000000000", "DELETE, GET, HEAD, PATCH"},
	{"DELETE", "/provider-tokens/0000000000", "DELETE, GET, HEAD, PATCH"},
	{"POST", "/provider-tokens/0000000000/verifications", "POST"},
}

func TestMethods(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	for _, route := range apiRoutes {
		for _, method := range []string{
			"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
		} {
			if strings.Contains(", "+route.allow+", ", ", "+method+", ") {
				continue
			}
			for _, who := range []apiCaller{nobody, session(ana)} {
				a := w.call(who, method, route.path, "")
				if a.status != 405 || a.header.Get("Allow") != route.allow {
					t.Errorf("%s %s = %d with Allow %q, want 405 with %q", method, route.path, a.status, a.header.Get("Allow"), route.allow)
				}
			}
		}
	}
	// The method is what the request line says.
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		w.call(session(ana), "POST", "/profile", `{"given_name":"x"}`, name, "PATCH").refused(405, "method-not-allowed")
		w.call(session(ana), "GET", "/profile?_method=DELETE", "", name, "DELETE").is(200)
	}
}

// HEAD says what GET says, without the body.
func TestHead(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	key, _ := w.newKey(ana)
	token := w.newToken(ana, "")
	for _, route := range apiRoutes {
		if route.method != "GET" {
			continue
		}
		path := strings.NewReplacer("api-keys/0000000000", "api-keys/"+key, "tokens/0000000000", "tokens/"+token).Replace(route.path)
		get := w.call(session(ana), "GET", path, "", "X-Request-Id", "same-request").is(200)
		head := w.call(session(ana), "HEAD", path, "", "X-Request-Id", "same-request").is(200)
		if fmt.Sprint(get.header) != fmt.Sprint(head.header) {
			t.Errorf("HEAD %s has the headers %v, GET has %v", path, head.header, get.header)
		}
	}
	w.call(nobody, "HEAD", "/profile", "").is(401)
	w.call(session(ana), "HEAD", "/api-keys/0000000000", "").is(404)
	w.call(session(ana), "HEAD", "/nothing", "").is(404)
}

// Nothing but the paths of the document leads anywhere, and under api/ every
// answer is a problem document.
func TestPathsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	id, _ := w.newKey(ana)
	for _, path := range []string{
		"/", "/nothing", "/profile/", "/Profile", "/PROFILE", "/profile/x", "/profile;x", "/profile%20", "/%70rofile", "/profile%00",
		"/profile%2f", "/profile%2F..%2Fwhoami", "/api-keys/" + id + "/", "/api-keys/" + id + "/rotations/", "/api-keys/" + id + "/x",
		"/api%2dkeys", "/api-keys%2f" + id, "/%2e%2e/v1/profile", "/%2e/profile", "/profile%5c", `/profile\`,
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			w.call(session(ana), method, path, "").refused(404, "not-found")
		}
	}
	for _, path := range []string{"/api", "/api/", "/api/v1", "/api/v2/profile", "/api/v1%2fprofile", "/api%2fv1/profile", "/%61pi/v1/profile"} {
		w.send(session(ana), get(t, "/account"+path)).refused(404, "not-found")
	}
	// What lies outside api/ is the page's, with its 404.
	for _, path := range []string{"/API/v1/profile", "/apis/v1/profile", "/v1/profile", "/nothing"} {
		if a := w.serve(session(ana), get(t, "/account"+path)); a.status != 404 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			t.Errorf("GET %s = %d %s, want 404 as HTML", path, a.status, a.header.Get("Content-Type"))
		}
	}
}

// An id that no record can have answers as an unknown one, byte for byte, and
// the store is not asked.
func TestImpossibleIDs(t *testing.T) {
	t.Parallel()
	eachAPIStore(t, func(t *testing.T, open func(testing.TB) store.Store) {
		st := &askedIDs{Store: open(t)}
		w := newAPIWorld(t, apiOptions{store: func(testing.TB) store.Store { return st }})
		for _, base := range []string{"/api-keys/", "/provider-tokens/"} {
			for _, c := range []struct{ method, path, body string }{
				{"GET", "", ""}, {"PATCH", "", `{"name":"x"}`}, {"DELETE", "", ""},
			} {
				unknown := w.call(session(ana), c.method, base+"0000000000", c.body, "X-Request-Id", "same-request")
				if base == "/provider-tokens/" && c.method == "PATCH" {
					c.body = `{"label":"x"}`
					unknown = w.call(session(ana), c.method, base+"0000000000", c.body, "X-Request-Id", "same-request")
				}
				unknown.refused(404, "not-found")
				for _, id := range []string{
					"%00", "a%00b", "%2f", "a%2fb", "0000000000%2frotations", "%2e%2e", "..%2f", "'", "%27%20OR%201=1--", "%25", "_", "*", "x%20", "%ff", "%c0%af",
					"%E2%80%8B", "0000000000%0a", strings.Repeat("a", 65), strings.Repeat("a", 5000), "-1", "1.0", "%zz",
				} {
					r, err := http.NewRequestWithContext(t.Context(), c.method, "/", strings.NewReader(c.body))
					mustAPI(t, err)
					r.RequestURI = "/account/api/v1" + base + id
					r.URL = &url.URL{Path: r.RequestURI, RawPath: r.RequestURI}
					if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
						r.URL = u
					}
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("X-Request-Id", "same-request")
					if c.body == "" {
						r.Body = http.NoBody
					}
					a := w.send(session(ana), r)
					if a.status != 404 || string(a.body) != string(unknown.body) || fmt.Sprint(a.header) != fmt.Sprint(unknown.header) {
						t.Errorf("%s %s%.40s = %d %s, want as for an unknown id", c.method, base, id, a.status, a.body)
					}
				}
			}
		}
		for _, id := range st.ids {
			if id != "0000000000" {
				t.Errorf("the store was asked for the id %.40q, which no record can have", id)
			}
		}
	})
}

// askedIDs is a store that notes which connections it is asked for.
type askedIDs struct {
	store.Store
	mu  sync.Mutex
	ids []string
}

func (s *askedIDs) ProviderToken(ctx context.Context, owner lanyard.Owner, id string) (store.ProviderToken, error) {
	s.mu.Lock()
	s.ids = append(s.ids, id)
	s.mu.Unlock()
	return s.Store.ProviderToken(ctx, owner, id)
}

// The handler works wherever it is mounted, and its links lead back to it.
func TestMount(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	for _, c := range []struct {
		prefix string // as given to Mount
		outer  string // what a proxy in front takes off
		at     string // where it is then
	}{
		{"/account", "", "/account"}, {"account/", "", "/account"}, {"/a/b", "", "/a/b"}, {"", "", ""}, {"/", "", ""},
		{"/account", "/hub", "/hub/account"},
	} {
		mux := http.NewServeMux()
		if strings.Trim(c.prefix, "/") != "" {
			mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		}
		httpadapter.Mount(mux, c.prefix, w.handler)
		server := httptest.NewServer(http.StripPrefix(c.outer, recorded(t, strings.TrimPrefix(c.at, c.outer), mux, w.hear)))
		defer server.Close()
		client := server.Client()
		// do returns the status, what Location leads to, and the path in the end.
		do := func(method, target, body string) (int, string, string) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
			mustAPI(t, err)
			r.Header.Set("Content-Type", "application/json")
			r.AddCookie(&http.Cookie{Name: "session", Value: ana})
			res, err := client.Do(r)
			mustAPI(t, err)
			defer func() { _ = res.Body.Close() }()
			to := ""
			if there, err := res.Location(); err == nil {
				to = there.String()
			}
			return res.StatusCode, to, res.Request.URL.Path
		}
		api := server.URL + c.at + "/api/v1"
		key := ""
		for _, made := range []struct{ what, path, body string }{
			{"a key", "/api-keys", `{"name":"k"}`},
			{"a successor", "", `{"grace_seconds":0}`},
			{"a connection", "/provider-tokens", jiraBody("at "+c.at+c.prefix, apiSecretAna)},
		} {
			target := api + made.path
			if made.path == "" {
				target = key + "/rotations"
			}
			status, there, _ := do("POST", target, made.body)
			if status != http.StatusCreated || there == "" || there == key {
				t.Fatalf("mounted at %q: %s = %d at %q", c.prefix, made.what, status, there)
			}
			if status, _, _ := do("GET", there, ""); status != http.StatusOK {
				t.Errorf("mounted at %q: GET of the Location of %s, %s = %d, want 200", c.prefix, made.what, there, status)
			}
			key = there
		}
		if c.at != "" {
			if status, _, path := do("GET", server.URL+c.at, ""); status != http.StatusOK || path != c.at+"/" {
				t.Errorf("mounted at %q: GET without the slash leads to %s with %d", c.prefix, path, status)
			}
		}
	}
}

// A prefix that is spelled with escapes is the same prefix; what lies below is
// not taken apart.
func TestPrefixWithEscapes(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	w.send(session(ana), get(t, "/%61ccount/api/v1/whoami")).is(200)
	w.send(session(ana), get(t, "/%61ccount/api/v1/who%61mi")).refused(404, "not-found")
	w.send(session(ana), get(t, "/acc%6funt/api/v1/api-keys/a%2fb")).refused(404, "not-found")
}

// net/http's ServeMux cleans a path before any handler sees it, and keeps the
// method.
func TestPathsThatTheMuxCleans(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	for _, path := range []string{"/account//api/v1/profile", "/account/api/v1//profile", "/account/api/v1/x/../profile", "/account/./api/v1/profile"} {
		a := w.serve(session(ana), get(t, path))
		if a.status != http.StatusTemporaryRedirect && a.status != http.StatusMovedPermanently || a.header.Get("Location") != "/account/api/v1/profile" {
			t.Errorf("GET %s = %d to %q, want a redirect to the clean path", path, a.status, a.header.Get("Location"))
		}
	}
	// Without a mux in front they lead nowhere.
	for _, path := range []string{"//api/v1/profile", "/api/v1//profile", "/api/v1/../v1/profile", "/api//v1/profile"} {
		out := httptest.NewRecorder()
		w.handler.ServeHTTP(out, get(t, path))
		if out.Code != 404 {
			t.Errorf("GET %s without a mux = %d, want 404", path, out.Code)
		}
	}
}

func get(t *testing.T, target string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Body = http.NoBody
	return r
}

// What only a real server sees: methods and lengths that a client would not
// send.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	w := newAPIWorld(t, apiOptions{})
	w.call(session(ana), "GET", "/whoami", "").is(200)
	server := httptest.NewServer(w.server)
	defer server.Close()
	raw := func(request string) (int, string) {
		t.Helper()
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
		mustAPI(t, err)
		defer func() { _ = c.Close() }()
		_, err = io.WriteString(c, request)
		mustAPI(t, err)
		if strings.Contains(request, "Content-Length: 100\r\n") {
			// Only here: to the server a client that hangs up has left.
			mustAPI(t, c.(*net.TCPConn).CloseWrite())
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		mustAPI(t, err)
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		mustAPI(t, err)
		return res.StatusCode, string(body)
	}
	const post = "POST /account/api/v1/api-keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: session=ana\r\nContent-Type: application/json\r\n"
	before := w.dump()
	for name, c := range map[string]struct {
		request string
		status  int
		code    string // "" = net/http answers by itself
	}{
		"lower case method":                  {"get /account/api/v1/whoami HTTP/1.1\r\nHost: x\r\nCookie: session=ana\r\n\r\n", 405, ""},
		"TRACE":                              {"TRACE /account/api/v1/whoami HTTP/1.1\r\nHost: x\r\nX-Canary: c\r\n\r\n", 405, "method-not-allowed"},
		"CONNECT":                            {"CONNECT /account/api/v1/whoami HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method-not-allowed"},
		"A9: less than the length says":      {post + "Content-Length: 100\r\n\r\n{\"name\":\"n\"}", 400, "malformed-request"},
		"A10: more than the length says":     {post + "Content-Length: 5\r\n\r\n{\"name\":\"n\"}", 400, "malformed-request"},
		"A11: a negative length":             {post + "Content-Length: -1\r\n\r\n", 400, ""},
		"A12: chunked, broken":               {post + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"nam\r\nzz\r\n", 400, "malformed-request"},
		"A12: chunked, too large":            {post + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 64<<10+1, strings.Repeat(" ", 64<<10+1)), 413, "too-large"},
		"two lengths":                        {post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}", 400, ""},
		"two hosts":                          {"GET /account/api/v1/whoami HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, ""},
		"a header with a space before colon": {"GET /account/api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization : y\r\n\r\n", 400, ""},
		"NUL in the path":                    {"GET /account/api/v1/api-keys/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: session=ana\r\n\r\n", 404, "not-found"},
		"an escape that is none":             {"GET /account/api/v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""},
	} {
		status, body := raw(c.request)
		if status != c.status || c.code != "" && !strings.Contains(body, `"code":"`+c.code+`"`) {
			t.Errorf("%s = %d %.200s, want %d %s", name, status, body, c.status, c.code)
		}
	}
	w.unchanged(before, "a request that was refused")
	// A12, A13: chunked without a length, with an extension, is a body like any.
	status, body := raw(post + "Transfer-Encoding: chunked\r\n\r\nc;ext=1\r\n{\"name\":\"n\"}\r\n0\r\n\r\n")
	if status != 201 {
		t.Errorf("a chunked body = %d %s, want 201", status, body)
	}
}
