package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store/sqlite"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "lanyard")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	st, err := sqlite.Open(ctx, filepath.Join(dir, "lanyard.db"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = st.Close() }()
	if err := st.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}

	_, err = st.Profile(ctx, lanyard.Owner{Subject: "ana"})
	fmt.Println(errors.Is(err, lanyard.ErrNotFound))
	// Output: true
}
