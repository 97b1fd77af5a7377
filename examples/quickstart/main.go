// Command quickstart is a small host application with a lanyard in it: the
// page under /account, an API that takes the keys made there, and an agent
// that pulls issues from Jira on a user's behalf. It needs nothing but Go:
//
//	go run ./examples/quickstart
//
// Everything is real but two things. Its sign-in believes whatever name it is
// told (login.go), and its Jira is a fake that runs in this process (jira.go).
// So it belongs on a loopback address.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// shutdownTimeout is how long answers under way may take once Ctrl-C came.
const shutdownTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then leaves nothing behind that -data did not
// ask to keep. What a person wants to read goes to stdout, the log to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))

	dir, removeDir, err := dataDir(o.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeDir()) }()

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("%w (another address: -addr 127.0.0.1:0)", err)
	}
	defer func() { _ = listener.Close() }() // when nothing got to serve it

	url := baseURL(listener.Addr())
	h, err := openHub(ctx, dir, url, o.prefix, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close(context.WithoutCancel(ctx))) }()

	if err := greet(stdout, url, o); err != nil {
		return err
	}
	return serve(ctx, listener, h.handler, logger)
}

// serve answers until ctx ends, and lets what is under way finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
