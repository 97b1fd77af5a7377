package bunstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store/bunstore"
)

// The tables stand beside the host's own, on the host's own pool.
func ExampleNew() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "lanyard")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "host.db")+
		"?_txlock=immediate&_busy_timeout=5000&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = pool.Close() }()

	st, err := bunstore.New(bun.NewDB(pool, sqlitedialect.New()), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := st.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	keys, err := st.APIKeys(ctx, lanyard.Owner{Tenant: "acme", Subject: "ana"})
	fmt.Println(len(keys), err)
	// Output: 0 <nil>
}
