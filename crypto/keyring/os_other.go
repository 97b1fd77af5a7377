//go:build !unix

package keyring

import "io/fs"

// lock does nothing where there is no flock: rotate from one process at a time.
func lock(string) (unlock func(), err error) { return func() {}, nil }

// exposed cannot tell where a mode says nothing about who may read.
func exposed(fs.FileInfo) bool { return false }

// syncDir does nothing where a folder cannot be synced.
func syncDir(string) error { return nil }
