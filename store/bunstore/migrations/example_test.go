package migrations_test

import (
	"fmt"
	"io/fs"

	"github.com/aichub/lanyard/store/bunstore/migrations"
)

// A host that migrates with a tool of its own gives it the files.
func Example() {
	names, err := fs.Glob(migrations.Postgres(), "*.sql")
	fmt.Println(names, err)
	// Output: [00001_init.sql 00002_usage.sql 00003_by_index.sql] <nil>
}
