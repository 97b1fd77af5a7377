package main

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
)

// loadOrder tells a process to use owner keys at a steady rate.
type loadOrder struct {
	Place     place
	Envelopes string // the file that holds them, by number of owner
	Rate      int    // uses per second
	TTL       time.Duration
}

// loadAnswer is given once the first key was used, and at the end.
type loadAnswer struct {
	Done    bool
	Opened  int
	Created int    // owner keys made on the way
	Failed  int    // uses that failed
	Error   string // the first of them
	P50     time.Duration
	P99     time.Duration
	Vault   requests
}

// newOwnerEvery is after how many uses there is one of an owner who is new.
const newOwnerEvery = 20

// loadWorkers use keys side by side.
const loadWorkers = 8

// load opens what random owners have sealed, and now and then has a new owner.
func load(ctx context.Context, order []byte, answer func(any)) error {
	var o loadOrder
	if err := json.Unmarshal(order, &o); err != nil {
		return err
	}
	envelopes, err := readEnvelopes(o.Envelopes)
	if err != nil {
		return err
	}
	var vault calls
	st, sealer, err := o.Place.open(ctx, o.TTL, &vault)
	if err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		total loadAnswer
		took  []time.Duration
	)
	tick := time.NewTicker(time.Second / time.Duration(o.Rate))
	defer tick.Stop()
	var workers sync.WaitGroup
	for range loadWorkers {
		workers.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				created, began := n%newOwnerEvery == 0, time.Now()
				var err error
				if created {
					err = useNew(context.WithoutCancel(ctx), sealer)
				} else {
					i := rand.IntN(len(envelopes))
					err = use(context.WithoutCancel(ctx), sealer, owner(i), envelopes[i])
				}
				mu.Lock()
				took = append(took, time.Since(began))
				switch {
				case err != nil:
					if total.Failed++; total.Error == "" {
						total.Error = err.Error()
					}
				case created:
					total.Created++
				default:
					if total.Opened++; total.Opened == 1 {
						answer(total)
					}
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	total.Done, total.P50, total.P99, total.Vault = true, quantile(took, .5), quantile(took, .99), vault.counted()
	answer(total)
	return st.Close()
}

func owner(i int) lanyard.Owner {
	return lanyard.Owner{Tenant: "acme", Subject: fmt.Sprint("user-", i)}
}

func binding(o lanyard.Owner) crypto.Binding {
	return crypto.Binding{Purpose: "measure", Owner: o, Record: "record", Field: "token"}
}

func plaintext(o lanyard.Owner) string { return "the secret of " + o.Subject }

// use opens what an owner has sealed, and believes it only when it is that.
func use(ctx context.Context, sealer *crypto.Sealer, o lanyard.Owner, envelope []byte) error {
	text, err := sealer.Open(ctx, binding(o), envelope)
	if err == nil && text.Reveal() != plaintext(o) {
		err = errors.New("another plaintext than was sealed")
	}
	return err
}

// useNew seals for an owner who has no key yet, and opens it.
func useNew(ctx context.Context, sealer *crypto.Sealer) error {
	o := lanyard.Owner{Tenant: "new", Subject: lanyard.NewID()}
	sealed, err := sealer.Seal(ctx, binding(o), lanyard.NewSecret(plaintext(o)))
	if err != nil {
		return err
	}
	return use(ctx, sealer, o, sealed.Envelope)
}

// seed seals something for each of so many owners, by way of the Sealer as a
// host does, and returns the envelopes.
func seed(ctx context.Context, sealer *crypto.Sealer, owners int) ([][]byte, error) {
	envelopes := make([][]byte, owners)
	var (
		mu    sync.Mutex
		next  int
		first error
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next++; owners >= 10_000 && next%(owners/10) == 0 {
			say("%d owners of %d", next, owners)
		}
		return next - 1, next <= owners && first == nil
	}
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				sealed, err := sealer.Seal(ctx, binding(owner(i)), lanyard.NewSecret(plaintext(owner(i))))
				if err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
				envelopes[i] = sealed.Envelope
			}
		})
	}
	workers.Wait()
	return envelopes, first
}

func writeEnvelopes(name string, envelopes [][]byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(gob.NewEncoder(f).Encode(envelopes), f.Close())
}

func readEnvelopes(name string) (envelopes [][]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	err = errors.Join(gob.NewDecoder(f).Decode(&envelopes), f.Close())
	return envelopes, err
}
