package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store/memory"
)

func Example() {
	ctx := context.Background()
	keys, err := apikey.NewService(memory.New(), &apikey.Options{Prefix: "aic", Scopes: []string{"read", "write"}})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = keys.Close(ctx) }()

	owner := lanyard.Owner{Tenant: "acme", Subject: "ana"}
	created, err := keys.Create(ctx, owner, apikey.CreateRequest{Name: "laptop", Scopes: []string{"read"}})
	if err != nil {
		log.Fatal(err)
	}
	token := created.Secret.Reveal() // shown to its owner now and never again
	fmt.Println(len(token), "bytes; printed by accident:", created.Secret)

	principal, err := keys.Verify(ctx, token)
	fmt.Println(principal.Owner.Subject, principal.HasScope("read"), principal.HasScope("write"), err)

	if err := keys.Delete(ctx, owner, created.Key.ID, 0); err != nil {
		log.Fatal(err)
	}
	_, err = keys.Verify(ctx, token)
	fmt.Println(errors.Is(err, lanyard.ErrUnauthenticated))
	// Output:
	// 50 bytes; printed by accident: [redacted]
	// ana true false <nil>
	// true
}

// A request that is sent again makes no second key. Its secret is not there
// again either: who lost it deletes the key and makes another.
func ExampleService_Create_repeated() {
	ctx := context.Background()
	keys, err := apikey.NewService(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = keys.Close(ctx) }()

	owner := lanyard.Owner{Subject: "ana"}
	request := apikey.CreateRequest{Name: "laptop", IdempotencyKey: "form 7c1e"}
	first, err := keys.Create(ctx, owner, request)
	fmt.Println(first.Replayed, first.Secret.IsZero(), err)
	again, err := keys.Create(ctx, owner, request)
	fmt.Println(again.Replayed, again.Secret.IsZero(), err, again.Key.ID == first.Key.ID)

	request.Name = "desktop"
	_, err = keys.Create(ctx, owner, request)
	fmt.Println(errors.Is(err, apikey.ErrIdempotencyMismatch))
	// Output:
	// false false <nil>
	// true true <nil> true
	// true
}
