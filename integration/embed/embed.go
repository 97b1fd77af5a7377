// Package embed mounts the page under the routers that hosts use. docs/embed.md
// shows it.
package embed

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/aichub/lanyard/httpadapter"
)

// mountNetHTTP is the plain way.
func mountNetHTTP(page *httpadapter.Handler, requireKey func(http.Handler) http.Handler, api http.Handler) http.Handler {
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)
	mux.Handle("/api/", requireKey(api))
	return mux
}

func mountChi(page *httpadapter.Handler, requireKey func(http.Handler) http.Handler, api http.Handler) http.Handler {
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)

	r := chi.NewRouter()
	r.Handle("/account", mux) // not r.Mount, which leaves the path as it is
	r.Handle("/account/*", mux)
	r.With(requireKey).Handle("/api/*", api)
	return r
}

func mountGin(page *httpadapter.Handler, requireKey func(http.Handler) http.Handler, api http.Handler) http.Handler {
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)

	r := gin.New()
	r.Any("/account", gin.WrapH(mux))
	r.Any("/account/*path", gin.WrapH(mux))
	r.Any("/api/*path", gin.WrapH(requireKey(api)))
	return r
}

func mountEcho(page *httpadapter.Handler, requireKey func(http.Handler) http.Handler, api http.Handler) http.Handler {
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)

	e := echo.New()
	e.Any("/account", echo.WrapHandler(mux))
	e.Any("/account/*", echo.WrapHandler(mux))
	e.Any("/api/*", echo.WrapHandler(requireKey(api)))
	return e
}
