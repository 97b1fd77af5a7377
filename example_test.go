package lanyard_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/aichub/lanyard"
)

func ExampleSecret() {
	login := struct {
		User     string
		password lanyard.Secret
	}{"ana", lanyard.NewSecret("hunter2")}

	fmt.Println(login.password)
	fmt.Printf("%s %q %x\n", login.password, login.password, login.password)
	fmt.Println(len(login.password.Reveal()))
	// Output:
	// [redacted]
	// [redacted] [redacted] [redacted]
	// 7
}

func ExampleInputError() {
	err := fmt.Errorf("create: %w", &lanyard.InputError{Field: "name", Code: lanyard.CodeRequired, Message: "a key has a name"})

	var input *lanyard.InputError
	if errors.As(err, &input) {
		fmt.Println(input.Field, input.Code)
	}
	// Output: name required
}

func ExampleNotConnectedError() {
	err := fmt.Errorf("list issues: %w", &lanyard.NotConnectedError{Provider: "jira-cloud"})

	var missing *lanyard.NotConnectedError
	if errors.As(err, &missing) {
		fmt.Printf("connect %s at /account/tokens\n", missing.Provider)
	}
	// Output: connect jira-cloud at /account/tokens
}

func ExampleWithPrincipal() {
	ctx := lanyard.WithPrincipal(context.Background(), lanyard.Principal{
		Owner: lanyard.Owner{Subject: "svc:ci"}, Via: lanyard.ViaAPIKey, KeyID: "k1", Scopes: []string{"deploy"},
	})

	p, ok := lanyard.PrincipalFrom(ctx)
	fmt.Println(ok, p.Owner.Subject, p.HasScope("deploy"), p.HasScope("delete"))
	// Output: true svc:ci true false
}

func ExampleOwner_Validate() {
	fmt.Println(lanyard.Owner{Tenant: "acme", Subject: "ana"}.Validate())
	fmt.Println(lanyard.Owner{Tenant: "acme"}.Validate())
	// Output:
	// <nil>
	// owner: required: the subject is empty
}
