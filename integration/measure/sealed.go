package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/integration/servers"
)

// outageOptions says how long Vault is sealed.
type outageOptions struct {
	before, sealed, after time.Duration
	ttl                   time.Duration // of the Sealer's cache; 0 = its default
}

func prepareSealed(flags *flag.FlagSet) func(context.Context, io.Writer) error {
	o := outageOptions{}
	flags.DurationVar(&o.before, "before", 10*time.Second, "how long all is well")
	flags.DurationVar(&o.sealed, "for", time.Minute, "how long Vault is sealed")
	flags.DurationVar(&o.after, "after", 10*time.Second, "how long it is watched then")
	flags.DurationVar(&o.ttl, "cache", 0, "the Sealer's CacheTTL (default its default, one minute)")
	return func(ctx context.Context, out io.Writer) error {
		p, clean, err := newPlace(ctx)
		if err != nil {
			return err
		}
		var key string
		p.Vault, p.Token, key, err = servers.StartVault()
		if err != nil {
			return errors.Join(err, clean())
		}
		r, err := outage(ctx, p, key, o)
		if err := errors.Join(err, clean()); err != nil {
			return err
		}
		r.print(out)
		return r.promised()
	}
}

// The uses that are watched during an outage, apart.
var usesOfOutage = []string{"cached owner", "uncached owner", "new owner", "API key, warm process", "API key, fresh process"}

const (
	cachedOwner = iota
	uncachedOwner
	newOwner
	warmKey
	freshKey
)

// outageKeys is how many API keys are verified in turn.
const outageKeys = 50

// cachedOwners is how many owners are used again and again.
const cachedOwners = 10

// answers counts what was answered within one second.
type answers struct{ ok, unavailable, other int }

func (a answers) String() string {
	var said []string
	for _, part := range []struct {
		n    int
		name string
	}{{a.ok, "ok"}, {a.unavailable, "unavailable"}, {a.other, "other"}} {
		if part.n > 0 {
			said = append(said, fmt.Sprint(part.n, " ", part.name))
		}
	}
	return strings.Join(said, ", ")
}

// kind tells seconds alike that differ in numbers only.
func (a answers) kind() [3]bool { return [3]bool{a.ok > 0, a.unavailable > 0, a.other > 0} }

// endured is what an outage showed.
type endured struct {
	began            time.Time
	sealed, unsealed time.Duration // when, since it began
	all              [5]answers
	seconds          [][5]answers
	lastOK           [5]time.Duration // of those while it was sealed
	healed           [5]time.Duration // first success after it was unsealed
	failedAfter      [5]int           // failures after that
	slowest          [5]time.Duration // answer
	other            string           // the first answer that was neither

	mu sync.Mutex
}

// note takes an answer that was asked for at that time.
func (r *endured) note(use int, asked time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := asked.Sub(r.began)
	for len(r.seconds) <= int(at/time.Second) {
		r.seconds = append(r.seconds, [5]answers{})
	}
	a := &r.seconds[int(at/time.Second)][use]
	r.slowest[use] = max(r.slowest[use], time.Since(asked))
	isSealed := r.sealed > 0 && at > r.sealed
	isUnsealed := r.unsealed > 0 && at > r.unsealed
	switch {
	case err == nil:
		a.ok++
		r.all[use].ok++
		if isSealed && !isUnsealed {
			r.lastOK[use] = at
		}
		if isUnsealed && r.healed[use] == 0 {
			r.healed[use] = at
		}
	case errors.Is(err, lanyard.ErrUnavailable):
		a.unavailable++
		r.all[use].unavailable++
		if r.healed[use] > 0 {
			r.failedAfter[use]++
		}
	default:
		a.other++
		r.all[use].other++
		if r.other == "" {
			r.other = usesOfOutage[use] + ": " + err.Error()
		}
	}
}

// outage uses what needs Vault and what does not, while it is sealed and
// unsealed. Every use comes twenty times a second.
func outage(ctx context.Context, p place, unsealKey string, o outageOptions) (r *endured, err error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	root, err := p.client(nil)
	if err != nil {
		return nil, err
	}
	st, sealer, err := p.open(ctx, o.ttl, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()

	whole := o.before + o.sealed + o.after
	const perSecond = 20
	owners := cachedOwners + int(whole/time.Second+1)*perSecond*2
	secrets, err := p.secrets(nil)
	if err != nil {
		return nil, err
	}
	seeder, err := crypto.NewSealer(secrets, st, nil) // so that nothing is cached in the one that is watched
	if err != nil {
		return nil, err
	}
	envelopes, err := seed(ctx, seeder, owners)
	if err != nil {
		return nil, err
	}
	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer, Limit: -1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, keys.Close(context.WithoutCancel(ctx))) }()
	var tokens []string
	for i := range outageKeys {
		made, err := keys.Create(ctx, owner(i), apikey.CreateRequest{Name: "laptop"})
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, made.Secret.Reveal())
	}

	r = &endured{began: time.Now()}
	uses := [5]func(n int) error{
		cachedOwner: func(n int) error { i := n % cachedOwners; return use(ctx, sealer, owner(i), envelopes[i]) },
		uncachedOwner: func(n int) error {
			i := min(cachedOwners+n, owners-1)
			return use(ctx, sealer, owner(i), envelopes[i])
		},
		newOwner: func(int) error { return useNew(ctx, sealer) },
		warmKey: func(n int) error {
			_, err := keys.Verify(ctx, tokens[n%len(tokens)])
			return err
		},
		// A process that has never verified anything needs the system key first.
		freshKey: func(n int) error {
			fresh, err := crypto.NewSealer(secrets, st, nil)
			if err != nil {
				return err
			}
			keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: fresh})
			if err != nil {
				return err
			}
			_, err = keys.Verify(ctx, tokens[n%len(tokens)])
			return errors.Join(err, keys.Close(context.WithoutCancel(ctx)))
		},
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var users sync.WaitGroup
	for kind, do := range uses {
		users.Go(func() {
			tick := time.NewTicker(time.Second / perSecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-running.Done():
					return
				case <-tick.C:
					asked := time.Now()
					r.note(kind, asked, do(n))
				}
			}
		})
	}
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err = wait(o.before)
	if err == nil {
		say("sealed")
		err = root.Sys().SealWithContext(ctx)
		r.mark(&r.sealed)
	}
	if err == nil {
		err = wait(o.sealed)
	}
	if err == nil {
		r.mark(&r.unsealed)
		_, err = root.Sys().UnsealWithContext(ctx, unsealKey)
		say("unsealed")
	}
	if err == nil {
		err = wait(o.after)
	}
	stop()
	users.Wait()
	return r, err
}

func (r *endured) mark(at *time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*at = time.Since(r.began)
}

// promised is nil where every answer was a success or an outage, keys were
// verified all the while, and all came back.
func (r *endured) promised() error {
	if r.other != "" || r.all[warmKey].unavailable > 0 || slices.Contains(r.healed[:], 0) {
		return errPromise
	}
	return nil
}

func (r *endured) print(w io.Writer) {
	rows := [][]string{append([]string{"second"}, usesOfOutage...)}
	from := 0
	for i := 1; i <= len(r.seconds); i++ {
		if i < len(r.seconds) && alike(r.seconds[from], r.seconds[i]) {
			continue
		}
		cells := []any{fmt.Sprintf("%d to %d", from, i-1)}
		for use := range usesOfOutage {
			var sum answers
			for _, second := range r.seconds[from:i] {
				sum.ok += second[use].ok
				sum.unavailable += second[use].unavailable
				sum.other += second[use].other
			}
			cells = append(cells, sum)
		}
		rows = append(rows, row(cells...))
		from = i
	}
	fmt.Fprintf(w, "sealed at %v, unsealed at %v\n\n", rounded(r.sealed), rounded(r.unsealed))
	table(w, rows...)
	fmt.Fprintln(w)
	rows = [][]string{row("", "answers ok", "unavailable", "other", "went on for", "back after", "failed later", "slowest answer")}
	since := func(at, from time.Duration) any {
		if at == 0 {
			return "-"
		}
		return at - from
	}
	for use, name := range usesOfOutage {
		a := r.all[use]
		rows = append(rows, row(name, a.ok, a.unavailable, a.other,
			since(r.lastOK[use], r.sealed), since(r.healed[use], r.unsealed), r.failedAfter[use], r.slowest[use]))
	}
	table(w, rows...)
	fmt.Fprintln(w, "\n\"went on for\" counts from the seal, \"back after\" from the unseal, \"failed later\" what failed after that; nothing was started again")
	if r.other != "" {
		fmt.Fprintln(w, "first other answer:", r.other)
	}
}

func alike(a, b [5]answers) bool {
	for use := range a {
		if a[use].kind() != b[use].kind() {
			return false
		}
	}
	return true
}
