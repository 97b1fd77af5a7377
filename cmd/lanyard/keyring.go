package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto/keyring"
	"github.com/aichub/lanyard/store"
)

// ringKey is a key of a keyring as it is printed.
type ringKey struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	OwnerKeys *int   `json:"owner_keys,omitempty"` // it wrapped; with a database
}

type ringReport struct {
	Keys []ringKey `json:"keys"`
}

// tellKeys prints what the ring holds.
func (j *job) tellKeys(r *keyring.Ring, counts map[string]int) error {
	var report ringReport
	for _, k := range r.Keys() {
		key := ringKey{ID: k.ID, State: string(k.State)}
		if counts != nil {
			n := counts[k.ID]
			key.OwnerKeys = &n
		}
		report.Keys = append(report.Keys, key)
	}
	return j.tell(report, func(w io.Writer) {
		for _, k := range report.Keys {
			fmt.Fprintf(w, "%s  %s", k.ID, k.State)
			if k.OwnerKeys != nil {
				fmt.Fprintf(w, "  wrapped %d owner keys", *k.OwnerKeys)
			}
			fmt.Fprintln(w)
		}
	})
}

// wrappedBy counts the owner keys that each key of a ring wrapped.
func wrappedBy(ctx context.Context, st store.Maintenance, ring string) (map[string]int, error) {
	all, err := st.CountOwnerKeys(ctx)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, c := range all {
		if c.Secrets == ring {
			counts[c.KeyVersion] += c.Count
		}
	}
	return counts, nil
}

func prepareKeyringCreate(j *job, flags *flag.FlagSet) action {
	f := ringFlags(flags)
	return func(context.Context, []string) error {
		o, err := f.options()
		if err != nil {
			return err
		}
		r, err := keyring.Create(f.path, o)
		if err != nil {
			return err
		}
		return j.tellKeys(r, nil)
	}
}

func prepareKeyringList(j *job, flags *flag.FlagSet) action {
	f, d := ringFlags(flags), databaseFlag(flags)
	return func(ctx context.Context, _ []string) error {
		r, err := f.open()
		if err != nil {
			return err
		}
		if !d.given() {
			return j.tellKeys(r, nil)
		}
		return d.with(ctx, func(st tables) error {
			counts, err := wrappedBy(ctx, st, r.Name())
			if err != nil {
				return err
			}
			return j.tellKeys(r, counts)
		})
	}
}

func prepareKeyringRotate(j *job, flags *flag.FlagSet) action {
	f := ringFlags(flags)
	return func(context.Context, []string) error {
		r, err := f.open()
		if err == nil {
			err = r.Rotate()
		}
		if err != nil {
			return err
		}
		return j.tellKeys(r, nil)
	}
}

func prepareKeyringEnable(j *job, flags *flag.FlagSet) action {
	f := ringFlags(flags)
	return func(_ context.Context, args []string) error {
		r, err := f.open()
		if err == nil {
			err = r.Enable(args[0])
		}
		if err != nil {
			return err
		}
		return j.tellKeys(r, nil)
	}
}

// Disabling can be undone, so an operator may insist; removing cannot.
func prepareKeyringDisable(j *job, flags *flag.FlagSet) action {
	f, d := ringFlags(flags), databaseFlag(flags)
	force := flags.Bool("force", false, "do it even if the key is in use; what it wrapped does not open until it is enabled")
	return func(ctx context.Context, args []string) error {
		if !*force && !d.given() {
			return usagef("-database says whether the key is in use; -force does without")
		}
		r, err := f.open()
		if err != nil {
			return err
		}
		if !*force {
			err = d.with(ctx, func(st tables) error {
				counts, err := wrappedBy(ctx, st, r.Name())
				if n := counts[args[0]]; n > 0 {
					return fmt.Errorf("%w: it wrapped %d owner keys; rewrap them first", keyring.ErrInUse, n)
				}
				return err
			})
		}
		if err == nil {
			err = r.Disable(args[0])
		}
		if err != nil {
			return err
		}
		return j.tellKeys(r, nil)
	}
}

func prepareKeyringRemove(j *job, flags *flag.FlagSet) action {
	f, d := ringFlags(flags), databaseFlag(flags)
	return func(ctx context.Context, args []string) error {
		r, err := f.open()
		if err != nil {
			return err
		}
		err = d.with(ctx, func(st tables) error {
			if needed, err := st.NeedsMigration(ctx); err != nil || needed {
				// Not the database that the keyring belongs to, or not all of it.
				return orUnavailable(err, "the tables have to be migrated first")
			}
			return r.Remove(ctx, args[0], func(ctx context.Context, id string) (int, error) {
				counts, err := wrappedBy(ctx, st, r.Name())
				return counts[id], err
			})
		})
		if err != nil {
			return err
		}
		return j.tellKeys(r, nil)
	}
}

func orUnavailable(err error, why string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", why, lanyard.ErrUnavailable)
}
