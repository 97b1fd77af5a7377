package memory_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

func Example() {
	ctx := context.Background()
	st := memory.New()
	defer func() { _ = st.Close() }()

	owner := lanyard.Owner{Tenant: "acme", Subject: "ana"}
	hash := sha256.Sum256([]byte("the token"))
	k := store.APIKey{ID: "k1", Owner: owner, Name: "laptop", Hash: hash[:], CreatedAt: time.Now()}
	if err := st.CreateAPIKey(ctx, k, 50, lanyard.NewEvent(ctx, time.Now(), owner, "api_key.created", k.ID)); err != nil {
		fmt.Println(err)
	}

	found, err := st.APIKeyByHash(ctx, hash[:])
	fmt.Println(found.Key.Name, found.Owner.Deactivated(), err)
	events, err := st.Events(ctx, owner, store.EventCursor{}, 10)
	fmt.Println(len(events), events[0].Action, err)
	// Output:
	// laptop false <nil>
	// 1 api_key.created <nil>
}
