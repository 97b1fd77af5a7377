package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aichub/lanyard/crypto/keyring"
)

// At the first start the file is created, later it is opened. Of several
// processes that start at once one creates it.
func Example() {
	dir, err := os.MkdirTemp("", "lanyard")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "lanyard.keys")

	for range 2 {
		ring, err := keyring.Create(path, nil)
		if errors.Is(err, fs.ErrExist) {
			ring, err = keyring.Open(path, nil)
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ring.Name(), "with", len(ring.Keys()), "key")
	}
	// Output:
	// keyring with 1 key
	// keyring with 1 key
}

// Rotating gives the ring a new primary key; what the one before wrapped still
// opens.
func ExampleRing_Rotate() {
	dir, err := os.MkdirTemp("", "lanyard")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ring, err := keyring.Create(filepath.Join(dir, "lanyard.keys"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, binding := context.Background(), []byte("the place it belongs to")
	wrapped, err := ring.Wrap(ctx, make([]byte, 32), binding)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := ring.Rotate(); err != nil {
		fmt.Println(err)
		return
	}
	for _, k := range ring.Keys() {
		fmt.Println(k.State)
	}
	_, err = ring.Unwrap(ctx, wrapped, binding)
	fmt.Println("still opens:", err == nil)
	// Output:
	// decrypt
	// primary
	// still opens: true
}

// A key that wrapped something is not removed. A host counts with its store:
// CountOwnerKeys has the numbers.
func ExampleRing_Remove() {
	dir, err := os.MkdirTemp("", "lanyard")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ring, err := keyring.Create(filepath.Join(dir, "lanyard.keys"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	old := ring.Keys()[0].ID
	if err := errors.Join(ring.Rotate(), ring.Disable(old)); err != nil {
		fmt.Println(err)
		return
	}

	for _, wrapped := range []int{7, 0} {
		err := ring.Remove(context.Background(), old, func(context.Context, string) (int, error) { return wrapped, nil })
		fmt.Println(errors.Is(err, keyring.ErrInUse), len(ring.Keys()))
	}
	// Output:
	// true 2
	// false 1
}
