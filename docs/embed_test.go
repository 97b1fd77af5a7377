package docs_test

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/httpadapter"
)

// What docs/embed.md, docs/auth-proxy.md, docs/login.md and docs/siem.md show.

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

var _ = func(c *httpadapter.Config) {
	c.ClientIP = clientIP
	c.Development = true // not where others use it
}

// ourProxies are the addresses our reverse proxy calls from.
var ourProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}

func fromOurProxy(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && slices.ContainsFunc(ourProxies, func(n netip.Prefix) bool { return n.Contains(at.Addr().Unmap()) })
}

// clientIP is the address that our proxy saw, which is the last it added.
func clientIP(r *http.Request) string {
	if all := r.Header.Values("X-Forwarded-For"); fromOurProxy(r) && len(all) > 0 {
		hops := strings.Split(strings.Join(all, ","), ",")
		return strings.TrimSpace(hops[len(hops)-1])
	}
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().String()
}

func whoTheProxySays(r *http.Request) (lanyard.Principal, error) {
	user := r.Header.Values("X-Auth-Request-User")
	if !fromOurProxy(r) || len(user) != 1 || user[0] == "" {
		return lanyard.Principal{}, lanyard.ErrUnauthenticated
	}
	return lanyard.Principal{
		Owner: lanyard.Owner{Subject: user[0]},
		Email: r.Header.Get("X-Auth-Request-Email"),
		Name:  r.Header.Get("X-Auth-Request-Preferred-Username"),
	}, nil
}

type claims struct {
	Issuer        string `json:"iss"`
	Subject       string `json:"sub"`
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
	Name          string `json:"name"`
	GivenName     string `json:"given_name"`
	FamilyName    string `json:"family_name"`
	Locale        string `json:"locale"`
	ZoneInfo      string `json:"zoneinfo"`
	AuthTime      int64  `json:"auth_time"`
}

func principalOf(c claims) lanyard.Principal {
	p := lanyard.Principal{
		Owner: lanyard.Owner{Subject: c.Subject}, // and Tenant: c.Issuer, where there are several
		Email: c.Email, EmailVerified: c.EmailVerified,
		Name: c.Name, GivenName: c.GivenName, FamilyName: c.FamilyName,
		Locale: c.Locale, ZoneInfo: c.ZoneInfo,
	}
	if c.AuthTime > 0 {
		p.AuthTime = time.Unix(c.AuthTime, 0)
	}
	return p
}

var _ = []any{whoTheProxySays, toSIEM, principalOf}

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
