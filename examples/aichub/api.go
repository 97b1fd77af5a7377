package main

import (
	"encoding/json"
	"net/http"

	"github.com/aichub/lanyard"
)

// hello says whose key the caller used.
func hello(w http.ResponseWriter, r *http.Request) {
	p, _ := lanyard.PrincipalFrom(r.Context()) // RequireKey put it there
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"subject": p.Owner.Subject, "key_id": p.KeyID})
}

// problem is an error as RFC 9457 writes it.
type problem struct {
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	ConnectURL string `json:"connect_url,omitempty"` // where the user can mend it
}

func writeProblem(w http.ResponseWriter, p problem) {
	p.Title = http.StatusText(p.Status)
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller may have left
}
