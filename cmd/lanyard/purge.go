package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aichub/lanyard/store"
)

// age is how old something has to be, as 90d or 36h. The zero age keeps all.
type age time.Duration

func (a *age) String() string {
	if *a == 0 {
		return ""
	}
	return time.Duration(*a).String()
}

func (a *age) Set(text string) error {
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16) // 179 years are enough
		d = time.Duration(n) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no age such as 90d or 36h", text)
	}
	*a = age(d)
	return nil
}

// before returns the time that old things are before.
func (a *age) before(now time.Time) time.Time {
	if *a == 0 {
		return time.Time{}
	}
	return now.Add(-time.Duration(*a))
}

type purgeReport struct {
	Events     int `json:"events"`
	Tombstones int `json:"tombstones"`
	Usage      int `json:"usage"`
}

func preparePurge(j *job, flags *flag.FlagSet) action {
	d := databaseFlag(flags)
	var events, tombstones, usage age
	flags.Var(&events, "events", "remove history of that `AGE`, as 90d")
	flags.Var(&tombstones, "tombstones", "remove what is kept of API keys deleted that long ago; a later use of them is\nnot noticed any more")
	flags.Var(&usage, "usage", "forget the last use of API keys not used for that long")
	return func(ctx context.Context, _ []string) error {
		if events == 0 && tombstones == 0 && usage == 0 {
			return usagef("purge removes nothing without -events, -tombstones or -usage")
		}
		now := j.now()
		return d.with(ctx, func(st tables) error {
			gone, err := st.Purge(ctx, store.Purge{
				EventsBefore: events.before(now), TombstonesBefore: tombstones.before(now), UsageBefore: usage.before(now),
			})
			if err != nil {
				return fmt.Errorf("%d events, %d tombstones and %d last uses are gone, then: %w", gone.Events, gone.Tombstones, gone.Usage, err)
			}
			return j.tell(purgeReport(gone), func(w io.Writer) {
				fmt.Fprintf(w, "%d events, %d tombstones and %d last uses are gone\n", gone.Events, gone.Tombstones, gone.Usage)
			})
		})
	}
}
