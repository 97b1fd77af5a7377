package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// table prints rows of cells, in columns.
func table(w io.Writer, rows ...[]string) {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	_ = columns.Flush()
}

// row makes a row of anything.
func row(cells ...any) []string {
	out := make([]string, 0, len(cells))
	for _, c := range cells {
		if d, ok := c.(time.Duration); ok {
			c = rounded(d)
		}
		out = append(out, fmt.Sprint(c))
	}
	return out
}

// quantile returns the time that the given part of the samples did not exceed.
func quantile(samples []time.Duration, part float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

// rounded leaves three digits of a duration, or about that.
func rounded(d time.Duration) time.Duration {
	for unit := time.Second; unit >= time.Microsecond; unit /= 10 {
		if d >= 100*unit {
			return d.Round(unit)
		}
	}
	return d.Round(10 * time.Nanosecond)
}
