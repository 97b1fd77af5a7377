package faults_test

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

// line is the network between a host and its database.
type line struct {
	proxy *toxiproxy.Proxy
}

// newLine returns p as it is reached by a line of its own.
func newLine(t testing.TB, p place) (*line, place) {
	t.Helper()
	config, err := pgconn.ParseConfig(p.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	upstream := relay(t, config)
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), t.Name(), "127.0.0.1:0", upstream)
	if err := proxy.Start(); err != nil {
		t.Fatalf("start a proxy: %v", err)
	}
	t.Cleanup(proxy.Stop)
	through := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: proxy.Listen,
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	p.Postgres = through.String()
	return &line{proxy}, p
}

// The faults of a line. In the direction up go questions, in down answers.
const (
	up   = "upstream"
	down = "downstream"
)

// ail makes the line ail; the attributes are those of toxiproxy's toxics.
func (l *line) ail(t testing.TB, toxic, stream, attributes string) {
	t.Helper()
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": {%s}}`, toxic, stream, attributes)))
	if err != nil {
		t.Errorf("make the line ail: %v", err)
	}
}

// heal makes the line a good one. What was held back is lost, with its
// connection.
func (l *line) heal() { l.proxy.Toxics.ResetToxics(context.Background()) }

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
