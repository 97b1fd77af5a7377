package verdicts_test

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

// line is the network between a process and its database.
type line struct {
	proxy *toxiproxy.Proxy
}

// newLine returns the database as it is reached by a line of its own.
func newLine(t testing.TB, d database) (*line, database) {
	t.Helper()
	config, err := pgconn.ParseConfig(d.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", relay(t, config))
	if err := proxy.Start(); err != nil {
		t.Fatalf("start a proxy: %v", err)
	}
	t.Cleanup(proxy.Stop)
	through := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: proxy.Listen,
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	d.Postgres = through.String()
	return &line{proxy}, d
}

// ail makes what the server answers ail; the attributes are those of
// toxiproxy's toxics.
func (l *line) ail(toxic, attributes string) error {
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"type": %q, "stream": "downstream", "attributes": {%s}}`, toxic, attributes)))
	return err
}

// cut ends every connection, and refuses new ones until mend.
func (l *line) cut() error {
	l.proxy.Stop()
	return nil
}

// mend makes the line a good one, at the address it had.
func (l *line) mend() error {
	l.proxy.Toxics.ResetToxics(context.Background())
	if l.proxy.Enabled {
		return nil
	}
	return l.proxy.Start()
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
