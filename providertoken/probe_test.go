package providertoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/providertest"
)

// verdict returns the verdict of a refused save and its reason.
func verdict(t *testing.T, err error) (providertoken.Verdict, string) {
	t.Helper()
	var refused *providertoken.VerificationError
	if !errors.As(err, &refused) {
		t.Errorf("%v, want *VerificationError", err)
		return "", ""
	}
	return refused.Verdict, refused.Reason
}

// script answers each path as it says.
type script map[string]func(http.ResponseWriter, *http.Request)

func (s script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if answer, ok := s[r.URL.Path]; ok {
		answer(w, r)
		return
	}
	w.WriteHeader(http.StatusTeapot)
}

func says(status int, contentType, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// scripted is a world with "acme-x" at the handler.
func scripted(t *testing.T, h http.Handler, change func(*providertoken.Definition, *providertoken.Options), at ...func(*providertoken.Instance)) *world {
	t.Helper()
	server, err := providertest.NewServer(h)
	ok(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	return newWorld(t, func(o *providertoken.Options) {
		d := acme("X-Key")
		if change != nil {
			change(&d, o)
		}
		i := instance(server)
		for _, change := range at {
			change(&i)
		}
		o.Providers, o.Instances = append(o.Providers, d), append(o.Instances, i)
	})
}

// A 200 proves nothing without the account's id.
func TestOKNeedsAnIdentity(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]providertoken.Verdict{
		`{"id": 7}`:                    providertoken.VerdictOK,
		`{"id": "ana"}`:                providertoken.VerdictOK,
		`{"id": 12345678901234567890}`: providertoken.VerdictOK,
		`{"id": ""}`:                   providertoken.VerdictInvalid,
		`{"id": "  "}`:                 providertoken.VerdictInvalid,
		`{"id": "\u202e"}`:             providertoken.VerdictInvalid,
		`{"id": null}`:                 providertoken.VerdictInvalid,
		`{"id": false}`:                providertoken.VerdictInvalid,
		`{"id": {}}`:                   providertoken.VerdictInvalid,
		`{"id": ["ana"]}`:              providertoken.VerdictInvalid,
		`{"ID": "ana"}`:                providertoken.VerdictInvalid,
		`{"ok": true}`:                 providertoken.VerdictInvalid,
		`[]`:                           providertoken.VerdictInvalid,
		`"ana"`:                        providertoken.VerdictInvalid,
		`null`:                         providertoken.VerdictInvalid,
		``:                             providertoken.VerdictInvalid,
		`{"id": 7} {"id": 8}`:          providertoken.VerdictInvalid,
		`{"id": 7`:                     providertoken.VerdictInvalid,
		`<p>{"id": 7}</p>`:             providertoken.VerdictInvalid,
		`{"id": "` + strings.Repeat("x", 256<<10) + `"}`: providertoken.VerdictUnreachable,
	} {
		w := scripted(t, script{"/me": says(http.StatusOK, "application/json", body)}, nil)
		token, err := w.tokens.Create(t.Context(), ana, acmeRequest)
		got := providertoken.VerdictOK
		if err != nil {
			got, _ = verdict(t, err)
		} else if token.Account == nil || token.Account.ID == "" || strings.Contains(token.Account.ID, "e+") {
			t.Errorf("%.40s: connected as %+v", body, token.Account)
		}
		if got != want {
			t.Errorf("%.40s: %s, want %s", body, got, want)
		}
	}
}

// What a platform calls an account is somebody else's text.
func TestAnAccountsNameIsCleaned(t *testing.T) {
	t.Parallel()
	body := `{"id": 7, "name": "Ana\u0000\u202e\n<b>", "email": "` + strings.Repeat("a", 1000) + `"}`
	w := scripted(t, script{"/me": says(200, "application/json", body)}, func(d *providertoken.Definition, _ *providertoken.Options) {
		d.Verify[0].Identity = providertoken.Identity{ID: "id", Name: "name", Email: "email"}
	})
	token, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	if token.Account.Name != "Ana<b>" || len(token.Account.Email) != 200 {
		t.Errorf("connected as %q, %d bytes of address", token.Account.Name, len(token.Account.Email))
	}
}

// Without a rule: 429 and 5xx are no word against the credential.
func TestStatusesWithoutARule(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]providertoken.Verdict{
		204: providertoken.VerdictInvalid, 302: providertoken.VerdictInvalid, 400: providertoken.VerdictInvalid,
		401: providertoken.VerdictInvalid, 403: providertoken.VerdictInvalid, 404: providertoken.VerdictInvalid,
		429: providertoken.VerdictRateLimited, 500: providertoken.VerdictUnreachable, 502: providertoken.VerdictUnreachable,
		503: providertoken.VerdictUnreachable, 504: providertoken.VerdictUnreachable, 599: providertoken.VerdictUnreachable,
	} {
		w := scripted(t, script{"/me": says(status, "application/json", `{"message": "no"}`)}, nil)
		_, err := w.tokens.Create(t.Context(), ana, acmeRequest)
		if got, _ := verdict(t, err); got != want {
			t.Errorf("status %d: %s, want %s", status, got, want)
		}
	}
}

// A probe that cannot decide hands over to the next, and the next alone names
// the account.
func TestTheNextProbe(t *testing.T) {
	t.Parallel()
	two := func(d *providertoken.Definition, _ *providertoken.Options) {
		d.Verify[0].Rules = []providertoken.Rule{{When: providertoken.Condition{Status: []int{404}}, Verdict: "next"}}
		d.Verify = append(d.Verify, providertoken.Probe{Path: "/old/me", Identity: providertoken.Identity{ID: "login"}})
	}
	old := says(200, "application/json", `{"login": "ana"}`)
	w := scripted(t, script{"/me": says(404, "text/plain", ""), "/old/me": old}, two)
	token, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	if token.Account.ID != "ana" {
		t.Errorf("connected as %+v", token.Account)
	}
	w = scripted(t, script{"/me": says(401, "text/plain", ""), "/old/me": old}, two)
	_, err = w.tokens.Create(t.Context(), ana, acmeRequest)
	if got, _ := verdict(t, err); got != providertoken.VerdictInvalid {
		t.Errorf("a first probe that decides: %s, want invalid", got)
	}
}

// VerifyTimeout is for all probes together, and covers the body.
func TestVerifyTimeoutIsTheTotal(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	pause := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(limit * 2 / 3):
			w.WriteHeader(http.StatusNotFound)
		case <-r.Context().Done():
		}
	}
	w := scripted(t, script{"/me": pause, "/2": pause, "/3": says(200, "application/json", `{"id": 7}`)},
		func(d *providertoken.Definition, o *providertoken.Options) {
			o.VerifyTimeout = limit
			next := []providertoken.Rule{{When: providertoken.Condition{Status: []int{404}}, Verdict: "next"}}
			d.Verify[0].Rules = next
			d.Verify = append(d.Verify,
				providertoken.Probe{Path: "/2", Identity: providertoken.Identity{ID: "id"}, Rules: next},
				providertoken.Probe{Path: "/3", Identity: providertoken.Identity{ID: "id"}})
		})
	_, err := w.tokens.Create(t.Context(), ana, acmeRequest)
	if got, _ := verdict(t, err); got != providertoken.VerdictUnreachable {
		t.Errorf("two slow probes: %s, want unreachable", got)
	}

	for _, lie := range []providertest.Lie{providertest.Silent, providertest.Stalled} {
		w := newWorld(t, func(o *providertoken.Options) { o.VerifyTimeout = 50 * time.Millisecond })
		w.fakes["github"].Tell(lie)
		_, err := w.tokens.Create(t.Context(), ana, request("github", anaSecret))
		if got, _ := verdict(t, err); got != providertoken.VerdictUnreachable {
			t.Errorf("%s: %s, want unreachable", lie, got)
		}
	}
}

// A redirect of a probe is an answer: nothing is sent where it leads.
func TestAProbeFollowsNothing(t *testing.T) {
	t.Parallel()
	thief := &recorder{}
	elsewhere, err := providertest.NewServer(thief)
	ok(t, err)
	t.Cleanup(func() { _ = elsewhere.Close(context.Background()) })
	for _, name := range headerNames {
		for _, status := range []int{301, 302, 303, 307, 308} {
			server, err := providertest.NewServer(script{"/me": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere.URL()+"/me")
				w.WriteHeader(status)
			}})
			ok(t, err)
			t.Cleanup(func() { _ = server.Close(context.Background()) })
			w := newWorld(t, func(o *providertoken.Options) {
				i := instance(server)
				o.Providers, o.Instances = append(o.Providers, acme(name)), append(o.Instances, i)
			})
			_, err = w.tokens.Create(t.Context(), ana, acmeRequest)
			if got, _ := verdict(t, err); got != providertoken.VerdictInvalid {
				t.Errorf("%s and %d: %s, want invalid", name, status, got)
			}
		}
	}
	if n := thief.count(); n != 0 {
		t.Errorf("%d probes arrived elsewhere", n)
	}
}

// A certificate that proves nothing means that nobody answered.
func TestCertificates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		host     string
		from, to time.Time
		trusted  bool
		want     providertoken.Verdict
	}{
		"good":            {"127.0.0.1", now.Add(-time.Hour), now.Add(time.Hour), true, providertoken.VerdictOK},
		"self-signed":     {"127.0.0.1", now.Add(-time.Hour), now.Add(time.Hour), false, providertoken.VerdictUnreachable},
		"another address": {"127.0.0.2", now.Add(-time.Hour), now.Add(time.Hour), true, providertoken.VerdictUnreachable},
		"expired":         {"127.0.0.1", now.Add(-2 * time.Hour), now.Add(-time.Hour), true, providertoken.VerdictUnreachable},
		"not yet valid":   {"127.0.0.1", now.Add(time.Hour), now.Add(2 * time.Hour), true, providertoken.VerdictUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificate, roots := certificateFor(t, c.host, c.from, c.to)
			server := httptest.NewUnstartedServer(script{"/me": says(200, "application/json", `{"id": 7}`)})
			server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			t.Cleanup(server.Close)
			w := newWorld(t, func(o *providertoken.Options) {
				i := providertoken.Instance{
					ID: "acme-x", Provider: "acme", Base: server.URL, RootCAs: roots,
					Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
				}
				if !c.trusted {
					i.RootCAs = nil
				}
				o.Providers, o.Instances = append(o.Providers, acme("X-Key")), append(o.Instances, i)
			})
			_, err := w.tokens.Create(t.Context(), ana, acmeRequest)
			got := providertoken.VerdictOK
			if err != nil {
				got, _ = verdict(t, err)
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// certificateFor makes a certificate that is its own authority.
func certificateFor(t *testing.T, host string, from, to time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IPAddresses: []net.IP{net.ParseIP(host)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ok(t, err)
	leaf, err := x509.ParseCertificate(der)
	ok(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// An instance's proxy is the way to it, and sees no credential: the tunnel is
// encrypted.
func TestAnInstancesProxy(t *testing.T) {
	t.Parallel()
	p := newTunnel(t)
	w := scripted(t, script{"/me": says(200, "application/json", `{"id": 7}`)}, nil)
	d := newWorldOver(t, w, w.store)
	for i := range d.options.Instances {
		d.options.Instances[i].Proxy = p.url()
	}
	var err error
	d.tokens, err = providertoken.NewService(w.store, w.sealer, &d.options)
	ok(t, err)
	_, err = d.tokens.Create(t.Context(), ana, acmeRequest)
	ok(t, err)
	if p.tunnels.Load() != 1 {
		t.Errorf("%d tunnels were dug, want 1", p.tunnels.Load())
	}
	if strings.Contains(p.seen(), anaSecret) {
		t.Error("the proxy saw the credential")
	}
}
