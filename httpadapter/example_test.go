package httpadapter_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store/memory"
)

// whoIs stands for a host's session: here a header says who it is.
func whoIs(r *http.Request) (lanyard.Principal, error) {
	name := r.Header.Get("X-Demo-User")
	if name == "" {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return lanyard.Principal{Owner: lanyard.Owner{Subject: name}, GivenName: "Ana", Name: "Ana Lima"}, nil
}

func ExampleNew() {
	st := memory.New()
	h, err := httpadapter.New(httpadapter.Config{Identify: whoIs, Profiles: profile.NewService(st, nil), LoginURL: "/login"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ask := func(user, path string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
		r.Header.Set("X-Demo-User", user)
		r.Header.Set("X-Request-Id", "example-1")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Content-Type"), strings.TrimSpace(w.Body.String()))
	}
	ask("ana", "/api/v1/whoami")
	ask("ana", "/api/v1/api-keys") // there is no service for them
	_, err = httpadapter.New(httpadapter.Config{Profiles: profile.NewService(st, nil)})
	fmt.Println(err)
	// Output:
	// 200 application/json {"sub":"ana","via":"session"}
	// 404 application/problem+json {"type":"https://github.com/aichub/lanyard/blob/main/docs/reference/problems.md#not-found","title":"There is no such thing.","status":404,"code":"not-found","request_id":"example-1"}
	// httpadapter: Config.Identify is required
}

func ExampleMount() {
	st := memory.New()
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = keys.Close(context.Background()) }()
	h, err := httpadapter.New(httpadapter.Config{Identify: whoIs, Profiles: profile.NewService(st, nil), APIKeys: keys})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the host's own page") })
	httpadapter.Mount(mux, "/account", h)

	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
		r.Header.Set("X-Demo-User", "ana")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	fmt.Println(ask("GET", "/", "").Body)
	fmt.Println(ask("GET", "/account", "").Header().Get("Location"))
	made := ask("POST", "/account/api/v1/api-keys", `{"name":"laptop"}`)
	fmt.Println(made.Code, made.Header().Get("ETag"), strings.HasPrefix(made.Header().Get("Location"), "api-keys/"))
	fmt.Println(ask("PUT", "/account/api/v1/api-keys", "").Header().Get("Allow"))
	// Output:
	// the host's own page
	// ./account/
	// 201 "1" true
	// GET, HEAD, POST
}

func ExampleRequireKey() {
	keys, err := apikey.NewService(memory.New(), &apikey.Options{Prefix: "aic", Scopes: []string{"read", "write"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer func() { _ = keys.Close(ctx) }()
	made, err := keys.Create(ctx, lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{Name: "laptop", Scopes: []string{"read"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := lanyard.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "hello %s, %q", p.Owner.Subject, r.Header.Get("Authorization"))
	})
	ask := func(h http.Handler, key string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/api/hello", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
			return
		}
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	}
	readers := httpadapter.RequireKey(keys, &httpadapter.KeyOptions{Scopes: []string{"read"}})(hello)
	writers := httpadapter.RequireKey(keys, &httpadapter.KeyOptions{Scopes: []string{"write"}})(hello)
	ask(readers, made.Secret.Reveal())
	ask(writers, made.Secret.Reveal())
	ask(readers, "aic_forged")
	// Output:
	// 200 hello ana, ""
	// 403 Bearer error="insufficient_scope", scope="write"
	// 401 Bearer
}
