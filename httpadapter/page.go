package httpadapter

import "net/http"

// page serves everything below the mount that is not the API.
type page struct{ h *Handler }

func newPage(h *Handler) (*page, error) { return &page{h: h}, nil }

func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	http.NotFound(w, r)
}
