package secretstest_test

import (
	"path/filepath"
	"testing"

	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/crypto/secretstest"
)

// In the test of a key service of your own.
func ExampleRun() {
	_ = func(t *testing.T) {
		t.Parallel()
		secretstest.Run(t, func(t *testing.T) crypto.Secrets {
			ring, err := keyring.Create(filepath.Join(t.TempDir(), "lanyard.keys"), nil)
			if err != nil {
				t.Fatal(err)
			}
			return ring
		})
	}
}
