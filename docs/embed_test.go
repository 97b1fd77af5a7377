package docs_test

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
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
	c.TrustedOrigins = []string{"https://hub.example.com"}
	c.JSONOnly = true
}

var _ = func(c *httpadapter.Config, clientIP func(*http.Request) string) {
	c.ClientIP = clientIP
	c.Development = true // not where others use it
}

var _ = toSIEM

func toSIEM(events *slog.Logger) func(context.Context, lanyard.Event) {
	return func(ctx context.Context, e lanyard.Event) {
		events.InfoContext(ctx, "history",
			slog.Group("event", slog.Time("created", e.At), slog.String("id", e.ID), slog.String("action", e.Action)),
			slog.Group("organization", slog.String("id", e.Owner.Tenant)),
			slog.Group("user", slog.String("id", e.Owner.Subject), slog.Group("effective", slog.String("id", e.Actor.Subject))),
			slog.Group("source", slog.String("ip", e.IP)),
			slog.Group("user_agent", slog.String("original", e.UserAgent)),
			slog.Group("http", slog.Group("request", slog.String("id", e.RequestID))),
			slog.Group("lanyard", slog.String("via", string(e.Via)), slog.String("object", e.Object), slog.Any("detail", e.Detail)))
	}
}
