package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store"
)

// deleteBatch is how many keys one transaction deletes.
const deleteBatch = 500

// keyReport is an API key as it is printed: nothing of it opens anything.
type keyReport struct {
	ID          string   `json:"id"`
	Tenant      string   `json:"tenant,omitempty"`
	Subject     string   `json:"sub"`
	Name        string   `json:"name"`
	Hint        string   `json:"hint"`
	Scopes      []string `json:"scopes"`
	Signed      bool     `json:"signed"`
	CreatedAt   string   `json:"created_at"`
	ExpiresAt   string   `json:"expires_at,omitempty"`
	DeletedAt   string   `json:"deleted_at,omitempty"`
	LastUsedAt  string   `json:"last_used_at,omitempty"`
	RotatedFrom string   `json:"rotated_from,omitempty"`
}

// unsaid does not repeat the id that was asked for: it may be a whole key.
func unsaid(did string, err error) error {
	if errors.Is(err, lanyard.ErrNotFound) {
		return fmt.Errorf("%s a key: there is none with that ID, which is the part of a key after its prefix: %w", did, err)
	}
	return fmt.Errorf("%s a key: %w", did, err)
}

func prepareKeysShow(j *job, flags *flag.FlagSet) action {
	d := databaseFlag(flags)
	return func(ctx context.Context, args []string) error {
		return d.with(ctx, func(st tables) error {
			k, err := st.APIKeyByID(ctx, args[0])
			if err != nil {
				return unsaid("show", err)
			}
			return j.tellKey(k)
		})
	}
}

func (j *job) tellKey(k store.APIKey) error {
	r := keyReport{
		ID: k.ID, Tenant: k.Owner.Tenant, Subject: k.Owner.Subject, Name: k.Name, Hint: k.Hint,
		Scopes: append([]string{}, k.Scopes...), Signed: len(k.MAC) > 0,
		CreatedAt: stamp(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt), DeletedAt: stamp(k.DeletedAt),
		LastUsedAt: stamp(k.LastUsedAt), RotatedFrom: k.RotatedFrom,
	}
	return j.tell(r, func(w io.Writer) {
		for _, line := range [][2]string{
			{"id", r.ID}, {"tenant", r.Tenant}, {"subject", r.Subject}, {"name", r.Name}, {"hint", r.Hint},
			{"scopes", strings.Join(r.Scopes, " ")}, {"signed", fmt.Sprint(r.Signed)},
			{"created", r.CreatedAt}, {"expires", r.ExpiresAt}, {"deleted", r.DeletedAt},
			{"last used", r.LastUsedAt}, {"rotated from", r.RotatedFrom},
		} {
			if line[1] != "" {
				fmt.Fprintf(w, "%-12s %q\n", line[0], line[1]) // quoted: a user chose some of it
			}
		}
	})
}

// deletion makes the event of an operator's deletion.
func deletion(ctx context.Context, at time.Time) func(store.APIKey) lanyard.Event {
	return func(k store.APIKey) lanyard.Event {
		return lanyard.NewEvent(ctx, at, k.Owner, apikey.ActionDeleted, k.ID).With(apikey.DetailName, k.Name)
	}
}

func (j *job) tellDeleted(n int) error {
	return j.tell(map[string]int{"deleted": n}, func(w io.Writer) { fmt.Fprintln(w, n, "deleted") })
}

func prepareKeysDelete(j *job, flags *flag.FlagSet) action {
	d := databaseFlag(flags)
	return func(ctx context.Context, args []string) error {
		return d.with(ctx, func(st tables) error {
			at := store.Instant(j.now())
			if err := st.DeleteAPIKeyByID(ctx, args[0], at, deletion(ctx, at)); err != nil {
				return unsaid("delete", err)
			}
			return j.tellDeleted(1)
		})
	}
}

func prepareKeysDeleteBefore(j *job, flags *flag.FlagSet) action {
	d := databaseFlag(flags)
	return func(ctx context.Context, args []string) error {
		before, err := time.Parse(time.RFC3339, args[0])
		if err != nil {
			return usagef("%q is no time such as 2026-03-01T12:00:00Z", args[0])
		}
		at := store.Instant(j.now())
		if before.After(at) {
			return usagef("%s is in the future: keys that are yet to be made would not outlive it", args[0])
		}
		return d.with(ctx, func(st tables) error {
			deleted := 0
			for {
				n, err := st.DeleteAPIKeysCreatedBefore(ctx, before, at, deleteBatch, deletion(ctx, at))
				deleted += n
				if err != nil {
					return fmt.Errorf("%d keys were deleted, then: %w", deleted, err)
				}
				if n == 0 {
					return j.tellDeleted(deleted)
				}
				fmt.Fprintln(j.stderr, deleted, "deleted so far")
			}
		})
	}
}
