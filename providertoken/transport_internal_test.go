package providertoken

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"code.dny.dev/ssrf"
)

// Every class of address that is not the public internet is refused when it is
// dialled, before a packet goes out.
func TestTheGuardRefusesWhatIsNotPublic(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"127.0.0.1", "127.1.2.3", // loopback
		"10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", // private, RFC 1918
		"0.0.0.0", "0.1.2.3", // this network
		"100.64.0.1", "100.127.255.254", // carrier-grade NAT, RFC 6598
		"169.254.1.1", "169.254.169.254", // link-local, and the metadata of clouds
		"192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", // special, documentation
		"198.18.0.1", "192.88.99.1", // benchmarks, 6to4 relays
		"224.0.0.1", "240.0.0.1", "255.255.255.255", // multicast, reserved, broadcast
		"[::1]", "[::]", "[::127.0.0.1]", // loopback, unspecified, IPv4-compatible
		"[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[::ffff:10.0.0.1]", // IPv4-mapped
		"[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", // NAT64
		"[2002:7f00:1::1]", "[2001::1]", // 6to4, Teredo
		"[fc00::1]", "[fd00:ec2::254]", // unique local, and a metadata address
		"[fe80::1]", "[fec0::1]", "[ff02::1]", "[100::1]", // link- and site-local, multicast, discard
		"[2001:db8::1]", "[3fff::1]", // documentation
		"localhost", "①②⑦.⓪.⓪.①", // names for loopback
	} {
		transport := newTransport(Instance{}, 443)
		conn, err := transport.DialContext(t.Context(), "tcp", address+":443")
		if conn != nil {
			_ = conn.Close()
		}
		// What the resolver does not know is not dialled either.
		var unknown *net.DNSError
		if !errors.Is(err, ssrf.ErrProhibitedIP) && !errors.As(err, &unknown) {
			t.Errorf("dialling %s: %v, want it prohibited", address, err)
		}
	}
}

func TestTheGuardKnowsPorts(t *testing.T) {
	t.Parallel()
	networks := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial := func(i Instance, ports ...uint16) error {
		conn, err := newTransport(i, ports...).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if err := dial(Instance{Networks: networks}, portNumber(port)); err != nil {
		t.Errorf("the instance's own port in its network: %v", err)
	}
	if err := dial(Instance{Networks: networks}, 443); !errors.Is(err, ssrf.ErrProhibitedPort) {
		t.Errorf("another port in the instance's network: %v, want it prohibited", err)
	}
	if err := dial(Instance{Networks: networks[1:]}, portNumber(port)); !errors.Is(err, ssrf.ErrProhibitedIP) {
		t.Errorf("an address outside the instance's networks: %v, want it prohibited", err)
	}
	proxy := &url.URL{Scheme: "http", Host: "127.0.0.1:" + port}
	if err := dial(Instance{Networks: networks, Proxy: proxy}, 443); err != nil {
		t.Errorf("the instance's proxy: %v", err)
	}
	if err := dial(Instance{Proxy: proxy}, 443); !errors.Is(err, ssrf.ErrProhibitedIP) {
		t.Errorf("a private proxy that the networks do not allow: %v, want it prohibited", err)
	}
}

// A name is resolved once, and what it resolved to is judged: there is no
// moment between the two at which it could turn.
func TestTheGuardJudgesTheAddressThatIsDialled(t *testing.T) {
	t.Parallel()
	judged := ""
	dialer := &net.Dialer{
		Resolver: turning(t, "10.0.0.7"),
		Control:  newGuard(Instance{}, 443).Safe,
	}
	conn, err := dialer.DialContext(t.Context(), "tcp", "jira.acme.example:443")
	if conn != nil {
		_ = conn.Close()
		judged = conn.RemoteAddr().String()
	}
	if !errors.Is(err, ssrf.ErrProhibitedIP) {
		t.Errorf("a public name with a private address: %v, dialled %q, want it prohibited", err, judged)
	}
}

// turning is a resolver that answers every question with one IPv4 address.
func turning(t *testing.T, address string) *net.Resolver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(answerDNS(buf[:n], netip.MustParseAddr(address)), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answerDNS answers one question of type A with that address and any other
// with nothing (RFC 1035 section 4.1).
func answerDNS(question []byte, address netip.Addr) []byte {
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5 // the root label, type and class
	isA := question[end-4] == 0 && question[end-3] == 1
	answer := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end]...)
	if isA {
		answer[7] = 1
		raw := address.As4()
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4)
		answer = append(answer, raw[:]...)
	}
	return answer
}

// The environment decides nothing: neither the way out nor whom to trust.
func TestTheTransportAsksNobody(t *testing.T) {
	t.Parallel()
	transport := newTransport(Instance{}, 443)
	if transport.Proxy != nil {
		t.Error("the transport asks for a proxy")
	}
	if tls := transport.TLSClientConfig; tls.InsecureSkipVerify || tls.RootCAs != nil || tls.MinVersion < 0x0303 {
		t.Errorf("TLS is configured as %+v", tls)
	}
	if transport.DialContext == nil || transport.DialTLSContext != nil || transport.ResponseHeaderTimeout <= 0 || transport.MaxResponseHeaderBytes <= 0 {
		t.Error("the transport has a way around the guard, or no bound")
	}
	transport = newTransport(Instance{Proxy: &url.URL{Scheme: "http", Host: "proxy.acme.example"}}, 443)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://jira.acme.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := transport.Proxy(req); err != nil || u.Host != "proxy.acme.example" {
		t.Errorf("the proxy is %v (%v), want the instance's", u, err)
	}
}

// What the host does to its own values after NewService changes nothing.
func TestOffersKeepACopy(t *testing.T) {
	t.Parallel()
	one := "1"
	d := Definition{
		ID: "acme", Name: "Acme", Instance: InstanceSpec{Mode: ModeTemplate, Base: "https://{site}.acme.example", Origins: []string{"https://api.acme.example"}, Alternatives: []Alternative{{
			ID: "gateway", Base: "https://api.acme.example/{tenant}", Discover: []Discovery{{Name: "tenant", Path: "/tenant", JSON: "id"}},
		}}},
		Methods: []Method{{
			ID: "key", Label: "Key", Headers: map[string]string{"X-Key": "{key}"},
			Fields: []Field{{Name: "site", Label: "Site", Type: TypeDNSLabel, Origin: true}, {Name: "key", Label: "Key", Shapes: []Shape{{Pattern: "^a$"}}}},
		}},
		Verify: []Probe{{
			Path: "/me", Identity: Identity{ID: "id"}, Headers: map[string]string{"Accept": "text/plain"},
			Accept: Condition{Status: []int{200}, JSON: []JSONCondition{{Path: "ok", Equals: &one}}},
			Rules:  []Rule{{When: Condition{Status: []int{401}}, Verdict: VerdictInvalid}},
		}},
		Notices: []Notice{{Severity: "info", Text: "Hello."}},
	}
	proxy := &url.URL{Scheme: "http", Host: "proxy.acme.example"}
	roots := x509.NewCertPool()
	offers, err := makeOffers([]Definition{d}, []Instance{{ID: "own", Provider: "acme", Base: "https://acme.example", Proxy: proxy, RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	d.Instance.Origins[0] = "https://evil.example"
	d.Instance.Alternatives[0].Discover[0].Path = "/evil"
	d.Instance.Alternatives[0].Base = "https://evil.example"
	d.Methods[0].Headers["X-Key"] = "{site}"
	d.Methods[0].Fields[1].Public = true
	d.Methods[0].Fields[1].Shapes[0].Pattern = "^b$"
	d.Verify[0].Path = "/evil"
	d.Verify[0].Headers["Accept"] = "evil"
	d.Verify[0].Accept.Status[0] = 500
	d.Verify[0].Rules[0].When.Status[0] = 500
	d.Verify[0].Rules[0].Verdict = VerdictUnreachable
	d.Notices[0].Text = "Evil."
	one = "2"
	proxy.Host = "evil.example"
	for _, o := range offers {
		m, p := o.def.Methods[0], o.def.Verify[0]
		if a := o.def.Instance.Alternatives[0]; a.Base != "https://api.acme.example/{tenant}" || a.Discover[0].Path != "/tenant" {
			t.Errorf("%s follows what the host changed: %+v", o.id, a)
		}
		if o.def.Instance.Origins[0] != "https://api.acme.example" || m.Headers["X-Key"] != "{key}" || o.methods["key"].Fields[1].Public ||
			m.Fields[1].Shapes[0].Pattern != "^a$" || p.Path != "/me" || p.Headers["Accept"] != "text/plain" ||
			p.Accept.Status[0] != 200 || *p.Accept.JSON[0].Equals != "1" || p.Rules[0].When.Status[0] != 401 ||
			p.Rules[0].Verdict != VerdictInvalid || o.def.Notices[0].Text != "Hello." {
			t.Errorf("%s follows what the host changed: %+v", o.id, o.def)
		}
	}
	if u, _ := offers[1].transport.Proxy(nil); u.Host != "proxy.acme.example" {
		t.Errorf("the proxy is now %s", u.Host)
	}
	if offers[1].transport.TLSClientConfig.RootCAs == roots {
		t.Error("the instance shares the host's pool of certificates")
	}
}

// The ports that may be dialled are those of the definition's addresses.
func TestPortsOfADefinition(t *testing.T) {
	t.Parallel()
	o := newOffer(Definition{Instance: InstanceSpec{
		Mode: ModeTemplate, Base: "https://{site}.acme.example:8443/api", Origins: []string{"https://files.acme.example"},
	}})
	if got := o.ports(); len(got) != 2 || got[0] != 8443 || got[1] != 443 {
		t.Errorf("ports = %v, want 8443 and 443", got)
	}
}

// The destination of a sealed secret follows from what the user decided, and
// not from how a catalogue happens to order it.
func TestDigest(t *testing.T) {
	t.Parallel()
	field := func(name string, origin bool) Field { return Field{Name: name, Origin: origin} }
	of := func(o offer, m Method, fields map[string]string) string {
		return string(o.digest(method{Method: m}, fields))
	}
	acme := offer{def: Definition{ID: "acme"}}
	m := Method{ID: "key", Fields: []Field{field("a", true), field("b", true), field("c", false)}}
	fields := map[string]string{"a": "1", "b": "2", "c": "3"}
	want := of(acme, m, fields)
	turned := Method{ID: "key", Fields: []Field{field("c", false), field("b", true), field("a", true)}}
	if of(acme, turned, fields) != want {
		t.Error("another order of the fields is another destination")
	}
	if of(acme, m, map[string]string{"a": "1", "b": "2", "c": "4"}) != want {
		t.Error("a field that decides nothing is part of the destination")
	}
	for name, got := range map[string]string{
		"another definition": of(offer{def: Definition{ID: "acme2"}}, m, fields),
		"an instance":        of(offer{def: Definition{ID: "acme"}, instance: "x"}, m, fields),
		"another method":     of(acme, Method{ID: "key2", Fields: m.Fields}, fields),
		"another value":      of(acme, m, map[string]string{"a": "1", "b": "3"}),
		"values swapped":     of(acme, m, map[string]string{"a": "2", "b": "1"}),
		"an alternative":     of(acme, m, map[string]string{"a": "1", "b": "2", ":base": "gateway"}),
		"values run over":    of(acme, m, map[string]string{"a": "1b", "b": "2"}),
	} {
		if got == want {
			t.Errorf("%s is the same destination", name)
		}
	}
}

// What was sealed while an instance still asked for its address opens for ever:
// these digests are of then.
func TestDigestsOfOldRows(t *testing.T) {
	t.Parallel()
	d := Definition{
		ID: "acme", Name: "Acme", Instance: InstanceSpec{Mode: ModeTemplate, Base: "https://{site}.acme.example"},
		Methods: []Method{{
			ID: "key", Label: "Key", Headers: map[string]string{"X-Key": "{key}"},
			Fields: []Field{{Name: "site", Label: "Site", Type: TypeDNSLabel, Origin: true}, {Name: "key", Label: "Key"}},
		}},
		Verify: []Probe{{Path: "/me", Identity: Identity{ID: "id"}}},
	}
	offers, err := makeOffers([]Definition{d}, []Instance{{ID: "own", Provider: "acme", Base: "https://acme.internal"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"2b1cc500e3b9eb5d5b74a13a83989563672bb0aa7c148e94590f9b4b5774d1b4",
		"172d63107f89acacd4e8d903271dcf8fbc8b4afbb36528d62a1576061d5bc4fc",
	} {
		at, err := offers[i].destination("key", map[string]string{"site": "one"})
		if got := hex.EncodeToString(at.digest); err != nil || got != want {
			t.Errorf("the digest at %s is %s (%v), want %s", offers[i].id, got, err, want)
		}
	}
}

// What a lease knows cannot be printed.
func TestASightDoesNotPrint(t *testing.T) {
	t.Parallel()
	d := destination{method: method{Method: Method{ID: "key", Fields: []Field{{Name: "key"}}}, headers: map[string]template{"X-Key": {{field: "key"}}}}}
	seen := sight{headers: d.headers(nil, map[string]string{"key": "canary-Qm3x"})}
	if got := seen.headers["X-Key"].Reveal(); got != "canary-Qm3x" {
		t.Fatalf("headers()[X-Key] = %q", got)
	}
	if text := fmt.Sprintf("%v %+v %#v", seen, seen, seen); strings.Contains(text, "canary") {
		t.Errorf("a sight prints as %s", text)
	}
}
