package httpadapter_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store/memory"
)

// Whatever a request waits for, it ends.
func TestRequestsEnd(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api/v1/profile", "/"} {
		synctest.Test(t, func(t *testing.T) {
			h, err := httpadapter.New(httpadapter.Config{
				Profiles: profile.NewService(memory.New(), nil),
				Identify: func(r *http.Request) (lanyard.Principal, error) {
					<-r.Context().Done() // a directory whose line is dead
					return lanyard.Principal{}, r.Context().Err()
				},
			})
			mustAPI(t, err)
			began, out := time.Now(), httptest.NewRecorder()
			recorded(t, "", h, func(exchange) {}).ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			if waited := time.Since(began); out.Code != http.StatusServiceUnavailable || waited != 30*time.Second {
				t.Errorf("GET %s = %d after %v, want 503 after 30 s", path, out.Code, waited)
			}
		})
	}
}
