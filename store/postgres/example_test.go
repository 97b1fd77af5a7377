package postgres_test

import (
	"context"
	"fmt"
	"os"

	"github.com/aichub/lanyard/store/postgres"
)

func ExampleOpen() {
	ctx := context.Background()
	st, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = st.Close() }()
	if err := st.Migrate(ctx); err != nil {
		fmt.Println(err)
	}
}

// Through a pooler the tables are used, not migrated: that takes a connection
// of its own to the server.
func ExampleOptions() {
	ctx := context.Background()
	direct, err := postgres.Open(ctx, os.Getenv("DIRECT_URL"), &postgres.Options{MaxConns: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = direct.Migrate(ctx)
	_ = direct.Close()
	if err != nil {
		fmt.Println(err)
		return
	}

	st, err := postgres.Open(ctx, os.Getenv("PGBOUNCER_URL"), &postgres.Options{Pooled: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = st.Close()
}
