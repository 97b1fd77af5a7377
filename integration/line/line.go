// Package line is a network between a process and its PostgreSQL that a test can
// break.
//
//	l, through := line.New(t, servers.Postgres(t))
//	st, err := postgres.Open(ctx, through, nil)
//	l.Ail("timeout", line.Down, `"timeout": 0`) // answers get lost
//	l.Mend()
package line

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
)

// Line is one such network. It ends with its test, which fails where the line
// does not do as it is told.
type Line struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// New returns a line to the database with that URL, and the URL through it.
func New(t testing.TB, database string) (l *Line, through string) {
	t.Helper()
	config, err := pgconn.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", relay(t, config))
	if err := proxy.Start(); err != nil {
		t.Fatalf("start a proxy: %v", err)
	}
	t.Cleanup(proxy.Stop)
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: proxy.Listen,
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	return &Line{t, proxy}, u.String()
}

// The directions of a line: Up go questions, Down answers.
const (
	Up   = "upstream"
	Down = "downstream"
)

// Ail makes the line ail in one direction; the attributes are those of
// toxiproxy's toxics.
func (l *Line) Ail(toxic, direction, attributes string) {
	l.t.Helper()
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": {%s}}`, toxic, direction, attributes))); err != nil {
		l.t.Errorf("make the line ail: %v", err)
	}
}

// Cut ends every connection, and refuses new ones until Mend.
func (l *Line) Cut() { l.proxy.Stop() }

// Mend makes the line a good one, at the address it had. What was held back is
// lost, with its connection.
func (l *Line) Mend() {
	l.t.Helper()
	l.proxy.Toxics.ResetToxics(context.Background())
	if l.proxy.Enabled {
		return
	}
	if err := l.proxy.Start(); err != nil {
		l.t.Errorf("mend the line: %v", err)
	}
}

// relay listens on TCP, which is all that the proxy speaks, for a server that
// may listen on a Unix socket.
func relay(t testing.TB, config *pgconn.Config) (address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	network, to := pgconn.NetworkAddress(config.Host, config.Port)
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), network, to)
			if err != nil {
				_ = in.Close()
				continue
			}
			carry := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.Close()
				_ = from.Close()
			}
			running.Go(func() { carry(in, out) })
			running.Go(func() { carry(out, in) })
		}
	})
	return listener.Addr().String()
}
