package providertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Server serves a handler over TLS on a free port of the loopback interface,
// with a certificate of its own making.
type Server struct {
	server *http.Server
	url    string
	roots  *x509.CertPool
	done   chan struct{}
}

// NewServer starts a Server. Close it.
func NewServer(handler http.Handler) (*Server, error) {
	certificate, roots, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("providertest: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("providertest: %w", err)
	}
	s := &Server{
		server: &http.Server{
			Handler: handler, ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:  log.New(io.Discard, "", 0), // failed handshakes are part of tests
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		},
		url: "https://" + listener.Addr().String(), roots: roots, done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		_ = s.server.ServeTLS(listener, "", "")
	}()
	return s, nil
}

// URL is the server's address, as "https://127.0.0.1:40123".
func (s *Server) URL() string { return s.url }

// RootCAs trusts the server's certificate and nothing else.
func (s *Server) RootCAs() *x509.CertPool { return s.roots }

// Networks is the network the server is in.
func (s *Server) Networks() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

// Close ends the server and every connection to it.
func (s *Server) Close(context.Context) error {
	err := s.server.Close()
	<-s.done
	return err
}

// selfSigned makes a certificate for 127.0.0.1 that is its own authority.
func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "providertest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots, nil
}
