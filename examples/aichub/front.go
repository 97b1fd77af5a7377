package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"
)

// front is the one port before the instances. It stands for the load balancer
// that a deployment has, and hands each request to the next instance.
type front struct {
	proxy     *httputil.ReverseProxy
	transport *http.Transport
}

func newFront(behind []*instance, logger *slog.Logger) *front {
	var turn atomic.Uint64
	transport := &http.Transport{ // without Proxy: the instances are here
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		DisableCompression:    true,
	}
	return &front{transport: transport, proxy: &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			next := behind[turn.Add(1)%uint64(len(behind))]
			r.SetURL(&url.URL{Scheme: "http", Host: next.addr})
			r.Out.Host = r.In.Host // the page checks that a form comes from its own origin
			r.SetXForwarded()      // Rewrite has dropped what the client said of itself
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			logger.WarnContext(r.Context(), "instance did not answer", slog.Any("error", err))
			w.Header().Set("Retry-After", "1")
			writeProblem(w, problem{Status: http.StatusServiceUnavailable, Detail: "Try again in a moment."})
		},
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}}
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.proxy.ServeHTTP(w, r) }

func (f *front) close(context.Context) error {
	f.transport.CloseIdleConnections()
	return nil
}

// clientIP is who called, by the word of the front: an instance listens where
// nobody else should reach it.
func clientIP(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }
