package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	vault "github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto/vaulttransit"
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
	post     post // nil = a line of the log; put what sends your mail here
}

type vaultSettings struct {
	address    string
	auth       vault.AuthMethod // nil = with token
	token      lanyard.Secret
	mount, key string // of the transit engine; "" = transit
}

// environment is what -help says of it.
const environment = `
Environment:
  DATABASE_URL       a PostgreSQL database; without it a SQLite file in -data
  VAULT_ADDR         a Vault or OpenBao server; without it a keyring in -data
  VAULT_ROLE_ID, VAULT_SECRET_ID
                     log in with an AppRole that may encrypt, decrypt and rewrap with the key,
  VAULT_KUBERNETES_ROLE
                     or with the pod's service account and this role,
  VAULT_TOKEN        or use this token, which must not expire while it runs
  VAULT_AUTH_MOUNT   where that login is mounted (default approle, or kubernetes)
  VAULT_TRANSIT_KEY  name of the transit key, which must be derived (default lanyard)
  VAULT_TRANSIT_MOUNT
                     where the transit engine is mounted (default transit)
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
	var err error
	if s.vault, err = vaultOf(getenv); err != nil {
		return settings{}, err
	}
	s.jira, err = jiraInstance(getenv("JIRA_URL"), getenv("JIRA_NETWORKS"))
	return s, err
}

// vaultOf reads which Vault there is and how to log in. A login goes before a
// token.
func vaultOf(getenv func(string) string) (vaultSettings, error) {
	s := vaultSettings{
		address: getenv("VAULT_ADDR"), token: lanyard.NewSecret(getenv("VAULT_TOKEN")),
		mount: getenv("VAULT_TRANSIT_MOUNT"), key: cmp.Or(getenv("VAULT_TRANSIT_KEY"), "lanyard"),
	}
	roleID, secretID, role := getenv("VAULT_ROLE_ID"), getenv("VAULT_SECRET_ID"), getenv("VAULT_KUBERNETES_ROLE")
	switch {
	case s.address == "":
		return s, nil
	case (roleID == "") != (secretID == ""):
		return s, errors.New("VAULT_ROLE_ID and VAULT_SECRET_ID belong together")
	case roleID != "" && role != "":
		return s, errors.New("VAULT_ROLE_ID and VAULT_KUBERNETES_ROLE are two logins")
	case roleID != "":
		s.auth = vaulttransit.AppRole{Mount: getenv("VAULT_AUTH_MOUNT"), RoleID: roleID, SecretID: lanyard.NewSecret(secretID)}
	case role != "":
		s.auth = vaulttransit.Kubernetes{Mount: getenv("VAULT_AUTH_MOUNT"), Role: role}
	case s.token.IsZero():
		return s, errors.New("VAULT_ADDR is set, and neither VAULT_ROLE_ID, VAULT_KUBERNETES_ROLE nor VAULT_TOKEN is")
	}
	return s, nil
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
