package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
	"github.com/aichub/lanyard/store/memory"
)

// A change names the version it read, and takes the event that tells of it.
func Example() {
	ctx := context.Background()
	var st store.Profiles = memory.New()
	owner := lanyard.Owner{Tenant: "acme", Subject: "ana"}
	event := func(action string) lanyard.Event { return lanyard.NewEvent(ctx, time.Now(), owner, action, "") }

	p := store.Profile{Owner: owner, Email: "ana@acme.example"}
	fmt.Println(st.CreateProfile(ctx, p, event("profile.created")))

	read, err := st.Profile(ctx, owner)
	fmt.Println(read.Version, err)
	fmt.Println(st.UpdateProfile(ctx, read, event("profile.updated")))
	fmt.Println(errors.Is(st.UpdateProfile(ctx, read, event("profile.updated")), lanyard.ErrConflict))
	// Output:
	// <nil>
	// 1 <nil>
	// <nil>
	// true
}

func ExampleShard() {
	fmt.Println(store.Shard(lanyard.Owner{Tenant: "acme", Subject: "ana"}))
	// Output: 40
}

func ExampleInstant() {
	brasilia := time.FixedZone("BRT", -3*60*60)
	fmt.Println(store.Instant(time.Date(2026, 3, 14, 12, 9, 26, 535_897_932, brasilia)))
	// Output: 2026-03-14 15:09:26.535897 +0000 UTC
}

func ExampleAPIKey_Validate() {
	hash := sha256.Sum256([]byte("aic_…"))
	k := store.APIKey{ID: "k1", Owner: lanyard.Owner{Subject: "ana"}, Hash: hash[:], Name: "my\x00laptop"}
	fmt.Println(k.Validate())
	// Output: name: invalid: text is UTF-8 without NUL
}
