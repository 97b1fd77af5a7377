package verdicts_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// clockSlack is what the clocks may be off by that a grace is measured with:
// the process's own, which somebody may set, and monotonic.
const clockSlack = 20 * time.Millisecond

// record is what two processes did with one lineage.
type record struct {
	subject string

	mu      sync.Mutex
	keys    []answer // what made them
	history []porcupine.Operation
	strange []string
	open    bool // it is not known what became of a change, so the rest says little
}

// add notes what came of a step and returns it.
func (r *record) add(s step, a answer) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch s.result = a.Result; s.result {
	case bad, limited:
		r.strange = append(r.strange, fmt.Sprintf("%v: %s", s, a.Error))
		return a
	case unavailable: // of a verification it says nothing
		r.open = r.open || s.do != "verify"
		return a
	case ok:
		if s.grace > 0 {
			s.left = max(0, time.Duration(a.Grace-a.Return))
		}
		if a.Token != "" {
			s.next = len(r.keys)
			r.keys = append(r.keys, a)
			if s.do == "create" {
				s.key, s.next = s.next, 0
			}
		}
	}
	r.history = append(r.history, porcupine.Operation{ClientId: s.process, Input: s, Call: a.Call, Return: a.Return})
	if s.do == "rotate" && s.result == ok && s.grace > 0 {
		r.end("grace", s.key, a.Grace, a.Return)
	}
	if a.Life != 0 && s.result == ok {
		r.end("life", s.next, a.Life, a.Return)
	}
	return a
}

// end notes that a key ends by itself, at a time of the machine's clock, and not
// before the call returned that has it so.
func (r *record) end(what string, key int, at, known int64) {
	r.history = append(r.history, porcupine.Operation{
		ClientId: 2, Input: step{process: 2, do: what, key: key, result: "ends"},
		Call: at - int64(clockSlack), Return: max(at, known) + int64(clockSlack),
	})
}

// pick returns a key of the lineage, the youngest ones rather, and whether it
// may have another one.
func (r *record) pick() (key int, made answer, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key = max(rand.N(len(r.keys)), rand.N(len(r.keys)), rand.N(len(r.keys)))
	return key, r.keys[key], len(r.keys) < generations-2 // two may be on their way
}

// live has two processes create, rotate, delete and verify keys of one owner
// for so long.
func (r *record) live(ctx context.Context, processes [2]*process, d time.Duration) {
	first := rand.N(2)
	if r.add(step{process: first, do: "create"}, processes[first].do(command{Do: "create", Subject: r.subject})); len(r.keys) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var clients sync.WaitGroup
	for i, p := range processes {
		for range 3 { // so that one joins what another waits for
			clients.Go(func() {
				for wait(ctx, 5*time.Millisecond+rand.N(40*time.Millisecond)) == nil {
					key, made, _ := r.pick()
					r.add(step{process: i, do: "verify", key: key}, p.do(command{Do: "verify", Token: made.Token}))
				}
			})
		}
		clients.Go(func() {
			for wait(ctx, 50*time.Millisecond+rand.N(200*time.Millisecond)) == nil {
				key, made, more := r.pick()
				s, c := step{process: i, do: "delete", key: key}, command{Do: "delete", Subject: r.subject, ID: made.ID}
				switch {
				case !more:
				case rand.N(6) == 0:
					s.do, s.key, c.Do = "create", 0, "create"
				case rand.N(4) > 0:
					s.do, c.Do = "rotate", "rotate"
					s.grace = []time.Duration{0, 0, 100 * time.Millisecond, 300 * time.Millisecond}[rand.N(4)]
					c.Grace = s.grace
				}
				r.add(s, p.do(c))
			}
		})
	}
	clients.Wait()
}

// String is the history without most verifications.
func (r *record) String() string {
	var text strings.Builder
	slices.SortFunc(r.history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	start := r.history[0].Call
	last := make(map[step]porcupine.Operation)
	line := func(op porcupine.Operation) {
		fmt.Fprintf(&text, "%8.1f ms to %8.1f ms: %v\n", float64(op.Call-start)/1e6, float64(op.Return-start)/1e6, op.Input)
	}
	for _, op := range r.history {
		if s := op.Input.(step); s.do == "verify" {
			if _, seen := last[s]; !seen && s.result == refused {
				line(op)
			}
			last[s] = op
			continue
		}
		line(op)
	}
	for s, op := range last {
		if s.result == ok {
			fmt.Fprint(&text, "last yes ")
			line(op)
		}
	}
	return text.String()
}

// What two processes do with keys is linearizable within MaxStale, as model
// and bound have it; also where the answers to verifications are late, so that
// there is mostly one under way that others join.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	const maxStale = 200 * time.Millisecond
	for store, open := range map[string]func(testing.TB) database{"PostgreSQL": onPostgres, "SQLite": onSQLite} {
		for name, a := range map[string]ailment{"prompt": {}, "slow": {Jitter: maxStale / 2}} {
			t.Run(store+"/"+name, func(t *testing.T) {
				t.Parallel()
				d := open(t)
				order := hostOrder{Database: d, MaxStale: maxStale, Ailment: a}
				processes := [2]*process{startHost(t, order), startHost(t, order)}
				records := make([]*record, 24)
				if store == "SQLite" { // where there is one writer at a time
					records = records[:8]
				}
				var living sync.WaitGroup
				for i := range records {
					records[i] = &record{subject: fmt.Sprint("user-", i)}
					living.Go(func() { records[i].live(t.Context(), processes, 2*time.Second) })
				}
				living.Wait()
				counts := make(map[string]int)
				for _, r := range records {
					if r.open {
						counts["lineages left open"]++
						continue
					}
					for _, op := range r.history {
						s := op.Input.(step)
						counts[s.do+" "+string(s.result)]++
					}
					if len(r.strange) > 0 {
						t.Errorf("%d calls returned what they must not, as %s", len(r.strange), r.strange[0])
					}
					switch porcupine.CheckOperationsTimeout(model, bound(r.history, maxStale), 20*time.Second) {
					case porcupine.Illegal:
						t.Errorf("not linearizable within %v:\n%v", maxStale, r)
					case porcupine.Unknown:
						t.Errorf("too long a history to tell:\n%v", r)
					case porcupine.Ok:
					}
				}
				if n := counts["lineages left open"]; n > len(records)/2 {
					t.Errorf("of %d lineages %d were left open by changes that were unavailable, want at most half", len(records), n)
				}
				for _, what := range []string{"verify ok", "verify refused", "rotate ok", "delete ok", "grace ends"} {
					if counts[what] == 0 {
						t.Errorf("%q never happened in %d lineages", what, len(records))
					}
				}
				t.Logf("%d lineages: %v", len(records), counts)
			})
		}
	}
}
