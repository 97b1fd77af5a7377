package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/store/postgres"
)

// restartOptions says how long is written around each restart.
type restartOptions struct {
	each time.Duration
}

func prepareRestart(flags *flag.FlagSet) func(context.Context, io.Writer) error {
	var o restartOptions
	flags.DurationVar(&o.each, "each", 10*time.Second, "how long is written before, between and after the two restarts")
	return func(ctx context.Context, out io.Writer) error {
		r, err := restart(ctx, o)
		if err != nil {
			return err
		}
		r.print(out)
		return r.promised()
	}
}

// restarted is what the restarts showed.
type restarted struct {
	writers  [2]written
	restarts []restartOf

	kept    int // acknowledged writes that are there
	lost    []string
	unknown int // writes of whose outcome the service said that it does not know
	arrived int // of these, those that did happen
}

// restartOf is one restart of the server.
type restartOf struct {
	mode   string
	began  time.Time
	took   time.Duration    // until the server was up again
	gap    [2]time.Duration // between the last acknowledged write before and the first after, by process
	healed [2]time.Duration // from the server being up to the first acknowledged write
}

func (r restarted) promised() error {
	if len(r.lost) > 0 || r.kept == 0 || r.writers[0].Other+r.writers[1].Other > 0 {
		return errPromise
	}
	return nil
}

// restart has two processes create, rename and delete API keys while
// PostgreSQL is restarted, and then looks for every write that was acknowledged.
func restart(ctx context.Context, o restartOptions) (r restarted, err error) {
	server, err := startPostgres(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, server.stop(ctx)) }()
	st, err := postgres.Open(ctx, server.url(), nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.Migrate(ctx); err != nil {
		return r, err
	}

	var writers [2]*child
	for i := range writers {
		writers[i], err = spawn(ctx, "write", writeOrder{Postgres: server.url(), Tenant: fmt.Sprint("process-", i+1)},
			func(v json.RawMessage) { _ = json.Unmarshal(v, &r.writers[i]) })
		if err != nil {
			return r, err
		}
	}
	wait := func() error {
		select {
		case <-time.After(o.each):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err = wait()
	for _, mode := range []string{"fast", "immediate"} {
		if err != nil {
			break
		}
		one := restartOf{mode: mode, began: time.Now()}
		say("restart -m %s", mode)
		if err = server.restart(ctx, mode); err == nil {
			one.took = time.Since(one.began)
			r.restarts = append(r.restarts, one)
			err = wait()
		}
	}
	if err := errors.Join(err, writers[0].stop(), writers[1].stop()); err != nil {
		return r, err
	}
	for i := range r.restarts {
		for n, w := range r.writers {
			r.restarts[i].measure(n, w)
		}
	}
	return r, r.look(ctx, st)
}

// measure finds how long a process had no write acknowledged.
func (one *restartOf) measure(process int, w written) {
	up := one.began.Add(one.took)
	var last time.Time
	for _, at := range w.acknowledged() {
		if at.After(one.began) && !last.IsZero() && last.Before(up) {
			one.gap[process] = max(one.gap[process], at.Sub(last))
		}
		if at.After(up) && one.healed[process] == 0 {
			one.healed[process] = at.Sub(up)
		}
		last = at
	}
}

// look compares what is stored with what was acknowledged.
func (r *restarted) look(ctx context.Context, st *postgres.Store) error {
	for _, w := range r.writers {
		for _, k := range w.Keys {
			row, err := st.APIKeyByID(ctx, k.ID)
			if err != nil && !errors.Is(err, lanyard.ErrNotFound) {
				return err
			}
			is := state{Exists: err == nil, Name: row.Name, Deleted: !row.DeletedAt.IsZero()}
			if k.Unknown != nil {
				r.unknown++
				if is == *k.Unknown {
					r.arrived++
					r.kept += len(k.At)
					continue
				}
			}
			if is == k.Acknowledged {
				r.kept += len(k.At)
			} else {
				r.lost = append(r.lost, fmt.Sprintf("key %s of %s is %+v, acknowledged was %+v", k.ID, w.Tenant, is, k.Acknowledged))
			}
		}
	}
	return nil
}

func (r restarted) print(w io.Writer) {
	rows := [][]string{row("restart", "server up after", "longest gap, process 1 / 2", "first write after up, process 1 / 2")}
	for _, one := range r.restarts {
		rows = append(rows, row("-m "+one.mode, one.took,
			fmt.Sprintf("%v / %v", rounded(one.gap[0]), rounded(one.gap[1])), fmt.Sprintf("%v / %v", rounded(one.healed[0]), rounded(one.healed[1]))))
	}
	table(w, rows...)
	fmt.Fprintln(w)
	failed := r.writers[0].Unavailable + r.writers[1].Unavailable
	table(w,
		row("acknowledged writes", len(r.writers[0].acknowledged())+len(r.writers[1].acknowledged())),
		row("of them lost", len(r.lost)),
		row("answered unavailable", failed, fmt.Sprintf("of %d of these, the write to a key that is known, %d did happen", r.unknown, r.arrived)),
		row("any other error", r.writers[0].Other+r.writers[1].Other),
	)
	for _, l := range r.lost {
		fmt.Fprintln(w, "lost:", l)
	}
	for _, one := range r.writers {
		if one.Error != "" {
			fmt.Fprintln(w, "other error:", one.Error)
		}
	}
}

// writeOrder tells a process to write.
type writeOrder struct{ Postgres, Tenant string }

// written is the answer of a process that wrote.
type written struct {
	Tenant      string
	Keys        []writtenKey
	Unavailable int
	Other       int
	Error       string // the first other one
}

// writtenKey is what happened to one key. A worker leaves a key of which it does
// not know what became.
type writtenKey struct {
	ID           string
	Acknowledged state
	Unknown      *state // what it may be instead
	At           []time.Time
}

// state is what a key is now.
type state struct {
	Exists  bool
	Name    string
	Deleted bool
}

// acknowledged returns when writes were, in order.
func (w written) acknowledged() []time.Time {
	var all []time.Time
	for _, k := range w.Keys {
		all = append(all, k.At...)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// writeWorkers write side by side, each for an owner of its own.
const writeWorkers = 4

// write creates keys, renames each and deletes every third.
func write(ctx context.Context, order []byte, answer func(any)) error {
	var o writeOrder
	if err := json.Unmarshal(order, &o); err != nil {
		return err
	}
	st, err := postgres.Open(ctx, o.Postgres, nil)
	if err != nil {
		return err
	}
	keys, err := apikey.NewService(st, &apikey.Options{Limit: -1})
	if err != nil {
		return errors.Join(err, st.Close())
	}
	all := written{Tenant: o.Tenant}
	var (
		mu      sync.Mutex
		workers sync.WaitGroup
	)
	for worker := range writeWorkers {
		workers.Go(func() {
			owner := lanyard.Owner{Tenant: o.Tenant, Subject: fmt.Sprint("worker-", worker)}
			for n := 0; ctx.Err() == nil; n++ {
				k, err := writeOne(context.WithoutCancel(ctx), keys, owner, n)
				mu.Lock()
				if k.ID != "" {
					all.Keys = append(all.Keys, k)
				}
				switch {
				case errors.Is(err, lanyard.ErrUnavailable):
					all.Unavailable++
				case err != nil:
					if all.Other++; all.Error == "" {
						all.Error = err.Error()
					}
				}
				mu.Unlock()
				if err != nil { // as a client does that was told to come again
					select {
					case <-time.After(20 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	workers.Wait()
	answer(all)
	return errors.Join(keys.Close(context.WithoutCancel(ctx)), st.Close())
}

// writeOne is the life of one key.
func writeOne(ctx context.Context, keys *apikey.Service, owner lanyard.Owner, n int) (k writtenKey, err error) {
	made, err := keys.Create(ctx, owner, apikey.CreateRequest{Name: fmt.Sprint("key ", n)})
	if err != nil {
		return k, err // nobody was told an id
	}
	acknowledge := func(s state) {
		k.ID, k.Acknowledged, k.At = made.Key.ID, s, append(k.At, time.Now())
	}
	acknowledge(state{Exists: true, Name: made.Key.Name})

	renamed := state{Exists: true, Name: fmt.Sprint("renamed ", n)}
	if _, err := keys.Rename(ctx, owner, k.ID, 0, renamed.Name); err != nil {
		k.Unknown = &renamed
		return k, err
	}
	acknowledge(renamed)
	if n%3 != 0 {
		return k, nil
	}
	deleted := state{Exists: true, Name: renamed.Name, Deleted: true}
	if err := keys.Delete(ctx, owner, k.ID, 0); err != nil {
		k.Unknown = &deleted
		return k, err
	}
	acknowledge(deleted)
	return k, nil
}
