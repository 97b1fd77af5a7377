package providertoken

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
)

// Reroute makes every provider's transport reach one server, whose certificate
// is for localhost, under whatever name it dials. It stands for the internet.
func Reroute(s *Service, address string, roots *x509.CertPool) {
	address = strings.TrimPrefix(address, "https://")
	for _, o := range s.offers {
		o.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		o.transport.TLSClientConfig.RootCAs, o.transport.TLSClientConfig.ServerName = roots, "localhost"
	}
}

// SetTransport puts another way out under a provider, for tests that have no
// network.
func SetTransport(s *Service, provider string, t *http.Transport) { s.byID[provider].transport = t }
