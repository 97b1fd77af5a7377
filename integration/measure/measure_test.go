package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aichub/lanyard/integration/servers"
)

func TestMain(m *testing.M) {
	if beChild(context.Background()) {
		return
	}
	servers.Main(m)
}

// newTestPlace is a place on the servers of the tests.
func newTestPlace(t *testing.T, transit *servers.Transit) place {
	t.Helper()
	return place{Postgres: servers.Postgres(t), Vault: transit.Root.Address(), Token: transit.Root.Token(), Mount: transit.Mount}
}

// wantText fails the test unless the table says that.
func wantText(t *testing.T, table bytes.Buffer, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(table.String(), part) {
			t.Errorf("the table does not say %q:\n%s", part, table.String())
		}
	}
}

// The Vault key is rotated and everything rewrapped while two processes go on,
// and a runner that is killed is begun anew: nobody notices.
func TestRotation(t *testing.T) {
	t.Parallel()
	const owners = 300
	r, err := rotation(t.Context(), newTestPlace(t, servers.Vault(t)), rotationOptions{owners: owners, rate: 50})
	if err != nil {
		t.Fatalf("rotation() = %v", err)
	}
	for i, l := range r.loads {
		if l.Failed > 0 || l.Opened == 0 || !l.Done {
			t.Errorf("process %d: %+v, want opens of which none failed", i+1, l)
		}
	}
	if r.remaining != 0 || r.total < owners {
		t.Errorf("%d of %d owner keys are under the old version, want 0 of at least %d", r.remaining, r.total, owners)
	}
	if r.runners[0].Done || !r.runners[1].Done || !r.runners[2].Done {
		t.Errorf("the runners: %+v, want the first one killed and the others done", r.runners)
	}
	if err := r.promised(); err != nil {
		t.Errorf("promised() = %v, want nil", err)
	}
	var text bytes.Buffer
	r.print(&text)
	wantText(t, text, "failed: 0", "runner A, anew", "rows rewrapped per second")

	r.loads[1].Failed = 1
	if err := r.promised(); !errors.Is(err, errPromise) {
		t.Errorf("promised() with a failed open = %v, want errPromise", err)
	}
}

// While Vault is sealed what is cached goes on for the cache's time, keys are
// verified all the while, and everything comes back by itself.
func TestSealed(t *testing.T) {
	t.Parallel()
	transit := servers.OwnVault(t)
	o := outageOptions{before: time.Second, sealed: 4 * time.Second, after: 2 * time.Second, ttl: 3 * time.Second}
	r, err := outage(t.Context(), newTestPlace(t, transit), transit.Key, o)
	if err != nil {
		t.Fatalf("outage() = %v", err)
	}
	if err := r.promised(); err != nil {
		t.Errorf("promised() = %v, want nil", err)
	}
	for use, name := range usesOfOutage {
		if failed := r.all[use].unavailable > 0; failed != (use != warmKey) {
			t.Errorf("%s: %+v, want an outage for all but the keys of a warm process", name, r.all[use])
		}
	}
	if on := r.lastOK[cachedOwner] - r.sealed; on <= 0 || on > o.ttl+time.Second {
		t.Errorf("cached owners went on for %v, want at most the cache's %v", on, o.ttl)
	}
	var text bytes.Buffer
	r.print(&text)
	wantText(t, text, "went on for", "uncached owner")
}

// No acknowledged write is lost when PostgreSQL is restarted.
func TestRestart(t *testing.T) {
	t.Parallel()
	if _, err := postgresPrograms(); errors.Is(err, errNoBinaries) || os.Getenv("LANYARD_TEST_DOCKER") != "" {
		t.Skip("needs binaries of PostgreSQL, which it can restart; see scripts/postgres")
	}
	r, err := restart(t.Context(), restartOptions{each: time.Second})
	if err != nil {
		t.Fatalf("restart() = %v", err)
	}
	var text bytes.Buffer
	r.print(&text)
	if err := r.promised(); err != nil || len(r.restarts) != 2 {
		t.Errorf("promised() = %v, want nil:\n%s", err, text.String())
	}
	for _, one := range r.restarts {
		for process := range one.healed {
			if one.healed[process] == 0 {
				t.Errorf("process %d did not write after -m %s:\n%s", process+1, one.mode, text.String())
			}
		}
	}
	wantText(t, text, "-m fast", "-m immediate")
}

// Vault is asked once an owner with the cache, and at each use without.
func TestVaultCalls(t *testing.T) {
	t.Parallel()
	o := callsOptions{owners: 10, opens: 200}
	costs, err := vaultCalls(t.Context(), newTestPlace(t, servers.Vault(t)), o)
	if err != nil || len(costs) != 2 {
		t.Fatalf("vaultCalls() = %v, %v, want two", costs, err)
	}
	for i, want := range []int{o.owners, o.opens} {
		if got := costs[i].vault; got != (requests{Decrypt: want}) {
			t.Errorf("with a cache of %s: %s, want %d decrypt alone", costs[i].name, got, want)
		}
	}
}

// Every call is made on every backend.
func TestLatency(t *testing.T) {
	t.Parallel()
	const times = 3
	l, err := latency(t.Context(), newTestPlace(t, servers.Vault(t)), latencyOptions{times: times})
	if err != nil {
		t.Fatalf("latency() = %v", err)
	}
	for _, call := range l.calls {
		if len(l.samples[call]) != len(backends) || len(l.samples[call][0]) != times {
			t.Errorf("%s: %v, want %d samples on each of %d backends", call, l.samples[call], times, len(backends))
		}
	}
	if len(l.calls) < 15 {
		t.Errorf("%q were measured, want at least 15 calls", l.calls)
	}
	var text bytes.Buffer
	l.print(&text)
	wantText(t, text, "PostgreSQL + Vault", "sealer: open, warm")
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var samples []time.Duration
	for i := range 100 {
		samples = append(samples, time.Duration(100-i)) // 1 to 100, backwards
	}
	for part, want := range map[float64]time.Duration{.5: 51, .99: 100, 0: 1} {
		if got := quantile(samples, part); got != want {
			t.Errorf("quantile(%v) = %d, want %d", part, got, want)
		}
	}
	if got := quantile(nil, .5); got != 0 {
		t.Errorf("quantile() of nothing = %v, want 0", got)
	}
}
