package apikey_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/store/memory"
)

// Keys of another system are taken over by the hashes it kept.
func ExampleService_Import() {
	ctx := context.Background()
	keys, err := apikey.NewService(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = keys.Close(ctx) }()

	sum := sha256.Sum256([]byte("hub_3ZhYt7bK")) // the other system knows only this
	requests := []apikey.ImportRequest{{
		Owner: lanyard.Owner{Subject: "ana"}, Name: "ci", Hint: "hub_3Z",
		Hash: base64.RawURLEncoding.EncodeToString(sum[:]), // as better-auth keeps it
	}}
	for range 2 {
		results, err := keys.Import(ctx, requests)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(results[0].Key.Name, results[0].Key.Hint, results[0].Err)
	}
	// Output:
	// ci hub_3Z <nil>
	// ci hub_3Z apikey: import: already exists
}

// Whoever finds a key can have it deleted.
func ExampleService_ReportLeaks() {
	ctx := context.Background()
	keys, err := apikey.NewService(memory.New(), &apikey.Options{
		OnEvent: func(_ context.Context, e lanyard.Event) { fmt.Println(e.Owner.Subject, e.Action, e.Detail) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = keys.Close(ctx) }()

	created, err := keys.Create(ctx, lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{Name: "laptop"})
	if err != nil {
		log.Fatal(err)
	}
	results, err := keys.ReportLeaks(ctx, []apikey.Leak{
		{Token: created.Secret, Source: "gitleaks", URL: "https://git.acme.example/app/.env?raw=1"},
		{Token: created.Secret},
		{Token: lanyard.NewSecret("something else")},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Verdict)
	}
	// Output:
	// ana api_key.created map[name:laptop]
	// ana api_key.leaked map[host:git.acme.example name:laptop source:gitleaks]
	// deleted
	// deleted_before
	// unknown
}

func ExampleService_DeleteByToken() {
	ctx := context.Background()
	keys, err := apikey.NewService(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = keys.Close(ctx) }()

	created, err := keys.Create(ctx, lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{Name: "laptop"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(keys.DeleteByToken(ctx, created.Secret.Reveal()))
	err = keys.DeleteByToken(ctx, created.Secret.Reveal())
	fmt.Println(errors.Is(err, lanyard.ErrNotFound))
	// Output:
	// <nil>
	// true
}

// A key that ends soon is told of once, however often it is looked for.
func ExampleService_Sweep() {
	ctx := context.Background()
	st := memory.New()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	keys, err := apikey.NewService(st, &apikey.Options{
		Now: func() time.Time { return now },
		OnEvent: func(_ context.Context, e lanyard.Event) {
			if e.Action == apikey.ActionExpiring {
				fmt.Println(e.Detail[apikey.DetailName], "expires within", e.Detail[apikey.DetailDays], "days")
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = keys.Close(ctx) }()

	_, err = keys.Create(ctx, lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{Name: "laptop", ExpiresAt: now.AddDate(0, 0, 60)})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		now = now.AddDate(0, 0, 25)
		for range 2 {
			if _, err := keys.Sweep(ctx, st); err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// laptop expires within 14 days
}

// What was made without a Sealer is signed once, when there is one.
func ExampleService_SignAll() {
	ctx := context.Background()
	st := memory.New()
	before, err := apikey.NewService(st, nil)
	if err != nil {
		log.Fatal(err)
	}
	created, err := before.Create(ctx, lanyard.Owner{Subject: "ana"}, apikey.CreateRequest{Name: "laptop"})
	if err != nil {
		log.Fatal(err)
	}
	if err := before.Close(ctx); err != nil {
		log.Fatal(err)
	}

	secrets, err := newKeyService() // a host's keyring or Vault
	if err != nil {
		log.Fatal(err)
	}
	sealer, err := crypto.NewSealer(secrets, st, nil)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := apikey.NewService(st, &apikey.Options{Sealer: sealer})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = keys.Close(ctx) }()
	_, err = keys.Verify(ctx, created.Secret.Reveal())
	fmt.Println(err)

	report, err := keys.SignAll(ctx, st, &apikey.SignAllOptions{Before: time.Now()})
	fmt.Println(len(report.Signed), len(report.Refused), report.Done, err)
	_, err = keys.Verify(ctx, created.Secret.Reveal())
	fmt.Println(err)
	// Output:
	// apikey: verify: unauthenticated
	// 1 0 true <nil>
	// <nil>
}
