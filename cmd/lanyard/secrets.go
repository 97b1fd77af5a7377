package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/store"
)

// ring is the flags that name a keyring.
type ring struct{ path, passphrase string }

func ringFlags(flags *flag.FlagSet) *ring {
	r := new(ring)
	flags.StringVar(&r.path, "keyring", "", "the `FILE` of a keyring")
	flags.StringVar(&r.passphrase, "passphrase-file", "", "a `FILE` with the keyring's passphrase on its one line")
	return r
}

func (r *ring) options() (*keyring.Options, error) {
	if r.path == "" {
		return nil, usagef("-keyring is missing")
	}
	o := new(keyring.Options)
	if r.passphrase != "" {
		raw, err := os.ReadFile(r.passphrase)
		if err != nil {
			return nil, fmt.Errorf("read the passphrase: %w", err)
		}
		o.Passphrase = lanyard.NewSecret(string(bytes.TrimRight(raw, "\r\n")))
		clear(raw)
		if o.Passphrase.IsZero() {
			return nil, fmt.Errorf("%s holds no passphrase", r.passphrase)
		}
	}
	return o, nil
}

func (r *ring) open() (*keyring.Ring, error) {
	o, err := r.options()
	if err != nil {
		return nil, err
	}
	return keyring.Open(r.path, o)
}

// keyServices is the flags that name key services.
type keyServices struct {
	ring         *ring
	vault, mount string
	to           string
}

func keyServiceFlags(flags *flag.FlagSet) *keyServices {
	k := &keyServices{ring: ringFlags(flags)}
	flags.StringVar(&k.vault, "vault", "", "the `KEY` of Vault's transit engine; address and token come from VAULT_ADDR, VAULT_TOKEN, …")
	flags.StringVar(&k.mount, "vault-mount", "transit", "the `PATH` where the transit engine is mounted")
	flags.StringVar(&k.to, "to", "", "with both -keyring and -vault: `WHICH` of them wraps, keyring or vault; the other only unwraps")
	return k
}

func (k *keyServices) given() bool { return k.ring.path != "" || k.vault != "" }

// check refuses what cannot be meant, before anything is opened.
func (k *keyServices) check() error {
	both := k.ring.path != "" && k.vault != ""
	switch {
	case !k.given():
		return usagef("-keyring or -vault is missing")
	case both && k.to != "keyring" && k.to != "vault":
		return usagef("with both -keyring and -vault, -to says which of them wraps: keyring or vault")
	case !both && k.to != "":
		return usagef("-to is for both -keyring and -vault")
	}
	return nil
}

// sealer returns a Sealer over the key services.
func (k *keyServices) sealer(st store.OwnerKeys) (*crypto.Sealer, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	var services []crypto.Secrets
	if k.ring.path != "" {
		r, err := k.ring.open()
		if err != nil {
			return nil, err
		}
		services = append(services, r)
	}
	if k.vault != "" {
		v, err := k.transit()
		if err != nil {
			return nil, err
		}
		services = append(services, v)
	}
	if k.to == "vault" {
		services[0], services[1] = services[1], services[0]
	}
	return crypto.NewSealer(services[0], st, &crypto.SealerOptions{Previous: services[1:]})
}

// transit takes Vault's address and token from where its own command does.
func (k *keyServices) transit() (*vaulttransit.Transit, error) {
	config := api.DefaultConfig() // reads VAULT_ADDR and the rest
	if config.Error != nil {
		return nil, fmt.Errorf("the environment does not say how to reach Vault: %w", lanyard.ErrUnavailable)
	}
	client, err := api.NewClient(config)
	if err != nil { // whose text may hold what the environment holds
		return nil, fmt.Errorf("the environment does not say how to reach Vault: %w", lanyard.ErrUnavailable)
	}
	return vaulttransit.New(client, k.vault, &vaulttransit.Options{Mount: k.mount})
}
