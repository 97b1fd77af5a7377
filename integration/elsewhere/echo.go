package elsewhere

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/httpadapter"
)

// requireKey lets callers in who have a key with all of the scopes.
func requireKey(keys *apikey.Service, scopes ...string) (echo.MiddlewareFunc, error) {
	need, err := keys.ScopeSet(scopes...)
	if err != nil {
		return nil, err
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			from := lanyard.Request{ID: c.Response().Header().Get(echo.HeaderXRequestID), IP: c.RealIP(), UserAgent: r.UserAgent()}
			p, err := keys.VerifyCall(r.Context(), bearer(r.Header.Values("Authorization")), apikey.Call{Scopes: need, From: from})
			if err != nil {
				return keyError(c, err)
			}
			r = r.WithContext(lanyard.WithPrincipal(lanyard.WithRequest(r.Context(), from), p))
			r.Header = r.Header.Clone()
			r.Header.Del("Authorization") // the handler needs no key, and cannot leak one
			c.SetRequest(r)
			return next(c)
		}
	}, nil
}

// keyError is the answer to a caller who may not go on.
func keyError(c echo.Context, err error) error {
	header := c.Response().Header()
	var busy *apikey.RateLimitError
	switch {
	case errors.As(err, &busy):
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(busy.RetryAfter.Seconds()))))
		return echo.NewHTTPError(http.StatusTooManyRequests)
	case errors.Is(err, lanyard.ErrUnauthenticated):
		header.Set("WWW-Authenticate", "Bearer")
		return echo.NewHTTPError(http.StatusUnauthorized)
	case errors.Is(err, lanyard.ErrForbidden):
		header.Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		return echo.NewHTTPError(http.StatusForbidden)
	}
	header.Set("Retry-After", "1")
	return echo.NewHTTPError(http.StatusServiceUnavailable) // which says nothing about the key
}

func newEcho(keys *apikey.Service) (*echo.Echo, error) {
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect() // without one echo believes any X-Forwarded-For
	read, err := requireKey(keys, "read")
	if err != nil {
		return nil, err
	}
	e.GET("/reports", listReports, read)
	return e, nil
}

// newWrappedEcho has the middleware for net/http instead.
func newWrappedEcho(keys *apikey.Service) *echo.Echo {
	e := echo.New()
	read := echo.WrapMiddleware(httpadapter.RequireKey(keys, &httpadapter.KeyOptions{Scopes: []string{"read"}}))
	e.GET("/reports", listReports, read)
	return e
}

func listReports(c echo.Context) error {
	p, _ := lanyard.PrincipalFrom(c.Request().Context())
	return c.String(http.StatusOK, "the reports of "+p.Owner.Subject)
}
