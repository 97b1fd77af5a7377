package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/providertoken"
)

// settings are the flags and the environment. What opens something is a
// lanyard.Secret, so that settings can be logged by mistake and harm nobody.
type settings struct {
	addr      string
	data      string
	drain     time.Duration
	instances []string // their names

	database lanyard.Secret // PostgreSQL's URL; zero = a SQLite file in data
	vault    vaultSettings  // no address = a keyring in data
	jira     providertoken.Instance
}

type vaultSettings struct {
	address string
	token   lanyard.Secret
	key     string // name of the transit key
}

// environment is what -help says of it.
const environment = `
Environment:
  DATABASE_URL       a PostgreSQL database; without it a SQLite file in -data
  VAULT_ADDR         a Vault or OpenBao server; without it a keyring in -data
  VAULT_TOKEN        a token that may encrypt, decrypt and rewrap with the key
  VAULT_TRANSIT_KEY  name of the transit key, which must be derived (default lanyard)
  JIRA_URL           your own Jira Data Center for the agent; without it Jira Cloud
  JIRA_NETWORKS      private networks it may be in, as 10.1.0.0/16,10.2.0.0/16
`

func parseSettings(args []string, getenv func(string) string, stderr io.Writer) (settings, error) {
	s := settings{instances: []string{"a", "b"}}
	flags := flag.NewFlagSet("aichub", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.addr, "addr", "127.0.0.1:8080", "listen on this `address`; port 0 takes a free one")
	flags.StringVar(&s.data, "data", "aichub-data", "keep what no server keeps in this `directory`")
	flags.DurationVar(&s.drain, "drain", 5*time.Second, "go on serving for this long after readiness has ended")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage of aichub:")
		flags.PrintDefaults()
		fmt.Fprint(stderr, environment)
	}
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	if flags.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	if url := getenv("DATABASE_URL"); url != "" {
		s.database = lanyard.NewSecret(url)
	}
	s.vault = vaultSettings{address: getenv("VAULT_ADDR"), token: lanyard.NewSecret(getenv("VAULT_TOKEN")), key: getenv("VAULT_TRANSIT_KEY")}
	if s.vault.address != "" && getenv("VAULT_TOKEN") == "" {
		return settings{}, errors.New("VAULT_ADDR is set and VAULT_TOKEN is not")
	}
	if s.vault.key == "" {
		s.vault.key = "lanyard"
	}
	var err error
	s.jira, err = jiraInstance(getenv("JIRA_URL"), getenv("JIRA_NETWORKS"))
	return s, err
}

// jiraInstance registers the organisation's own Jira.
func jiraInstance(base, networks string) (providertoken.Instance, error) {
	i := providertoken.Instance{ID: "jira", Provider: "jira-data-center", Name: "Jira", Base: base}
	for text := range strings.SplitSeq(networks, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return i, fmt.Errorf("JIRA_NETWORKS: %w", err)
		}
		i.Networks = append(i.Networks, network)
	}
	return i, nil
}
