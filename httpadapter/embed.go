package httpadapter

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
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

// webURL refuses what a link must not be: javascript: and its like, and a path
// that leads elsewhere from each page.
func webURL(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return false
	}
	return u.Scheme == "" && strings.HasPrefix(raw, "/") || (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
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
