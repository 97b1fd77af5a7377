// Package keyring keeps master keys in a local file: the key service for a
// host without Vault or a KMS.
//
//	ring, err := keyring.Create("lanyard.keys", nil)
//	if errors.Is(err, fs.ErrExist) {
//		ring, err = keyring.Open("lanyard.keys", nil)
//	}
//
// Creating and opening are two functions, so that a lost or misspelled file is
// an error and never a fresh key that opens nothing. Who reads the file and
// the database can open every secret: keep the two apart, in backups too.
//
// # The file
//
// JSON, readable by its owner only (mode 0600). Each key has an id, 32 random
// bytes, a check value and a state: one is primary and wraps; those in state
// decrypt only unwrap; disabled ones do nothing. With a passphrase the keys
// stand in the file under AES-256-GCM and a key derived by Argon2id (RFC
// 9106). Argon2id is not an algorithm of FIPS 140-3: with GODEBUG=fips140=only
// a passphrase is refused, and everything else works.
//
// The file is replaced as a whole, never written in place: who reads it sees
// the old ring or the new one. Processes that change it at once wait for one
// another on an empty file beside it, with ".lock" after its name. Where there
// are no Unix file modes and locks, neither is looked at.
//
// # Errors
//
// [ErrFile] for a file that is no keyring or was damaged, [ErrMode] for one
// that others may read, [ErrPassphrase], [ErrFIPS], fs.ErrNotExist and
// fs.ErrExist; each names the file and none what is in it. What was wrapped by
// a key that is not in the ring, or disabled, is crypto.ErrUnknownKey; a file
// that went bad while the ring was in use is lanyard.ErrUnavailable.
//
// # Concurrency
//
// A Ring is safe for concurrent use. It reads its file once when opened, and
// again where it changed since: before it wraps, and when it meets a key id it
// does not know. So a process goes on after another one has rotated the ring.
// A file that is gone or went bad stops it from wrapping; what the ring knows
// still opens.
//
// # A key's end
//
// [Ring.Rotate], then crypto.Sealer.Rewrap, [Ring.Disable], and, once no backup
// of the tables is wanted that the key has wrapped, [Ring.Remove].
package keyring
