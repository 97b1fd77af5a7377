// Package servers finds or starts the real servers that tests need:
//
//	func TestMain(m *testing.M) { servers.Main(m) }
//
//	func TestIt(t *testing.T) {
//		url := servers.Postgres(t)   // an empty database of its own
//		transit := servers.Vault(t)  // a transit engine of its own
//	}
//
// Of each kind one server serves a whole test binary. It is, in this order,
//
//   - the one that the environment names: LANYARD_TEST_POSTGRES, a URL with the
//     right to create databases; LANYARD_TEST_VAULT, an address, with a root
//     token in LANYARD_TEST_VAULT_TOKEN;
//   - a container, where a Docker engine answers. LANYARD_TEST_POSTGRES_IMAGE
//     and LANYARD_TEST_VAULT_IMAGE name other images than postgres:17-alpine and
//     hashicorp/vault:1.21; one that is there already is not pulled;
//   - a process, where scripts/postgres and scripts/vault find the binaries. It
//     ends with the test binary, however that ends.
//
// With LANYARD_TEST_DOCKER set it is a container or nothing; but [OwnPostgres]
// is always a process, which a test can stop.
//
// A line "postgres: using ..." or "vault: using ..." says which it was. Where
// there is none at all, the test is skipped; scripts/testsum can refuse that.
package servers

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// server is one that runs.
type server struct {
	address string // a URL
	token   string // what else it takes to be let in
	unseal  string // and to unseal it, where that is known
	what    string // in words
	stop    func() error
}

// kind is what servers of one kind have in common.
type kind struct {
	name    string // of its script, and at the start of its lines
	address string // the variable that names a server
	secret  bool   // there is a token beside it
	image   image
	ready   func(s *server) error // asks it something; nil once it answers
}

// What the variables of a server end in that say more than its address.
const (
	tokenSuffix  = "_TOKEN"
	unsealSuffix = "_UNSEAL"
)

// errNone: there is no server this way, and nothing is wrong with that.
var errNone = errors.New("none")

// dockerVariable allows containers only.
const dockerVariable = "LANYARD_TEST_DOCKER"

// find tries the ways in their order. The error says why each led nowhere.
func (k kind) find() (*server, error) {
	s, err := k.named()
	if os.Getenv(dockerVariable) != "" || errors.Is(err, errNone) {
		s, err = k.start()
	}
	if err == nil {
		k.say("using %s", s.what)
	}
	return s, err
}

// start starts a server, whatever the environment names.
func (k kind) start() (*server, error) {
	why := errNone
	ways := []func() (*server, error){k.contained, k.scripted}
	if os.Getenv(dockerVariable) != "" {
		ways = ways[:1]
	}
	for _, way := range ways {
		s, err := way()
		if err == nil {
			stopLater(s)
			return s, nil
		}
		if !errors.Is(err, errNone) {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		why = fmt.Errorf("%w; %w", why, err)
	}
	return nil, why
}

// named returns the server that the environment names.
func (k kind) named() (*server, error) {
	s := &server{address: os.Getenv(k.address)}
	if s.address == "" {
		return nil, fmt.Errorf("%w: %s is not set", errNone, k.address)
	}
	s.token = os.Getenv(k.address + tokenSuffix)
	if k.secret && s.token == "" {
		return nil, fmt.Errorf("%s is set without %[1]s%s", k.address, tokenSuffix)
	}
	if err := k.ready(s); err != nil {
		return nil, fmt.Errorf("the server that %s names: %w", k.address, err)
	}
	s.what = fmt.Sprintf("the server that %s names", k.address)
	return s, nil
}

// say writes one line to a person, and to scripts/testsum.
func (k kind) say(format string, args ...any) {
	fmt.Fprintln(os.Stderr, strings.TrimSuffix(k.name+": "+fmt.Sprintf(format, args...), "\n"))
}

// need returns the server, or ends the test: without any it is skipped, with
// one that does not work it fails.
func (k kind) need(t testing.TB, s *server, err error) *server {
	t.Helper()
	switch {
	case errors.Is(err, errNone):
		t.Skipf("needs a server, see scripts/%s: %v", k.name, err)
	case err != nil:
		t.Fatalf("needs a server that works: %v", err)
	}
	return s
}

// running are the servers that are stopped when all tests are done.
var running struct {
	sync.Mutex
	servers []*server
}

func stopLater(s *server) {
	running.Lock()
	defer running.Unlock()
	running.servers = append(running.servers, s)
}

// Start finds or starts a server of each kind for a command that is no test of
// this module, and returns what the environment names them by. They run until
// [Stop].
func Start() (environment []string, err error) {
	for _, find := range []struct {
		kind kind
		find func() (*server, error)
	}{{postgres, findPostgres}, {vault, findVault}} {
		s, err := find.find()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", find.kind.name, err)
		}
		environment = append(environment, find.kind.address+"="+s.address)
		if find.kind.secret {
			environment = append(environment, find.kind.address+tokenSuffix+"="+s.token)
		}
	}
	return environment, nil
}

// Main runs the tests and ends the process as [testing.M.Run] says, when the
// servers are stopped that were started for them.
func Main(m *testing.M) {
	code := m.Run()
	if err := Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Stop stops what was started.
func Stop() error {
	running.Lock()
	defer running.Unlock()
	var errs []error
	for _, s := range running.servers {
		errs = append(errs, s.stop())
	}
	running.servers = nil
	return errors.Join(errs...)
}

// stopNow stops a server before its time.
func stopNow(s *server) error {
	running.Lock()
	running.servers = slices.DeleteFunc(running.servers, func(other *server) bool { return other == s })
	running.Unlock()
	return s.stop()
}
