// Package secretstest is the acceptance test of a [crypto.Secrets]. A key
// service that passes Run keeps every sentence of that contract:
//
//	func TestSecrets(t *testing.T) {
//		secretstest.Run(t, func(t *testing.T) crypto.Secrets { return newMySecrets(t) })
//	}
//
// Run it with -race. With -short it flips one bit of each byte instead of all,
// for key services that are far away or paid by the call. It imports the
// standard library, lanyard and crypto only.
package secretstest

import (
	"context"
	"testing"

	"github.com/aichub/lanyard/crypto"
)

// Run proves a key service. open returns one that works, and removes what it
// made through t.Cleanup; it may return the same one each time. The subtests
// run in parallel and carry the names of what they prove. Where the key
// service is a [crypto.Rewrapper] too, that is proven with it.
func Run(t *testing.T, open func(t *testing.T) crypto.Secrets) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, crypto.Secrets)
	}{
		{"Name", nameTests},
		{"Wrap", wrapTests},
		{"Unwrap", unwrapTests},
		{"Context", contextTests},
		{"Concurrency", concurrencyTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, open(t))
				})
			}
		})
	}
	if _, ok := open(t).(crypto.Rewrapper); !ok {
		return
	}
	t.Run("Rewrap", func(t *testing.T) {
		t.Parallel()
		for name, test := range rewrapTests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := open(t)
				test(t, s, s.(crypto.Rewrapper))
			})
		}
	})
}

// RunRotation proves that a key service goes on when its master key is
// rotated. open returns a key service of its own each time, with the function
// that gives it a new master key.
func RunRotation(t *testing.T, open func(t *testing.T) (s crypto.Secrets, rotate func(context.Context) error)) {
	for name, test := range rotationTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, rotate := open(t)
			test(t, s, func() {
				if err := rotate(t.Context()); err != nil {
					t.Fatalf("rotate() = %v, want nil", err)
				}
			})
		})
	}
}
