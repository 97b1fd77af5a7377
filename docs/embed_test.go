package docs_test

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"os"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/store"
)

// What docs/embed.md, docs/embed-proxy.md and docs/siem.md show.

var layout = template.Must(template.New("").Parse(`<!doctype html>
<html lang="{{.Lang}}" dir="{{.Dir}}">
<head><title>{{.Title}}</title>{{.Head}}</head>
<body><header>Our header</header><main>{{.Body}}</main></body>
</html>`))

var _ = func(c *httpadapter.Config) {
	c.Layout = func(w http.ResponseWriter, _ *http.Request, p httpadapter.Page) {
		w.WriteHeader(p.Status)
		_ = layout.Execute(w, p)
	}
}

var _ = func(c *httpadapter.Config) {
	c.Product = "AIC Hub"
	c.Brand = httpadapter.Brand{Home: "/", Logo: "/static/logo.svg", StyleSheet: "/static/account.css"}
	c.FrameAncestors = []string{"https://portal.example.com"}
}

var _ = func(c *httpadapter.Config) {
	c.KeyRoutes = []string{"GET /provider-tokens"} // of the httpadapter.Config
}

var _ = func(c *httpadapter.Config) {
	c.TrustedOrigins = []string{"https://hub.example.com"}
	c.JSONOnly = true
}

var _ = func(c *httpadapter.Config, clientIP func(*http.Request) string) {
	c.ClientIP = clientIP
	c.Development = true // not where others use it
}

var _ = func(st store.Store, sealer *crypto.Sealer, toSIEM func(*slog.Logger) func(context.Context, lanyard.Event)) (*apikey.Service, error) {
	hear := toSIEM(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer, OnEvent: hear})
	return keys, err
}
