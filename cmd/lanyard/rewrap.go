package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/store"
)

// rewrapReport is a crypto.Report as it is printed.
type rewrapReport struct {
	KeyService string         `json:"key_service"`
	KeyVersion string         `json:"key_version"`
	Keys       int            `json:"keys"`
	Total      int            `json:"total"`
	Rewrapped  int            `json:"rewrapped"`
	Current    int            `json:"current"`
	Raced      int            `json:"raced"`
	Failed     []failedKey    `json:"failed"`
	Remaining  []wrappedCount `json:"remaining"`
	DryRun     bool           `json:"dry_run,omitempty"`
	Done       bool           `json:"done"`
	After      string         `json:"after,omitempty"`
	Error      string         `json:"error,omitempty"`
}

type failedKey struct {
	OwnerKeyID string `json:"owner_key_id"`
	Reason     string `json:"reason"`
}

// wrappedCount is how many owner keys one key wrapped.
type wrappedCount struct {
	KeyService string `json:"key_service"`
	KeyVersion string `json:"key_version"`
	Count      int    `json:"count"`
}

func wrappedCounts(counts []store.OwnerKeyCount) []wrappedCount {
	out := make([]wrappedCount, 0, len(counts))
	for _, c := range counts {
		out = append(out, wrappedCount{KeyService: c.Secrets, KeyVersion: c.KeyVersion, Count: c.Count})
	}
	return out
}

func prepareRewrap(j *job, flags *flag.FlagSet) action {
	d, k := databaseFlag(flags), keyServiceFlags(flags)
	var o crypto.RewrapOptions
	flags.StringVar(&o.After, "after", "", "go on behind this owner `KEY`, where a run was stopped")
	flags.BoolVar(&o.DryRun, "dry-run", false, "open every owner key and change none")
	first := flags.Bool("first", false, "begin with a key of Vault's that has wrapped nothing yet; its name has to be what the host calls it")
	return func(ctx context.Context, _ []string) error {
		if err := k.check(); err != nil {
			return err
		}
		return d.with(ctx, func(st tables) error {
			if !*first && !o.DryRun && !k.previous.given() {
				if err := k.known(ctx, st); err != nil {
					return err
				}
			}
			return k.with(st, func(s *crypto.Sealer) error {
				bar := newProgress(j.stderr)
				o.Progress = func(r crypto.Report) { bar.show(r.Total, r.Keys) }
				report, stopped := s.Rewrap(ctx, st, &o)
				bar.end()
				return j.tellRewrap(report, o.DryRun, stopped)
			})
		})
	}
}

// known returns an error where owner keys would be moved to a key of Vault's by a
// name that none has yet: should the host call it otherwise, it opens none of them
// any more.
func (k *keyServices) known(ctx context.Context, st tables) error {
	if !k.toVault() || k.ring.path == "" {
		return nil // the name of a keyring is always the same, and from nowhere nothing moves
	}
	counts, err := st.CountOwnerKeys(ctx)
	if err != nil || len(counts) == 0 || wraps(counts, k.vault.serviceName()) {
		return err
	}
	return usagef("no owner key is under %s yet: if that is what the host calls it, as in vaulttransit.Options.Name, say -first; else say -vault-name", k.vault.serviceName())
}

// wraps reports whether a key service of that name has wrapped any.
func wraps(counts []store.OwnerKeyCount, name string) bool {
	return slices.ContainsFunc(counts, func(c store.OwnerKeyCount) bool { return c.Secrets == name })
}

// tellRewrap prints the report, and returns why not all is well.
func (j *job) tellRewrap(r crypto.Report, dry bool, stopped error) error {
	out := rewrapReport{
		KeyService: r.Secrets, KeyVersion: r.KeyVersion, Keys: r.Keys, Total: r.Total,
		Rewrapped: r.Rewrapped, Current: r.Current, Raced: r.Raced,
		Failed: make([]failedKey, 0, len(r.Failed)), Remaining: wrappedCounts(r.Remaining),
		DryRun: dry, Done: r.Done, After: r.After,
	}
	for _, f := range r.Failed {
		out.Failed = append(out.Failed, failedKey{OwnerKeyID: f.OwnerKeyID, Reason: reason(f.Err)})
	}
	if stopped != nil {
		out.Error = stopped.Error()
	}
	err := j.tell(out, func(w io.Writer) {
		did := "rewrapped"
		if dry {
			did = "to rewrap"
		}
		fmt.Fprintf(w, "%d %s, %d current, %d done by others, %d failed, of %d under %s %s\n",
			r.Rewrapped, did, r.Current, r.Raced, len(r.Failed), r.Total, r.Secrets, r.KeyVersion)
		for i, f := range out.Failed {
			fmt.Fprintf(w, "failed     %s  %s: %v\n", f.OwnerKeyID, f.Reason, r.Failed[i].Err)
		}
		for _, c := range out.Remaining {
			fmt.Fprintf(w, "remaining  %d under %s %s\n", c.Count, c.KeyService, c.KeyVersion)
		}
		if stopped != nil && r.After != "" {
			fmt.Fprintf(w, "go on with -after %s\n", r.After)
		}
	})
	switch {
	case stopped != nil || err != nil:
		return errors.Join(stopped, err)
	case len(r.Failed) > 0, !dry && len(r.Remaining) > 0:
		return errProblem
	}
	return nil
}

// reason names why an owner key could not be rewrapped, or a secret opened.
func reason(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{crypto.ErrIntegrity, "integrity"}, {crypto.ErrUnknownKey, "unknown_key"},
		{crypto.ErrDenied, "denied"}, {lanyard.ErrConflict, "conflict"},
		{providertoken.ErrNotOffered, "unknown_provider"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	return "unavailable"
}

// progress is a bar on a terminal, and elsewhere a line each ten per cent.
type progress struct {
	w    io.Writer
	live bool
	last int
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, last: -1}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.live = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

const barWidth = 40

// show says that done of all are done; there may be more by now.
func (p *progress) show(done, all int) {
	part := 1.0
	if all > 0 {
		part = min(1, float64(done)/float64(all))
	}
	switch step := int(part * 10); {
	case p.live:
		full := int(part * barWidth)
		fmt.Fprintf(p.w, "\r[%s%s] %3.0f%% %d of %d", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), part*100, done, max(all, done))
	case step > p.last:
		p.last = step
		fmt.Fprintf(p.w, "%3.0f%% %d of %d\n", part*100, done, max(all, done))
	}
}

func (p *progress) end() {
	if p.live {
		fmt.Fprintln(p.w)
	}
}
