package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/httpadapter"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
)

// pagePrefix is where the page is mounted.
const pagePrefix = "/account"

// callTimeout bounds what an agent's call may take. It is less than what a server
// and the front take for one (server.go, front.go), so that the end is an answer.
const callTimeout = 25 * time.Second

// instance is one whole host. It shares the database and the key service with
// the others and nothing else, as a process of its own would.
type instance struct {
	addr   string // where the front finds it
	health *health
}

// startInstance opens everything an instance needs and serves it on a free
// port of the loopback interface. What is to be closed is pushed to open, also
// when it fails.
func startInstance(ctx context.Context, name string, s settings, stdout io.Writer, logger *slog.Logger, open *closers, failed chan<- error) (*instance, error) {
	logger = logger.With(slog.String("instance", name))
	t, err := newTelemetry(name, stdout)
	if err != nil {
		return nil, err
	}
	open.push(t.close)
	parts, err := openServices(ctx, s, t, logger, open)
	if err != nil {
		return nil, err
	}
	i := &instance{health: &health{instance: name, logger: logger, checks: parts.checks}}
	if _, failed := i.health.check(ctx); failed {
		return nil, errors.New("not ready; the log says why")
	}
	handler, err := i.handler(s, parts, t, logger)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i.addr = listener.Addr().String()
	open.push(serve(listener, handler, logger, failed))
	logger.InfoContext(ctx, "instance started", slog.String("url", "http://"+i.addr))
	return i, nil
}

// services are what the handlers of an instance are made of.
type services struct {
	profiles *profile.Service
	keys     *apikey.Service
	tokens   *providertoken.Service
	checks   []check
}

// openServices opens the database and the key service, proves that they belong
// together, and puts the services on top.
func openServices(ctx context.Context, s settings, t *telemetry, logger *slog.Logger, open *closers) (*services, error) {
	st, err := openDatabase(ctx, s, t.traces)
	if err != nil {
		return nil, err
	}
	open.push(func(context.Context) error { return st.Close() })
	if err := st.Migrate(ctx); err != nil {
		return nil, err
	}
	secrets, previous, err := openSecrets(ctx, s, st, logger, open)
	if err != nil {
		return nil, err
	}
	sealer, err := crypto.NewSealer(secrets, st, &crypto.SealerOptions{
		Previous: previous, Logger: logger, TracerProvider: t.traces, MeterProvider: t.metrics,
	})
	if err != nil {
		return nil, err
	}
	if err := sealer.Check(ctx); err != nil {
		if errors.Is(err, crypto.ErrIntegrity) || errors.Is(err, crypto.ErrUnknownKey) {
			return nil, fmt.Errorf("the key service is not the one of this database: %w", err)
		}
		return nil, fmt.Errorf("the key service cannot be used: %w", err)
	}
	var by post = logPost{logger}
	if s.post != nil {
		by = s.post
	}
	letters, stopMail := startMail(ctx, by, st, logger)
	open.push(stopMail)
	logged := logEvents(logger)
	onEvent := func(ctx context.Context, e lanyard.Event) {
		logged(ctx, e)
		letters.hear(ctx, e)
	}
	keys, err := apikey.NewService(st, &apikey.Options{
		Prefix: "aic", Sealer: sealer, OnEvent: onEvent,
		Scopes: []string{scopeMCP, httpadapter.ScopeUseProviderTokens},
		Logger: logger, TracerProvider: t.traces, MeterProvider: t.metrics,
	})
	if err != nil {
		return nil, err
	}
	open.push(keys.Close)
	tokenOptions := &providertoken.Options{
		Providers: catalog.All(), OnEvent: onEvent, Processes: len(s.instances), // which share what platforms allow
		Logger: logger, TracerProvider: t.traces, MeterProvider: t.metrics,
	}
	if s.jira.Base != "" {
		tokenOptions.Instances = []providertoken.Instance{s.jira}
	}
	tokens, err := providertoken.NewService(st, sealer, tokenOptions)
	if err != nil {
		return nil, err
	}
	open.push(startSweep(ctx, logger,
		sweep{"api keys", func(ctx context.Context) (int, error) { return keys.Sweep(ctx, st) }},
		sweep{"provider tokens", func(ctx context.Context) (int, error) { return tokens.Sweep(ctx, st) }},
		sweep{"provider tokens at their platforms", func(ctx context.Context) (int, error) { return tokens.Recheck(ctx, st, nil) }}))
	profiles := profile.NewService(st, &profile.Options{
		OwnerChanged: keys.Refresh, OnEvent: onEvent,
		Logger: logger, TracerProvider: t.traces, MeterProvider: t.metrics,
	})
	return &services{
		profiles: profiles, keys: keys, tokens: tokens,
		checks: []check{{"store", profiles.Check}, {"key_service", sealer.Check}, {"api_keys", keys.Check}},
	}, nil
}

// handler is everything an instance serves.
func (i *instance) handler(s settings, parts *services, t *telemetry, logger *slog.Logger) (http.Handler, error) {
	page, err := httpadapter.New(httpadapter.Config{
		Identify: identify, APIKeys: parts.keys, ProviderTokens: parts.tokens, Profiles: parts.profiles,
		Product: "AIC Hub", LoginURL: "/login?return={return}", ClientIP: clientIP, Limit: new(limiter).wait, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	agent := newAgent(parts.tokens, s.jira, logger)
	api := http.NewServeMux()
	api.HandleFunc("GET /api/hello", hello)
	api.Handle("GET /api/agent/issues", agent)

	mux := http.NewServeMux()
	httpadapter.Mount(mux, pagePrefix, page)
	mux.Handle("/api/", httpadapter.RequireKey(parts.keys, &httpadapter.KeyOptions{ClientIP: clientIP, Logger: logger})(api))
	httpadapter.Mount(mux, "/agents", httpadapter.Proxy(parts.tokens, parts.keys, &httpadapter.ProxyOptions{
		Timeout: callTimeout, ClientIP: clientIP, Logger: logger,
	}))
	mux.Handle("/mcp", httpadapter.RequireKey(parts.keys, &httpadapter.KeyOptions{
		Scopes: []string{scopeMCP}, ClientIP: clientIP, Logger: logger,
	})(newMCP(agent)))
	mux.HandleFunc("GET /login", login)
	mux.HandleFunc("GET /healthz", i.health.alive)
	mux.HandleFunc("GET /readyz", i.health.ready)
	mux.Handle("GET /{$}", http.RedirectHandler(pagePrefix+"/", http.StatusSeeOther))
	return t.requests(mux)
}
