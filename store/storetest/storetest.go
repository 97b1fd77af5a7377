// Package storetest is the acceptance test of a [store.Store]. A store that
// passes Run keeps every rule of package store:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return mystore.New() })
//	}
//
// Run it with -race. It imports the standard library, lanyard and store only.
package storetest

import (
	"testing"

	"github.com/aichub/lanyard/store"
)

// Run proves a store. open returns a new, empty store each time it is called,
// and removes what it made through t.Cleanup; Run closes the store itself. The
// subtests run in parallel and carry the names of the methods and rules they
// prove. The rules of epochs are proven where the store has store.Epochs.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, store.Store)
	}{
		{"Changes", changeTests},
		{"Profiles", profileTests},
		{"APIKeys", apiKeyTests},
		{"Rotation", rotationTests},
		{"ProviderTokens", providerTokenTests},
		{"OwnerKeys", ownerKeyTests},
		{"Owners", ownerTests},
		{"Events", eventTests},
		{"Maintenance", maintenanceTests},
		{"Epochs", epochTests},
		{"Input", inputTests},
		{"Concurrency", concurrencyTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					st := open(t)
					t.Cleanup(func() {
						if err := st.Close(); err != nil {
							t.Errorf("Close() = %v", err)
						}
					})
					test(t, st)
				})
			}
		})
	}
}

// RunShared proves that two handles on one database behave as one store. open
// returns two stores that share their records, as two processes do.
func RunShared(t *testing.T, open func(t *testing.T) (a, b store.Store)) {
	for name, test := range sharedTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			t.Cleanup(func() {
				if err := a.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
				if err := b.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
			})
			test(t, []store.Store{a, b})
		})
	}
}
