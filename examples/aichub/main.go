// Command aichub is a host application as it runs in production: PostgreSQL
// and Vault where the environment names them, two instances behind one port, an
// end that cuts nobody off, health and readiness, OpenTelemetry, letters to users,
// and three ways for agents to work with a user's accounts: in the process, by a
// Proxy, and as a tool of the Model Context Protocol. Without an environment it
// keeps a SQLite file and a keyring in a directory:
//
//	go run ./examples/aichub
//	DATABASE_URL=… VAULT_ADDR=… VAULT_TOKEN=… go run ./examples/aichub
//
// Standard output carries traces and metrics, standard error the log, both as
// lines of JSON. One thing is not for production: its sign-in believes whatever
// name it is told (login.go), so it belongs on a loopback address.
//
// docs/production.md says what each piece is for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	s, err := parseSettings(os.Args[1:], os.Getenv, os.Stderr)
	if err == nil {
		err = run(ctx, s, os.Stdout, os.Stderr)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "aichub:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. Then it first says that it is not ready, goes on
// serving for as long as whoever sends it requests needs to notice, lets what
// is under way finish, and closes everything in the reverse order of opening.
func run(ctx context.Context, s settings, stdout, stderr io.Writer) (err error) {
	logger := slog.New(slog.NewJSONHandler(stderr, nil))
	var open closers
	defer func() { err = errors.Join(err, open.close(context.WithoutCancel(ctx))) }()

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("%w (another address: -addr 127.0.0.1:0)", err)
	}
	open.push(func(context.Context) error { _ = listener.Close(); return nil }) // when nothing got to serve it

	failed := make(chan error, len(s.instances)+1) // a server that ended by itself
	var behind []*instance
	for _, name := range s.instances {
		i, err := startInstance(ctx, name, s, stdout, logger, &open, failed)
		if err != nil {
			return fmt.Errorf("instance %s: %w", name, err)
		}
		behind = append(behind, i)
	}
	f := newFront(behind, logger)
	open.push(f.close)
	open.push(serve(listener, f, logger, failed))
	url := baseURL(listener.Addr())
	logger.InfoContext(ctx, "serving", slog.String("url", url), slog.String("page", url+pagePrefix+"/"))

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	for _, i := range behind {
		i.health.drain()
	}
	logger.InfoContext(ctx, "draining", slog.Duration("for", s.drain))
	select {
	case err := <-failed:
		return err
	case <-time.After(s.drain):
		return nil
	}
}

// baseURL returns where a browser on this machine finds a listener.
func baseURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
