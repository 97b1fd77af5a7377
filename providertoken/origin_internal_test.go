package providertoken

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/idna"
)

// badBases are addresses that are refused, by how they try to be another place
// than they look like.
var badBases = map[string]string{
	"empty":                   "",
	"no host":                 "https://",
	"no scheme":               "acme.example",
	"relative scheme":         "//acme.example",
	"userinfo":                "https://acme.example@evil.example",
	"user and password":       "https://a:b@acme.example",
	"empty userinfo":          "https://@acme.example",
	"fragment":                "https://evil.example#acme.example",
	"query":                   "https://evil.example?acme.example",
	"backslash":               `https://evil.example\@acme.example`,
	"backslash in host":       `https://acme.example\.evil.example`,
	"http":                    "http://acme.example",
	"file":                    "file:///etc/passwd",
	"gopher":                  "gopher://acme.example:70/",
	"unix":                    "unix:///run/docker.sock",
	"data":                    "data:text/plain,hello",
	"opaque":                  "https:acme.example",
	"short address":           "https://127.1",
	"decimal address":         "https://2130706433",
	"octal address":           "https://0177.0.0.1",
	"hex address":             "https://0x7f000001",
	"hex part":                "https://0x7f.0.0.1",
	"last label hex":          "https://acme.0x10",
	"mapped address":          "https://[::ffff:127.0.0.1]",
	"mapped in hex":           "https://[::ffff:7f00:1]",
	"zone":                    "https://[fe80::1%25eth0]",
	"bare zone":               "https://[fe80::1%eth0]",
	"long form of an address": "https://[0:0:0:0:0:0:0:1]",
	"circled digits":          "https://①②⑦.⓪.⓪.①",
	"fullwidth letters":       "https://ａｃｍｅ.example",
	"international":           "https://äcme.example",
	"cyrillic a":              "https://аcme.example",
	"soft hyphen":             "https://ac\u00adme.example",
	"ideographic full stop":   "https://acme。example",
	"trailing dot":            "https://acme.example.",
	"two dots":                "https://acme..example",
	"leading dot":             "https://.acme.example",
	"leading hyphen":          "https://-acme.example",
	"underscore":              "https://ac_me.example",
	"wildcard":                "https://*.example",
	"space":                   "https://acme.example /",
	"tab":                     "https://acme.example\t",
	"line feed":               "https://acme.example\n",
	"NUL":                     "https://acme.example\x00",
	"percent in host":         "https://acme%2eexample",
	"percent in path":         "https://acme.example/%2e%2e/",
	"empty port":              "https://acme.example:",
	"port 0":                  "https://acme.example:0",
	"port too high":           "https://acme.example:65536",
	"negative port":           "https://acme.example:-1",
	"two ports":               "https://acme.example:443:443",
	"port of letters":         "https://acme.example:https",
	"dot segment":             "https://acme.example/a/../b",
	"single dot":              "https://acme.example/./",
	"empty segment":           "https://acme.example//evil.example",
	"braces":                  "https://{site}.acme.example",
	"label too long":          "https://" + strings.Repeat("a", 64) + ".example",
	"host too long":           "https://" + strings.Repeat("a.", 127) + "example",
	"30 KB":                   "https://acme.example/" + strings.Repeat("a", 30<<10),
}

func TestParseBaseURLRefuses(t *testing.T) {
	t.Parallel()
	for name, s := range badBases {
		got, err := parseBaseURL(s)
		if err == nil {
			t.Errorf("%s: parseBaseURL(%.60q) = %s, want an error", name, s, got)
		} else if len(s) > 12 && strings.Contains(err.Error(), s) {
			t.Errorf("%s: the error repeats the address", name)
		}
	}
}

func TestParseBaseURL(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"https://acme.example":                "https://acme.example",
		"https://acme.example/":               "https://acme.example",
		"HTTPS://ACME.Example:443/Api/":       "https://acme.example/Api",
		"https://acme.example:08443":          "https://acme.example:8443",
		"https://xn--cme-qla.example/a/b":     "https://xn--cme-qla.example/a/b",
		"https://10.0.0.7:8080/jira":          "https://10.0.0.7:8080/jira",
		"https://[fd00::7]:8080":              "https://[fd00::7]:8080",
		"https://localhost":                   "https://localhost",
		"https://169.254.169.254":             "https://169.254.169.254", // the guard refuses it when it is dialled
		"https://api.openai.com.evil.example": "https://api.openai.com.evil.example",
	} {
		got, err := parseBaseURL(s)
		if err != nil || got.String() != want {
			t.Errorf("parseBaseURL(%q) = %s (%v), want %s", s, got, err, want)
		}
	}
}

// A request goes to an origin only if it says so in the plainest way.
func TestOriginOf(t *testing.T) {
	t.Parallel()
	own := origin{host: "acme.example", port: "443"}
	for target, want := range map[string]bool{
		"https://acme.example/":                true,
		"https://ACME.example:443/x?y#z":       true,
		"http://acme.example:443/":             false,
		"wss://acme.example/":                  false,
		"https://user@acme.example/":           false,
		"https://acme.example./":               false,
		"https://acme.example:8443/":           false,
		"https://acme.example:0443/":           false,
		"https://sub.acme.example/":            false,
		"https://acme.example.evil.example/":   false,
		"https://evil.example/acme.example":    false,
		"https://evil.example#acme.example":    false,
		"https://ａｃｍｅ.example/":                false,
		"https://acme\u212a.example/":          false,
		"https://acme.example%2eevil.example/": false,
		"//acme.example/":                      false,
		"https:acme.example":                   false,
	} {
		u, err := url.Parse(target)
		if err != nil {
			continue // nothing can ask for it
		}
		if got, ok := originOf(u); (ok && got == own) != want {
			t.Errorf("originOf(%q) = %v, %v, want ours: %v", target, got, ok, want)
		}
	}
	if _, ok := originOf(nil); ok {
		t.Error("originOf(nil) is an origin")
	}
	// net/http dials what this turns into: the letter K.
	if _, ok := originOf(&url.URL{Scheme: "https", Host: "\u212a.example"}); ok {
		t.Error("the Kelvin sign is taken for a letter")
	}
}

func TestLabelOf(t *testing.T) {
	t.Parallel()
	domains := []string{"atlassian.net", "dev.azure.com", "visualstudio.com"}
	for text, want := range map[string]string{
		"acme":                                     "acme",
		"acme.atlassian.net":                       "acme",
		"https://acme.atlassian.net/jira/boards":   "acme",
		"acme.atlassian.net/":                      "acme",
		"https://dev.azure.com/acme/project":       "acme",
		"dev.azure.com/acme":                       "acme",
		"https://acme@dev.azure.com/acme/w/_git/w": "acme",
		"https://other@dev.azure.com/acme":         "https://other@dev.azure.com/acme",
		"https://acme:pw@dev.azure.com/acme":       "https://acme:pw@dev.azure.com/acme",
		"https://acme.visualstudio.com":            "acme",
		"https://dev.azure.com/":                   "https://dev.azure.com/",
		"https://dev.azure.com/acme?x=1":           "acme",
		"https://vssps.dev.azure.com/acme":         "https://vssps.dev.azure.com/acme",
		"https://atlassian.net/login":              "https://atlassian.net/login",
		"https://dev.azure.com@evil.example/x":     "https://dev.azure.com@evil.example/x",
		"https://evil.example\\.atlassian.net":     "https://evil.example\\.atlassian.net",
		"https://acme.atlassian.net.":              "https://acme.atlassian.net.",
		"https://acme%2eevil.atlassian.net":        "https://acme%2eevil.atlassian.net",
		"https://ácme.atlassian.net":               "https://ácme.atlassian.net",
		"acme.evil.example":                        "acme.evil.example",
		"a.b.atlassian.net":                        "a.b.atlassian.net",
		"acme.atlassian.net.evil.example":          "acme.atlassian.net.evil.example",
		"https://user@acme.atlassian.net":          "https://user@acme.atlassian.net",
		"https://acme.atlassian.net:8443/":         "https://acme.atlassian.net:8443/",
		"notatlassian.net":                         "notatlassian.net",
	} {
		if got := labelOf(text, domains, "dev.azure.com"); got != want {
			t.Errorf("labelOf(%q) = %q, want %q", text, got, want)
		}
		if got := labelOf(text, nil, ""); got != text {
			t.Errorf("labelOf(%q) without domains = %q", text, got)
		}
	}
}

// What is accepted is https, has a host that every reader reads alike, no
// userinfo and a port that can be dialled; and as a value a user types it
// never chooses the domain.
func FuzzBaseURL(f *testing.F) {
	for _, s := range badBases {
		f.Add(s)
	}
	for _, s := range []string{
		"https://acme.example", "https://acme.example:8443/api/v2", "https://10.0.0.7", "https://[fd00::7]:8080", "https://xn--cme-qla.example",
		"acme", "acme.atlassian.net", "https://acme.atlassian.net/jira?x#y", "https://example.com/acme", "acme.atlassian.net@evil.example", "evil.example/", "evil.example#", "{email}", "a-b", "xn--cme-qla",
	} {
		f.Add(s)
	}
	base, err := parseTemplate("https://{site}.atlassian.net/api")
	if err != nil {
		f.Fatal(err)
	}
	site := method{Method: Method{Fields: []Field{{Name: "site", Label: "Site", Type: TypeDNSLabel, Origin: true}}}, accept: []string{"atlassian.net", "example.com"}}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := parseBaseURL(s); err == nil {
			checkBase(t, s, b)
		}
		fields, err := site.cleanFields(map[string]string{"site": s}, false)
		if err != nil {
			return
		}
		b, err := parseBaseURL(base.expand(fields))
		if err != nil {
			t.Fatalf("the label %q is accepted and makes no address: %v", s, err)
		}
		checkBase(t, s, b)
		if label, ok := strings.CutSuffix(b.origin.host, ".atlassian.net"); !ok || strings.Contains(label, ".") || b.origin.port != "443" || b.path != "/api" {
			t.Errorf("the label %q leads to %s", s, b)
		}
	})
}

func checkBase(t *testing.T, s string, b baseURL) {
	t.Helper()
	text := b.String()
	if again, err := parseBaseURL(text); err != nil || again != b {
		t.Errorf("%q: parseBaseURL(%q) = %v, %v, which is not itself", s, text, again, err)
	}
	u, err := url.Parse(text + "/x")
	if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() != b.origin.host {
		t.Errorf("%q: net/url reads %q as %+v (%v)", s, text, u, err)
		return
	}
	if to, ok := originOf(u); !ok || to != b.origin {
		t.Errorf("%q: a request below %q goes to %v", s, text, to)
	}
	if port, err := strconv.Atoi(b.origin.port); err != nil || port < 1 || port > 65535 {
		t.Errorf("%q: port %s", s, b.origin.port)
	}
	if addr, err := netip.ParseAddr(b.origin.host); err == nil {
		if addr.Zone() != "" || addr.Is4In6() {
			t.Errorf("%q: the address %s", s, addr)
		}
		return
	}
	// What net/http makes of the name before it dials.
	if ascii, err := idna.Lookup.ToASCII(b.origin.host); err == nil && ascii != b.origin.host {
		t.Errorf("%q: %s would be dialled as %s", s, b.origin.host, ascii)
	}
}
