package vaulttransit_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/hashicorp/vault/api"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/crypto/vaulttransit"
	"github.com/aichub/lanyard/store/memory"
)

func Example() {
	vault := httptest.NewServer(&server{keys: map[string]*transitKey{
		"lanyard": {derived: true, versions: [][]byte{make([]byte, 32)}},
	}})
	defer vault.Close()

	config := api.DefaultConfig()
	config.Address = vault.URL
	client, err := api.NewClient(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	client.SetToken(canaryToken)

	secrets, err := vaulttransit.New(client, "lanyard", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	sealer, err := crypto.NewSealer(secrets, memory.New(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	fmt.Println(secrets.Name(), sealer.Check(ctx))

	place := crypto.Binding{Purpose: "example", Owner: lanyard.Owner{Subject: "ana"}, Record: "r1"}
	sealed, err := sealer.Seal(ctx, place, lanyard.NewSecret("hunter2"))
	if err != nil {
		fmt.Println(err)
		return
	}
	opened, err := sealer.Open(ctx, place, sealed.Envelope)
	fmt.Println(opened.Reveal(), err)
	// Output:
	// vault:transit/lanyard <nil>
	// hunter2 <nil>
}
