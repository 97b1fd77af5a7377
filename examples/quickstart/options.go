package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
)

// options are the flags.
type options struct {
	addr   string
	data   string
	prefix string
}

// prefixPattern keeps out what http.ServeMux would read as a pattern.
var prefixPattern = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$`)

// ours are the paths this program serves itself.
var ours = []string{"/api", "/login"}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "listen on this `address`; port 0 takes a free one")
	flags.StringVar(&o.data, "data", "", "keep database and keyring in this `directory`, which processes may share\n"+
		"(default a temporary one, removed at exit)")
	flags.StringVar(&o.prefix, "prefix", "/account", "mount the page at this `path`")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.prefix = strings.TrimSuffix(o.prefix, "/")
	if !prefixPattern.MatchString(o.prefix) {
		return options{}, errors.New("-prefix is a path such as /account")
	}
	for _, path := range ours {
		if o.prefix == path || strings.HasPrefix(o.prefix, path+"/") {
			return options{}, fmt.Errorf("-prefix: %s is taken by this program", path)
		}
	}
	return o, nil
}

// dataDir returns the directory to keep things in, readable by this user only,
// and what to do with it at the end.
func dataDir(dir string) (string, func() error, error) {
	if dir != "" {
		return dir, func() error { return nil }, os.MkdirAll(dir, 0o700)
	}
	dir, err := os.MkdirTemp("", "lanyard-quickstart-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

// baseURL returns where a browser on this machine finds the listener.
func baseURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// greet says what there is to try. The commands hold no key: the first one
// makes it.
func greet(w io.Writer, url string, o options) error {
	keep := "Everything is forgotten at exit; -data DIR keeps it."
	if o.data != "" {
		keep = "Database and keyring are kept in " + o.data + "."
	}
	_, err := fmt.Fprintf(w, `
  The page        %[1]s%[2]s/
  Sign in         %[1]s/login?as=ana
  As another      %[1]s/login?as=bob

  Create an API key:
    curl -s %[1]s%[2]s/api/v1/api-keys -H 'X-Demo-User: ana' -H 'Content-Type: application/json' -d '{"name":"laptop"}'

  Use it; KEY is the "secret" of that answer, of which "hint" is only the beginning:
    curl -s %[1]s/api/hello -H "Authorization: Bearer $KEY"
    curl -s %[1]s/api/agent/issues -H "Authorization: Bearer $KEY"

  %[3]s Ctrl-C ends it.

`, url, o.prefix, keep)
	return err
}
