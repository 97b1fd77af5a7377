package httpadapter

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// checkEmbedding holds what a Config says of the page's surroundings against
// how it is embedded: whole, in the host's Layout, or not at all. What would be
// ignored is refused.
func checkEmbedding(c Config) error {
	switch {
	case c.JSONOnly && c.Layout != nil:
		return errors.New("httpadapter: Config.Layout: with Config.JSONOnly there is no page")
	case c.Layout != nil && c.FrameAncestors != nil:
		return errors.New("httpadapter: Config.FrameAncestors: with a Config.Layout the Content-Security-Policy is the host's")
	case c.Layout == nil && c.Nonce != nil:
		return errors.New("httpadapter: Config.Nonce: without a Config.Layout the page's own Content-Security-Policy needs none")
	}
	if c.Brand.Home != "" && !webURL(c.Brand.Home) {
		return errors.New("httpadapter: Config.Brand.Home is neither a path nor an http or https address")
	}
	if c.Brand.Logo != "" && !localPath(c.Brand.Logo) && !strings.HasPrefix(c.Brand.Logo, "data:image/") {
		return errors.New("httpadapter: Config.Brand.Logo is neither a path nor a data address of an image")
	}
	if c.Brand.StyleSheet != "" && !localPath(c.Brand.StyleSheet) {
		return errors.New("httpadapter: Config.Brand.StyleSheet is not a path")
	}
	for _, origin := range c.FrameAncestors {
		if !isOrigin(origin) {
			return fmt.Errorf("httpadapter: Config.FrameAncestors: %q is not an origin, as https://portal.example.com", origin)
		}
	}
	return nil
}

// checkTrusted refuses an origin that no browser sends: http.CrossOriginProtection
// compares letter by letter, and would trust nobody.
func checkTrusted(origin string) error {
	u, err := url.Parse(origin)
	if err != nil {
		return fmt.Errorf("httpadapter: Config.TrustedOrigins: %q is not an origin, as https://hub.example.com", origin)
	}
	// In lower case and without the scheme's own port
	// (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin).
	host := strings.ToLower(u.Host)
	if port, ok := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; ok {
		host = strings.TrimSuffix(host, port)
	}
	notASCII := func(c rune) bool { return c > unicode.MaxASCII }
	switch sent := u.Scheme + "://" + host; {
	case strings.Contains(host, "*"):
		return fmt.Errorf("httpadapter: Config.TrustedOrigins: %q is a pattern; name each origin", origin)
	case strings.ContainsFunc(host, notASCII):
		return fmt.Errorf("httpadapter: Config.TrustedOrigins: %q: a browser sends the name as it is in the DNS, as xn--bcher-kva.example", origin)
	case u.Host != "" && u.Path == "" && sent != origin:
		return fmt.Errorf("httpadapter: Config.TrustedOrigins: no browser sends %q; it is %q", origin, sent)
	}
	return nil
}

// webURL refuses what a link must not be: javascript: and its like, and a path
// that leads elsewhere from each page.
func webURL(raw string) bool {
	u, err := url.Parse(raw)
	return localPath(raw) || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// localPath reports whether an address is a path on the page's origin. Browsers
// take a backslash for a slash, and two of them for the beginning of a host
// (https://url.spec.whatwg.org/#relative-slash-state).
func localPath(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") &&
		!strings.Contains(raw, `\`)
}

// isOrigin reports whether raw is a scheme, a host and perhaps a port, and
// nothing that means something in a Content-Security-Policy.
func isOrigin(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && raw == u.Scheme+"://"+u.Host &&
		!strings.ContainsAny(u.Host, " ;,'*\\")
}
