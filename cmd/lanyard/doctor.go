package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/aichub/lanyard/crypto"
)

// unsignedPage is how many unsigned rows are read at once.
const unsignedPage = 1000

// shownItems bounds what a person is shown of one problem.
const shownItems = 20

// The states of a check.
const (
	statusOK      = "ok"
	statusProblem = "problem"
	statusSkipped = "skipped" // it could not be made
)

// check is one thing that was looked at.
type check struct {
	Name   string   `json:"name"`
	Status string   `json:"status"`
	Detail string   `json:"detail"`
	Items  []string `json:"items,omitempty"` // what the problem is with
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

func skipped(name, why string) check {
	return check{Name: name, Status: statusSkipped, Detail: why}
}

func prepareDoctor(j *job, flags *flag.FlagSet) action {
	d, k := databaseFlag(flags), keyServiceFlags(flags)
	return func(ctx context.Context, _ []string) error {
		if k.given() {
			if err := k.check(); err != nil {
				return err
			}
		}
		if !d.given() {
			return usagef("-database is missing")
		}
		e := examination{OK: true, Checks: j.examine(ctx, d, k)}
		for _, c := range e.Checks {
			e.OK = e.OK && c.Status != statusProblem
		}
		err := j.tell(e, func(w io.Writer) {
			for _, c := range e.Checks {
				fmt.Fprintf(w, "%-8s %-13s %s\n", c.Status, c.Name, c.Detail)
				for _, item := range c.Items[:min(len(c.Items), shownItems)] {
					fmt.Fprintf(w, "%-22s   %s\n", "", item)
				}
				if more := len(c.Items) - shownItems; more > 0 {
					fmt.Fprintf(w, "%-22s   and %d more; -json has all\n", "", more)
				}
			}
		})
		if err == nil && !e.OK {
			return errProblem
		}
		return err
	}
}

// examine makes all checks that can be made.
func (j *job) examine(ctx context.Context, d *database, k *keyServices) []check {
	st, err := d.open(ctx, false)
	if err != nil {
		return []check{failed("database", err)}
	}
	defer func() { _ = st.Close() }()
	checks := []check{{Name: "database", Status: statusOK, Detail: "it answers, and this version can work with it"}}

	pending, err := st.NeedsMigration(ctx)
	switch {
	case err != nil:
		return append(checks, failed("migrations", err))
	case pending:
		return append(checks, check{Name: "migrations", Status: statusProblem, Detail: "some are pending: lanyard migrate; the rest was not looked at"})
	}
	checks = append(checks, check{Name: "migrations", Status: statusOK, Detail: "none is pending"})
	checks = append(checks, d.inspect(ctx, j.now)...)
	checks = append(checks, j.examineOwnerKeys(ctx, st, k)...)
	return append(checks, examineSignatures(ctx, st, k))
}

// examineOwnerKeys opens every owner key and changes none.
func (j *job) examineOwnerKeys(ctx context.Context, st tables, k *keyServices) []check {
	if !k.given() {
		counts, err := st.CountOwnerKeys(ctx)
		if err != nil {
			return []check{failed("owner keys", err)}
		}
		var by []string
		for _, c := range counts {
			by = append(by, fmt.Sprintf("%d under %s %s", c.Count, c.Secrets, c.KeyVersion))
		}
		c := skipped("owner keys", "they are opened with -keyring or -vault")
		c.Items = by
		return []check{c}
	}
	s, err := k.sealer(st)
	if err == nil {
		err = s.Check(ctx)
	}
	if err != nil {
		return []check{failed("key service", err)}
	}
	bar := newProgress(j.stderr)
	report, err := s.Rewrap(ctx, st, &crypto.RewrapOptions{DryRun: true, Progress: func(r crypto.Report) { bar.show(r.Total, r.Keys) }})
	bar.end()
	if err != nil {
		return []check{failed("owner keys", err)}
	}
	var unreadable, old []string
	for _, f := range report.Failed {
		unreadable = append(unreadable, fmt.Sprintf("%s  %s", f.OwnerKeyID, reason(f.Err)))
	}
	for _, c := range report.Remaining {
		old = append(old, fmt.Sprintf("%d under %s %s", c.Count, c.Secrets, c.KeyVersion))
	}
	return []check{
		{Name: "key service", Status: statusOK, Detail: fmt.Sprintf("%s wraps under %s and keeps a key to its place", report.Secrets, report.KeyVersion)},
		found("owner keys", unreadable, fmt.Sprintf("all %d open", report.Total), "do not open"),
		found("key versions", old, "all are the newest", "old keys are in use: lanyard rewrap"),
	}
}

// examineSignatures counts the API keys that anybody who can write the table
// may have made.
func examineSignatures(ctx context.Context, st tables, k *keyServices) check {
	const name = "signatures"
	var unsigned []string
	for after := ""; ; {
		page, err := st.UnsignedAPIKeys(ctx, after, unsignedPage)
		if err != nil {
			return failed(name, err)
		}
		for _, key := range page {
			unsigned = append(unsigned, key.ID)
		}
		if len(page) < unsignedPage {
			break
		}
		after = page[len(page)-1].ID
	}
	if !k.given() && len(unsigned) > 0 {
		// Without a key service nothing is signed, and that may be meant.
		return skipped(name, fmt.Sprintf("%d API keys are not signed, which is a problem only where the host has a Sealer", len(unsigned)))
	}
	return found(name, unsigned, "all API keys are signed", "API keys are not signed")
}
