// Package vaulttransit wraps keys with the transit secrets engine of HashiCorp
// Vault or OpenBao. The master key never leaves the server.
//
//	client, err := api.NewClient(api.DefaultConfig()) // github.com/hashicorp/vault/api
//	secrets, err := vaulttransit.New(client, "lanyard", nil)
//	sealer, err := crypto.NewSealer(secrets, st, nil)
//	err = sealer.Check(ctx) // proves that the key binds
//
// The transit key must be derived, because only a derived key honours the
// binding; the token needs the capability update on encrypt, decrypt and rewrap
// of that one key, and no other:
//
//	vault write -f transit/keys/lanyard type=aes256-gcm96 derived=true
//
// The client stays the host's and is not changed. Its token and namespace are
// asked for at each call, so a host that renews its token, or logs in again,
// calls SetToken on it and nothing here. Everything else, address and TLS
// included, is as it was at [New]; the environment is not read again. An
// *http.Transport is copied, so connections are not the host's, and one of
// HTTP/2 that was lost is given up within some five seconds.
//
// A host that would rather have that done for it names how to log in:
//
//	secrets, err := vaulttransit.New(client, "lanyard", &vaulttransit.Options{
//		Auth: vaulttransit.AppRole{RoleID: roleID, SecretID: secretID},
//	})
//	defer secrets.Close()
//
// The first call then logs in, and the token is renewed while it is used. A
// call that is refused logs in anew, once however many were refused, and asks
// once more. A login that is refused is not repeated for five seconds, then for
// a minute, and then for up to a quarter of an hour, because Vault locks a role
// that is tried too often; until then calls end in ErrDenied.
//
// A call asks once otherwise, without retries and for at most the client's own
// timeout. A redirect is never followed, since it would carry the token and
// the key to another host: name the active node, or a load balancer that finds
// it.
//
// # Errors
//
// Those that [crypto.Secrets] asks for. They never hold what the server said.
//
// # Concurrency
//
// A [Transit] is safe for concurrent use.
package vaulttransit
