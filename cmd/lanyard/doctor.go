package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/providertoken"
	"github.com/aichub/lanyard/providertoken/catalog"
)

// unsignedPage is how many unsigned rows are read at once.
const unsignedPage = 1000

// shownItems bounds what a person is shown of one problem.
const shownItems = 20

// The states of a check.
const (
	statusOK          = "ok"
	statusProblem     = "problem"
	statusUnavailable = "unavailable" // who was asked did not answer, which says nothing
	statusSkipped     = "skipped"     // it could not be made
)

// check is one thing that was looked at.
type check struct {
	Name    string   `json:"name"`
	Status  string   `json:"status"`
	Detail  string   `json:"detail"`
	Checked int      `json:"checked,omitempty"` // how many things were opened
	Items   []string `json:"items,omitempty"`   // what the problem is with
}

type examination struct {
	OK     bool    `json:"ok"`
	Checks []check `json:"checks"`
}

// found judges by whether there is anything wrong.
func found(name string, items []string, good, bad string) check {
	if len(items) > 0 {
		return check{Name: name, Status: statusProblem, Detail: fmt.Sprintf("%d %s", len(items), bad), Items: items}
	}
	return check{Name: name, Status: statusOK, Detail: good}
}

func failed(name string, err error) check {
	return check{Name: name, Status: statusProblem, Detail: err.Error()}
}

// unopened is a check that ended early. Only a key service that refuses us is a
// problem then; one that is away is not.
func unopened(name string, checked int, err error) check {
	c := failed(name, err)
	c.Checked = checked
	if away(err) {
		c.Status = statusUnavailable
	}
	return c
}

// away reports whether err is an outage, and not something to be mended.
func away(err error) bool {
	return errors.Is(err, lanyard.ErrUnavailable) && !errors.Is(err, crypto.ErrDenied) && !errors.Is(err, crypto.ErrUnbound)
}

func skipped(name, why string) check {
	return check{Name: name, Status: statusSkipped, Detail: why}
}

func prepareDoctor(j *job, flags *flag.FlagSet) action {
	d, k := databaseFlag(flags), keyServiceFlags(flags)
	own := flags.String("providers", "", "a `DIRECTORY` with the host's own definitions of platforms, besides the catalogue's")
	return func(ctx context.Context, _ []string) error {
		if k.given() {
			if err := k.check(); err != nil {
				return err
			}
		}
		if !d.given() {
			return usagef("-database is missing")
		}
		defs, err := definitions(*own)
		if err != nil {
			return err
		}
		e := examination{Checks: j.examine(ctx, d, k, defs)}
		verdict := e.verdict()
		e.OK = verdict == nil
		err = j.tell(e, func(w io.Writer) {
			for _, c := range e.Checks {
				fmt.Fprintf(w, "%-11s %-13s %s\n", c.Status, c.Name, c.Detail)
				for _, item := range c.Items[:min(len(c.Items), shownItems)] {
					fmt.Fprintf(w, "%-25s   %s\n", "", item)
				}
				if more := len(c.Items) - shownItems; more > 0 {
					fmt.Fprintf(w, "%-25s   and %d more; -json has all\n", "", more)
				}
			}
		})
		return errors.Join(err, verdict)
	}
}

// verdict is what the checks come to. A problem is one, whoever else is away.
func (e examination) verdict() error {
	var verdict error
	for _, c := range e.Checks {
		switch c.Status {
		case statusProblem:
			return errProblem
		case statusUnavailable:
			verdict = errAway
		}
	}
	return verdict
}

// definitions returns the catalogue's and the host's own.
func definitions(dir string) ([]providertoken.Definition, error) {
	if dir == "" {
		return catalog.All(), nil
	}
	own, err := catalog.Load(os.DirFS(dir))
	if err != nil {
		return nil, err
	}
	return append(own, catalog.All()...), nil
}

// examine makes all checks that can be made.
func (j *job) examine(ctx context.Context, d *database, k *keyServices, defs []providertoken.Definition) []check {
	st, err := d.open(ctx, false)
	if err != nil {
		c := failed("database", err)
		if d.silent(ctx) {
			c.Status = statusUnavailable
		}
		return []check{c}
	}
	defer func() { _ = st.Close() }()
	checks := []check{{Name: "database", Status: statusOK, Detail: "it answers, and this version can work with it"}}

	pending, err := st.NeedsMigration(ctx)
	switch {
	case err != nil:
		return append(checks, unopened("migrations", 0, err))
	case pending:
		return append(checks, check{Name: "migrations", Status: statusProblem, Detail: "some are pending: lanyard migrate; the rest was not looked at"})
	}
	checks = append(checks, check{Name: "migrations", Status: statusOK, Detail: "none is pending"})
	checks = append(checks, d.inspect(ctx, j.now)...)
	checks = append(checks, examineRows(ctx, st))
	return append(checks, j.examineSealed(ctx, d, st, k, defs)...)
}

// examineRows looks for what no host has written.
func examineRows(ctx context.Context, st tables) check {
	const name = "rows"
	damaged, err := st.Damaged(ctx)
	if err != nil {
		return unopened(name, 0, err)
	}
	var items []string
	for _, row := range damaged {
		items = append(items, fmt.Sprintf("%s %q", row.Table, row.ID)) // quoted: who writes the table chose it
	}
	return found(name, items, "all can be read", "hold what no host writes, and are passed over")
}

// The checks that need a key service.
const (
	checkKeyService  = "key service"
	checkOwnerKeys   = "owner keys"
	checkConnections = "connections"
	checkSignatures  = "signatures"
)

// examineSealed opens all that is sealed and changes nothing.
func (j *job) examineSealed(ctx context.Context, d *database, st tables, k *keyServices, defs []providertoken.Definition) []check {
	if !k.given() {
		const why = "they are opened with -keyring or -vault"
		counts, err := st.CountOwnerKeys(ctx)
		if err != nil {
			return []check{unopened(checkOwnerKeys, 0, err)}
		}
		c := skipped(checkOwnerKeys, why)
		for _, n := range counts {
			c.Items = append(c.Items, fmt.Sprintf("%d under %s %s", n.Count, n.Secrets, n.KeyVersion))
		}
		return []check{c, skipped(checkConnections, why), examineUnsigned(ctx, st, false)}
	}
	var checks []check
	err := k.with(st, func(s *crypto.Sealer) error {
		if err := s.Check(ctx); err != nil {
			return err
		}
		checks = append(j.examineOwnerKeys(ctx, st, k, s), j.examineConnections(ctx, d, st, s, defs), examineSignatures(ctx, st, s))
		return nil
	})
	if err != nil {
		const why = "they cannot be opened without the key service"
		return []check{unopened(checkKeyService, 0, err), skipped(checkOwnerKeys, why), skipped(checkConnections, why), examineUnsigned(ctx, st, true)}
	}
	return checks
}

// examineOwnerKeys opens every owner key.
func (j *job) examineOwnerKeys(ctx context.Context, st tables, k *keyServices, s *crypto.Sealer) []check {
	bar := newProgress(j.stderr)
	report, err := s.Rewrap(ctx, st, &crypto.RewrapOptions{DryRun: true, Progress: func(r crypto.Report) { bar.show(r.Total, r.Keys) }})
	bar.end()
	if err != nil {
		return []check{unopened(checkOwnerKeys, report.Total, err)}
	}
	var unreadable, old []string
	unknown := 0
	for _, f := range report.Failed {
		if away(f.Err) {
			unknown++
			continue
		}
		unreadable = append(unreadable, fmt.Sprintf("%s  %s", f.OwnerKeyID, reason(f.Err)))
	}
	for _, c := range report.Remaining {
		old = append(old, fmt.Sprintf("%d under %s %s", c.Count, c.Secrets, c.KeyVersion))
	}
	keys := found(checkOwnerKeys, unreadable, fmt.Sprintf("all %d open", report.Total), fmt.Sprintf("of %d do not open", report.Total))
	keys.Checked = report.Total - unknown
	if unknown > 0 {
		keys.Detail = fmt.Sprintf("%d of %d do not open, of %d the key service did not say", len(unreadable), report.Total, unknown)
		if keys.Status == statusOK {
			keys.Status = statusUnavailable
		}
	}
	versions := found("key versions", old, "all are the newest", "old keys are in use: lanyard rewrap")
	if counts, err := st.CountOwnerKeys(ctx); err == nil && len(counts) > 0 && k.toVault() && !wraps(counts, report.Secrets) {
		versions.Detail += fmt.Sprintf("; none is under %s yet, so make sure that the host calls it so, or say -vault-name", report.Secrets)
	}
	return []check{
		{Name: checkKeyService, Status: statusOK, Detail: fmt.Sprintf("%s wraps under %s and keeps a key to its place", report.Secrets, report.KeyVersion)},
		keys,
		versions,
	}
}

// examineConnections opens every sealed field of every connection.
func (j *job) examineConnections(ctx context.Context, d *database, st tables, s *crypto.Sealer, defs []providertoken.Definition) check {
	all, err := d.count(ctx, "lanyard_provider_tokens")
	if err != nil {
		return unopened(checkConnections, 0, err)
	}
	bar := newProgress(j.stderr)
	in, err := providertoken.Inspect(ctx, st, s, defs, func(in providertoken.Inspection) { bar.show(in.Tokens, all) })
	bar.end()
	var items []string
	for _, u := range in.Unreadable {
		items = append(items, fmt.Sprintf("%s %s  %s", u.TokenID, u.Field, reason(u.Err)))
	}
	c := found(checkConnections, items,
		fmt.Sprintf("all %d secrets of %d open", in.Secrets, in.Tokens),
		fmt.Sprintf("of %d secrets of %d do not open by the definitions of the catalogue and of -providers", in.Secrets, in.Tokens))
	if err != nil {
		c = unopened(checkConnections, 0, err)
		if c.Items = items; len(items) > 0 {
			c.Status = statusProblem
		}
	}
	c.Checked = in.Secrets
	return c
}

// examineSignatures checks the MAC of every API key.
func examineSignatures(ctx context.Context, st tables, s *crypto.Sealer) check {
	in, err := apikey.Inspect(ctx, st, s)
	if err != nil {
		return unopened(checkSignatures, in.Keys, err)
	}
	items := in.Unsigned
	for _, id := range in.Forged {
		items = append(items, id+"  integrity")
	}
	c := found(checkSignatures, items, fmt.Sprintf("all %d API keys are signed", in.Keys),
		"API keys are not signed, or by somebody else: if not signed, and from before the host had a key service, lanyard keys sign")
	c.Checked = in.Keys
	return c
}

// examineUnsigned counts the API keys without a MAC, where nobody can tell
// whether the others have theirs.
func examineUnsigned(ctx context.Context, st tables, sealed bool) check {
	var unsigned []string
	for after := ""; ; {
		page, err := st.UnsignedAPIKeys(ctx, after, unsignedPage)
		if err != nil {
			return unopened(checkSignatures, 0, err)
		}
		for _, key := range page {
			unsigned = append(unsigned, key.ID)
		}
		if len(page) < unsignedPage {
			break
		}
		after = page[len(page)-1].ID
	}
	switch {
	case len(unsigned) == 0:
		return skipped(checkSignatures, "each API key has one, and without the key service nobody can tell whether it is the host's")
	case sealed:
		return found(checkSignatures, unsigned, "", "API keys are not signed: if they are from before the host had a key service, lanyard keys sign")
	}
	// Without a key service nothing is signed, and that may be meant.
	return skipped(checkSignatures, fmt.Sprintf("%d API keys are not signed, which is a problem only where the host has a Sealer: then lanyard keys sign", len(unsigned)))
}
