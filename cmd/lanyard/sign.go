package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
)

// signReport is an apikey.SignAllReport as it is printed.
type signReport struct {
	Signed      []string     `json:"signed"`
	Unwitnessed []string     `json:"unwitnessed"`
	Refused     []refusedKey `json:"refused"`
	Raced       int          `json:"raced"`
	DryRun      bool         `json:"dry_run,omitempty"`
	Done        bool         `json:"done"`
	After       string       `json:"after,omitempty"`
	Error       string       `json:"error,omitempty"`
}

type refusedKey struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func prepareKeysSign(j *job, flags *flag.FlagSet) action {
	d, k := databaseFlag(flags), keyServiceFlags(flags)
	var o apikey.SignAllOptions
	var since string
	flags.StringVar(&since, "history-since", "", "the `TIME` before which history was purged: older keys are signed although it does not tell of them")
	flags.StringVar(&o.After, "after", "", "go on behind this `KEY`, where a run was stopped")
	flags.BoolVar(&o.DryRun, "dry-run", false, "look at every row and change none")
	return func(ctx context.Context, args []string) error {
		if err := k.check(); err != nil {
			return err
		}
		var err error
		if o.Before, err = j.past(args[0]); err != nil {
			return err
		}
		if since != "" {
			if o.HistorySince, err = j.past(since); err != nil {
				return err
			}
		}
		return d.with(ctx, func(st tables) error {
			return k.with(st, func(sealer *crypto.Sealer) error {
				keys, err := apikey.NewService(st, &apikey.Options{Sealer: sealer, Now: j.now})
				if err != nil {
					return err
				}
				report, stopped := keys.SignAll(ctx, st, &o)
				stopped = errors.Join(stopped, keys.Close(context.WithoutCancel(ctx)))
				return j.tellSigned(report, o.DryRun, stopped)
			})
		})
	}
}

// past reads a time that is not to come.
func (j *job) past(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("%q is no time such as 2026-03-01T12:00:00Z", text)
	}
	if t.After(j.now()) {
		return time.Time{}, usagef("%s is in the future", text)
	}
	return t, nil
}

// tellSigned prints the report, and returns why not all is well.
func (j *job) tellSigned(r apikey.SignAllReport, dry bool, stopped error) error {
	out := signReport{
		Signed: append([]string{}, r.Signed...), Unwitnessed: append([]string{}, r.Unwitnessed...),
		Refused: make([]refusedKey, 0, len(r.Refused)), Raced: r.Raced, DryRun: dry, Done: r.Done,
	}
	for _, f := range r.Refused {
		out.Refused = append(out.Refused, refusedKey{ID: f.KeyID, Reason: refusal(f.Err)})
	}
	if stopped != nil {
		out.After, out.Error = r.After, stopped.Error()
	}
	err := j.tell(out, func(w io.Writer) {
		did := "signed"
		if dry {
			did = "to sign"
		}
		fmt.Fprintf(w, "%d %s, %d of them unwitnessed, %d changed by others, %d refused\n",
			len(r.Signed), did, len(r.Unwitnessed), r.Raced, len(r.Refused))
		for _, id := range r.Unwitnessed {
			fmt.Fprintf(w, "unwitnessed  %q\n", id) // quoted: who writes the table chose it
		}
		for i, f := range out.Refused {
			fmt.Fprintf(w, "refused      %q  %s: %v\n", f.ID, f.Reason, r.Refused[i].Err)
		}
		if stopped != nil && r.After != "" {
			fmt.Fprintf(w, "go on with -after %q\n", r.After)
		}
	})
	switch {
	case stopped != nil || err != nil:
		return errors.Join(stopped, err)
	case len(r.Refused) > 0, r.Raced > 0:
		return errProblem
	}
	return nil
}

// refusal names why a row was not signed.
func refusal(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{apikey.ErrDeleted, "deleted"}, {apikey.ErrMadeLater, "made_later"}, {apikey.ErrNoHistory, "no_history"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	return "unknown"
}
