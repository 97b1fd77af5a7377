// Package embed mounts the page under the routers that hosts use. docs/embed.md
// shows it.
package embed

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/aichub/lanyard/httpadapter"
)

// middleware is what net/http and most routers call so.
type middleware = func(http.Handler) http.Handler

// mountNetHTTP is the plain way.
func mountNetHTTP(page *httpadapter.Handler, session, requireKey middleware, api http.Handler) http.Handler {
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)
	mux.Handle("/api/", requireKey(api))
	return session(mux)
}

func mountChi(page *httpadapter.Handler, session, requireKey middleware, api http.Handler) http.Handler {
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)

	r := chi.NewRouter()
	r.Use(session)
	r.Handle("/account", mux) // not r.Mount, which leaves the path as it is
	r.Handle("/account/*", mux)
	r.With(requireKey).Handle("/api/*", api)
	return r
}

func mountGin(page *httpadapter.Handler, session, requireKey middleware, api gin.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)

	r := gin.New()
	r.Use(wrapMiddleware(session))
	r.Any("/account", gin.WrapH(mux))
	r.Any("/account/*path", gin.WrapH(mux))
	r.Group("/api", wrapMiddleware(requireKey)).GET("/hello", api)
	return r
}

// wrapMiddleware makes middleware for net/http one for gin.
func wrapMiddleware(m func(http.Handler) http.Handler) gin.HandlerFunc {
	type key struct{}
	type call struct {
		c      *gin.Context
		passed bool
	}
	h := m(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		call, _ := r.Context().Value(key{}).(*call)
		call.passed, call.c.Request = true, r
		call.c.Next()
	}))
	return func(c *gin.Context) {
		call := &call{c: c}
		h.ServeHTTP(c.Writer, c.Request.WithContext(context.WithValue(c.Request.Context(), key{}, call)))
		if !call.passed {
			c.Abort()
		}
	}
}

func mountEcho(page *httpadapter.Handler, session, requireKey middleware, api echo.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	httpadapter.Mount(mux, "/account", page)

	e := echo.New()
	e.Use(echo.WrapMiddleware(session))
	e.Any("/account", echo.WrapHandler(mux))
	e.Any("/account/*", echo.WrapHandler(mux))
	e.GET("/api/hello", api, echo.WrapMiddleware(requireKey))
	return e
}
