package profile_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/profile"
	"github.com/aichub/lanyard/store/memory"
)

func Example() {
	ctx := context.Background()
	profiles := profile.NewService(memory.New(), nil)

	// The identity provider says who is calling.
	principal := lanyard.Principal{Owner: lanyard.Owner{Subject: "00u1"}, Email: "ana@example.com", GivenName: "Ana", FamilyName: "Souza"}
	p, err := profiles.Seen(ctx, principal)
	fmt.Println(p.Name, p.Version, err)

	// The user writes a name of his own.
	p, err = profiles.Update(ctx, p.Owner, p.Version, profile.Update{GivenName: profile.Set("Aninha")})
	fmt.Println(p.Name, p.Version, err)

	// A later login brings a new address and leaves the name alone.
	principal.Email = "ana@new.example"
	p, err = profiles.Seen(ctx, principal)
	fmt.Println(p.Name, p.Email, p.Version, err)
	// Output:
	// Ana Souza 1 <nil>
	// Aninha Souza 2 <nil>
	// Aninha Souza ana@new.example 3 <nil>
}

func ExampleService_Activity() {
	ctx := context.Background()
	profiles := profile.NewService(memory.New(), nil)
	owner := lanyard.Owner{Subject: "00u1"}
	for _, email := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		if _, err := profiles.Seen(ctx, lanyard.Principal{Owner: owner, Email: email, Name: "Ana"}); err != nil {
			fmt.Println(err)
			return
		}
	}
	page := profile.Page{Limit: 2}
	for {
		part, err := profiles.Activity(ctx, owner, page)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(part.Events))
		if page.Token = part.Next; page.Token == "" {
			return
		}
	}
	// Output:
	// 2
	// 1
}

func ExampleService_Deactivate() {
	ctx := context.Background()
	profiles := profile.NewService(memory.New(), nil) // with OwnerChanged: keys.Refresh
	owner := lanyard.Owner{Subject: "00u1"}

	fmt.Println(profiles.Deactivate(ctx, owner))
	_, err := profiles.Seen(ctx, lanyard.Principal{Owner: owner})
	fmt.Println(errors.Is(err, lanyard.ErrDeactivated))
	// Output:
	// <nil>
	// true
}
