package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
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
	ring            *ring
	vault, previous *transitKey
	to              string
}

func keyServiceFlags(flags *flag.FlagSet) *keyServices {
	k := &keyServices{ring: ringFlags(flags)}
	k.vault = transitFlags(flags, "vault", "the `KEY` of Vault's transit engine. The environment says where, as for Vault's command: VAULT_ADDR, …\n"+
		"and how to log in: VAULT_TOKEN, or "+vaultPrefix+varRoleID+" with "+vaultPrefix+varSecretIDFile+" or "+vaultPrefix+varSecretID+",\n"+
		"or "+vaultPrefix+varKubernetes+" with "+vaultPrefix+varJWTFile+" where it is not the usual one; "+vaultPrefix+varAuthMount+" for another mount")
	k.previous = transitFlags(flags, "previous-vault", "with -vault: the `KEY` that a host moves away from; it only unwraps. It is on the same server with\n"+
		"the same login, unless "+previousPrefix+varAddr+", …"+varNamespace+", …"+varToken+" or another login as above says otherwise")
	flags.StringVar(&k.to, "to", "", "with both -keyring and -vault: `WHICH` of them wraps, keyring or vault; the other only unwraps")
	return k
}

func (k *keyServices) given() bool { return k.ring.path != "" || k.vault.given() || k.previous.given() }

// toVault reports whether it is the key of -vault that wraps.
func (k *keyServices) toVault() bool { return k.vault.given() && k.to != "keyring" }

// check refuses what cannot be meant, before anything is opened.
func (k *keyServices) check() error {
	both := k.ring.path != "" && k.vault.given()
	switch {
	case !k.given():
		return usagef("-keyring or -vault is missing")
	case k.previous.given() && !k.vault.given():
		return usagef("-previous-vault is for -vault, which is missing")
	case k.previous.given() && k.previous.serviceName() == k.vault.serviceName():
		return usagef("-vault and -previous-vault are both called %s: one of them has a name of its own, for -vault-name", k.vault.serviceName())
	case both && k.to != "keyring" && k.to != "vault":
		return usagef("with both -keyring and -vault, -to says which of them wraps: keyring or vault")
	case !both && k.to != "":
		return usagef("-to is for both -keyring and -vault")
	}
	for _, v := range []*transitKey{k.vault, k.previous} {
		if err := v.check(); err != nil {
			return err
		}
	}
	if k.vault.given() {
		if err := (vaultServer{vaultPrefix}).check(); err != nil {
			return err
		}
	}
	if k.previous.given() {
		return previousServer().check()
	}
	return nil
}

// services are open key services, the one that wraps first.
type services []crypto.Secrets

// close ends what logged in.
func (all services) close() {
	for _, s := range all {
		if c, ok := s.(io.Closer); ok {
			_ = c.Close() // nothing is lost: it keeps nothing
		}
	}
}

// open opens the key services. Close what it returns.
func (k *keyServices) open() (all services, err error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			all.close()
		}
	}()
	if k.ring.path != "" {
		r, err := k.ring.open()
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	if k.vault.given() {
		v, err := vaultServer{vaultPrefix}.open(k.vault)
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	if k.to == "vault" {
		all[0], all[1] = all[1], all[0]
	}
	if k.previous.given() {
		v, err := previousServer().open(k.previous)
		if err != nil {
			return all, fmt.Errorf("the previous Vault: %w", err)
		}
		all = append(all, v)
	}
	return all, nil
}

// A pass over all connections asks about each owner once, in whatever order
// they come: an owner's key is kept until the pass is over, and there is room
// for many, at less than a kilobyte each.
const (
	keptFor  = 24 * time.Hour
	keptKeys = 100_000
)

// with lends f a Sealer over the key services and closes them.
func (k *keyServices) with(st store.OwnerKeys, f func(s *crypto.Sealer) error) error {
	all, err := k.open()
	if err != nil {
		return err
	}
	defer all.close()
	s, err := crypto.NewSealer(all[0], st, &crypto.SealerOptions{
		Previous: all[1:], CacheTTL: keptFor, CacheSize: keptKeys,
	})
	if err != nil {
		return err
	}
	return f(s)
}
