// Package crypto seals small secrets so that nothing in the tables opens
// without the key service, and a sealed value opens only in the place it was
// sealed for.
//
// [Secrets] is the plug-in contract of a key service: package keyring (a local
// file), package vaulttransit (HashiCorp Vault, OpenBao), or a host's own KMS
// in about thirty lines, proven by package secretstest. It only ever sees
// 32-byte keys. [Sealer] is what services use: it gives every owner a random
// key of his own, has it wrapped by Secrets and seals payloads with it here.
//
//	secrets, err := keyring.Open("lanyard.keys", nil)
//	sealer, err := crypto.NewSealer(secrets, st, nil)
//	sealed, err := sealer.Seal(ctx, binding, lanyard.NewSecret("hunter2"))
//	secret, err := sealer.Open(ctx, binding, sealed.Envelope)
//
// What follows from it: rotating the master key rewraps one small row a user
// and no payload ([Sealer.Rewrap]); erasing a user destroys his key, and with
// it whatever backups of the payloads still hold once the backups of the
// owner-key table are gone too; the key service is asked once per user and
// cache period.
//
// # Errors
//
// [ErrIntegrity] for a value that was changed or moved, [ErrUnknownKey] for a
// key this process or its key service does not have, [lanyard.ErrUnavailable]
// for a key service that is down. No error carries key material, plaintext or
// text of the key service.
//
// # A key service that is slow or down
//
// The Sealer retries nothing. At most 32 calls of one key service are under way
// at once, and who does not get his turn within a second is told that it is
// unavailable. After ten failures in a row, timeouts included, it is asked once
// a second and everybody else is told at once, until it answers; if it says
// when to ask again ([BusyError]) then at once, and not before that. A refusal
// is an answer. Owner keys in memory go on to open until their CacheTTL ends,
// and [Sealer.Check] and [Sealer.Rewrap] always ask.
//
// # Concurrency
//
// Everything here is safe for concurrent use.
package crypto
