package httpadapter_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store/memory"
)

// Whatever stands in the header and the address, a handler is reached with a good
// key in one header and with nothing else, and no answer repeats the key. KEY
// stands for a good one.
func FuzzRequireKey(f *testing.F) {
	keys, err := apikey.NewService(memory.New(), &apikey.Options{Prefix: "aic"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = keys.Close(context.Background()) })
	made, err := keys.Create(f.Context(), ownerOf(ana), apikey.CreateRequest{Name: "n"})
	if err != nil {
		f.Fatal(err)
	}
	key := made.Secret.Reveal()
	host := new(hostAPI)
	guarded := httpadapter.RequireKey(keys, nil)(host)
	good := regexp.MustCompile(`^(?i:bearer) +` + key + `$`)
	inQuery := regexp.MustCompile(`(^|[&;=])` + key + `([&;=]|$)`)
	for _, header := range []string{
		"Bearer KEY", "bearer  KEY", "Bearer\tKEY", "Bearer KEY ", "Bearer KEY\n", "KEY", "Basic KEY", "Bearer KEYKEY", "Bearer\x00KEY",
		"Bearer KEY, Bearer KEY", "Bearer aic_", "Bearer ", "", "Bearer \xff", "Bearer é", "Bearer " + strings.Repeat("K", 1<<16),
	} {
		f.Add(header, "")
		f.Add(header, "a=1&b=KEY")
	}
	f.Add("Bearer KEY", "%zz&;=KEY%00")
	f.Fuzz(func(t *testing.T, header, query string) {
		header, query = strings.ReplaceAll(header, "KEY", key), strings.ReplaceAll(query, "KEY", key)
		r := (&http.Request{
			Method: http.MethodGet, URL: &url.URL{Path: "/api", RawQuery: query}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Authorization": {header}}, Body: http.NoBody,
		}).WithContext(t.Context())
		before, out := host.calls, httptest.NewRecorder()
		guarded.ServeHTTP(out, r)
		reached := host.calls > before
		switch {
		case reached && (!good.MatchString(header) || inQuery.MatchString(query)):
			t.Errorf("Authorization %q with the query %q reached the handler", header, query)
		case reached != (out.Code == http.StatusNoContent):
			t.Errorf("Authorization %q with the query %q = %d, reached the handler: %t", header, query, out.Code, reached)
		case !reached && out.Code != http.StatusUnauthorized && out.Code != http.StatusBadRequest:
			t.Errorf("Authorization %q with the query %q = %d, want 401 or 400", header, query, out.Code)
		case good.MatchString(header) && query == "" && !reached:
			t.Errorf("Authorization %q did not reach the handler", header)
		}
		if strings.Contains(out.Body.String(), key[14:44]) {
			t.Errorf("Authorization %q with the query %q is answered with the key", header, query)
		}
	})
}
