//go:build !unix

package keyring

// lock does nothing where there is no flock: rotate from one process at a time.
func lock(string) (unlock func(), err error) { return func() {}, nil }
