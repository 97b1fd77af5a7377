package providertoken

import (
	"context"
	"errors"
	"io"
	"net"

	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"code.dny.dev/ssrf"
)

// reach is a class of addresses at which a credential must not arrive, where it
// is refused, and how that shows. The table stands in
// docs/reference/addresses.md.
type reach struct {
	class string
	where string // file and function
	check func(t *testing.T)
}

var reaches = []reach{
	{"user info in the address", "origin.go: parseBaseURL, originOf", func(t *testing.T) {
		refuseBase(t, "https://user@acme.example", "https://user:pass@acme.example", "https://acme.example@evil.example")
		refuseCall(t, "https://user@acme.example/", "https://acme.example@evil.example/", "https://acme.example%40evil.example/")
	}},
	{"fragments and backslashes", "origin.go: parseBaseURL, originOf", func(t *testing.T) {
		refuseBase(t, "https://acme.example#x", `https://acme.example\x`, `https://evil.example\@acme.example`, "https://acme.example?x")
		refuseCall(t, "https://evil.example#acme.example", `https://evil.example\@acme.example/`, "https://evil.example?acme.example", `https://acme.example\.evil.example`)
	}},
	{"plain http", "origin.go: parseBaseURL, originOf", func(t *testing.T) {
		refuseBase(t, "http://acme.example", "HTTP://acme.example")
		refuseCall(t, "http://acme.example/", "http://acme.example:443/")
	}},
	{"other schemes", "origin.go: parseBaseURL, originOf", func(t *testing.T) {
		for _, scheme := range []string{"file", "gopher", "unix", "data", "ftp", "javascript", "wss", ""} {
			refuseBase(t, scheme+"://acme.example", scheme+":acme.example", scheme+":///etc/passwd")
			refuseCall(t, scheme+"://acme.example/", scheme+":acme.example", scheme+":///etc/passwd")
		}
		refuseCall(t, "https:acme.example", "//acme.example/x", "/x", "acme.example")
	}},
	{"numbers for addresses", "origin.go: canonicalHost, originOf", func(t *testing.T) {
		for _, host := range []string{"127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.0.0.01", "1.2.3.4.", "0"} {
			refuseBase(t, "https://"+host)
			refuseCall(t, "https://"+host+"/")
		}
	}},
	{"IPv6 forms of IPv4, and zones", "origin.go: canonicalHost; transport.go: newGuard", func(t *testing.T) {
		refuseBase(t, "https://[::ffff:127.0.0.1]", "https://[::ffff:8.8.8.8]", "https://[fe80::1%25eth0]", "https://[FE80::1]:x", "https://[::FFFF:7f00:1]", "https://[0:0::1]")
		refuseDial(t, "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "::127.0.0.1", "2001::1")
	}},
	{"the unspecified address", "transport.go: newGuard", func(t *testing.T) {
		refuseDial(t, "::", "0.0.0.0", "0.1.2.3")
	}},
	{"metadata services, by address and by name", "transport.go: newGuard", func(t *testing.T) {
		refuseDial(t, "169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "fd20:ce::254")
		refuseNames(t, "metadata.google.internal", record{a: "169.254.169.254"})
	}},
	{"letters that look like others", "origin.go: canonicalHost, originOf", func(t *testing.T) {
		refuseBase(t, "https://①②⑦.⓪.⓪.①", "https://аcme.example", "https://acme。example", "https://acme.exampl\u0435")
		refuseCall(t, "https://①②⑦.⓪.⓪.①/", "https://аcme.example/", "https://acme。example/")
	}},
	{"a dot at the end", "origin.go: canonicalHost, originOf", func(t *testing.T) {
		refuseBase(t, "https://acme.example.", "https://acme.example.:443", "https://acme..example", "https://.acme.example")
		refuseCall(t, "https://acme.example./", "https://acme.example.:443/")
	}},
	{"ports", "origin.go: canonicalPort, originOf; transport.go: newGuard", func(t *testing.T) {
		refuseBase(t, "https://acme.example:0", "https://acme.example:65536", "https://acme.example:-1", "https://acme.example:", "https://acme.example:4x3")
		refuseCall(t, "https://acme.example:22/", "https://acme.example:0/", "https://acme.example:65536/", "https://acme.example:8443/")
		if err := newGuard(Instance{}, 443).Safe("tcp4", "93.184.216.34:22", nil); !errors.Is(err, ssrf.ErrProhibitedPort) {
			t.Errorf("dialling port 22 = %v", err)
		}
	}},
	{"a name that turns private after it was looked at", "transport.go: newTransport", func(t *testing.T) {
		refuseNames(t, "acme.example", record{a: "10.0.0.7"})
	}},
	{"a name that is another name for an internal one", "transport.go: newTransport", func(t *testing.T) {
		refuseNames(t, "acme.example", record{cname: true, a: "192.168.1.1"})
	}},
	{"a public IPv4 address beside a private IPv6 one", "transport.go: newTransport", func(t *testing.T) {
		refuseNames(t, "acme.example", record{a: "93.184.216.34", aaaa: "fd00::7"})
		refuseNames(t, "acme.example", record{a: "10.0.0.7", aaaa: "2606:2800:220:1::1"})
	}},
	{"a redirect", "client.go: sameOriginOnly, roundTrip; verify.go: ask", nil}, // see TestRedirectKinds
	{"names of anybody for any address", "origin.go: originOf; transport.go: newTransport", func(t *testing.T) {
		refuseCall(t, "https://10.0.0.7.nip.example/", "https://acme.example.10.0.0.7.nip.example/")
		refuseNames(t, "10-0-0-7.nip.example", record{a: "10.0.0.7"})
	}},
	{"an address of 30 KB", "origin.go: parseBaseURL", func(t *testing.T) {
		refuseBase(t, "https://acme.example/"+strings.Repeat("a", 30<<10), "https://"+strings.Repeat("a.", 15<<10)+"example")
	}},
	{"ourselves", "transport.go: newGuard", func(t *testing.T) {
		refuseDial(t, "127.0.0.1", "127.1.2.3", "::1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "fd00::1", "fe80::1")
	}},
	{"a certificate of somebody else", "transport.go: newTransport", nil}, // see TestCertificates
	{"a proxy from the environment", "transport.go: newTransport", func(t *testing.T) {
		if newTransport(Instance{}, 443).Proxy != nil {
			t.Error("the environment may say where requests go")
		}
	}},
	{"an answer without an end", "scrub.go: more; transport.go: newTransport; verify.go: ask", func(t *testing.T) {
		r := &scrubbing{body: io.NopCloser(endless{}), s: newScrubber([]string{"canary-endless"}), left: 1 << 20}
		if n, err := io.Copy(io.Discard, r); n > 1<<20 || !errors.Is(err, ErrAnswerTooLarge) {
			t.Errorf("an endless answer gave %d bytes and %v", n, err)
		}
		if transport := newTransport(Instance{}, 443); transport.ResponseHeaderTimeout <= 0 || transport.MaxResponseHeaderBytes <= 0 || transport.TLSHandshakeTimeout <= 0 {
			t.Error("headers may come without an end")
		}
	}},
	{"names that begin or end like an allowed one", "origin.go: originOf", func(t *testing.T) {
		refuseCall(t, "https://acme.example.evil.example/", "https://evil.example#acme.example", "https://evilacme.example/",
			"https://acme.example%2eevil.example/", "https://acme.example%00.evil.example/", "https://acme.example:443.evil.example/", "https://sub.acme.example/")
	}},
}

// Each of the 22 classes is refused where the table says.
func TestWhereACredentialMustNotArrive(t *testing.T) {
	t.Parallel()
	if len(reaches) != 22 {
		t.Errorf("%d classes, want 22", len(reaches))
	}
	doc, err := os.ReadFile("../docs/reference/addresses.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reaches {
		t.Run(r.class, func(t *testing.T) {
			t.Parallel()
			if row := "| " + r.class + " | `" + r.where + "` |"; !strings.Contains(string(doc), row) {
				t.Errorf("docs/reference/addresses.md lacks the row %s", row)
			}
			for place := range strings.SplitSeq(r.where, "; ") {
				file, functions, _ := strings.Cut(place, ": ")
				code, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for function := range strings.SplitSeq(functions, ", ") {
					if !strings.Contains(string(code), "func "+function+"(") && !strings.Contains(string(code), ") "+function+"(") {
						t.Errorf("%s has no function %s", file, function)
					}
				}
			}
			if r.check != nil {
				r.check(t)
			}
		})
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// refuseBase expects that no operator and no field can make these an address.
func refuseBase(t *testing.T, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		if b, err := parseBaseURL(address); err == nil {
			t.Errorf("parseBaseURL(%.60q) = %.60s", address, b)
		}
	}
}

// refuseCall expects that a client for https://acme.example sends no request
// there.
func refuseCall(t *testing.T, addresses ...string) {
	t.Helper()
	own := origin{host: "acme.example", port: "443"}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			continue // nobody can make a request of it
		}
		if to, ok := originOf(u); ok && to == own {
			t.Errorf("a request to %q goes out", address)
		}
	}
}

// refuseDial expects that no connection to these is begun.
func refuseDial(t *testing.T, addresses ...string) {
	t.Helper()
	guard := newGuard(Instance{}, 443)
	for _, address := range addresses {
		network := "tcp4"
		if strings.Contains(address, ":") {
			network = "tcp6"
		}
		if err := guard.Safe(network, net.JoinHostPort(address, "443"), nil); !errors.Is(err, ssrf.ErrProhibitedIP) {
			t.Errorf("dialling %s = %v, want it prohibited", address, err)
		}
	}
}

// record is what a name resolves to.
type record struct {
	cname   bool // by way of another name
	a, aaaa string
}

var errNotHere = errors.New("a public address, which this test does not dial")

// refuseNames expects that no private address a name resolves to is dialled.
func refuseNames(t *testing.T, name string, r record) {
	t.Helper()
	guard, judged := newGuard(Instance{}, 443), 0
	dialer := &net.Dialer{Resolver: answering(t, r), Control: func(network, address string, c syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		err = guard.Safe(network, address, c)
		if to.Addr().IsGlobalUnicast() && !to.Addr().IsPrivate() && err == nil {
			return errNotHere
		}
		judged++
		if err == nil {
			t.Errorf("%s resolves to %s, and that is dialled", name, to)
			return errNotHere
		}
		return err
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", name+":443")
	if err == nil {
		_ = conn.Close()
	}
	if judged == 0 {
		t.Errorf("%s: no private address was judged (%v)", name, err)
	}
}

// answering is a resolver that knows one answer.
func answering(t *testing.T, r record) *net.Resolver {
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
			_, _ = conn.WriteTo(r.answer(buf[:n]), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answer answers one question (RFC 1035 section 4.1, RFC 3596).
func (r record) answer(question []byte) []byte {
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5 // the root label, type and class
	kind := question[end-3]
	out := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end]...)
	address, length := r.a, byte(4)
	if kind == 28 {
		address, length = r.aaaa, 16
	}
	if address == "" || kind != 1 && kind != 28 {
		return out
	}
	name := []byte{0xc0, 12} // the name that was asked for
	if r.cname {
		out[7]++
		at := len(out) + 12
		out = append(append(out, name...), 0, 5, 0, 1, 0, 0, 0, 1, 0, 10, 8, 'i', 'n', 't', 'e', 'r', 'n', 'a', 'l', 0)
		name = []byte{0xc0 | byte(at>>8), byte(at)}
	}
	out[7]++
	out = append(append(out, name...), 0, kind, 0, 1, 0, 0, 0, 1, 0, length)
	return append(out, netip.MustParseAddr(address).AsSlice()...)
}
