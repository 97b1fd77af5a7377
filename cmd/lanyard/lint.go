package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aichub/lanyard/providertoken/catalog"
)

// lintReport is what catalog lint says with -json.
type lintReport struct {
	Problems []lintProblem `json:"problems"`
}

type lintProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitzero"`
	Column  int    `json:"column,omitzero"`
	Message string `json:"message"`
}

func prepareCatalogLint(j *job, _ *flag.FlagSet) action {
	return func(_ context.Context, args []string) error {
		dir := args[0]
		if _, err := os.Stat(dir); err != nil {
			return err
		}
		report := lintReport{Problems: []lintProblem{}}
		found := catalog.Lint(os.DirFS(dir), j.now())
		for _, e := range found {
			e.File = filepath.Join(dir, e.File)
			report.Problems = append(report.Problems, lintProblem{e.File, e.Line, e.Column, e.Message})
		}
		err := j.tell(report, func(w io.Writer) {
			for _, e := range found {
				fmt.Fprintln(w, e)
			}
			if len(found) == 0 {
				fmt.Fprintln(w, "ok")
			}
		})
		if err == nil && len(found) > 0 {
			err = errProblem
		}
		return err
	}
}
