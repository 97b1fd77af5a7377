package embed

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/aichub/lanyard/httpadapter"
)

// nonceKey is where the context holds the nonce of an answer's policy.
type nonceKey struct{}

// withPolicy makes a nonce for each answer and sends the policy that has it.
func withPolicy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nonce := rand.Text()
		w.Header().Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'nonce-%[1]s'; style-src 'nonce-%[1]s'; "+
			"img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'", nonce))
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), nonceKey{}, nonce)))
	})
}

// inOurPolicy has what the page loads carry the nonce.
func inOurPolicy(c *httpadapter.Config) {
	c.Nonce = func(r *http.Request) string {
		nonce, _ := r.Context().Value(nonceKey{}).(string)
		return nonce
	}
}
