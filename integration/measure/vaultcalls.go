package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// callsOptions says how often what is opened.
type callsOptions struct {
	owners int
	opens  int
}

func prepareVaultCalls(flags *flag.FlagSet) func(context.Context, io.Writer) error {
	var o callsOptions
	flags.IntVar(&o.owners, "owners", 100, "how many owners have a key")
	flags.IntVar(&o.opens, "opens", 10_000, "how often one of them is used, in turn")
	return func(ctx context.Context, out io.Writer) error {
		p, clean, err := newPlace(ctx)
		if err != nil {
			return err
		}
		costs, err := vaultCalls(ctx, p, o)
		if err := errors.Join(err, clean()); err != nil {
			return err
		}
		rows := [][]string{row("CacheTTL", "opens", "requests to Vault", "per 10 000 opens", "took", "per open")}
		for _, c := range costs {
			all := c.vault.Encrypt + c.vault.Decrypt + c.vault.Rewrap
			rows = append(rows, row(c.name, o.opens, c.vault, fmt.Sprintf("%.0f", float64(all)*10_000/float64(o.opens)), c.took, c.took/time.Duration(o.opens)))
		}
		table(out, rows...)
		return nil
	}
}

// cost is what opens cost with one cache period.
type cost struct {
	name  string
	vault requests
	took  time.Duration
}

// vaultCalls opens what owners have sealed, one after another in turn, in a
// process that has just started.
func vaultCalls(ctx context.Context, p place, o callsOptions) ([]cost, error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	st, sealer, err := p.open(ctx, 0, nil)
	if err != nil {
		return nil, err
	}
	envelopes, err := seed(ctx, sealer, o.owners)
	if err := errors.Join(err, st.Close()); err != nil {
		return nil, err
	}
	var costs []cost
	for _, c := range []struct {
		name string
		ttl  time.Duration
	}{{"1m0s, the default", 0}, {"none (negative)", -1}} {
		var vault calls
		st, sealer, err := p.open(ctx, c.ttl, &vault)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		for n := range o.opens {
			i := n % o.owners
			if err := use(ctx, sealer, owner(i), envelopes[i]); err != nil {
				return nil, errors.Join(err, st.Close())
			}
		}
		costs = append(costs, cost{c.name, vault.counted(), time.Since(began)})
		if err := st.Close(); err != nil {
			return nil, err
		}
	}
	return costs, nil
}
